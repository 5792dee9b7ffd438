"""Suggestions ahead of the workers: one process keeps some waiting, so that nobody else waits for the optimizer."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from hyperhook.asking import chosen, ended, nothing_left, used
from hyperhook.errors import StoreError, StudyError
from hyperhook.growth import aligned
from hyperhook.manager import Manager
from hyperhook.records import StudyRecord, TrialRecord, TrialState
from hyperhook.store import Store
from hyperhook.suggestions import Suggestion
from hyperhook.untried import key_of

__all__ = ["LEASE_SECONDS", "Ahead"]

LEASE_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_OFTEN = 4
"""How often the process says that it lives while its lease lasts."""


class Ahead:
    """Keeps suggestions of a study waiting, chosen together, in view of all trials that have begun or wait.

    Workers take them, the first first, before they would ask their own suggester; trials that a user queued go before.
    While this lives and none waits, they wait, too. They ask for themselves once it has ended, or has said nothing for
    longer than its lease.

    As results come in, what waits grows stale: once half as many trials as `depth` have ended since it was chosen, what
    nobody has taken is chosen anew.

    Args:
        store: The store that the workers share.
        study: Name of the study.
        manager: The plugins: the suggester, and those that may end the study.
        depth: How many suggestions wait, 1 or more.
        budget: How many trials the study gets in all; None where there is no end.
        is_enough: Tells of the study whether it needs no further trial; it is asked beside the plugins.
        lease_seconds: How long this counts as alive without a word from its process, in seconds above 0.

    Attributes:
        made: How many suggestions it has made so far.
        replaced: How many of them were replaced by newer ones.
        withdrawn: How many it took back at its end.
        thinking_seconds: How long the suggester took for all, in seconds.

    Raises:
        StudyError: There is no such study, its space grows or is empty, or an option cannot be.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        manager: Manager,
        *,
        depth: int = 32,
        budget: int | None = None,
        is_enough: Callable[[StudyRecord], str | None] = lambda study: None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        if depth < 1:
            raise StudyError(f"depth: expected an int from 1, got {depth!r}")
        if not lease_seconds > 0:
            raise StudyError(f"lease_seconds: expected a number above 0, got {lease_seconds!r}")
        record = store.study(study)
        if record.grows or not record.space:
            raise StudyError(
                f"suggest-ahead: study {study!r} has no space of its own, so that nothing can be chosen before a trial "
                "asks for it; give it one: hh.Study(name, {'lr': hh.Float(…)})"
            )
        self.depth = depth
        self.made = 0
        self.replaced = 0
        self.withdrawn = 0
        self.thinking_seconds = 0.0
        self._store = store
        self._study = study
        self._manager = manager
        self._budget = budget
        self._is_enough = is_enough
        self._lease_seconds = lease_seconds
        self._server = secrets.token_hex(16)
        self._results = 0
        self._short: tuple[TrialRecord, ...] | None = None  # with these trials there was less than asked for

    def run(self, is_asked_to_end: Callable[[], bool]) -> str | None:
        """Serve the study until its budget is given out, it has ended, or the suggester has nothing left to try.

        Whatever ends this, suggestions that nobody took are withdrawn.

        Args:
            is_asked_to_end: Becomes true where it is to end before that.

        Returns:
            Why it ended, in words; None where it was asked to.

        Raises:
            StudyError: Another process serves the study, or took it over.
        """
        with self._serving():
            self._manager.decide.prepare(study=aligned(self._store.study(self._study)), read_study=self._read)
            while not is_asked_to_end():
                reason = self._look()
                if reason is not None:
                    return reason
                time.sleep(_LOOK_SECONDS)
        return None

    def _read(self, name: str) -> StudyRecord:
        return aligned(self._store.study(name))

    def _look(self) -> str | None:
        """Choose what is missing; say why there is to be no more, where that is so."""
        waiting = self._store.waiting(self._study)  # first, so that what is taken meanwhile is there as a trial
        study = self._store.study(self._study)
        waiting = _not_begun(waiting, study)
        reason = self._is_enough(study) or ended(study, self._manager)
        if reason is not None:
            return reason
        room = self._room(study)
        if not room:
            return f"its budget of {self._budget} trials is given out"
        kept = () if self._is_stale(study) else waiting
        missing = room - len(kept)
        if missing > 0 and not (waiting and study.trials is self._short):
            made = self._choose(study, kept, waiting, missing)
            if not made and not waiting:
                return nothing_left(study)
        return None

    def _room(self, study: StudyRecord) -> int:
        """Return how many suggestions are to wait."""
        if self._budget is None:
            return self.depth
        queued = sum(trial.state is TrialState.QUEUED for trial in study.trials)
        return min(self.depth, max(0, self._budget - used(study) - queued))

    def _is_stale(self, study: StudyRecord) -> bool:
        return _results(study) - self._results >= max(1, self.depth / 2)

    def _choose(
        self, study: StudyRecord, kept: tuple[Suggestion, ...], waiting: tuple[Suggestion, ...], count: int
    ) -> int:
        """Add so many suggestions to those kept, instead of the others that wait; return how many there were."""
        began = time.monotonic()
        known = study.trials[-1].number + 1 if study.trials else 0
        params = chosen(_with(study, kept), self._manager, count)
        self.thinking_seconds += time.monotonic() - began
        old = [suggestion for suggestion in waiting if suggestion not in kept]
        batch = secrets.token_hex(16)
        replaced = self._store.offer(self._study, self._server, batch, params, known, instead_of=old)
        if replaced is None:
            raise StudyError(
                f"suggest-ahead: another process serves study {self._study!r} by now, as this one said nothing for "
                f"longer than its lease ({self._lease_seconds:g} s); one is enough"
            )
        self.made += len(params)
        self.replaced += replaced
        self._short = study.trials if len(params) < count else None
        if not kept:
            self._results = _results(study)
        return len(params)

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Be the one that suggests ahead, and say again and again that this lives."""
        if not self._store.serve(self._study, self._server, self._lease_seconds):
            raise StudyError(
                f"suggest-ahead: another process serves study {self._study!r}, and one is enough; if it was killed, it "
                "counts as alive until its lease has run out: try again then"
            )
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(over,), name="hyperhook-ahead", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()
            self.withdrawn = self._store.withdraw(self._study, self._server)

    def _keep(self, over: threading.Event) -> None:
        while not over.wait(self._lease_seconds / _OFTEN):
            with suppress(StoreError):  # whoever could take its place cannot either
                self._store.renew_serving(self._study, self._server)


def _results(study: StudyRecord) -> int:
    return sum(trial.state.ended_by_itself for trial in study.trials)


def _not_begun(waiting: tuple[Suggestion, ...], study: StudyRecord) -> tuple[Suggestion, ...]:
    """Return the suggestions whose params no trial was given since they were chosen."""
    first = min((suggestion.known for suggestion in waiting), default=0)
    given = {key_of(trial.params) for trial in study.trials if trial.number >= first}
    return tuple(suggestion for suggestion in waiting if key_of(suggestion.params) not in given)


def _with(study: StudyRecord, waiting: tuple[Suggestion, ...]) -> StudyRecord:
    """Return a study in which what waits is queued, so that suggesters take it as pending."""
    first = study.trials[-1].number + 1 if study.trials else 0
    queued = tuple(
        TrialRecord(f"ahead-{each.id}", number, study.name, each.params, TrialState.QUEUED, started_time=time.time())
        for number, each in enumerate(waiting, first)
    )
    return replace(study, trials=(*study.trials, *queued))
