"""Weights & Biases: a study is a project, a trial is a run with the trial's id; offline where there is no key.

What is shown, and how:

- A row of the history for each event, under W&B's own ``_step``, which counts rows: so no row is merged with another or
  dropped, also where the trainer's step repeats or goes back. The columns ``trainer/global_step`` (the x axis of every
  chart) and ``epoch`` say where the trainer was, ``_timestamp`` is the event's own time.
- The config holds the params, the summary the trial's end: ``hyperhook/state``, ``hyperhook/objective`` with its
  ``hyperhook/objective_step`` and ``_epoch``, ``hyperhook/error``. A run of a COMPLETE or PRUNED trial ends with exit
  code 0, of a FAILED one with 1, of a KILLED one with 255, which W&B shows as killed.
- Datasets are in the config, too, below ``hyperhook/datasets``: by context and name, each with its ``digest``, its
  ``source`` and its ``profile``.
- A metric whose name W&B or this module keeps for itself (``_step``, ``_timestamp``, ``_runtime``, ``_wandb``,
  ``trainer/global_step``, anything below ``hyperhook/``) gets a ``%`` in front, and so does one that has it there
  already. A metric called ``epoch`` takes the place of that column.
- A character that a project's name may not hold is written as ``_0x…_`` with its code in hexadecimal, and so is a ``_``
  before a ``0x``; a name above 128 characters is cut and ends in its hash.
- The study is the run's group, its job type is ``trial``. A tag is a label ``name: value`` of the run (the ``name``
  alone where the value is empty; cut to 64 characters, with its hash), a note is the run's notes.
- Images and figures of matplotlib are images, figures of plotly and texts are HTML, tables are tables, all under their
  own names, in a row with their step. Files are the run's files. Checkpoints are versions of one model artifact,
  ``trial-<trial id>``, each with its name and ``best`` or ``last`` as aliases, and with its step, its score and what
  else is known of it as metadata; they are sent when the trial ends, so that what is there is what the trainer kept.

An offline file cannot be continued: after a failure the trial is sent again from its start into a new folder, and what
an earlier attempt left is removed, except where ``wandb sync`` has uploaded it. Online, the rows are numbered, and W&B
itself drops those whose number it has.
"""

from __future__ import annotations

import hashlib
import html
import json
import netrc
import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from hyperhook import Artifact, Dataset, HyperhookError, Scalar, Tracker, TrialRecord, TrialState, hookimpl
from hyperhook_adapters._offline_file import wait_until_complete

__all__ = ["DATASETS", "STEP", "WandB"]

STEP = "trainer/global_step"
DATASETS = "hyperhook/datasets"

_KEPT = re.compile(r"%*(?:_step|_timestamp|_runtime|_wandb|trainer/global_step|hyperhook/.*)", re.DOTALL)
_EXIT_CODE = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.FAILED: 1, TrialState.KILLED: 255}
_PROJECT_LENGTH, _TAG_LENGTH = 128, 64
_MODES = ("online", "offline", "disabled")


@dataclass
class _Run:
    """A run that is open, and how many rows it has."""

    run: Any
    rows: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    checkpoints: dict[str, Artifact] = field(default_factory=dict)
    """By name; they are sent when the trial ends."""
    aliases: dict[str, str] = field(default_factory=dict)
    """The name of the checkpoint that each stands for."""


