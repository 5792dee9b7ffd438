"""Which GPUs each worker may see.

A worker sees its GPUs through ``CUDA_VISIBLE_DEVICES``, set before it starts: no library in it can take another one.
The GPUs to share out are those that this process may see, by the same variable; where that is not set, those that
``nvidia-smi`` lists, by their UUIDs, since its numbers are not CUDA's. A GPU in MIG mode counts as its instances.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence

from hyperhook.errors import StudyError

__all__ = ["VARIABLE", "shares", "visible"]

VARIABLE = "CUDA_VISIBLE_DEVICES"
_LIST_SECONDS = 30.0
_NONE = f"name them in {VARIABLE}, or use gpus_per_trial=0"
_UUID = re.compile(r"\(UUID: ([\w/-]+)\)")


def visible() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Nothing of CUDA is started for it.

    Raises:
        StudyError: ``nvidia-smi`` gives no answer.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        return _listed()
    found: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not name or name.startswith("-"):
            break  # CUDA, too, reads no further
        found.append(name)
    return found


def shares(gpus: Sequence[str], gpus_per_trial: float, workers: int | None) -> list[str]:
    """Return what each worker's ``CUDA_VISIBLE_DEVICES`` is to be.

    Args:
        gpus: The GPUs to share out.
        gpus_per_trial: How many a trial has: a whole number from 1, or a part of one, such as 0.5.
        workers: How many workers there are; None for as many as the GPUs hold.

    Raises:
        StudyError: There are too few GPUs.

    Example:
        >>> shares(["0", "1", "2"], 1, 2)
        ['0', '1']
        >>> shares(["0", "1"], 0.5, None)
        ['0', '1', '0', '1']
    """
    if gpus_per_trial < 1:
        each = int(1 / gpus_per_trial + 1e-9)  # a third, as 0.333, is meant to go three times into one
        fitting = [*gpus] * each  # the workers are spread over the GPUs before any is shared
    else:
        size = int(gpus_per_trial)
        fitting = [",".join(gpus[place : place + size]) for place in range(0, len(gpus) - size + 1, size)]
    wanted = max(workers or 1, 1)
    if len(fitting) < wanted:
        where = f"{VARIABLE} is {os.environ[VARIABLE]!r}" if VARIABLE in os.environ else "by nvidia-smi"
        mend = "take fewer workers, or let them share, as with gpus_per_trial=0.5" if gpus else _NONE
        raise StudyError(
            f"workers: {wanted} of {gpus_per_trial:g} GPUs each do not fit on the {len(gpus)} GPUs here ({where}): "
            f"{len(fitting)} do; {mend}"
        )
    return fitting if workers is None else fitting[:workers]


def _listed() -> list[str]:
    """Ask nvidia-smi; nothing where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise StudyError(
            f"workers: nvidia-smi does not tell which GPUs there are ({error}); name them in {VARIABLE}, as in '0,1'"
        ) from error
    found: list[str] = []
    whole = ""
    for line in done.stdout.splitlines():
        uuid = _UUID.search(line)
        if uuid is None:
            continue
        if line.lstrip().startswith("MIG"):
            if found and found[-1] == whole:
                found.pop()  # CUDA sees its instances in its place
            found.append(uuid[1])
        else:
            whole = uuid[1]
            found.append(whole)
    return found
