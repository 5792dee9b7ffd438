"""What a person sees while a study runs: a line for each trial that ended, and how far the whole is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hyperhook.forwarder import Pending
from hyperhook.hookspecs import hookimpl
from hyperhook.records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

__all__ = ["Progress", "format_params", "format_seconds"]


class Progress:
    """A plugin that shows a study's progress on standard error: trials done, the best value, the time left.

    On a terminal a bar stays below the lines; elsewhere there are only the lines.

    Args:
        study: The study as it stands before the first trial.
        budget: How many trials will have ended by themselves when the study is done.
        read: Returns the study as it stands, so that trials of other processes are shown, too; without it, only those
            that this process ends.
    """

    def __init__(self, study: StudyRecord, budget: int, read: Callable[[], StudyRecord] | None = None) -> None:
        self._study = replace(study, trials=())
        self._budget = budget
        self._read = read
        self._ended: dict[str, TrialRecord] = {}
        self._done = 0
        self._best: tuple[TrialRecord, ...] = ()
        for trial in study.trials:
            if trial.state.is_finished:
                self._take(trial)
        self._left_at_start = budget - self._done
        self._started = time.monotonic()
        self._console: Console | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)  # names are what they are
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.fields[study]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._bar.add_task("", total=self._budget, completed=self._done, study="trials")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._console = None

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Show a trial that ended, behind those that other processes ended meanwhile."""
        if self._read is not None:
            self.follow(self._read())
        self._show(trial)

    def follow(self, study: StudyRecord) -> None:
        """Show what has ended since, whichever process ended it.

        Args:
            study: The study as it stands.
        """
        new = [trial for trial in study.trials if trial.state.is_finished and not self._is_known(trial)]
        for trial in sorted(new, key=lambda trial: trial.finished_time or 0.0):
            self._show(trial)

    def _is_known(self, trial: TrialRecord) -> bool:
        known = self._ended.get(trial.id)
        return known is not None and known.finished_time == trial.finished_time

    def _show(self, trial: TrialRecord) -> None:
        if self._is_known(trial):
            return
        self._take(trial)
        if self._console is None:
            return
        self._console.print(self._line(trial), soft_wrap=True)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, description=self._summary())

    def _take(self, trial: TrialRecord) -> None:
        before = self._ended.get(trial.id)  # it may have been resumed
        self._done += trial.state.ended_by_itself - (before is not None and before.state.ended_by_itself)
        self._ended[trial.id] = trial
        rivals = replace(self._study, trials=(*self._best, trial))
        if rivals.further:
            self._best = rivals.best_trials
        else:
            self._best = () if rivals.best is None else (rivals.best,)

    def _line(self, trial: TrialRecord) -> str:
        seconds = (trial.finished_time or trial.started_time) - trial.started_time
        what = f"{trial.state.lower():<8} {format_seconds(seconds):>6}"
        if trial.value is not None and self._study.objective is not None:
            what += f"  {self._study.objective.metric} {trial.value:.6g}"
            what += "" if trial.step is None else f" at step {trial.step}"
            what += "".join(f", {name} {value:.6g}" for name, value in trial.metrics.items())
        what += f"  {trial.error}" if trial.error else f"  {format_params(trial)}"
        return f"[{self._done}/{self._budget}] {trial.name} {what}  | {self._summary()}"

    def _summary(self) -> str:
        best = self._standing()
        done = self._left_at_start - (self._budget - self._done)
        if done <= 0 or self._done >= self._budget:
            return best
        left = (time.monotonic() - self._started) / done * (self._budget - self._done)
        return f"{best}, {format_seconds(left)} left"

    def _standing(self) -> str:
        if not self._best:
            return "no feasible trial yet" if self._study.further and self._study.constraints else "no value yet"
        if self._study.further:
            return "1 best trial" if len(self._best) == 1 else f"{len(self._best)} best trials"
        (best,) = self._best
        but = "" if self._study.is_feasible(best) else ", infeasible"
        return f"best {best.value:.6g} (trial {best.number}{but})"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_console": None, "_bar": None, "_read": None}


class Delivering:
    """Shows what is still on its way to the trackers, once that takes longer than a moment."""

    _MOMENT_SECONDS = 1.0

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._status: Any = None

    def __enter__(self) -> Delivering:
        return self

    def __call__(self, left: Sequence[Pending]) -> None:
        """Show what is left."""
        if time.monotonic() - self._since < self._MOMENT_SECONDS:
            return
        from rich.text import Text

        rows = ", ".join(f"{row.tracker} {row.items}" + (f" ({row.error})" if row.error else "") for row in left)
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False).status("")
            self._status.start()
        self._status.update(Text(f"delivering: {rows}"))  # an error may hold what looks like markup

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()


def format_seconds(seconds: float) -> str:
    """Return a duration for people: ``8.1s``, ``2m05s``, ``1h02m``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def format_params(trial: TrialRecord) -> str:
    """Return a trial's params in one line."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )
