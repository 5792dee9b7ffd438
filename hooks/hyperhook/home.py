"""The home directory: where everything lies, and which trials are alive.

::

    .hyperhook/
      hyperhook.db                       the store, where it is not a PostgreSQL
      trials/<trial id>/journal.jsonl    what happened in a trial
      trials/<trial id>/cursors/         how far each tracker is
      trials/<trial id>/output.log       what the program of an agent wrote
      trials/<trial id>/attached         the program of an agent logs into the trial by itself
      studies/<study>/trackers/          where each tracker of a study writes to
      studies/<study>/journal.jsonl      when processes began and ended their work on a study
      running/<trial id>                 locked by the process that runs the trial; the lock dies with it
      outbox/<study>/<tracker>/<item>    what still has to reach a tracker: trials, and the study itself
      calls/<study>/<tracker>            the item that a tracker is being sent: it stays when a forwarder dies of that
      launches/<token>                   locked by a process that leads others, which find it by their environment
      launches/<mark>                    a run of it ended: those that follow stop waiting for trials
      logs/                              what forwarders had to say
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from hyperhook.errors import StoreError
from hyperhook.names import file_name

__all__ = ["STUDY_ITEM", "TRIAL_VARIABLE", "Home", "Lock"]

TRIAL_VARIABLE = "HYPERHOOK_TRIAL"
"""The variable that names, in a program's environment, the trial that it was started for."""

STUDY_ITEM = "study"
"""The name, in an outbox, of the study's own journal; never a trial's id."""


class Lock:
    """A file lock that ends with its process, however the process ends; forked children do not inherit it.

    Args:
        path: The file to lock; made where it is missing.

    Example:
        >>> lock = Lock(Path("trial.lock"))  # doctest: +SKIP
        >>> lock.acquire()  # doctest: +SKIP
        True
    """

    # One of each per process: POSIX locks belong to the process, and closing any descriptor of the file drops them.
    _held: dict[Path, tuple[int, int]] = {}  # noqa: RUF012
    _turn = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> bool:
        """Take the lock without waiting; tell whether this call took it."""
        with self._turn:
            if self._is_ours():
                return False
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    raise FileNotFoundError  # another file of that name by now
            except OSError as error:
                os.close(descriptor)
                if error.errno in (errno.EACCES, errno.EAGAIN, errno.ENOENT):
                    return False
                raise
            self._held[self.path] = (os.getpid(), descriptor)
            return True

    def release(self, *, remove: bool = False) -> None:
        """Give the lock back, if this process has it; `remove` deletes its file first."""
        with self._turn:
            if self._is_ours():
                if remove:
                    self.path.unlink(missing_ok=True)
                os.close(self._held.pop(self.path)[1])

    def is_held(self) -> bool:
        """Tell whether a live process has the lock."""
        with self._turn:
            if self._is_ours():
                return True
            try:
                descriptor = os.open(self.path, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
            finally:
                os.close(descriptor)
            return False

    @classmethod
    def _after_fork(cls) -> None:
        cls._turn = threading.Lock()  # another thread of the parent may have had it

    def _is_ours(self) -> bool:
        return self._held.get(self.path, (0, 0))[0] == os.getpid()


os.register_at_fork(after_in_child=Lock._after_fork)


class Home:
    """The paths below one home directory.

    Args:
        path: The directory; by default ``HYPERHOOK_HOME``, else ``./.hyperhook``.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path or os.environ.get("HYPERHOOK_HOME") or ".hyperhook").resolve()  # locks go by the path

    def create(self) -> None:
        """Make the directory, so that what follows can write there.

        Raises:
            StoreError: It cannot be made, or not be written.
        """
        try:
            for folder in ("trials", "studies", "running", "outbox", "logs"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), open(self.path / "identity", "x") as identity:
                identity.write(secrets.token_hex(8))
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise self._unwritable("permission denied")

    @property
    def identity(self) -> str:
        """A token that no other home has, whatever its path: two machines may have the same names and paths."""
        return (self.path / "identity").read_text()

    def exists(self) -> bool:
        """Tell whether the directory was made, and not deleted since."""
        return self.logs.is_dir()

    def _unwritable(self, reason: str) -> StoreError:
        return StoreError(
            f"home {str(self.path)!r} cannot be written: {reason}; "
            "choose another by home=… or HYPERHOOK_HOME, or mend its permissions"
        )

    @property
    def database(self) -> Path:
        """The SQLite store."""
        return self.path / "hyperhook.db"

    @property
    def launches(self) -> Path:
        """Where processes that lead others mark the runs that they ended."""
        return self.path / "launches"

    @property
    def logs(self) -> Path:
        """Where forwarders write what they have to say."""
        return self.path / "logs"

    def trial(self, trial_id: str) -> Path:
        """The folder of a trial."""
        return self.path / "trials" / file_name(trial_id)

    def study(self, study: str) -> Path:
        """The folder of a study."""
        return self.path / "studies" / file_name(study)

    def outbox(self, study: str, tracker: str) -> Path:
        """The folder with a mark for each item that still has to reach a tracker."""
        return self.path / "outbox" / file_name(study) / file_name(tracker)

    def item(self, study: str, item: str) -> Path:
        """The folder that an item of an outbox stands for."""
        return self.study(study) if item == STUDY_ITEM else self.trial(item)

    def cursor(self, study: str, item: str, tracker: str) -> Path:
        """The file that says how far a tracker is with an item."""
        return self.item(study, item) / "cursors" / f"{file_name(tracker)}.json"

    def call(self, study: str, tracker: str) -> Path:
        """The file that names the item that a tracker is being sent."""
        return self.path / "calls" / file_name(study) / file_name(tracker)

    def alive(self, trial_id: str) -> Lock:
        """The lock that the process holds which runs a trial."""
        return Lock(self.path / "running" / file_name(trial_id))

    def started(self) -> Iterator[str]:
        """The trials that have begun and were not ended in an orderly way, or not yet."""
        with os.scandir(self.path / "running") as entries:
            yield from sorted(entry.name for entry in entries)

    def post(self, study: str, tracker: str, item: str) -> None:
        """Mark an item as to be delivered."""
        folder = self.outbox(study, tracker)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / item).touch()

    def posted(self, study: str, tracker: str) -> list[str]:
        """The items that still have to reach a tracker, the study's own journal first."""
        try:
            names = os.listdir(self.outbox(study, tracker))
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda name: (name != STUDY_ITEM, name))

    def trackers(self, study: str) -> list[str]:
        """The trackers that a study has an outbox for."""
        folder = self.path / "outbox" / file_name(study)
        return sorted(unquote(name) for name in os.listdir(folder)) if folder.exists() else []

    def forget(self, study: str, trials: Iterable[str]) -> None:
        """Delete all that belongs to a study, and to its trials."""
        for trial_id in trials:
            shutil.rmtree(self.trial(trial_id), ignore_errors=True)
            self.alive(trial_id).path.unlink(missing_ok=True)
        for folder in ("studies", "outbox", "calls"):
            shutil.rmtree(self.path / folder / file_name(study), ignore_errors=True)

    def delivered(self, study: str, tracker: str, item: str) -> None:
        """Take the mark off an item that has arrived whole."""
        (self.outbox(study, tracker) / item).unlink(missing_ok=True)