class WandB(Tracker):
    """Writes trials as W&B runs; online where a key is found, else into offline files for ``wandb sync``.

    Args:
        project: The project; by default the study's name.
        mode: ``"online"``, ``"offline"`` or ``"disabled"``; by default ``WANDB_MODE``, or online where W&B finds a key
            (``WANDB_API_KEY`` or a login), or else offline. W&B is never let to ask.
        dir: The folder in which W&B makes its folder ``wandb``; by default ``WANDB_DIR``, or the current directory.
        entity: User or team; by default the key's own.

    Raises:
        HyperhookError: An option is not one of these.

    Example:
        >>> study = Study("digits", space, trackers=[WandB(entity="my-team")])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("wandb",)

    def __init__(
        self,
        project: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002  # W&B's own word
        entity: str | None = None,
    ) -> None:
        for option, value in (("project", project), ("entity", entity)):
            if value is not None and not isinstance(value, str):
                raise HyperhookError(f"WandB: {option}: expected a name, got {value!r}")
        if mode not in (None, *_MODES):
            raise HyperhookError(f"WandB: mode: expected one of {', '.join(map(repr, _MODES))}, got {mode!r}")
        self._project = project
        self._mode: str | None = mode
        self._dir = None if dir is None else Path(dir).absolute()
        self._entity = entity
        self._runs: dict[str, _Run] = {}
        self._ended: set[str] = set()
        self._datasets: dict[str, dict[str, dict[str, object]]] = {}

    def options(self) -> Mapping[str, Scalar]:
        """Return the project, the mode, the folder and the entity; a key is none of the options."""
        folder = None if self._dir is None else str(self._dir)
        return {"project": self._project, "mode": self._mode, "dir": folder, "entity": self._entity}

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Begin the trial's run, in place of what an earlier attempt left of it."""
        self._ended.discard(trial.id)
        self._datasets.pop(trial.id, None)
        self._abandon(trial)
        self._remove_attempts(trial)
        self._begin(trial)

    @hookimpl
    def params_logged(self, trial: TrialRecord, params: Mapping[str, Scalar]) -> None:
        """Add to the run's config."""
        self._run(trial).run.config.update(dict(params), allow_val_change=True)

    @hookimpl
    def metrics_logged(
        self, trial: TrialRecord, metrics: Mapping[str, float], step: int, epoch: int | None, time: float
    ) -> None:
        """Add a row to the run's history."""
        row: dict[str, float] = {} if epoch is None else {"epoch": epoch}
        row |= {_key(name): value for name, value in metrics.items()}
        row |= {STEP: step, "_timestamp": time}
        run = self._run(trial)
        run.run.log(row, step=run.rows, commit=True)
        run.rows += 1

    @hookimpl
    def tags_logged(self, trial: TrialRecord, tags: Mapping[str, str]) -> None:
        """Label the run."""
        run = self._run(trial)
        run.tags |= tags
        labels = (f"{name}: {value}" if value else name for name, value in run.tags.items())
        run.run.tags = tuple(_shorten(label, _TAG_LENGTH) for label in labels)

    @hookimpl
    def note_logged(self, trial: TrialRecord, note: str) -> None:
        """Describe the run."""
        self._run(trial).run.notes = note

    @hookimpl
    def dataset_logged(self, trial: TrialRecord, dataset: Dataset) -> None:
        """Add to the run's config."""
        config = self._run(trial).run.config
        about = {"digest": dataset.digest, "source": dataset.source, "profile": dict(dataset.profile)}
        known = self._datasets.setdefault(trial.id, {})
        known.setdefault(dataset.context, {})[dataset.name] = about
        config.update({DATASETS: {context: dict(names) for context, names in known.items()}}, allow_val_change=True)

    @hookimpl
    def artifact_logged(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Show an image, a figure, a table or a text; save a file; keep a checkpoint for the trial's end."""
        run = self._run(trial)
        if artifact.kind == "checkpoint":
            run.checkpoints[artifact.name] = artifact
            run.aliases |= dict.fromkeys(artifact.aliases, artifact.name)
        elif artifact.kind == "file":
            run.run.save(str(artifact.path), base_path=str(_root_of(artifact)), policy="now")
        else:
            step = {} if artifact.step is None else {STEP: artifact.step}
            run.run.log({_key(artifact.name): self._shown(artifact), **step}, step=run.rows, commit=True)
            run.rows += 1

    @hookimpl
    def artifact_removed(self, trial: TrialRecord, artifact: Artifact) -> None:
        """Forget a checkpoint. A file that was saved stays: W&B has no way to take it back."""
        self._run(trial).checkpoints.pop(artifact.name, None)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Complete the summary and finish the run: wait until it is uploaded, or its file is complete."""
        state = self._run(trial)
        self._send_checkpoints(trial, state)
        run = state.run
        facts = {
            "state": str(trial.state),
            "objective": trial.value,
            "objective_step": trial.step,
            "objective_epoch": trial.epoch,
            "error": trial.error,
        }
        run.summary.update({f"hyperhook/{key}": value for key, value in facts.items() if value is not None})
        run.finish(exit_code=_EXIT_CODE[trial.state])
        del self._runs[trial.id]
        self._ended.add(trial.id)
        if run.offline:
            wait_until_complete(Path(run.settings.sync_file))

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Ask for everything again: an offline file cannot be continued, and online nobody knows what arrived."""
        return False

    def close(self) -> None:
        """End what is open and W&B's own process, unless somebody else in this process uses it."""
        for trial_id in list(self._runs):
            with suppress(Exception):
                self._runs.pop(trial_id).run.finish(exit_code=_EXIT_CODE[TrialState.KILLED])
        if "wandb" in sys.modules:
            import wandb

            if wandb.run is None:
                wandb.teardown()

    def _send_checkpoints(self, trial: TrialRecord, run: _Run) -> None:
        """Make each checkpoint that is left a version of the trial's model; the best one last, so that it is shown."""
        kept = [artifact for artifact in run.checkpoints.values() if artifact.path.exists()]
        for artifact in sorted(kept, key=lambda artifact: artifact.name == run.aliases.get("best")):
            about = {**artifact.metadata, "step": artifact.step, "score": artifact.score}
            model = self._library().Artifact(f"trial-{trial.id}", type="model", metadata=about)
            if artifact.path.is_dir():
                model.add_dir(str(artifact.path), policy="immutable")
            else:
                model.add_file(str(artifact.path), policy="immutable", skip_cache=True)
            names = [alias for alias, name in run.aliases.items() if name == artifact.name]
            run.run.log_artifact(model, aliases=[_alias(artifact.name), *map(_alias, names)])

    def _shown(self, artifact: Artifact) -> Any:
        """Return W&B's own view of an artifact."""
        wandb, path = self._library(), artifact.path
        if artifact.kind == "table":
            table = json.loads(path.read_bytes())
            return wandb.Table(columns=table["columns"], data=table["data"], allow_mixed_types=True)
        if artifact.kind == "text":
            return wandb.Html(f"<pre>{html.escape(path.read_text())}</pre>", inject=False)
        if path.suffix == ".html":
            return wandb.Html(str(path), inject=False)
        return wandb.Image(str(path))

    def _run(self, trial: TrialRecord) -> _Run:
        if trial.id not in self._runs:
            if trial.id not in self._ended:
                raise HyperhookError(
                    f"W&B: trial {trial.name!r} is not open here; expected trial_started before its other events"
                )
            self._begin(trial)  # it ended, and went on: the rest is one more file of the same run
        return self._runs[trial.id]

    def _begin(self, trial: TrialRecord) -> None:
        wandb = self._library()
        mode, root = self._resolve_mode(), self._root()
        root.mkdir(parents=True, exist_ok=True)
        try:
            run = wandb.init(
                project=_project(self._project or trial.study),
                entity=self._entity,
                id=trial.id,
                name=trial.name,
                group=trial.study,
                job_type="trial",
                config=dict(trial.params),
                mode=mode,
                dir=str(root),
                resume="allow" if mode == "online" else None,
                reinit="create_new",
                settings=self._settings(),
            )
        except wandb.Error:
            raise
        except Exception:
            self._reset()
            raise
        run.define_metric("*", step_metric=STEP)
        self._runs[trial.id] = _Run(run)

    def _settings(self) -> Any:
        """Return settings that send what hyperhook logged and nothing else, and write it within half a second."""
        return self._library().Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            x_transaction_log_flush_interval=0.5,
        )

    def _library(self) -> Any:
        """Import W&B; where nobody else in this process uses it, keep it silent, and off a parent's W&B process."""
        is_ours = "wandb" not in sys.modules
        if is_ours:
            os.environ.pop("WANDB_SERVICE", None)
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its telemetry takes a fifth of a row's time
        import wandb

        if is_ours:
            wandb.setup(wandb.Settings(silent=True))
        return wandb

    def _resolve_mode(self) -> str:
        settings = self._library().setup().settings
        configured = settings.mode if settings.mode != "online" else None
        wanted: str | None = self._mode or os.environ.get("WANDB_MODE") or configured
        has_key = bool(settings.api_key or settings.identity_token_file or _logged_in(settings.base_url))
        if wanted == "online" and not has_key:
            raise HyperhookError(
                f"W&B: the mode is 'online', and there is no key for {settings.base_url}; set WANDB_API_KEY or run "
                "`wandb login`, or use WandB(mode='offline')"
            )
        return wanted or ("online" if has_key else "offline")

    def _root(self) -> Path:
        return self._dir or Path(self._library().setup().settings.root_dir)

    def _remove_attempts(self, trial: TrialRecord) -> None:
        """Remove the offline folders of earlier attempts at this run, unless `wandb sync` has left its mark there."""
        folder = Path(self._library().Settings(root_dir=str(self._root())).wandb_dir)
        ours = re.compile(rf"offline-run-\d+_\d+-{re.escape(trial.id)}")
        for attempt in folder.glob("offline-run-*"):
            if ours.fullmatch(attempt.name) and not any(attempt.glob("*.synced")):
                shutil.rmtree(attempt)

    def _abandon(self, trial: TrialRecord) -> None:
        """End the run of an attempt that failed."""
        run = self._runs.pop(trial.id, None)
        if run is not None:
            try:
                run.run.finish(exit_code=_EXIT_CODE[TrialState.KILLED])
            except Exception:
                self._reset()

    def _reset(self) -> None:
        """Begin anew after W&B's own process died, and with it all that was open: those trials are sent again."""
        self._runs.clear()
        with suppress(Exception):
            self._library().teardown()


def _logged_in(base_url: str) -> bool:
    """Tell whether there is a login for W&B's server, where `wandb login` leaves it."""
    host = urlsplit(base_url).hostname or base_url
    paths = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for path in paths:
        with suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(os.path.expanduser(path)).authenticators(host):
                return True
    return False


def _key(name: str) -> str:
    """Return the column of a metric."""
    return f"%{name}" if _KEPT.fullmatch(name) else name


def _project(name: str) -> str:
    """Return a project's name that W&B takes; different ones for different names."""
    safe = re.sub(r"[/\\#?%:]|_(?=0x)", lambda match: f"_0x{ord(match[0]):x}_", name)
    return _shorten(safe, _PROJECT_LENGTH)


def _shorten(name: str, length: int) -> str:
    if len(name) <= length:
        return name
    return f"{name[: length - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _alias(name: str) -> str:
    """Return an alias that W&B takes."""
    return _shorten(re.sub(r"[/:]", "_", name), _PROJECT_LENGTH)


def _root_of(artifact: Artifact) -> Path:
    """Return the folder that an artifact's place is relative to."""
    return artifact.path.parents[artifact.place.count("/")]
