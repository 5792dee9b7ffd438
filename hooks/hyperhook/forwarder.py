"""The forwarder: a process beside the training that empties a study's outbox into its trackers.

The training process starts it and holds a pipe to it. When the pipe closes, the training has ended or died: the
forwarder marks the trials that died with it, delivers what is left, and ends. Each tracker has a thread of its own, so
that one that is down or slow delays no other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from hyperhook.address import Address
from hyperhook.courier import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, POLL_SECONDS, Courier, join
from hyperhook.delivery import Delivery, load_cursor, note_death
from hyperhook.errors import HyperhookError, PluginError, StoreError
from hyperhook.home import Home
from hyperhook.memory import resident_bytes
from hyperhook.tracker import Tracker
from hyperhook.workspace import Workspace

__all__ = ["Forwarder", "Pending", "deliver", "pending"]

log = logging.getLogger("hyperhook.forwarder")

LISTEN_SECONDS = 1.0
"""How often the forwarder looks after its couriers; a word from the training process wakes it at once."""
NICENESS = 10
"""How far the forwarder steps back where all cores are busy."""
MOST_MB = 2048
"""How large the forwarder may become, unless ``HYPERHOOK_FORWARDER_MB`` says otherwise: five times what it needs."""
_PATIENCE_SECONDS = 10.0
"""How long it waits for a store that does not answer, before it delivers what there is."""
TOO_LARGE = 81
"""The status that it ends with when it is larger."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What still has to reach a tracker.

    Attributes:
        tracker: Name of the tracker.
        items: How many trials (and study journals) are on their way.
        error: Why the last attempt failed, or how far one is that takes long; None where there is nothing to say.
    """

    tracker: str
    items: int
    error: str | None


def pending(home: Home, study: str, trackers: Mapping[str, Tracker]) -> list[Pending]:
    """Return what has not arrived of the trials that have ended, a row for each tracker that lacks something."""
    rows = []
    for name in trackers:
        items = [item for item in home.posted(study, name) if not home.alive(item).is_held()]
        cursors = (load_cursor(home.cursor(study, item, name)) for item in items)
        remarks = [cursor.remark for cursor in cursors]
        if items:
            rows.append(Pending(name, len(items), next(filter(None, remarks), None)))
    return rows


class Forwarder:
    """The training process's end: starts the forwarder, starts it again when it died, waits for it.

    Trackers that were in a call when the forwarder died are given one each: whichever of them ends its process ends
    no other's.

    Args:
        home: The home whose outbox to empty.
        study: Name of the study.
        trackers: The trackers, by the names of their cursors.
        storage: Where the study's store is; by default what `Address.chosen` says.

    Raises:
        PluginError: A tracker cannot be sent to another process.
        HyperhookError: ``HYPERHOOK_FORWARDER_MB`` is no number above 0.
    """

    def __init__(self, home: Home, study: str, trackers: Mapping[str, Tracker], storage: Address | None = None) -> None:
        self._storage = Address.chosen(storage, home.database)
        self._order = self._pickled_order(home, study, trackers)
        self._home, self._study, self._trackers = home, study, dict(trackers)
        self._process: subprocess.Popen[bytes] | None = None
        self._apart: list[Forwarder] = []
        self._starts = 0
        self._not_before = 0.0
        os.register_at_fork(after_in_child=self._let_go)

    def _pickled_order(self, home: Home, study: str, trackers: Mapping[str, Tracker]) -> bytes:
        """Return what the forwarder is sent, through a pipe: the store's password is in it."""
        return _pickled(_Order(home, study, self._storage.secret, dict(trackers), list(sys.path), _most_bytes()))

    @property
    def pid(self) -> int | None:
        """The forwarder's process id; None while there is none."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def ensure(self) -> None:
        """Start the forwarder where it does not run; one that keeps dying is started less and less often."""
        for other in self._apart:
            other.ensure()
        if self.pid is not None or time.monotonic() < self._not_before:
            return
        if self._process is not None:
            self._set_apart(self._process.returncode)
        if not self._trackers:
            return
        if time.monotonic() - self._not_before > LAST_RETRY_SECONDS:
            self._starts = 0  # the last one had lived for long
        self._not_before = time.monotonic() + min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2**self._starts)
        self._starts += 1
        self._hang_up()
        with open(self._home.logs / "forwarder.log", "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hyperhook.forwarder"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            pipe = self._lifeline()
            pipe.write(self._order)
            pipe.flush()
        except OSError as error:
            log.warning("the forwarder died at its start (%s); %s says why", error, output.name)

    def _set_apart(self, status: int) -> None:
        """Find out which trackers were in a call when the forwarder died; name them, and give each one of its own."""
        for name in list(self._trackers):
            call = self._home.call(self._study, name)
            try:
                item = call.read_text()
                call.unlink()
            except OSError:
                continue
            reason = "became too large" if status == TOO_LARGE else f"died (status {status})"
            note_death(self._home.cursor(self._study, item, name), f"the forwarder {reason} in its call")
            log.warning("the forwarder %s while it sent to %s; that is sent on its own now", reason, name)
            if len(self._trackers) > 1:
                apart = Forwarder(self._home, self._study, {name: self._trackers.pop(name)}, self._storage)
                apart.ensure()
                self._apart.append(apart)
        self._order = self._pickled_order(self._home, self._study, self._trackers)

    def _hurry(self) -> None:
        for other in self._apart:
            other._hurry()
        with contextlib.suppress(OSError):  # it died: the next `ensure` starts it again
            self._lifeline().write(b".")
            self._lifeline().flush()

    def _lifeline(self) -> IO[bytes]:
        if self._process is None or self._process.stdin is None:
            raise BrokenPipeError("no forwarder runs")
        return self._process.stdin

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # a dead forwarder has broken the pipe
            self._lifeline().close()

    def wait(self, timeout_seconds: float, tell: Callable[[list[Pending]], None]) -> list[Pending]:
        """Wait until everything arrived that can; return what did not.

        Args:
            timeout_seconds: How long to wait at the most, in seconds.
            tell: Is shown now and again what is left.
        """
        deadline = time.monotonic() + timeout_seconds
        while left := pending(self._home, self._study, self._all()):
            if time.monotonic() > deadline:
                break
            self.ensure()
            self._hurry()
            tell(left)
            time.sleep(POLL_SECONDS / 2)
        return left

    def _all(self) -> dict[str, Tracker]:
        """Return the trackers, those that have a forwarder of their own included."""
        return self._trackers | {name: tracker for other in self._apart for name, tracker in other._all().items()}

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Let the forwarder go: it ends by itself, at once when nothing is left.

        Args:
            timeout_seconds: How long to wait for its end where nothing is left, in seconds.
        """
        for other in self._apart:
            other.close(timeout_seconds)
        if self._process is None:
            return
        self._hang_up()
        if not any(self._home.posted(self._study, name) for name in self._trackers):
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                log.warning("the forwarder (process %d) is slow to end; it goes on by itself", self._process.pid)
        self._process.returncode = self._process.returncode or 0  # it may outlive us: no warning about that
        self._process = None

    def _let_go(self) -> None:
        """Close a forked child's copy of the pipe, so that it does not keep the forwarder waiting."""
        if self._process is not None:
            self._hang_up()
            self._process.returncode = 0  # not our child: nothing to wait for
            self._process = None


