"""The study: ask for a trial, run it, tell how it went."""

from __future__ import annotations

import atexit
import logging
import math
import numbers
import os
import platform
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, SupportsFloat, overload

from hyperhook import insight
from hyperhook.address import VARIABLE, Address
from hyperhook.asking import Draft, draft, ended, filled, nothing_left, suggested, total, used
from hyperhook.constraint import Constraint, Relation, as_constraints
from hyperhook.errors import (
    EmptyStudyError,
    NotFiniteError,
    NothingLeftError,
    ObjectiveError,
    StoreError,
    StudyError,
    TooManyFailuresError,
    TrialStateError,
    is_pruned,
)
from hyperhook.events import text
from hyperhook.executor import ThisProcess, chosen
from hyperhook.export import point_table, to_dataframe, trial_table
from hyperhook.given import given
from hyperhook.growth import nested, proposals
from hyperhook.home import Home
from hyperhook.journal import read
from hyperhook.live import LiveTrials
from hyperhook.manager import Manager, load_plugin, load_trackers
from hyperhook.objective import Objective, as_objectives
from hyperhook.outlet import Outlet
from hyperhook.parameters import Parameter, Params
from hyperhook.pauses import Pauses
from hyperhook.preemption import Preempted, Preemptible
from hyperhook.progress import Progress
from hyperhook.ranks import Launch, Silence
from hyperhook.records import Prediction, StudyRecord, TrialRecord, TrialState
from hyperhook.repeats import Repeated
from hyperhook.session import Session
from hyperhook.space import Space
from hyperhook.suggestions import Supply
from hyperhook.tracker import Tracker
from hyperhook.trial import Trial, running
from hyperhook.workspace import LEASE_SECONDS, Workspace

if TYPE_CHECKING:
    import pandas

__all__ = ["Study"]

log = logging.getLogger("hyperhook")

_PREEMPTED_FLUSH_SECONDS = 5.0
"""How long a process that was told to end waits for its trackers: its forwarder goes on where it may."""
_AHEAD_SECONDS = (0.05, 1.0, 300.0)
"""The first and the longest pause while a worker waits for a suggestion, and how long it does at the most."""
_MOST_OVERTAKEN = 100
"""So often another worker may have been given the same params at the same time before they are tried twice."""


