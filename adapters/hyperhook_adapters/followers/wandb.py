"""Follows a script that logs to Weights & Biases: offline, without a server, from the file that W&B writes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import yaml

from hyperhook import Params, TrialRecord
from hyperhook.follower import Follower, Reading
from hyperhook_adapters._offline_file import OfflineFile
from hyperhook_adapters.followers._wandb_history import History

__all__ = ["WandBFollower"]

log = logging.getLogger("hyperhook.wandb")

_FOLDER, _PARAMS = "wandb-runs", "wandb-params.yaml"
_QUIET = {
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "WANDB_SAVE_CODE": "false",
    "WANDB_X_DISABLE_STATS": "true",
    "WANDB_X_DISABLE_META": "true",
    "WANDB_X_SAVE_REQUIREMENTS": "false",
}


class WandBFollower(Follower):
    """Gives a script its params as ``wandb.config``, and reads what it logs by ``wandb.log`` while it runs.

    The params come as W&B's own agent hands them over, so that they also win over ``wandb.init(config=…)``. All runs
    that the script starts are read, one after the other, under the same names. A script that passes ``dir=`` or
    ``mode="disabled"`` to ``wandb.init`` cannot be followed.
    """

    requires: ClassVar[tuple[str, ...]] = ("wandb",)

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._files: dict[Path, tuple[OfflineFile, History] | None] = {}
        """By path; None where there is nothing to read any more."""

    def environment(self, folder: Path, params: Params, study: str, trial: TrialRecord) -> dict[str, str]:
        """Write the params as W&B reads them; return variables that keep its files below the trial's folder."""
        self._folder = folder / _FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._files = dict.fromkeys(self._found())
        written = {name: {"value": _plain(value)} for name, value in params.items()}
        (folder / _PARAMS).write_text(yaml.safe_dump(written, allow_unicode=True, sort_keys=False))
        return {
            **_QUIET,
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(self._folder),
            "WANDB_SWEEP_ID": trial.id,
            "WANDB_SWEEP_PARAM_PATH": str(folder / _PARAMS),
            "WANDB_RUN_GROUP": study,
            "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "0.1",
        }

    def read(self) -> Iterator[Reading]:
        """Yield the rows that are new, of every run of the script."""
        for path in self._found():
            if path not in self._files:
                try:
                    self._files[path] = OfflineFile(path), History()
                except OSError as error:
                    log.warning("W&B: %s cannot be read: %s", path, error)
                    self._files[path] = None
        for path, followed in self._files.items():
            if followed is not None:
                yield from self._read(path, *followed)

    def close(self) -> None:
        """Close the files."""
        for followed in self._files.values():
            if followed is not None:
                followed[0].close()
        self._files, self._folder = {}, None

    def _found(self) -> list[Path]:
        files = [] if self._folder is None else self._folder.glob("wandb/*run-*/run-*.wandb")
        return sorted(files, key=_age)

    def _read(self, path: Path, file: OfflineFile, history: History) -> Iterator[Reading]:
        try:
            for record in file.records():
                yield from history.take(record)
        except Exception as error:  # protobuf's own errors, and ours, of a file that somebody else damaged
            log.warning("W&B: %s is read no further: %s", path, error)
            file.close()
            self._files[path] = None


def _age(path: Path) -> tuple[str, float]:
    """Sort runs by the second of their start, which their folder tells, and within it by their last rows."""
    try:
        return path.parent.name.rpartition("-")[0], path.stat().st_mtime
    except OSError:  # it was deleted
        return path.parent.name, 0.0


def _plain(value: object) -> object:
    return {str(name): _plain(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value
