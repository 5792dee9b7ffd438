"""The executor of local worker processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from hyperhook import Trial, hookimpl
from hyperhook.errors import PluginError, StudyError
from hyperhook.work import Work
from hyperhook_plugins.workers.crew import Crew
from hyperhook_plugins.workers.gpus import VARIABLE, shares, visible

if TYPE_CHECKING:
    from hyperhook import Study

__all__ = ["Workers"]

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Workers:
    """Runs trials in worker processes on this machine, several at a time.

    Each worker is a fresh interpreter (nothing is forked, so that CUDA and threads are safe) that opens the same study
    and asks for itself until the budget is used up. The training function goes there by value: closures, lambdas and
    what a script or a notebook defines travel with what they refer to. Plugins hear events in the worker that they
    happen in. One forwarder, that of this process, serves the trackers for all.

    A worker that dies costs its trial, which ends as KILLED and does not count; a new worker takes its place. Where
    `Study.max_consecutive_failures` workers in a row die and no trial ends in between, the run stops. Ctrl-C here ends
    all workers, and so does the end of this process, however it ends.

    Args:
        workers: How many processes, 1 or more; by default 4, or with GPUs as many as fit on those there are.
        gpus_per_trial: How many GPUs each has for itself, a whole number; or a part of one that it shares, such as 0.5.
            0 leaves ``CUDA_VISIBLE_DEVICES`` alone.
        threads: How many threads the numeric libraries of a worker take (``OMP_NUM_THREADS`` and the like); by default
            its share of the cores, unless the variable is set.

    Raises:
        PluginError: An argument is none of these.

    Example:
        >>> study = hh.Study("digits", space, hh.Maximize("val_acc"), plugins=["gp", Workers(4)])  # doctest: +SKIP
        >>> study.run(train, trials=100)  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("cloudpickle",)

    def __init__(self, workers: int | None = None, *, gpus_per_trial: float = 0, threads: int | None = None) -> None:
        for name, number in (("workers", workers), ("threads", threads)):
            if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
                raise PluginError(f"Workers: {name} must be an int from 1, got {number!r}")
        if not _is_share(gpus_per_trial):
            raise PluginError(
                "Workers: gpus_per_trial must be a whole number from 0, or a part of 1 such as 0.5, "
                f"got {gpus_per_trial!r}"
            )
        self.workers = workers
        self.gpus_per_trial = gpus_per_trial
        self.threads = threads

    @hookimpl
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool:
        """Run trials in workers until `count` have ended by themselves.

        Raises:
            StudyError: There are too few GPUs, workers keep dying, or the function cannot be sent to a worker.
            Exception: What ended a worker, such as an `ObjectiveError`, with the worker's traceback as a note.
        """
        left = count - sum(trial.state.ended_by_itself for trial in study.trials)
        if left <= 0:
            return True
        settings = self._settings()[:left]
        Crew(study, _packed(Work(study, objective, count)), settings).run()
        return True

    def _settings(self) -> list[dict[str, str]]:
        """Return what each worker's environment has beside this one's."""
        if self.gpus_per_trial:
            seen = [{VARIABLE: share} for share in shares(visible(), self.gpus_per_trial, self.workers)]
        else:
            seen = [{} for _ in range(self.workers or 4)]
        threads = self.threads or max(1, _cores() // len(seen))
        shared = {name: str(threads) for name in _THREADS if self.threads or name not in os.environ}
        return [{**shared, **own} for own in seen]


def _is_share(number: object) -> bool:
    if not isinstance(number, int | float) or isinstance(number, bool):
        return False
    return 0 <= number < 1 or (number >= 1 and float(number).is_integer())


def _cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _packed(work: Work) -> bytes:
    import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(work)
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            f"run: the training function, or a plugin or tracker of the study, cannot be sent to a worker process "
            f"({type(error).__name__}: {error}); make locks, connections and open files inside the function"
        ) from error
    return packed
