"""The callback: what a Lightning trainer does becomes events of a trial."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, SupportsFloat

from hyperhook import HyperhookError, Study, Tracker, Trial, TrialState, current_trial
from hyperhook_adapters.lightning.checkpoints import Checkpoints
from hyperhook_adapters.lightning.inputs import datasets, signature
from hyperhook_adapters.lightning.published import LearningRates, Metrics, may_log_late, monitored_names

__all__ = ["HyperhookCallback"]

log = logging.getLogger("hyperhook")

_P = ParamSpec("_P")


def _harmless(
    hook: Callable[Concatenate[HyperhookCallback, _P], None],
) -> Callable[Concatenate[HyperhookCallback, _P], None]:
    """Keep what goes wrong in a hook out of the fit; say it once."""

    @wraps(hook)
    def guarded(self: HyperhookCallback, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            hook(self, *args, **kwargs)
        except Exception as error:
            self._report(error)

    return guarded


class HyperhookCallback:
    """Logs a trainer's metrics, params, learning rates, datasets and checkpoints into a trial; stops it when pruned.

    It works in both namespaces, ``lightning.pytorch`` and ``pytorch_lightning``, and imports neither.

    What every ``self.log`` publishes arrives once, at its own step: the trainer's ``global_step`` as the batch began,
    which is what Lightning's own loggers use. Validation and an epoch's end stand at the step of the last batch.

    Of the dataloaders for training and validation it tells what they say without being iterated or indexed: name, rows,
    batch size. Where the module has an ``example_input_array``, its checkpoints get the model's signature.

    Args:
        trial: The trial to log into; by default the current one (inside ``Study.run``). Where there is none, the
            callback starts a run of its own, which ends when the process does, at the next fit, or by `close`.
        study: For a run of its own: the study that it becomes a trial of.
        trackers: For a run of its own: names or instances of the trackers.
        plugins: For a run of its own: names or instances of the plugins.
        home: For a run of its own: the home directory.
        fork: For a run of its own: where ``fit(ckpt_path=…)`` goes on from a checkpoint of another run, start a new run
            that names that one (the tag ``parent``), rather than go on in it.

    Raises:
        HyperhookError: The trial is none, or is given together with options for a run of its own.

    Example:
        >>> trainer = L.Trainer(callbacks=[HyperhookCallback(trial)])  # doctest: +SKIP
        >>> trainer = L.Trainer(callbacks=[HyperhookCallback(trackers=["mlflow"])])  # doctest: +SKIP
    """

    def __init__(
        self,
        trial: Trial | None = None,
        *,
        study: str = "runs",
        trackers: Sequence[str | Tracker] = (),
        plugins: Sequence[str | object] = (),
        home: str | os.PathLike[str] | None = None,
        fork: bool = False,
    ) -> None:
        self._given = trial
        self._options: dict[str, Any] = {"name": study, "trackers": trackers, "plugins": plugins, "home": home}
        self._trial: Trial | None = trial
        self._own: Study | None = None
        self._fork = fork
        self._awaits_checkpoint = False
        self._resumed_id: str | None = None
        self._own_trial: Trial | None = None
        self._step: int | None = None
        self._epoch = 0
        self._metrics = Metrics()
        self._rates = LearningRates()
        self._pending_rates: dict[str, float] = {}
        self._late = self._always_late = True
        self._checkpoints = Checkpoints()
        self._checkpoint_names: dict[Path, str] = {}
        self._signature: str | None = None
        self._awaits_validation_data = False
        self._has_validated = self._expects_metric = False
        self._reported: set[tuple[object, ...]] = set()
        self.state_key = self._legacy_state_key = f"HyperhookCallback-{id(self):x}"  # nothing is stored under it
        if trial is not None:
            _check_given(trial, {"trackers": trackers, "plugins": plugins, "home": home})

    @property
    def trial(self) -> Trial | None:
        """The trial that is being logged into; None before the first fit, and on silent ranks."""
        return self._trial

    def close(self) -> None:
        """End a run that the callback started by itself; one that belongs to a study is ended by the study."""
        study, trial, self._own = self._own, self._trial, None
        if study is None or trial is None:
            return
        atexit.unregister(self.close)
        if not trial.has_ended:
            study.tell(trial)
        study.close()

    # What Lightning asks of a callback, beside the hooks.

    # Those of every batch that we do nothing in: Lightning passes over what cannot be called.
    on_before_zero_grad = on_before_backward = on_after_backward = on_before_optimizer_step = None
    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = on_predict_batch_end = None

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the trial's state is in its journal."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Answer the hooks that are not implemented here."""
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Find the trial, or start one; record the hyperparameters. Predicting logs nothing, and starts nothing."""
        if stage == "predict":
            return
        if stage == "fit" and self._own is not None:
            self.close()
        self._awaits_checkpoint = stage == "fit" and self._given is None and current_trial() is None
        if self._awaits_checkpoint:
            self._trial = None  # a checkpoint may be loaded yet, and say which run goes on
        else:
            self._open(trainer)
            self._log_params(trainer, pl_module)

    @_harmless
    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Mapping[str, Any]) -> None:
        """Find out which trial the checkpoint is of."""
        self._resumed_id = checkpoint.get("hyperhook", {}).get("trial")

    @_harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Stand where the trainer stands: behind what it resumed from."""
        if self._awaits_checkpoint:
            self._awaits_checkpoint = False
            self._open(trainer)
            self._log_params(trainer, pl_module)
        self._step, self._epoch = max(trainer.global_step - 1, 0), trainer.current_epoch
        others = [callback for callback in trainer.callbacks if not isinstance(callback, HyperhookCallback)]
        self._always_late, self._late = may_log_late(pl_module, others), True
        self._has_validated = self._expects_metric = False
        self._log_datasets(trainer)
        self._read_signature(pl_module)

    @_harmless
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Take what came late of the last batch; then go to this batch's step, and read its learning rates."""
        if self._late:
            self._drain(trainer, before_batch=True)
            self._late = self._always_late
        first = batch_idx == 0 or self._epoch != trainer.current_epoch
        self._step, self._epoch = trainer.global_step, trainer.current_epoch
        self._pending_rates |= self._rates.take(trainer, everything=first)

    @_harmless
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log what the batch published."""
        self._log(trainer, self._metrics.take(trainer))

    @_harmless
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Take what training published before validation does; in a fit's first one, look at its dataloaders."""
        self._drain(trainer, evaluating=True)
        if self._awaits_validation_data and trainer.state.fn == "fit":
            self._log_datasets(trainer)

    @_harmless
    def on_validation_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Log what a batch of validation published by itself."""
        self._drain(trainer, evaluating=True)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what validation published, and ask whether to stop."""
        self._drain_safely(trainer, evaluating=True)
        self._late = True
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._has_validated = True
            self._stop_if_asked(trainer)

    on_test_start = on_validation_start
    on_test_batch_end = on_validation_batch_end

    @_harmless
    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what the test published."""
        self._drain(trainer, evaluating=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log what the epoch published, and ask whether to stop."""
        self._drain_safely(trainer)
        self._late = True
        self._stop_if_asked(trainer)
        self._expects_metric |= self._has_validated or not trainer.enable_validation

    @_harmless
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Write into the checkpoint which trial it is of; remember that it is about to be there."""
        if self._trial is not None:
            checkpoint["hyperhook"] = {"trial": self._trial.id}
        self._checkpoints.announce(max(int(checkpoint["global_step"]) - 1, 0))

    @_harmless
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take what the module logged as the last epoch ended."""
        self._drain(trainer)

    @_harmless
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Take what is left."""
        self._drain(trainer)

    @_harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Keep what was logged; end a run of our own as FAILED, or as KILLED by Ctrl-C."""
        if trainer.world_size == 1:  # reading may exchange values with ranks that are elsewhere
            self._drain(trainer)
        if self._trial is not None and not self._trial.has_ended:
            self._trial.flush()
        self._end(exception)

    @_harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Take the last checkpoint; in a process that ends with the fit, end a run of our own."""
        self._take_checkpoints(trainer)
        if self._trial is not None and not self._trial.has_ended:
            self._trial.flush()  # what is on its way from a GPU: a spawned rank ends here
        if self._own is not None and multiprocessing.parent_process() is not None:
            self.close()  # a spawned rank runs no exit handlers

    def _open(self, trainer: Any) -> None:
        if not trainer.is_global_zero:
            self._trial = None
            return
        self._trial = self._given or current_trial()
        if self._trial is None:
            if self._own is None:
                self._own = Study(**self._options)
                self._own_trial = self._resume(self._own) if self._resumed_id else self._own.ask()
                atexit.register(self.close)
                if multiprocessing.parent_process() is not None:
                    Finalize(None, self._abandon, exitpriority=0)
            self._trial = self._own_trial

    def _resume(self, study: Study) -> Trial:
        """Go on with the trial that the checkpoint is of, or with another one that names it."""
        parent, self._resumed_id = self._resumed_id or "", None
        try:
            return study.resume(parent, fork=self._fork)
        except HyperhookError as error:  # it is in another home, or runs
            log.warning("the checkpoint's trial cannot go on (%s); this is a new one", error)
        trial = study.ask()
        trial.log_tags({"parent": parent})
        return trial

    def _end(self, error: BaseException) -> None:
        """End a run of our own as FAILED, or as KILLED by what is no failure."""
        if self._own is not None and self._trial is not None and not self._trial.has_ended:
            state = TrialState.FAILED if isinstance(error, Exception) else TrialState.KILLED
            text = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
            self._own.tell(self._trial, state=state, error=text)
            self.close()

    def _abandon(self) -> None:
        """End a run of our own that its process leaves behind: no hook tells a spawned rank of an exception."""
        error = sys.exception()
        if type(error) is SystemExit:  # how torch's launcher leaves a rank; Lightning's SIGTERM is a subclass
            error = error.__context__
        self._end(error or KeyboardInterrupt())

    @_harmless
    def _log_params(self, trainer: Any, pl_module: Any) -> None:
        if self._trial is None:
            return
        for holder in (pl_module, trainer.datamodule):
            if getattr(holder, "_log_hyperparams", False):  # save_hyperparameters(logger=False) keeps them private
                self._trial.log_params(holder.hparams)

    @_harmless
    def _log_datasets(self, trainer: Any) -> None:
        """Tell what the dataloaders say; those of validation may be made later, as a fit first validates."""
        loaders = {"training": trainer.train_dataloader, "validation": trainer.val_dataloaders}
        self._awaits_validation_data = loaders["validation"] is None
        if self._trial is None:
            return
        for context, made in loaders.items():
            for found in datasets(made, context, trainer.datamodule):
                self._trial.log_dataset(found.name, context=context, profile=found.profile)

    @_harmless
    def _read_signature(self, pl_module: Any) -> None:
        self._signature = None
        self._signature = signature(pl_module)

    def _drain(self, trainer: Any, *, before_batch: bool = False, evaluating: bool = False) -> None:
        """Log what was published since the last time.

        Every rank reads, since reading may make ranks exchange values; only the one that logs has a trial.
        """
        if trainer.sanity_checking:
            return
        late = monitored_names(trainer.callbacks) if before_batch else ()
        self._log(trainer, self._metrics.take(trainer, skip=late, logged=evaluating), with_rates=not before_batch)

    def _log(self, trainer: Any, fresh: dict[str, SupportsFloat], *, with_rates: bool = True) -> None:
        """Log metrics, and the learning rates that changed, at the step and epoch where we stand."""
        for name in self._rates.names:
            fresh.pop(name, None)
        if self._trial is None:
            return
        if self._pending_rates and with_rates:
            fresh |= self._pending_rates
            self._pending_rates = {}
        if fresh:
            step = max(trainer.global_step - 1, 0) if self._step is None else self._step
            self._trial.log(fresh, step=step, epoch=self._epoch)
        if self._checkpoints.is_awaited:
            self._take_checkpoints(trainer)

    @_harmless
    def _drain_safely(self, trainer: Any, *, evaluating: bool = False) -> None:
        self._drain(trainer, evaluating=evaluating)

    def _take_checkpoints(self, trainer: Any) -> None:
        written = self._checkpoints.take(trainer.checkpoint_callbacks)
        if self._trial is None:
            return
        for file in written:
            self._trial.log_artifact(
                file.path,
                name=self._checkpoint_name(file.path),
                kind="checkpoint",
                step=file.step,
                score=file.score,
                aliases=file.aliases,
                metadata={} if self._signature is None else {"signature": self._signature},
            )
        for path in self._checkpoints.take_removed() if written else ():
            self._trial.remove_artifact(self._checkpoint_names.pop(path, path.name), kind="checkpoint")

    def _checkpoint_name(self, path: Path) -> str:
        """Return the file's name; with its folder's where two checkpoint callbacks use the same."""
        taken = any(name == path.name for other, name in self._checkpoint_names.items() if other != path)
        return self._checkpoint_names.setdefault(path, f"{path.parent.name}/{path.name}" if taken else path.name)

    def _stop_if_asked(self, trainer: Any) -> None:
        """Let rank zero decide, and all ranks stop together, also where it raises.

        The objective's metric is expected behind the first epoch with a validation: what a module logs as that epoch
        ends is not published before the next one.
        """
        failure: Exception | None = None
        try:
            stop = self._trial is not None and self._trial.ask_pruners(expects=self._expects_metric)
        except Exception as error:
            stop, failure = True, error
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if failure is not None:
            raise failure
        if stop:
            trainer.should_stop = True

    def _report(self, error: Exception) -> None:
        """Say what failed, once for each place that it came from, whatever its text."""
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        place = (type(error), frame.f_code.co_filename, line)
        if place not in self._reported:
            self._reported.add(place)
            log.error("the callback failed (%s: %s); the fit goes on", type(error).__name__, error, exc_info=error)


def _check_given(trial: object, options: Mapping[str, object]) -> None:
    if not isinstance(trial, Trial):
        raise HyperhookError(f"HyperhookCallback: expected a trial, got {trial!r}; name trackers by trackers=[…]")
    surplus = [name for name, value in options.items() if value]
    if surplus:
        raise HyperhookError(
            f"HyperhookCallback: got a trial and {', '.join(surplus)}=…, which is for a run of its own; "
            "the trial's study has its own: give it there, to hh.Study(…)"
        )


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""
