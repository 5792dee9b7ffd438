"""The suite that every tracker passes: a scripted trial goes in, the backend's own reader gets it back.

An author inherits it, says how to make the tracker and how to read what it wrote, and pytest does the rest::

    class TestJsonLines(TrackerContract):
        def make(self, folder):
            return JsonLines(folder / "out")

        def read(self, folder):
            for file in (folder / "out").glob("*.jsonl"):
                yield RecordedRun(name=…, params=…, points=[…], state=…)

The trials are real journals, delivered as the forwarder does it: in batches, with a cursor behind each, from which
delivery goes on after a crash. What must hold is always the same: every point is there, once.
"""

from __future__ import annotations

import functools
import math
import pickle
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hyperhook.delivery import Delivery, Projection
from hyperhook.events import (
    Event,
    MetricsLogged,
    ParamsLogged,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
    finite,
)
from hyperhook.home import STUDY_ITEM, Home
from hyperhook.journal import Journal
from hyperhook.objective import Minimize
from hyperhook.parameters import Float, Scalar
from hyperhook.records import StudyRecord, TrialState
from hyperhook.space import Space
from hyperhook.tracker import Tracker
from hyperhook.workspace import JOURNAL

__all__ = ["RecordedPoint", "RecordedRun", "TrackerContract"]

_START = 1_700_000_000.0
_BATCH = 3


class RecordedPoint(NamedTuple):
    """One value of a metric, as a backend has it."""

    name: str
    step: int
    epoch: int | None
    value: float


@dataclass(frozen=True)
class RecordedRun:
    """A trial as a backend has it.

    Attributes:
        name: The trial's name, ``study-number``.
        params: Names and values, as texts or as they are.
        points: Every point, as often as the backend has it.
        state: hyperhook's word for how the trial ended; empty while it runs.
    """

    name: str
    params: Mapping[str, object]
    points: Iterable[RecordedPoint]
    state: str


class _Crash(BaseException):
    """The end of a process, as far as a tracker can tell."""


@dataclass
class _Script:
    """What happens in a trial. Its clock goes on by 10 ms with each event: some backends keep whole milliseconds."""

    number: int = 0
    params: dict[str, Scalar] = field(default_factory=lambda: {"lr": 0.01, "layers": 3, "optimizer": "adam"})
    study: str = "contract"
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        start = TrialStarted(time=self._now, id=self.id, number=self.number, study=self.study, params=self.params)
        self.events.append(start)

    @property
    def id(self) -> str:
        return f"contract{self.number:08d}"

    @property
    def name(self) -> str:
        return f"{self.study}-{self.number}"

    @property
    def _now(self) -> float:
        return round(_START + self.number + 0.01 * len(self.events), 3)

    def log(self, metrics: Mapping[str, float], step: int, epoch: int | None = None) -> _Script:
        encoded = {name: finite(value) for name, value in metrics.items()}
        self.events.append(MetricsLogged(time=self._now, metrics=encoded, step=step, epoch=epoch))
        return self

    def log_params(self, params: dict[str, Scalar]) -> _Script:
        self.events.append(ParamsLogged(time=self._now, params=params))
        return self

    def end(self, state: TrialState = TrialState.COMPLETE) -> _Script:
        good = state in (TrialState.COMPLETE, TrialState.PRUNED)
        error = None if good else "RuntimeError: no"
        self.events.append(TrialFinished(time=self._now, state=state, value=0.5 if good else None, step=1, error=error))
        return self

    def points(self) -> list[RecordedPoint]:
        return [
            RecordedPoint(name, event.step, event.epoch, value)
            for event in self.events
            if isinstance(event, MetricsLogged)
            for name, value in event.values().items()
        ]

    def all_params(self) -> dict[str, Scalar]:
        later = (event.params for event in self.events if isinstance(event, ParamsLogged))
        return functools.reduce(lambda known, more: known | more, later, dict(self.params))