class Study:
    """A named search, or a mere group of runs. Opening a name that exists goes on with that study.

    Args:
        name: Name of the study: what it is called in the store and in every tracker.
        space: What may vary; without it that of the study of this name, or in a new study what its trials ask for
            (`Trial.suggest_float`): the space grows as it is met. Where they ask for nothing: a group of runs.
        objective: What to search for: ``hh.Maximize("val_acc")``, ``hh.Minimize("val_loss")``; without it that of the
            study of this name, if there is one. Or a list of several: `best_trials` then are those that no other trial
            is better than. All values are taken where the first objective has its own, so that `reduce` counts of the
            first only, and no pruner is asked: what is bad by one may be the best by another.
        plugins: Names or instances, such as ``["gp"]``; the last is asked first. Without a suggester: random search.
        trackers: Names or instances of what mirrors the runs, such as ``["tensorboard", "mlflow", "wandb"]``.
        home: Directory of the store and the journals; by default ``HYPERHOOK_HOME``, else ``./.hyperhook``.
        delivery: ``"forwarder"`` drives trackers in a process of their own, ``"inline"`` in this one.
        constraints: What a trial must come to: metrics, each with ``"<="`` or ``">="`` and a bound in its unit, as in
            ``{"latency_ms": ("<=", 20)}``; without it those of the study of this name. A trial that completes must have
            logged these metrics, or returned them; `best` is the best of those that meet all constraints.
        seed: Seed of the search; without it that of the study of this name, or else every search differs.
        flush_timeout_seconds: How long the end of a run waits for delivery, in seconds.
        max_consecutive_failures: `run` stops when this many trials in a row failed, whichever workers ran them.
        storage: URL of the store that workers share: ``postgresql+psycopg://user:password@host/database``, or
            ``sqlite:///path``; by default ``HYPERHOOK_STORAGE``, else an SQLite file in the home.
        lease_seconds: A trial counts as alive for so long without a word from its process, in seconds above 0. The
            process sends one four times as often, whatever the training does.
        max_retries: How often a trial whose process died is queued again, to go on from `Trial.last_checkpoint`;
            without it that of the study of this name, or 0. Above 0, a SIGTERM puts the trial that runs back, too,
            which does not count.

    Raises:
        StudyMismatchError: The study exists with another space or objective, or with other constraints.
        ObjectiveError: The objective or a constraint cannot be, or there are constraints and no objective.
        SpaceError: The space cannot be.
        PluginError: A plugin or a tracker cannot be used.
        StoreError: The home or its store cannot be used.
        StudyError: The name, the seed or another option cannot be.

    Example:
        >>> study = Study("parabola", {"x": hh.Float(-1, 1)}, hh.Minimize("y"))  # doctest: +SKIP
        >>> study.run(lambda trial: trial.params["x"] ** 2, trials=20)  # doctest: +SKIP
        >>> study.best.params  # doctest: +SKIP
        {'x': 0.013...}
    """

    def __init__(
        self,
        name: str,
        space: Mapping[str, Parameter] | None = None,
        objective: Objective | Sequence[Objective] | None = None,
        *,
        plugins: Sequence[str | object] = (),
        trackers: Sequence[str | Tracker] = (),
        constraints: Mapping[str, tuple[Relation, float]] | None = None,
        home: str | os.PathLike[str] | None = None,
        delivery: Literal["forwarder", "inline"] = "forwarder",
        seed: int | None = None,
        flush_timeout_seconds: float = 60.0,
        max_consecutive_failures: int = 5,
        storage: str | Address | None = None,
        lease_seconds: float = LEASE_SECONDS,
        max_retries: int | None = None,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise StudyError(f"study: expected a name, got {name!r}")
        goals = as_objectives(objective)
        if delivery not in ("forwarder", "inline"):
            raise StudyError(f"delivery: expected 'forwarder' or 'inline', got {delivery!r}")
        if not isinstance(max_consecutive_failures, int) or max_consecutive_failures < 1:
            raise StudyError(f"max_consecutive_failures: expected an int from 1, got {max_consecutive_failures!r}")
        if not isinstance(flush_timeout_seconds, int | float) or not flush_timeout_seconds >= 0:
            raise StudyError(f"flush_timeout_seconds: expected a number from 0, got {flush_timeout_seconds!r}")
        _check_sharing(storage, lease_seconds, max_retries)
        space = space if space is None or isinstance(space, Space) else Space(space)
        bounds = None if constraints is None else as_constraints(constraints)
        seed = _as_seed(seed)
        self.name = name
        self.flush_timeout_seconds = flush_timeout_seconds
        self.max_consecutive_failures = max_consecutive_failures
        self._manager = Manager(plugins, [ThisProcess(), load_plugin("random")])
        loaded = load_trackers(trackers)
        self._workspace = Workspace(Home(home), storage, lease_seconds=lease_seconds)
        self._record = self._workspace.store.open_study(
            name,
            space,
            goals[0] if goals else None,
            seed,
            constraints=bounds,
            further=goals[1:],
            max_retries=max_retries,
        )
        self._lease_seconds = lease_seconds
        self._outlet = Outlet(
            self._workspace.home, name, loaded, inline=delivery == "inline", storage=self._workspace.store.address
        )
        if self._record.further and self._manager.decides("should_stop"):
            log.warning("study %s has several objectives: no pruner is asked", name)
        self._launch = Launch(name, self._workspace.home.launches)
        self._live = LiveTrials(self._record, self._workspace, self._manager, self._outlet)
        self._session = Session(self._record, self._workspace, self._manager, self._outlet)
        self.shares_home = True
        self._shown: Progress | None = None
        self._said: str | None = None
        self._pid = os.getpid()
        self._made_with = {"plugins": list(plugins), "trackers": list(trackers), "delivery": delivery}

    def __getstate__(self) -> dict[str, Any]:
        """Travel to a process that shares the home: the study is opened there again, by its name."""
        if self._launch.is_shared:
            raise StudyError(
                f"study {self.name!r} cannot be sent to other processes: a launcher such as torchrun started this "
                "script in several; start it once, and let the training function launch the ranks"
            )
        return {
            **self._made_with,
            "name": self.name,
            "home": self._workspace.home.path,
            "storage": self._workspace.store.address,
            "lease_seconds": self._lease_seconds,
            "flush_timeout_seconds": self.flush_timeout_seconds,
            "max_consecutive_failures": self.max_consecutive_failures,
            "witness": self._launch.witness(),
        }

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process of our own finds the same store: with the password, where it has one."""
        return {VARIABLE: self._workspace.store.address.secret} if self._workspace.store.is_shared else {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        witness: Path = state.pop("witness")
        shares_home = witness.exists()
        if not shares_home and state["storage"].file is not None:
            raise StoreError(
                f"study {state['name']!r} cannot be opened on {platform.node()}: its home {str(state['home'])!r} is "
                "not to be seen from there; put the home on a disk that all machines share, or the store in PostgreSQL"
            )
        self.__init__(**state)  # type: ignore[misc]
        self.shares_home = shares_home

    def __repr__(self) -> str:
        return f"Study({self.name!r}, objective={self.objective}, home={str(self._workspace.home.path)!r})"

    @property
    def space(self) -> Space:
        """What may vary; in a study that was opened without a space, what its trials have asked for so far."""
        return self.record().space if self._record.grows else self._record.space

    @property
    def objective(self) -> Objective | None:
        """What is searched for, or the first of it."""
        return self._record.objective

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """All that is searched for."""
        return self._record.objectives

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What a trial must come to, to count as feasible."""
        return self._record.constraints

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """All trials so far, by number."""
        return self.record().trials

    @property
    def best(self) -> TrialRecord:
        """The best feasible COMPLETE trial, by what plugins say; the built-in answer is the one with the best value.

        Of equal values the earliest counts. With the ``gp`` plugin, where the objective is noisy, it is the trial with
        the best expected value, so that luck does not win. Where no trial meets all constraints, it is the one that is
        closest to it, and a warning says so; see `StudyRecord.excess`.

        Raises:
            EmptyStudyError: The study has no objective, or no trial has completed with a value.
            StudyError: It has several objectives: no one trial is the best; see `best_trials`.
        """
        record = self.record()
        if record.objective is None:
            raise EmptyStudyError(f"study {self.name!r} has no objective to be best at; give it one to search for")
        if record.further:
            raise StudyError(
                f"study {self.name!r} has {len(record.objectives)} objectives, and no one trial is the best by all; "
                "ask for its Pareto front: best_trials"
            )
        best = insight.best(record, self._manager)
        if best is None:
            raise EmptyStudyError(
                f"study {self.name!r} has no trial with a value yet ({len(record.trials)} trials); run it first"
            )
        if not record.is_feasible(best):
            log.warning("no trial of study %s meets all constraints; %s is the closest", self.name, best.name)
        return best

    @property
    def best_trials(self) -> tuple[TrialRecord, ...]:
        """The Pareto front of the feasible COMPLETE trials, by number; see `StudyRecord.best_trials`."""
        return self.record().best_trials

    def record(self) -> StudyRecord:
        """Return the study as it stands, with all its trials."""
        now = self._workspace.store.study(self.name)
        return nested(replace(self._record, space=now.space, trials=now.trials, stopped=now.stopped))

    @property
    def ended(self) -> str | None:
        """Why the study is to begin no further trial: somebody stopped it, or a plugin finds so now (`should_end`)."""
        return ended(self.record(), self._manager)

    def stop(self, reason: str = "by hand") -> None:
        """Let no worker begin a further trial; those that run go on to their end.

        Args:
            reason: Why, in a few words.

        Example:
            >>> study.stop("the cluster is needed")  # doctest: +SKIP
        """
        self._workspace.store.stop(self.name, str(reason))

    def unstop(self) -> None:
        """Let workers begin trials again, after `stop`."""
        self._workspace.store.stop(self.name, None)

    @overload
    def predict(self, params: Params) -> Prediction: ...
    @overload
    def predict(self, params: Sequence[Params]) -> list[Prediction]: ...
    def predict(self, params: Params | Sequence[Params]) -> Prediction | list[Prediction]:
        """Return what the objective would be at params, as a plugin learned it from the trials; see `insight.predict`.

        Example:
            >>> study.predict({"lr": 0.01, "width": 64})  # doctest: +SKIP
            Prediction(mean=0.978, std=0.004)
        """
        if isinstance(params, Mapping):
            return insight.predict(self.record(), self._manager, [params])[0]
        return insight.predict(self.record(), self._manager, params)

    def importance(self) -> dict[str, float]:
        """Return each parameter's share in how the objective varies, the greatest first; see `insight.importance`.

        Example:
            >>> study.importance()  # doctest: +SKIP
            {'lr': 0.83, 'width': 0.12, 'activation': 0.05}
        """
        return insight.importance(self.record(), self._manager)

    def to_dataframe(self, *, points: bool = False) -> pandas.DataFrame:
        """Return the trials as a pandas DataFrame, one row each: what ``hyperhook export`` writes.

        The columns are trial (its name), number, state, value, stderr, step, epoch, started_time, finished_time,
        duration_seconds, error, ``metric.<name>`` for what trials are judged by beside their value, feasible where
        there are constraints, and ``param.<name>`` for each param, those that were logged later included.

        Args:
            points: One row for each logged point instead: trial, time (seconds since 1970, UTC), step, epoch, name and
                value.

        Raises:
            MissingLibraryError: pandas is not installed.

        Example:
            >>> study.to_dataframe().sort_values("value")[["param.lr", "value"]]  # doctest: +SKIP
        """
        return to_dataframe((point_table if points else trial_table)(self._workspace.home, self.record()))

    def run(
        self,
        train: Callable[[Trial], object],
        trials: int = 20,
        *,
        workers: int | None = None,
        gpus_per_trial: float | None = None,
        executor: str | object | None = None,
        progress: bool = True,
        repeats: int = 1,
    ) -> Study:
        """Run trials until the study has this many that ended by themselves, those of earlier runs included.

        It ends before that where the suggester has nothing left to try, as at the end of a grid, or where a plugin ends
        the study (`ended`), and says so.

        Args:
            train: Takes a `Trial`; what it returns, if anything, is the trial's value: a number, or where more counts
                than one a mapping, as in ``{"val_acc": 0.9, "latency_ms": 12}``, of which other names are passed over.
            trials: The study's budget: COMPLETE, PRUNED and FAILED trials together.
            workers: How many trials run at a time, each in a process of its own; without it, and without an executor
                among the plugins, they run here, one after the other.
            gpus_per_trial: How many GPUs each of them has for itself, or shares with others, as with 0.5.
            executor: What runs the trials: ``"workers"``, local processes; ``"ray"``, a Ray cluster; or an instance,
                such as ``Ray(address="auto")``. It is asked before the plugins.
            progress: Show progress on standard error.
            repeats: Train so many times in each trial, with ``trial.repeat`` from 0 as what seeds may differ by. The
                trial's value is the mean, with its standard error; see `Trial.fold` for how metrics are kept apart.
                Pruners are asked between two repeats, and not within one.

        Returns:
            The study.

        Raises:
            ObjectiveError: The first trial gave nothing to search with: the metric was never logged, or `train`
                returned something that is no number.
            TooManyFailuresError: `max_consecutive_failures` trials in a row failed, or as many workers died.
            PluginError: There is no such executor, or it cannot be used.
            StudyError: An argument cannot be, or the executor cannot do what is asked for.
        """
        if not callable(train):
            raise StudyError(f"run: expected a function that takes a trial, got {train!r}")
        if not isinstance(trials, int) or trials < 1:
            raise StudyError(f"run: trials must be an int from 1, got {trials!r}")
        if not isinstance(repeats, int) or isinstance(repeats, bool) or repeats < 1:
            raise StudyError(f"run: repeats must be an int from 1, got {repeats!r}")
        if repeats > 1:
            train = Repeated(train, repeats, self.objectives)
        runner = chosen(executor, workers, gpus_per_trial)
        if self._launch.follows:
            self._follow(train)
            return self
        self._begin()
        try:
            with ExitStack() as lent:
                if progress:
                    record = self.record()
                    shown = Progress(record, total(record, self._manager, trials), self.record)
                    self._shown = lent.enter_context(shown)
                for plugin in (self._shown, runner):
                    if plugin is not None:
                        lent.enter_context(self._manager.lent(plugin))
                self._manager.decide.run_trials(study=self, objective=train, count=trials)
        finally:
            self._shown = None
            self._launch.end_run()
            self._session.finish()
            self.flush()
        return self

    def ask(self) -> Trial:
        """Start a trial: choose its params, claim it, begin its journal.

        Returns:
            The RUNNING trial; end it by `tell`.

        Raises:
            NothingLeftError: The suggester has nothing left to try, or a plugin ended the study; see `ended`.
            SpaceError: A suggester answered with params outside the space.
        """
        trial = self.next_trial()
        if trial is None and self._launch.follows:
            raise StudyError("ask: this process follows another one, which has ended")
        if trial is None:
            reason = self.ended or nothing_left(self.record())
            raise NothingLeftError(f"ask: {reason}; there is no further trial")
        return trial

    def next_trial(self, *, budget: int | None = None, gives_up: Callable[[], bool] = lambda: False) -> Trial | None:
        """Start a trial, unless the study's budget is used up: what executors build on.

        Where ``hyperhook suggest-ahead`` serves the study, this takes a suggestion of its, or waits for one.

        Args:
            budget: Start none where this many trials have ended by themselves or are RUNNING; None starts one always.
            gives_up: Start none, either, where this becomes true during the wait.

        Returns:
            The RUNNING trial; None where the budget is used up, or the suggester has nothing left to try.
        """
        if self._launch.follows:
            found = self._launch.await_trial(self._workspace.store.launched)
            return None if found is None else self._followed(found)
        self._begin()
        self._session.look_around(self._lease_seconds / 2)
        overtaken = 0
        while (draft := self._draft(budget, gives_up)) is not None:
            trial = self._live.begin(
                draft.params,
                ahead=draft.ahead,
                queued=draft.queued,
                proposed=draft.proposed,
                known=draft.known if overtaken < _MOST_OVERTAKEN else None,
                budget=budget,
                launch=self._launch.mark(),
            )
            if trial is not None:
                self._launch.count()
                return trial
            overtaken += not draft.ahead
        return None

    def _followed(self, found: TrialRecord) -> Trial:
        """Return a silent handle, which knows what the trial had logged before."""
        trial = Trial(found, Silence(self._workspace.store.trial), objective=self.objective, emits=False)
        path = self._workspace.journal_path(found.id)
        if path.exists():
            trial.go_on(event for event, _ in read(path))
        return trial

    def watch(self) -> StudyRecord:
        """Look after what other processes do for the study: what executors call while they wait for them.

        Ends the trials whose process died, sees to it that the trackers are served, and shows what ended since.

        Returns:
            The study as it stands.
        """
        self._session.reap()
        self._outlet.serve()
        record = self.record()
        if self._shown is not None:
            self._shown.follow(record)
        return record

    def leave_delivery(self) -> None:
        """Leave the trackers to another process that works on the study in the same home, and `watch`es it."""
        self._outlet.leave()

    def enqueue(self, params: Params, *, repeat: bool = False) -> TrialRecord | None:
        """Queue a trial with params that are known to work, or that are worth a try.

        Queued trials run before any that the suggester chooses, in the order in which they were queued, each once,
        whichever worker comes first; they count against the budget like others. Nothing is queued where a trial with
        all these values is queued, runs, or is COMPLETE or PRUNED, so that a script which is run again queues nothing
        twice; one that FAILED or was KILLED does not count.

        Args:
            params: Values for all parameters, or for some: the suggester chooses the rest at once, with what it knows
                by now. An option that a param depends on is chosen with it. Where the space grows, names may be those
                that no trial has asked for yet: the trial gets them when it asks, and a warning says at its end which
                it did not ask for. The suggester chooses the rest when it starts.
            repeat: Queue it whatever was tried.

        Returns:
            The QUEUED trial, or the one that has these values already; None in a process that follows another one.

        Raises:
            SpaceError: The params are not of the study's space.

        Example:
            >>> study.enqueue({"lr": 1e-3, "optimizer": "adam"})  # doctest: +SKIP
            >>> study.run(train, trials=50)  # doctest: +SKIP
        """
        grows = self._record.grows
        wanted = proposals(params) if grows else given(self.space, params)
        if self._launch.follows:
            return None
        whole = wanted if grows else filled(self.record(), wanted, self._suggested)
        return self._workspace.store.enqueue(self.name, secrets.token_hex(8), whole, None if repeat else wanted)

    def resume(self, trial: int | str, *, fork: bool = False) -> Trial:
        """Go on with a trial that ended: in the same run of every tracker.

        What it logs again, at steps that it had logged before, is passed over, so that nothing is doubled. Its params
        are those that it began with.

        Args:
            trial: Its number in the study, or its id.
            fork: Start another trial with the same params instead, with the tag ``parent``: the name of this one.

        Returns:
            The RUNNING trial; end it by `tell`.

        Raises:
            StudyError: There is no such trial here.
            TrialStateError: It is running, or queued.

        Example:
            >>> trial = study.resume(3)  # doctest: +SKIP
            >>> trainer.fit(model, ckpt_path="last.ckpt")  # doctest: +SKIP
        """
        found = next((known for known in self.trials if trial in (known.number, known.id)), None)
        if found is None:
            raise StudyError(f"resume: study {self.name!r} has no trial {trial!r}; it has {len(self.trials)} trials")
        if found.state is TrialState.QUEUED and not fork:
            raise TrialStateError(f"resume: trial {found.name!r} is queued, and starts by itself: run the study")
        self._begin()
        if not fork:
            return self._live.resume(found)
        params, proposed = ({}, found.params) if self._record.grows else (found.params, None)
        forked = self._live.begin(params, proposed=proposed, tags={"parent": found.name})
        assert forked is not None  # only a budget refuses
        return forked

    def tell(
        self,
        trial: Trial,
        value: object = None,
        *,
        state: TrialState | None = None,
        error: str | None = None,
        stderr: SupportsFloat | None = None,
    ) -> TrialRecord:
        """End a trial.

        Args:
            trial: A trial of this study that is RUNNING.
            value: The objective's value, a finite number, or a `Point` of it; of several objectives a list of values in
                their order, or values by their metrics; by default, and for what a mapping lacks, what the trial
                logged, reduced.
            state: How it ended; by default PRUNED where a pruner asked it to stop, else COMPLETE.
            error: Why it failed, in one line.
            stderr: The standard error of the value, in its unit, finite and from 0; by default what was logged with it.

        Returns:
            The trial as it ended.

        Raises:
            ObjectiveError: It completed, and there is no value, or none of a constraint's metric. The trial stays
                RUNNING: tell again.
            MetricError: `stderr` is no finite number from 0. The trial stays RUNNING, too.
            TrialStateError: It has ended already.
            StudyError: `state` is none that ends a trial.
        """
        return self._live.end(trial, value, state, error, stderr)

    def requeue(self, trial: Trial, reason: str = "preempted") -> TrialRecord:
        """Put a trial back into the queue: the next worker goes on with it, from its last checkpoint.

        That does not count as a retry. In the trackers its run is KILLED until it goes on.

        Args:
            trial: A trial of this study that is RUNNING.
            reason: Why, in one line.

        Returns:
            The trial as it stands here: KILLED; where another worker had taken it, as it is in the store.

        Raises:
            TrialStateError: It has ended already.
        """
        return self._live.requeue(trial, reason)

    def check_failures(self, since: float = 0.0) -> None:
        """Refuse to go on where trial after trial failed, whichever workers ran them: what executors build on.

        Args:
            since: Trials that ended before this time, in seconds since 1970 (UTC), do not count: a run that was started
                again may fail as often as the first.

        Raises:
            TooManyFailuresError: The last `max_consecutive_failures` trials that ended by themselves all FAILED.
        """
        latest = self._workspace.store.latest_ends(self.name, self.max_consecutive_failures)
        ended = [trial for trial in latest if (trial.finished_time or 0.0) >= since]
        failed = [trial for trial in ended if trial.state is TrialState.FAILED]
        if len(failed) >= self.max_consecutive_failures:
            raise TooManyFailuresError(
                f"{len(failed)} trials in a row failed, the last with: {failed[0].error}; "
                "mend the training function and run the study again: it goes on"
            )

    def attempt(self, trial: Trial, train: Callable[[Trial], object]) -> TrialRecord:
        """Run the training function on a trial and tell how it ended: what executors build on.

        An exception fails the trial, not the study; `TrialPruned` prunes it. Ctrl-C and ``sys.exit`` kill the trial and
        go on to the caller. SIGTERM does so, too, where the study has `max_retries`, and puts the trial back into the
        queue.

        Raises:
            ObjectiveError: The trial gave nothing to search with, and none before it did: the study is set up wrongly.
            SystemExit: The process was told to end by SIGTERM; the status is 143.
        """
        with Preemptible(self._record.max_retries > 0) as preemptible:
            return self._attempt(trial, train, preemptible)

    def _attempt(self, trial: Trial, train: Callable[[Trial], object], preemptible: Preemptible) -> TrialRecord:
        try:
            with self._ending(trial), preemptible.training(), running(trial):
                result = train(trial)
        except Exception as error:
            if is_pruned(error):
                return trial.record
            if isinstance(error, ObjectiveError) and self._is_set_up_wrongly(error):
                raise
            log.exception("trial %s failed; the study goes on", trial.record.name)
            return trial.record
        if trial.has_ended:
            return trial.record  # the training function told it by itself
        try:
            return self.tell(trial, result)
        except ObjectiveError as error:
            record = self.tell(trial, state=TrialState.FAILED, error=str(error))
            if self._is_set_up_wrongly(error):
                raise
            log.error("trial %s failed: %s", record.name, error)
            return record

    @contextmanager
    def trial(self, *, resume: int | str | None = None, fork: bool = False) -> Iterator[Trial]:
        """Start a trial, or go on with one, and end it properly whatever happens inside.

        `TrialPruned` ends it as PRUNED, and goes no further.

        Args:
            resume: Go on with this one; see `resume`.
            fork: See `resume`.

        Example:
            >>> with study.trial() as trial:  # doctest: +SKIP
            ...     trial.log({"val_acc": evaluate(**trial.params)})
        """
        trial = self.ask() if resume is None else self.resume(resume, fork=fork)
        with Preemptible(self._record.max_retries > 0) as preemptible:
            try:
                with self._ending(trial), preemptible.training(), running(trial):
                    yield trial
            except Exception as error:
                if not is_pruned(error):
                    raise
            if not trial.has_ended:
                try:
                    self.tell(trial)
                except ObjectiveError as error:
                    self.tell(trial, state=TrialState.FAILED, error=str(error))
                    raise

    def flush(self) -> bool:
        """Wait until the trackers have what there is, up to `flush_timeout_seconds`; say what is left.

        Returns:
            Whether all trackers have everything of the trials that ended.
        """
        return self._outlet.flush(self.flush_timeout_seconds)

    def close(self) -> None:
        """Finish what this process does for the study: deliver, and let the forwarder go. Runs by itself at exit."""
        if os.getpid() != self._pid or self._launch.follows:
            return
        atexit.unregister(self._close_at_exit)
        self._session.finish()
        self.flush()
        self._outlet.close()
        self._workspace.store.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _close_at_exit(self) -> None:
        if self._workspace.home.exists():  # else the home was deleted: do not make it again
            self.close()

    def _begin(self) -> None:
        if not self._session.has_begun:
            self._session.begin()
            atexit.register(self._close_at_exit)

    def _suggested(self, study: StudyRecord) -> Params | None:
        self._begin()  # the suggester may have to be prepared
        return suggested(study, self._manager)

    def _draft(self, budget: int | None, gives_up: Callable[[], bool]) -> Draft | None:
        """Return what the next trial is to be; None where there is to be none."""
        pauses = Pauses(*_AHEAD_SECONDS)
        while not gives_up():
            study = self.record()
            if budget is None or len(study.trials) < budget or used(study) < budget:
                reason = ended(study, self._manager)
                if reason is not None:
                    if self._session.reap():
                        continue  # what a dead process ran counted
                    self._say_why(reason)
                    return None
                queued = self._next_queued()
                supply = self._workspace.store.supply(self.name) if queued is None else Supply()
                if supply.is_served and not supply.waiting and pauses.wait():
                    self._session.look_around(self._lease_seconds / 2)
                    continue
                drafted = draft(study, self._manager, queued, ahead=supply.waiting > 0)
                if drafted is not None:
                    return drafted
                if not self._session.reap_or_wait():
                    if budget is not None:
                        log.warning("%s; the run ends", nothing_left(study))
                    return None
            elif not self._session.reap_or_wait():
                return None
        return None

    def _say_why(self, reason: str) -> None:
        """Say, once for each reason, why the study ends."""
        if reason != self._said:
            self._said = reason
            log.warning("study %s ends: %s", self.name, reason)

    def _next_queued(self) -> TrialRecord | None:
        queue = self._workspace.store.queued(self.name)
        return next((trial for trial in queue if self._workspace.can_begin(trial)), None)

    def _is_set_up_wrongly(self, error: ObjectiveError) -> bool:
        """Tell whether a trial gave nothing to search with, and none before it did."""
        return not isinstance(error, NotFiniteError) and all(other.value is None for other in self.trials)

    @contextmanager
    def _ending(self, trial: Trial) -> Iterator[None]:
        """Tell an exception as the trial's end; it goes on to the caller."""
        try:
            yield
        except Exception as error:
            if is_pruned(error):
                self._tell_pruned(trial)
            else:
                self._tell_error(trial, TrialState.FAILED, error)
            raise
        except Preempted:
            self.flush_timeout_seconds = min(self.flush_timeout_seconds, _PREEMPTED_FLUSH_SECONDS)
            if not trial.has_ended:
                self.requeue(trial)
            raise
        except BaseException as error:
            self._tell_error(trial, TrialState.KILLED, error)
            raise

    def _tell_error(self, trial: Trial, state: TrialState, error: BaseException) -> None:
        if not trial.has_ended:
            lines = text(error).strip().splitlines()
            self.tell(trial, state=state, error=": ".join([type(error).__name__, *lines[:1]]))

    def _tell_pruned(self, trial: Trial) -> None:
        if not trial.has_ended:
            last = trial.curve.last
            is_finite = last is not None and math.isfinite(last.value)
            self.tell(trial, last if is_finite else None, state=TrialState.PRUNED)

    def _follow(self, train: Callable[[Trial], object]) -> None:
        """Run along with the process that leads, silently."""
        while (trial := self.next_trial()) is not None:
            self.attempt(trial, train)


def _check_sharing(storage: object, lease_seconds: object, max_retries: object) -> None:
    if storage is not None and not isinstance(storage, str | Address):
        raise StudyError(f"storage: expected a URL, got {type(storage).__name__}")  # whose text may hold a password
    if not isinstance(lease_seconds, int | float) or not 0 < lease_seconds < math.inf:
        raise StudyError(f"lease_seconds: expected a number above 0, got {lease_seconds!r}")
    if max_retries is not None and (type(max_retries) is not int or max_retries < 0):
        raise StudyError(f"max_retries: expected an int from 0, got {max_retries!r}")


def _as_seed(seed: object) -> int | None:
    if seed is None:
        return None
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool) and abs(int(seed)) < 2**63:
        return int(seed)
    raise StudyError(f"seed: expected None or an int that fits in 64 bits, got {seed!r}")
