"""Trials on a Ray cluster.

Each worker is a Ray task that opens the same study and asks for itself until the budget is used up; none of them is
retried by Ray. Where a node or a worker is lost, its trial ends as KILLED and another worker is submitted.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import platform
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from hyperhook import StudyRecord, Trial, hookimpl
from hyperhook.asking import used
from hyperhook.errors import PluginError, StudyError, TooManyFailuresError
from hyperhook.work import TOLD_TO_END, Ending, Work

if TYPE_CHECKING:
    from hyperhook import Study

__all__ = ["Ray"]

log = logging.getLogger("hyperhook")

LOOK_SECONDS = 0.5
"""How often the driver looks at the study and at its workers."""
GRACE_SECONDS = 10.0
"""How long an interrupted trial may take to end before its worker is killed."""
AHEAD = 4
"""How many workers wait, beside as many as fit, so that a cluster which grows by demand grows."""


class Ray:
    """Runs trials on a Ray cluster: workers on all its nodes, as many as fit and as the budget needs.

    Ray is connected to, or started here, unless that was done already; what this started it shuts down again. While
    trials are left, some workers wait beyond what the cluster holds, which is what an autoscaler goes by.

    All nodes must see the study's store: the home must lie on a disk that they share, or the store in PostgreSQL.
    Pruners are asked on the node that a trial runs on, and plugins hear its events there. Where the home is shared,
    the forwarder of this process serves the trackers for all nodes.

    Args:
        address: Address of the cluster, such as ``"auto"``; by default ``RAY_ADDRESS``, else this machine.
        workers: How many trials run at a time at the most; by default as many as fit.
        cpus_per_trial: How many CPUs Ray reserves for each, 0 or more.
        gpus_per_trial: How many GPUs Ray gives each, 0 or more; below 1 a trial shares one.
        resources: What else it needs, by Ray's own names, as in ``{"big_memory": 1}``.

    Raises:
        PluginError: An argument is none of these.

    Example:
        >>> study.run(train, trials=1000, executor=Ray("auto", gpus_per_trial=1))  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("ray",)

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cpus_per_trial: float = 1,
        gpus_per_trial: float = 0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        if address is not None and not isinstance(address, str):
            raise PluginError(f"Ray: address must be a string such as 'auto', got {address!r}")
        if workers is not None and (not isinstance(workers, int) or isinstance(workers, bool) or workers < 1):
            raise PluginError(f"Ray: workers must be an int from 1, got {workers!r}")
        needs = {"CPU": cpus_per_trial, "GPU": gpus_per_trial, **(resources or {})}
        for name, number in needs.items():
            if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number < math.inf:
                raise PluginError(f"Ray: a trial's share of {name} must be a number from 0, got {number!r}")
        self.address = address
        self.workers = workers
        self.needs: dict[str, float] = needs

    @hookimpl
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool:
        """Run trials on the cluster until `count` have ended by themselves.

        Raises:
            StudyError: The function cannot be sent to a worker.
            StoreError: A node does not see the store.
            TooManyFailuresError: Worker after worker was lost, and no trial ended in between.
            Exception: What ended a worker, such as an `ObjectiveError`, with the worker's traceback as a note.
        """
        import ray

        starts = not ray.is_initialized()
        packed = _packed(Work(study, objective, count))
        if starts:
            ray.init(address=self.address)
        try:
            _Fleet(ray, study, packed, count, self).run()
        finally:
            if starts:
                ray.shutdown()
        return True