@dataclass(frozen=True, slots=True)
class _Order:
    home: Home
    study: str
    storage: str
    trackers: dict[str, Tracker]
    path: list[str]
    most_bytes: int


def _most_bytes() -> int:
    text = os.environ.get("HYPERHOOK_FORWARDER_MB", str(MOST_MB))
    if not text.isdecimal() or not int(text):
        raise HyperhookError(f"HYPERHOOK_FORWARDER_MB: expected megabytes, such as {MOST_MB}, got {text!r}")
    return int(text) << 20


def _pickled(order: _Order) -> bytes:
    for name, tracker in order.trackers.items():
        if type(tracker).__module__ == "__main__":
            raise PluginError(
                f"trackers: {name!r} is defined in the script itself, where the forwarder cannot import it; "
                "move it to a module, or use Study(…, delivery='inline')"
            )
        try:
            pickle.dumps(tracker)
        except Exception as error:
            raise PluginError(
                f"trackers: {name!r} cannot be sent to the forwarder ({error}); "
                "open its connections in its hooks rather than in __init__, or use Study(…, delivery='inline')"
            ) from error
    return pickle.dumps(order.path) + pickle.dumps(order)


def deliver(workspace: Workspace, study: str, trackers: Mapping[str, Tracker]) -> list[Pending]:
    """Deliver, in this process, what is left of a study; return what could not be.

    Args:
        workspace: The home and its store.
        study: Name of the study.
        trackers: The trackers, by the names of their cursors.
    """
    _reap(workspace, study, trackers)
    couriers = [Courier(Delivery(name, tracker), workspace.home, study) for name, tracker in trackers.items()]
    for courier in couriers:
        courier.end()
        courier.start()
    join(couriers)
    return pending(workspace.home, study, trackers)


