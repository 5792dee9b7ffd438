"""The hook contract: what a plugin may hear (`TrialEvents`) and what it may decide (`Decisions`).

A plugin is a class whose methods carry `hookimpl` and have the name of a hook below; it takes as many of the hook's
arguments as it wants, by name. Each docstring ends with the same four lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

from hyperhook.objective import Point
from hyperhook.parameters import Params, Scalar
from hyperhook.records import Artifact, Dataset, Prediction, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from hyperhook.study import Study
    from hyperhook.trial import Trial

__all__ = ["PROJECT", "Decisions", "TrialEvents", "hookimpl", "hookspec"]

PROJECT = "hyperhook"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class TrialEvents:
    """Facts of the past: every implementation runs, whatever happens to another, and none answers.

    A plugin under ``plugins=`` hears them in the training process, as they happen. A tracker hears the same ones in the
    forwarder, from the journal.
    """

    @hookspec
    def study_started(self, study: StudyRecord) -> None:
        """A process began to work on a study.

        Args:
            study: The study, with the trials that it has so far.

        Called: after the study was opened in the store, before its first trial of this process.
        How often: once per process that works on the study, so again after a restart.
        Where: plugins in the training process, in the thread that runs the study; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def trial_started(self, trial: TrialRecord) -> None:
        """A trial began.

        Args:
            trial: The trial, RUNNING, with its params.

        Called: after the trial was claimed in the store, before the training function sees it.
        How often: once per trial; a tracker may hear it again when delivery starts over.
        Where: plugins in the training process, in the thread that asked; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def trial_resumed(self, trial: TrialRecord) -> None:
        """A trial that had ended, or was queued again, goes on.

        Args:
            trial: The trial, RUNNING again, with the params that it began with.

        Called: after the store took it as RUNNING, before the training function sees it.
        How often: once each time that the trial is resumed.
        Where: plugins in the training process, in the thread that resumed it; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def trial_opened(self, trial: Trial) -> None:
        """A trial is about to run here: the live handle, to log into.

        Args:
            trial: The live trial.

        Called: after `trial_started` or `trial_resumed`, before the training function sees the trial.
        How often: once per trial that this process runs or resumes.
        Where: plugins in the training process, in the thread that asked; trackers never.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Params became known after the trial began: those that it asked for as it went, a model's own hyperparameters.

        Args:
            trial: The trial, as it stood before.
            params: Flat names and values; none of them repeats one of ``trial.params``.

        Called: after they were journalled.
        How often: once per call of ``Trial.log_params`` that brought something new, and once per param asked for.
        Where: plugins in the training process, in the thread that logged; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Metrics were logged together.

        Args:
            trial: The trial, as it started.
            metrics: Names and values; a value may be NaN or infinite.
            step: The trainer's global step, from 0.
            epoch: The trainer's epoch, from 0; None where the trainer has none.
            time: When they were logged, in seconds since 1970 (UTC).

        Called: after they were journalled.
        How often: once per call of ``Trial.log``; with the Lightning callback, up to once per training batch.
        Where: plugins in the training process, in the thread that logged, so be quick; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def artifact_logged(self, trial: TrialRecord, artifact: Artifact) -> None:
        """A file became part of the trial.

        Args:
            trial: The trial, as it started.
            artifact: Where the file lies, its name, its kind, its step, score and aliases, and its metadata.

        Called: after the file was there and the fact was journalled; in the forwarder, if it is still there.
        How often: once per file; again when one of the same kind, name and step took its place.
        Where: plugins in the training process, in the thread that logged; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def artifact_removed(self, trial: TrialRecord, artifact: Artifact) -> None:
        """A file is no longer part of the trial, such as a checkpoint that a better one took the place of.

        Args:
            trial: The trial, as it started.
            artifact: Its name, its kind, its place; there is nothing at its path. A tracker may never have heard of it.

        Called: after the file was deleted and the fact was journalled.
        How often: once per file that was removed.
        Where: plugins in the training process, in the thread that removed it; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Labels were put on the trial.

        Args:
            trial: The trial, as it started.
            tags: Names and values, the new and the changed ones.

        Called: after they were journalled.
        How often: once per call of ``Trial.log_tags``.
        Where: plugins in the training process, in the thread that logged; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """The trial was described in words.

        Args:
            trial: The trial, as it started.
            note: The words, in place of those that were there before.

        Called: after they were journalled.
        How often: once per call of ``Trial.log_note``.
        Where: plugins in the training process, in the thread that logged; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """It was told which data the trial works with.

        Args:
            trial: The trial, as it started.
            dataset: Its name, context, digest, source and profile; one of the same name and context takes the place of
                what was told before.

        Called: after it was journalled.
        How often: once per call of ``Trial.log_dataset`` that brought something new.
        Where: plugins in the training process, in the thread that logged; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def trial_finished(self, trial: TrialRecord) -> None:
        """A trial ended.

        Args:
            trial: The trial with its last state, its value and the step of that value, and the error if it failed.

        Called: after the store took the trial's last state.
        How often: once per trial, and each time that it is queued again; a tracker may hear it again, too.
        Where: plugins in the training process, in the thread that ended it; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; training and other plugins go on.
        """

    @hookspec
    def study_finished(self, study: StudyRecord) -> None:
        """A process ended its work on a study.

        Args:
            study: The study, with all its trials; a tracker gets it without them.

        Called: after the last trial of ``Study.run`` ended, also when it ended by an error.
        How often: once per ``Study.run``, and once at ``Study.close`` for those who ask and tell.
        Where: plugins in the training process, in the thread that runs the study; trackers in the forwarder.
        If it raises: it is reported once, with the plugin's name; other plugins go on.
        """


class Decisions:
    """Questions: the plugin named last is asked first, the first answer that is not None holds.

    Before the first of them every plugin may `prepare`. Where every plugin passes, the built-in answers: random search,
    never stop, never end, this process, the best value. None of them predicts, or knows which parameter matters.
    """

    @hookspec
    def prepare(self, study: StudyRecord, read_study: Callable[[str], StudyRecord]) -> None:
        """Get ready for the questions about a study. Every implementation runs, and none answers.

        This is the place to look up other studies, and to refuse what cannot be: no trial has begun yet.

        Args:
            study: The study, with the trials that it has so far.
            read_study: Returns another study of the same home with all its trials, by its name; raises a `StudyError`
                that lists the studies there are where there is none of that name.

        Called: after the study was opened in the store, before `study_started`.
        How often: once per process that works on the study, so again after a restart; not where a study is only read.
        Where: in the training process, in the thread that runs the study.
        If it raises: the error reaches the caller of ``ask`` or ``run``, and nothing begins.
        """

    @hookspec(firstresult=True)
    def suggest(self, study: StudyRecord, count: int) -> Sequence[Params] | None:
        """Choose the params of the next trials. The first answer holds.

        Args:
            study: The study with all its trials; ``study.loss(trial)`` is a trial's value, less being better, and
                ``trial.stderr`` its standard error, where one was given. Trials that are RUNNING or QUEUED have params
                and no value: take them as pending. Where there are ``study.constraints``, ``trial.metrics`` has their
                metrics, and ``study.is_feasible(trial)`` tells whether they are met. Of several ``study.objectives``,
                ``study.losses(trial)`` are a trial's values by all.
            count: How many to choose, 1 or more.

        Returns:
            As many sets of params as asked for, each valid in ``study.space``; None passes the question on. Fewer, or
            an empty list, where nothing is left to try, as at the end of a grid: then ``Study.run`` ends.

        Called: after the study was read from the store, before the trial is claimed.
        How often: once per ``Study.ask``, but for a queued trial only when it is queued, where params are left open,
            and again where another worker was given the same params at the same time.
        Where: in the training process, in the thread that asks; or where ``hyperhook suggest-ahead`` serves the study,
            in that process, for many trials at a time.
        If it raises: the error reaches the caller of ``ask`` or ``run``.
        """

    @hookspec(firstresult=True)
    def left_to_try(self, study: StudyRecord) -> int | None:
        """Say how many trials can still be suggested, where that has an end. The first answer holds.

        Args:
            study: The study with all its trials.

        Returns:
            How many, 0 or more, beside those that run or are queued; None passes the question on.

        Called: after `study_started`.
        How often: once per ``Study.run``, where its progress is shown; nothing else goes by it.
        Where: in the process and thread that called ``run``.
        If it raises: the error reaches the caller of ``run``.
        """

    @hookspec(firstresult=True)
    def should_stop(self, study: StudyRecord, trial: TrialRecord, last: Point | None) -> bool | None:
        """Tell whether a running trial should end early. The first answer holds.

        Args:
            study: The study with all its trials and their curves.
            trial: The running trial; its value, step and epoch are those that it would end with if it stopped now, and
                its curve ends where it stands.
            last: The point of the objective that was logged last, so where the trial stands; None before its first.

        Returns:
            True to stop it as PRUNED; None passes the question on, False lets it go on whatever other pruners think.

        Called: once the store has where the trial stands; by the Lightning callback after each validation and epoch.
        How often: whenever ``Trial.should_stop`` is read, until it was True once; never with several objectives.
        Where: in the training process, in the thread that reads it; under DDP on rank zero only.
        If it raises: the error reaches the reader of ``should_stop``.
        """

    @hookspec(firstresult=True)
    def should_end(self, study: StudyRecord) -> str | None:
        """Tell whether the study has done what it was for, so that no further trial begins. The first answer holds.

        Answer by what the study's records hold, and by nothing else: then all workers agree, and so does a study that
        is opened again. Trials that run go on to their ends.

        Args:
            study: The study with all its trials, RUNNING and QUEUED ones included; see `suggest`.

        Returns:
            Why it ends, in a few words, such as ``"the budget of 20 epochs is used up"``; None lets it go on.

        Called: after the study was read from the store, before the params of a trial are chosen.
        How often: once per ``Study.ask``, and before each trial of a run; whenever ``Study.ended`` is read.
        Where: in the training process, in the thread that asks.
        If it raises: the error reaches the caller of ``ask`` or ``run``.
        """

    @hookspec(firstresult=True)
    def run_trials(self, study: Study, objective: Callable[[Trial], object], count: int) -> bool | None:
        """Run trials until `count` of the study have ended by themselves. The first answer holds.

        Args:
            study: The live study, to ask and tell.
            objective: The training function; takes a `Trial`, returns its value or None.
            count: The study's budget: COMPLETE, PRUNED and FAILED trials together, those of earlier runs included.

        Returns:
            True when it took the work; None passes the question on.

        Called: after `study_started`.
        How often: once per ``Study.run``.
        Where: in the process and thread that called ``run``.
        If it raises: the error reaches the caller of ``run``, after `study_finished`.
        """

    @hookspec(firstresult=True)
    def predict(self, study: StudyRecord, many: Sequence[Params]) -> Sequence[Prediction] | None:
        """Say what the objective would be at params, tried or not. The first answer holds.

        Args:
            study: The study with all its trials; it has an objective, and at least one trial has a value.
            many: One or more sets of params, each valid in ``study.space``.

        Returns:
            A prediction for each set, in order, in the objective's own unit and direction; None passes the question on.

        Called: after the study was read from the store and the params were found valid.
        How often: once per ``Study.predict``.
        Where: in the process and thread that called it.
        If it raises: the error reaches the caller of ``predict``.
        """

    @hookspec(firstresult=True)
    def importance(self, study: StudyRecord) -> Mapping[str, float] | None:
        """Say how much each parameter has to do with the objective. The first answer holds.

        Args:
            study: The study with all its trials; it has an objective, and at least one trial has a value.

        Returns:
            A share for each parameter of the space, in any order: 0 or more, 1 together; None passes the question on.

        Called: after the study was read from the store.
        How often: once per ``Study.importance``.
        Where: in the process and thread that called it.
        If it raises: the error reaches the caller of ``importance``.
        """

    @hookspec(firstresult=True)
    def which_is_best(self, study: StudyRecord) -> TrialRecord | None:
        """Say which trial is the best, where the best value may be owed to luck. The first answer holds.

        Args:
            study: The study with all its trials; at least one is COMPLETE and has a value.

        Returns:
            One of its COMPLETE trials that have a value; None passes the question on: ``study.best`` answers last.

        Called: after the study was read from the store.
        How often: whenever ``Study.best`` is read; progress bars and tables show the best value without asking.
        Where: in the process and thread that read it.
        If it raises: the error reaches the reader of ``best``.
        """