class _Fleet:
    """The workers of one run, seen from the driver."""

    def __init__(self, ray: Any, study: Study, packed: bytes, count: int, wishes: Ray) -> None:
        self._ray = ray
        self._study = study
        self._count = count
        self._wishes = wishes
        self._work = ray.put(packed)
        others = {name: number for name, number in wishes.needs.items() if name not in ("CPU", "GPU")}
        options = {"num_cpus": wishes.needs["CPU"], "num_gpus": wishes.needs["GPU"], "resources": others}
        self._task = ray.remote(max_retries=0, **options)(_work)
        self._refs: list[Any] = []
        self._ended = 0
        self._losses = 0
        self._owes = False
        self._is_done = False
        self._has_warned = False

    def run(self) -> None:
        """Let workers work until the budget is used up, or nothing is left to try."""
        try:
            while self._goes_on(self._study.watch()):
                if self._refs:
                    ready, self._refs = self._ray.wait(self._refs, timeout=LOOK_SECONDS)
                    for ref in ready:
                        self._take(ref)
                else:
                    time.sleep(LOOK_SECONDS)  # a lost worker's trial is not free yet
        except BaseException:
            self._end()
            raise

    def _goes_on(self, study: StudyRecord) -> bool:
        """Submit workers where they are needed; tell whether there is anything to wait for."""
        ended = sum(trial.state.ended_by_itself for trial in study.trials)
        if ended > self._ended:
            self._ended, self._losses = ended, 0
        left = self._count - ended
        if self._owes and left > 0 and used(study) < self._count:
            self._owes = False
            self._submit(1)
        if not self._is_done:
            self._submit(min(left, self._most()) - len(self._refs))
        return bool(self._refs) or (self._owes and left > 0)

    def _most(self) -> int:
        """Return how many workers there should be, as many as fit and some that wait."""
        there = self._ray.cluster_resources()
        fits = int(min((there.get(name, 0) / need for name, need in self._wishes.needs.items() if need), default=AHEAD))
        if not fits and not self._has_warned:
            self._has_warned = True
            log.warning("ray: no node of the cluster holds a trial yet; each needs %s", self._needs())
        return min(2 * fits + AHEAD, self._wishes.workers or 2 * fits + AHEAD)

    def _needs(self) -> str:
        return ", ".join(f"{need:g} {name}" for name, need in self._wishes.needs.items() if need)

    def _submit(self, count: int) -> None:
        for _ in range(count):
            self._refs.append(self._task.remote(self._work))

    def _take(self, ref: Any) -> None:
        """Take how a worker ended."""
        try:
            ending: Ending = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:  # lost, with its node or alone
            self._losses += 1
            self._owes = True
            what = str(error).strip().splitlines()[0].split(". ")[0]
            if self._losses >= self._study.max_consecutive_failures:
                raise TooManyFailuresError(
                    f"ray: {self._losses} workers in a row were lost, the last with: {what}, and no trial ended in "
                    "between; see what they printed, and run the study again: it goes on"
                ) from error
            log.warning("ray: a worker was lost (%s); another takes its place", what)
            return
        if ending.error is not None:
            raise ending.error
        self._is_done = True  # its budget is used up, so no further worker is needed but for those that are lost

    def _end(self) -> None:
        """End the trials that run, in an orderly way, and then those that do not end."""
        for force in (False, True):
            for ref in self._refs:
                self._ray.cancel(ref, force=force)
            if self._refs:
                _, self._refs = self._ray.wait(self._refs, num_returns=len(self._refs), timeout=GRACE_SECONDS)
        self._study.watch()


def _work(packed: bytes) -> Ending:
    """Work for a study on the node that this is called on."""
    try:
        work: Work = pickle.loads(packed)
        with work.study:
            if work.study.shares_home:
                work.study.leave_delivery()
            work.run()
    except KeyboardInterrupt:  # cancelled
        raise
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code == TOLD_TO_END:
            raise  # lost, to Ray: another worker takes its place
        return Ending.of(error, f"Ray worker {os.getpid()} on {platform.node()}")
    return Ending()


def _packed(work: Work) -> bytes:
    from ray import cloudpickle

    try:
        packed: bytes = cloudpickle.dumps(work)  # pyright: ignore[reportPrivateImportUsage]
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            "run: the training function, or a plugin or tracker of the study, cannot be sent to Ray's workers "
            f"({type(error).__name__}: {error}); make locks, connections and open files inside the function"
        ) from error
    return packed