def main(lifeline: BinaryIO) -> None:
    """Run the forwarder until the pipe closes and its work is done.

    Args:
        lifeline: The pipe from the training process: the order, then a byte whenever it waits, then its end.
    """
    sys.path[:] = pickle.load(lifeline)
    order: _Order = pickle.load(lifeline)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    logging.basicConfig(format=f"%(asctime)s forwarder {os.getpid()} %(levelname)s %(message)s", level=logging.INFO)
    couriers = [Courier(Delivery(name, tracker), order.home, order.study) for name, tracker in order.trackers.items()]
    for courier in couriers:
        courier.start()
    while _listen(lifeline, couriers):
        for courier in couriers:
            courier.watch()
        _stay_small(couriers, order.most_bytes)
    if not order.home.exists():
        return  # the home was deleted: nothing is left to deliver, and it is not made again
    reap = _reaping(order)
    reap()
    for courier in couriers:
        courier.end()

    def meanwhile() -> None:
        reap()
        _stay_small(couriers, order.most_bytes)

    join(couriers, meanwhile)
    if any(courier.is_alive() for courier in couriers):
        logging.shutdown()
        os._exit(1)  # a library that hangs may hang at an orderly exit, too


def _listen(lifeline: BinaryIO, couriers: Iterable[Courier]) -> bool:
    """Wait a moment for a word from the training process; tell whether the pipe is still open."""
    readable, _, _ = select.select([lifeline], [], [], LISTEN_SECONDS)
    if readable:
        if not os.read(lifeline.fileno(), 4096):
            return False
        for courier in couriers:
            courier.hurry()
    return True


def _stay_small(couriers: Sequence[Courier], most_bytes: int) -> None:
    """End the process where it became too large, and name the tracker that grew most: the memory is the training's.

    What was not confirmed is sent again by the next forwarder, which the training process starts.
    """
    if resident_bytes() > most_bytes:
        for courier in couriers:
            courier.excuse()
        max(couriers, key=lambda courier: courier.grown_bytes).accuse()
        logging.shutdown()
        os._exit(TOO_LARGE)


def _reap(workspace: Workspace, study: str, trackers: Iterable[str]) -> None:
    for trial in workspace.reap(study, trackers):
        log.warning("trial %s was running when its process died: marked as %s", trial.name, trial.state)


def _reaping(order: _Order) -> Callable[[], None]:
    """Return what marks the trials that died; where the store does not answer, that is left to the next process."""
    workspace: Workspace | None = None

    def reap() -> None:
        nonlocal workspace
        try:
            workspace = workspace or Workspace(order.home, order.storage, patience_seconds=_PATIENCE_SECONDS)
            _reap(workspace, order.study, order.trackers)
        except StoreError as error:
            log.warning("the trials that died cannot be marked (%s)", error)

    return reap


if __name__ == "__main__":
    from hyperhook.forwarder import main as imported  # under its importable name, so that pickles find their classes

    imported(sys.stdin.buffer)