def _training(number: int = 0, steps: int = 6) -> _Script:
    """Return what a small fit logs, but for its end."""
    script = _Script(number)
    for step in range(steps):
        script.log({"train_loss": 1.0 / (1 + step + number), "lr": 0.1}, step, step // 2)
        if step % 2:
            script.log({"val_loss": 2.0 / (1 + step), "val/acc": step / 10}, step, step // 2)
    return script


class _Stage:
    """A home below a folder, with journals that are delivered into a tracker."""

    def __init__(self, folder: Path) -> None:
        self._home = Home(folder / "contract-home")
        self._home.create()
        self._written: Counter[str] = Counter()

    def write(self, script: _Script, count: int | None = None) -> None:
        """Append the next events of a script to its journal, or all that are left."""
        journal = Journal(self._home.trial(script.id) / JOURNAL)
        first = self._written[script.id]
        for event in script.events[first : None if count is None else first + count]:
            journal.append(event)
            self._written[script.id] += 1
        journal.close()

    def write_study(self, event: StudyStarted | StudyFinished) -> None:
        journal = Journal(self._home.study("contract") / JOURNAL)
        journal.append(event)
        journal.close()

    def deliver(self, tracker: Tracker, item: str, study: str = "contract") -> None:
        """Send what is behind the cursor; what is raised leaves the cursor where it was."""
        projection = Projection(Delivery("contract", tracker), self._home, study, item)
        if not projection.acquire():
            raise RuntimeError("the cursor is taken")
        try:
            projection.deliver()
        finally:
            projection.release()

    def lose_cursor(self, script: _Script) -> None:
        self._home.cursor(script.study, script.id, "contract").unlink()


class TrackerContract(ABC):
    """What every tracker promises; each test method takes pytest's ``tmp_path``.

    Attributes:
        exact: Whether the backend keeps a value as float64; where not, values are compared as float32.
        keeps_epochs: Whether the reader gives a point's epoch.
    """

    exact: ClassVar[bool] = True
    keeps_epochs: ClassVar[bool] = True

    @abstractmethod
    def make(self, folder: Path) -> Tracker:
        """Return a tracker that writes below a folder; a second one stands for another process."""

    @abstractmethod
    def read(self, folder: Path) -> Iterable[RecordedRun]:
        """Return every trial below a folder, by the backend's own reader."""

    def die(self, tracker: Tracker) -> None:
        """End a tracker as the death of its process does: what it has written may be out, or not; by default it is."""
        tracker.close()

    # What must hold

    def test_a_trial_comes_back_equal_in_every_point(self, tmp_path: Path) -> None:
        """Params, points and state, of a trial that is delivered in one go."""
        self._send(tmp_path, _training().end())

    def test_a_trial_that_is_delivered_as_it_grows(self, tmp_path: Path) -> None:
        """One event at a time, each confirmed."""
        script, stage, tracker = _training().end(), _Stage(tmp_path), self.make(tmp_path)
        for _ in script.events:
            stage.write(script, 1)
            stage.deliver(tracker, script.id)
        self._check(tmp_path, tracker, script)

    def test_params_that_are_logged_later(self, tmp_path: Path) -> None:
        """They come beside those that the trial began with."""
        script = _training().log_params({"model/depth": 3, "seed": 2**60, "nothing": None, "bias": True}).end()
        self._send(tmp_path, script)

    def test_trials_that_interleave_and_come_out_of_order(self, tmp_path: Path) -> None:
        """The second one first, then by turns."""
        scripts = [_training(1).end(), _training(0, steps=4).end(TrialState.FAILED)]
        stage, tracker = _Stage(tmp_path), self.make(tmp_path)
        for _ in range(max(len(script.events) for script in scripts)):
            for script in scripts:
                stage.write(script, 2)
                stage.deliver(tracker, script.id)
        self._check(tmp_path, tracker, *scripts)

    def test_everything_again_after_the_cursor_was_lost(self, tmp_path: Path) -> None:
        """From the start, by another process: before the trial's end, and behind it."""
        script, stage = _training().end(), _Stage(tmp_path)
        for count in (5, None):
            stage.write(script, count)
            tracker = self.make(tmp_path)
            stage.deliver(tracker, script.id)
            self.die(tracker)
            stage.lose_cursor(script)
        tracker = self.make(tmp_path)
        stage.deliver(tracker, script.id)
        self._check(tmp_path, tracker, script)

    def test_a_crash_between_send_and_confirm_at_each_batch(self, tmp_path: Path) -> None:
        """`flush` has done its work, and the cursor does not know."""
        for number in range(len(_training().end().events) // _BATCH + 1):
            self._crash(tmp_path / f"{number}", "flush", number, another=True)

    def test_a_crash_in_the_middle_of_each_batch(self, tmp_path: Path) -> None:
        """A hook was never reached."""
        for number in range(6):
            self._crash(tmp_path / f"{number}", "metrics_logged", number, another=True)

    def test_a_failure_that_the_process_survives(self, tmp_path: Path) -> None:
        """The same tracker is asked to go on, behind `flush` and in the middle of a batch."""
        for number in range(3):
            self._crash(tmp_path / f"flush{number}", "flush", number, another=False)
            self._crash(tmp_path / f"metrics{number}", "metrics_logged", number, another=False)

    def test_names_of_every_kind(self, tmp_path: Path) -> None:
        """They come back as they were, and none is mixed up with another."""
        names = ["größe ✓", "val/AR@100", "a/b/c", "a b", " a ", "a'\"\\", "ключ", "A", "a", "_step", "%a", "epoch%"]
        names += [".", "..", "a/", "/a", "a//b", "_0x40_", "time", "_timestamp", "x" * 240]
        script = _Script(params={"größe/✓": 1, "a b": "c d", "A": 1, "a": 2})
        for step in range(2):
            script.log({name: position + step / 4 for position, name in enumerate(names)}, step, 0)
        self._send(tmp_path, script.end())

    def test_two_hundred_params(self, tmp_path: Path) -> None:
        """More than some backends take in one call."""
        self._send(
            tmp_path, _Script(params={f"param_{number}": number for number in range(200)}).log({"a": 1.0}, 0).end()
        )

    def test_a_thousand_metrics_at_a_step(self, tmp_path: Path) -> None:
        """More than some backends take in one call."""
        self._send(tmp_path, _Script().log({f"metric_{number}": float(number) for number in range(1001)}, 0, 0).end())

    def test_a_text_that_is_longer_than_backends_take(self, tmp_path: Path) -> None:
        """Its beginning is there."""
        self._send(tmp_path, _Script(params={"prompt": "why? " * 4000}).log({"a": 1.0}, 0).end())

    def test_a_trial_without_metrics_or_params(self, tmp_path: Path) -> None:
        """It is there all the same."""
        self._send(tmp_path, _Script(params={}).end())

    def test_nan_and_the_infinities(self, tmp_path: Path) -> None:
        """They are values like others."""
        script = _Script().log({"a": math.nan, "b": math.inf, "c": -math.inf}, 0, 0).log({"a": 1.0}, 1, 0)
        self._send(tmp_path, script.end())

    def test_the_same_value_twice_at_one_step_is_two_points(self, tmp_path: Path) -> None:
        """Only what was sent twice is one."""
        script = _Script()
        for _ in range(3):
            script.log({"a": 0.5}, 7, 1)
        self._send(tmp_path, script.end())

    def test_steps_may_go_back(self, tmp_path: Path) -> None:
        """An evaluation of an earlier step comes later."""
        script = _Script()
        for step in (5, 3, 9, 0, 9):
            script.log({"a": float(step)}, step, 0)
        self._send(tmp_path, script.end())

    def test_each_way_to_end(self, tmp_path: Path) -> None:
        """COMPLETE, PRUNED, FAILED and KILLED are told apart."""
        ends = [state for state in TrialState if state.is_finished]
        self._send(tmp_path, *(_training(number, 2).end(state) for number, state in enumerate(ends)))

    def test_the_study_s_own_events_change_nothing(self, tmp_path: Path) -> None:
        """They come before, behind, and again after a restart."""
        script, stage = _training().end(), _Stage(tmp_path)
        study = StudyRecord("contract", Space({"lr": Float(1e-4, 1.0, log=True)}), Minimize("val_loss"))
        for count in (5, None):
            tracker = self.make(tmp_path)
            stage.write_study(StudyStarted.of(study))
            stage.deliver(tracker, STUDY_ITEM)
            stage.write(script, count)
            stage.deliver(tracker, script.id)
            stage.write_study(StudyFinished.of(study))
            stage.deliver(tracker, STUDY_ITEM)
            tracker.close()
        self._check(tmp_path, tracker, script)

    def test_it_travels_to_another_process(self, tmp_path: Path) -> None:
        """It is pickled before its first use, and works there."""
        self._send(tmp_path, _training().end(), tracker=pickle.loads(pickle.dumps(self.make(tmp_path))))

    def test_it_may_be_closed_twice_and_unused(self, tmp_path: Path) -> None:
        """The forwarder ends in whatever way it ends."""
        tracker = self.make(tmp_path)
        tracker.close()
        tracker.close()

    # How it is seen

    def _send(self, folder: Path, *scripts: _Script, tracker: Tracker | None = None) -> None:
        """Deliver whole trials, and compare."""
        stage, tracker = _Stage(folder), tracker or self.make(folder)
        for script in scripts:
            stage.write(script)
            stage.deliver(tracker, script.id)
        self._check(folder, tracker, *scripts)

    def _crash(self, folder: Path, method: str, number: int, *, another: bool) -> None:
        """Crash in a call of a method, go on with the same tracker or another process's, and compare."""
        folder.mkdir()
        script, stage, tracker = _training().end(), _Stage(folder), self.make(folder)
        original = getattr(tracker, method)
        tracker.batch_size = _BATCH  # type: ignore[misc]
        setattr(tracker, method, _crashing(original, number, behind=method == "flush"))
        stage.write(script)
        try:
            stage.deliver(tracker, script.id)
        except _Crash:
            if another:
                self.die(tracker)
                tracker = self.make(folder)
            else:
                setattr(tracker, method, original)
            stage.deliver(tracker, script.id)
        self._check(folder, tracker, script)

    def _check(self, folder: Path, tracker: Tracker, *scripts: _Script) -> None:
        """Compare what went in with what is there."""
        tracker.close()
        runs = list(self.read(folder))
        names, expected_names = sorted(run.name for run in runs), sorted(script.name for script in scripts)
        assert names == expected_names, f"the backend has the runs {names}, expected {expected_names}"
        found = {run.name: run for run in runs}
        for script in scripts:
            run = found[script.name]
            there, sent = (Counter(map(self._comparable, points)) for points in (run.points, script.points()))
            assert not sent - there, f"{run.name}: missing: {_some(sent - there)}"
            assert not there - sent, f"{run.name}: doubled, or never sent: {_some(there - sent)}"
            _check_params(run, script)
            end = script.events[-1]
            state = str(end.state) if isinstance(end, TrialFinished) else ""
            assert run.state == state, f"{run.name}: the state is {run.state!r}, expected {state!r}"

    def _comparable(self, point: RecordedPoint) -> tuple[str, int, int | None, str]:
        value = float(point.value) if self.exact else _as_float32(point.value)
        return point.name, int(point.step), point.epoch if self.keeps_epochs else None, repr(value)


def _crashing(method: Callable[..., Any], number: int, *, behind: bool) -> Callable[..., Any]:
    """Return a method that crashes in its n-th call, having done its work or not."""
    calls = 0

    @functools.wraps(method)
    def crashing(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != number:
            return method(*arguments, **named)
        if behind:
            method(*arguments, **named)
        raise _Crash

    return crashing


def _check_params(run: RecordedRun, script: _Script) -> None:
    expected = {name: _text(value) for name, value in script.all_params().items()}
    found = {name: _text(value) for name, value in run.params.items()}
    assert found.keys() == expected.keys(), f"{run.name}: params {sorted(found)}, expected {sorted(expected)}"
    for name, value in expected.items():
        is_there = found[name] == value if len(value) < 1000 else found[name].startswith(value[:100])
        assert is_there, f"{run.name}: param {name!r} is {found[name][:100]!r}, expected {value[:100]!r}"


def _text(value: object) -> str:
    """Return a param as text, the same whatever type a backend stores it as."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return repr(float(value))
        except ValueError:
            pass
    return str(value)


def _as_float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _some(points: Counter[Any]) -> str:
    return f"{points.total()} points, such as {next(iter(points))}"
