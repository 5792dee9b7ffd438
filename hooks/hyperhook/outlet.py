"""How a study reaches its trackers: through a forwarder, or in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from hyperhook.address import Address
from hyperhook.courier import POLL_SECONDS
from hyperhook.delivery import STRIKES, Delivery, Projection
from hyperhook.destination import remember
from hyperhook.events import StudyFinished, StudyStarted
from hyperhook.forwarder import Forwarder, pending
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.journal import Journal
from hyperhook.progress import Delivering
from hyperhook.tracker import Tracker
from hyperhook.workspace import JOURNAL

__all__ = ["Outlet"]

log = logging.getLogger("hyperhook")


class Outlet:
    """The trackers of one study, and what brings events to them.

    Args:
        home: The home that the study lives in.
        study: Name of the study.
        trackers: The trackers, by the names of their cursors.
        inline: Drive them in this process rather than in a forwarder.
        storage: Where the study's store is; by default what `Address.chosen` says.

    Raises:
        PluginError: A tracker cannot be sent to a forwarder.
    """

    def __init__(
        self,
        home: Home,
        study: str,
        trackers: Mapping[str, Tracker],
        *,
        inline: bool,
        storage: Address | None = None,
    ) -> None:
        self._home = home
        self._study = study
        self.trackers = trackers
        self._inline = [Delivery(name, tracker) for name, tracker in trackers.items()] if inline else []
        self._forwarder = Forwarder(home, study, trackers, storage) if trackers and not inline else None
        self._is_left = False

    def leave(self) -> None:
        """Leave the trackers to another process; nothing has been opened yet."""
        self._forwarder, self._inline, self._is_left = None, [], True

    def serve(self) -> None:
        """See to it that the forwarder runs, for what other processes leave to this one."""
        if self._forwarder is not None:
            self._forwarder.ensure()

    def open(self, item: str) -> tuple[Projection, ...]:
        """Make sure that an item of the outbox is taken care of.

        Returns:
            What has to be driven in this process: nothing where a forwarder does it.
        """
        self.serve()
        projections = tuple(Projection(delivery, self._home, self._study, item) for delivery in self._inline)
        return tuple(projection for projection in projections if projection.acquire())

    def announce(self, event: StudyStarted | StudyFinished) -> None:
        """Bring an event of the study itself to the trackers; the process that they are left to does that for all."""
        if not self.trackers or self._is_left:
            return
        if isinstance(event, StudyStarted):
            remember(self._home, self._study, self.trackers)
        journal = Journal(self._home.study(self._study) / JOURNAL)
        journal.append(event)
        journal.close()
        for name in self.trackers:
            self._home.post(self._study, name, STUDY_ITEM)
        for projection in self.open(STUDY_ITEM):
            try:
                projection.deliver_or_report()
            finally:
                projection.release()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the trackers have what there is; say what is left.

        Args:
            timeout_seconds: How long to wait at the most, in seconds.

        Returns:
            Whether all trackers have everything of the trials that ended.
        """
        if self._is_left:
            return not pending(self._home, self._study, self.trackers)
        if self._forwarder is None:
            deadline = time.monotonic() + timeout_seconds
            for _ in range(STRIKES):  # what is refused that often is set aside
                while self._deliver_inline() and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS / 2)
                left = pending(self._home, self._study, self.trackers)
                if not left:
                    break
        else:
            with Delivering() as shown:
                left = self._forwarder.wait(timeout_seconds, shown)
        for row in left:
            reason = f" ({row.error})" if row.error else ""
            log.warning(
                "%s lacks %d of study %s%s; send the rest later: hyperhook sync %r",
                row.tracker,
                row.items,
                self._study,
                reason,
                self._study,
            )
        return not left

    def _deliver_inline(self) -> bool:
        """Try once what did not arrive when it happened, or in a process that died.

        Returns:
            Whether another process is just delivering something of a trial that ended.
        """
        busy = False
        for delivery in self._inline:
            for item in self._home.posted(self._study, delivery.name):
                projection = Projection(delivery, self._home, self._study, item)
                if projection.acquire():
                    try:
                        projection.deliver_or_report()
                    finally:
                        projection.release()
                elif not self._home.alive(item).is_held():
                    busy = True
        return busy

    def close(self) -> None:
        """Let the forwarder go; it ends by itself."""
        if self._forwarder is not None:
            self._forwarder.close()
        for delivery in self._inline:
            try:
                delivery.tracker.close()
            except (Exception, SystemExit):
                log.exception("tracker %s failed to close", delivery.name)
