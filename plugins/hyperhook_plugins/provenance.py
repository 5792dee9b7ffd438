"""Where a trial comes from: commit and uncommitted changes, script, command line, Python and the packages installed.

The tags ``git.commit``, ``git.branch``, ``git.dirty``, ``python``, ``host`` and ``command``; the texts ``git.diff`` and
``packages``; the script as a file. What looks like a secret is struck out, in the command line, in the diff and in
addresses. The environment's variables are not recorded.
"""

from __future__ import annotations

import logging
import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from hyperhook import Trial, hookimpl

__all__ = ["Provenance", "struck_out"]

log = logging.getLogger("hyperhook")

_MOST_CHARACTERS = 1_000_000
_TIMEOUT_SECONDS = 10.0
_WORD = r"[\w.-]*(?:secret|token(?!ize|s)|password|passwd|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]*"
_SECRETS = (
    re.compile(rf"(?i)(?P<kept>\b{_WORD}[\"']?\s*[=:]\s*[\"']?)(?P<secret>[^\s\"',;]+)"),  # NAME=…, "name": "…"
    re.compile(rf"(?i)(?P<kept>--?{_WORD}\s+)(?P<secret>[^\s-]\S*)"),  # --name …
    re.compile(r"(?P<kept>\w+://[^/\s:@]*:)(?P<secret>[^@/\s]+)(?=@)"),  # scheme://user:…@
    re.compile(r"(?P<kept>)(?P<secret>\b(?:sk|pk|ghp|gho|github_pat|hf|glpat|xox[abp]|AKIA)[-_]?\w[\w-]{15,})"),
    re.compile(r"(?i)(?P<kept>\b(?:bearer|basic)\s+)(?P<secret>[\w+/=.-]{12,})"),
)


class Provenance:
    """Records where a trial comes from, once it begins.

    Args:
        diff: Record what the working tree has beside the last commit, up to a million characters.
        packages: Record the installed packages with their versions.
        script: Record the script that runs.

    Example:
        >>> study = Study("digits", space, plugins=["gp", "provenance"])  # doctest: +SKIP
    """

    def __init__(self, *, diff: bool = True, packages: bool = True, script: bool = True) -> None:
        self._diff, self._packages, self._script = diff, packages, script
        self._found: tuple[dict[str, str], dict[str, str]] | None = None

    @hookimpl
    def trial_opened(self, trial: Trial) -> None:
        """Record it; what does not change within a process is looked up once."""
        if self._found is None:
            self._found = self._tags(), self._texts()
        tags, texts = self._found
        trial.log_tags(tags)
        for name, content in texts.items():
            trial.log_text(name, content)
        script = Path(sys.argv[0])
        if self._script and script.is_file():
            trial.log_artifact(script)

    def _tags(self) -> dict[str, str]:
        tags = {"python": platform.python_version(), "host": platform.node(), "command": struck_out(_command())}
        commit = _git("rev-parse", "HEAD")
        if commit:
            tags |= {
                "git.commit": commit.strip(),
                "git.branch": _git("rev-parse", "--abbrev-ref", "HEAD").strip(),
                "git.dirty": str(bool(_git("status", "--porcelain", "--untracked-files=no").strip())).lower(),
            }
            remote = _git("config", "--get", "remote.origin.url").strip()
            tags |= {"git.remote": struck_out(remote)} if remote else {}
        return tags

    def _texts(self) -> dict[str, str]:
        texts = {}
        diff = _git("diff", "HEAD") if self._diff else ""
        if diff:
            texts["git.diff"] = struck_out(diff[:_MOST_CHARACTERS])
        if self._packages:
            names = {f"{found.name}=={found.version}" for found in distributions() if found.name}
            texts["packages"] = "\n".join(sorted(names, key=str.lower)) + "\n"
        return texts


def struck_out(text: str) -> str:
    """Return a text with ``***`` in place of what looks like a secret: by its name, its form or its place.

    Example:
        >>> struck_out("train.py --lr 0.1 --api-key abc123 --db postgresql://me:pw@host/x")
        'train.py --lr 0.1 --api-key *** --db postgresql://me:***@host/x'
    """
    for pattern in _SECRETS:
        text = pattern.sub(lambda match: f"{match['kept']}***", text)
    return text


def _command() -> str:
    return shlex.join([Path(sys.executable).name, *sys.argv])


def _git(*arguments: str) -> str:
    """Return what git says; nothing where there is no git, no repository, or no answer in time."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, timeout=_TIMEOUT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("provenance: git %s: %s", arguments[0], error)
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
