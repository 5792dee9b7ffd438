"""The live handle: what it logs, what it refuses, what it says about itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

import hyperhook as hh
from hyperhook.curve import Curve
from hyperhook.errors import ArtifactError, MetricError, TrialStateError
from hyperhook.events import ArtifactLogged, Event, MetricsLogged, ParamsLogged, StopRequested, decode, encode
from hyperhook.ranks import Silence
from hyperhook.records import TrialState
from hyperhook.trial import Trial, running

RECORD = hh.TrialRecord("a", 3, "s", {"lr": 0.1, "deep": True})


@dataclass
class Sink:
    """Keeps what comes; every event must survive the journal's form."""

    stop: bool = False
    events: list[Event] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    asked: list[tuple[hh.TrialRecord, hh.Point | None]] = field(default_factory=list)
    expects: list[bool] = field(default_factory=list)

    def emit(self, trial: hh.TrialRecord, event: Event) -> None:
        assert decode(encode(event)) == event
        self.events.append(event)

    def store(self, place: str, write: Callable[[Path], None]) -> Path | None:
        self.places.append(place)
        return Path("/kept") / place

    def discard(self, place: str) -> Path | None:
        return Path("/kept") / place if place in self.places else None

    def should_stop(self, trial: hh.TrialRecord, curve: Curve, *, expects: bool) -> bool:
        self.asked.append((trial, curve.last))
        self.expects.append(expects)
        return self.stop


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def trial(sink: Sink) -> Trial:
    return Trial(RECORD, sink, objective=hh.Maximize("acc"))


def points(sink: Sink) -> list[tuple[dict[str, float], int, int | None]]:
    return [(event.values(), event.step, event.epoch) for event in sink.events if isinstance(event, MetricsLogged)]


def test_steps_go_on_behind_the_last(trial: Trial, sink: Sink) -> None:
    trial.log({"a": 1})
    trial.log({"a": 2}, step=10, epoch=1)
    trial.log({"a": 3})
    trial.log({"a": 4}, step=2)
    trial.log({"a": 5})
    assert points(sink) == [({"a": n}, step, 1 if n == 2 else None) for n, step in enumerate([0, 10, 11, 2, 3], 1)]


class Name(StrEnum):
    LOSS = "loss"


@pytest.mark.parametrize(
    "value",
    [1, True, 1.0, np.float32(1), np.float64(1), np.int8(1), np.bool_(True), np.array(1.0), np.array([1.0]).sum()],
)
def test_anything_with_one_number_in_it_is_logged_as_a_float(trial: Trial, sink: Sink, value: object) -> None:
    trial.log({Name.LOSS: value, np.str_("n"): value}, step=np.int64(3), epoch=np.int32(1))  # type: ignore[dict-item, arg-type]
    (event,) = sink.events
    assert isinstance(event, MetricsLogged)
    assert event.metrics == {"loss": 1.0, "n": 1.0}
    assert {type(found) for found in event.metrics.values()} == {float}
    assert {type(found) for found in event.metrics} == {str}
    assert (type(event.step), type(event.epoch)) == (int, int)


def test_nan_and_the_infinities_are_kept(trial: Trial, sink: Sink) -> None:
    trial.log({"a": math.nan, "b": np.float32("inf"), "c": -math.inf})
    (found,) = points(sink)
    assert repr(found[0]) == repr({"a": math.nan, "b": math.inf, "c": -math.inf})


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ({"a": "1.0"}, {}, "log: metric 'a' got '1.0' (str), expected a number"),
        ({"a": b"1"}, {}, "log: metric 'a' got b'1' (bytes), expected a number"),
        ({"a": None}, {}, "log: metric 'a' got None (NoneType), expected a number"),
        ({"a": [1.0]}, {}, "log: metric 'a' got [1.0] (list), expected a number"),
        ({"a": 1j}, {}, "log: metric 'a' got 1j (complex), expected a number"),
        ({"a": np.zeros(2)}, {}, "log: metric 'a' got a ndarray that is not one number"),
        ({"a": 10**400}, {}, "log: metric 'a' got a int that is not one number"),
        ({"": 1.0}, {}, "log: names must be non-empty strings, got ''"),
        ({1: 1.0}, {}, "log: names must be non-empty strings, got 1"),
        (0.5, {}, "log: expected names and numbers, as in {'loss': 0.5}, got 0.5"),
        ([("a", 1.0)], {}, "log: expected names and numbers"),
        ({"a": 1.0}, {"step": -1}, "step: expected an int from 0 below 2**63, got -1 (int)"),
        ({"a": 1.0}, {"step": 1.0}, "step: expected an int from 0 below 2**63, got 1.0 (float)"),
        ({"a": 1.0}, {"step": True}, "step: expected an int from 0 below 2**63, got True (bool)"),
        ({"a": 1.0}, {"step": "1"}, "step: expected an int from 0 below 2**63, got '1' (str)"),
        ({"a": 1.0}, {"step": 2**63}, "step: expected an int from 0 below 2**63, got 9223372036854775808 (int)"),
        ({"a": 1.0}, {"epoch": -1}, "epoch: expected an int from 0 below 2**63, got -1 (int)"),
        ({"a": 1.0}, {"epoch": 1.5}, "epoch: expected an int from 0 below 2**63, got 1.5 (float)"),
        ({"a": 1.0}, {"epoch": "1"}, "epoch: expected an int from 0 below 2**63, got '1' (str)"),
        ({"a": 1.0}, {"stderr": 0.1}, "log: stderr=0.1 has no metric to belong to: the objective's 'acc' is"),
        ({"a": 1.0}, {"stderr": {"b": 0.1}}, "log: stderr names 'b', which is not logged here; logged together: "),
        ({"a": 1.0}, {"stderr": {"a": -0.1}}, "log: stderr of 'a': expected a finite number from 0, got -0.1 (float)"),
        ({"acc": 1.0}, {"stderr": math.nan}, "log: stderr of 'acc': expected a finite number from 0, got nan (float)"),
        ({"acc": 1.0}, {"stderr": math.inf}, "log: stderr of 'acc': expected a finite number from 0, got inf (float)"),
        ({"acc": 1.0}, {"stderr": "0.1"}, "log: stderr of 'acc': expected a finite number from 0, got '0.1' (str)"),
        ({"acc": 1.0}, {"stderr": True}, "log: stderr of 'acc': expected a finite number from 0, got True (bool)"),
        ({"acc": 1.0}, {"stderr": np.zeros(2)}, "log: stderr of 'acc': expected a finite number from 0, got array("),
    ],
)
def test_what_cannot_be_logged_is_one_clear_error_and_nothing_of_the_call_is_logged(
    trial: Trial, sink: Sink, metrics: object, options: dict[str, int], message: str
) -> None:
    both = {"fine": 1.0, **metrics} if isinstance(metrics, dict) else metrics
    with pytest.raises(MetricError) as raised:
        trial.log(both, **options)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message)
    assert sink.events == []
    trial.log({"a": 1.0})
    assert points(sink) == [({"a": 1.0}, 0, None)]


def test_nothing_logged_is_no_event(trial: Trial, sink: Sink) -> None:
    trial.log({})
    trial.log_params({})
    assert sink.events == []


def test_params_are_flat_once_and_never_change(trial: Trial, sink: Sink) -> None:
    trial.log_params(
        {"lr": 0.1, "model": {"depth": 3, "act": {}, "inner": {"p": None}}, "path": Path("x"), "seq": [1, 2]}
    )
    trial.log_params({"model": {"depth": 3}, "lr": 0.2})
    trial.log_params(
        {"lr": 0.3, "new": np.float64(0.5), "big": 2**70, "bad": math.nan, "np": np.int64(3), 5: Name.LOSS}
    )
    assert [event.params for event in sink.events if isinstance(event, ParamsLogged)] == [
        {"model/depth": 3, "model/act": "{}", "model/inner/p": None, "path": "x", "seq": "[1, 2]"},
        {"logged/lr": 0.2},
        {"new": 0.5, "big": 2**70, "bad": "nan", "np": "3", "5": "loss"},
    ]
    assert trial.params == {"lr": 0.1, "deep": True}


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_param_of_any_kind_is_recorded_by_its_text(trial: Trial, sink: Sink) -> None:
    trial.log_params(
        {"path": Path("\udcff"), "name": "a\udcff", "\udcff": 1, "mute": Mute(), "enum": Name.LOSS, 3: None}
    )
    (event,) = sink.events
    assert isinstance(event, ParamsLogged)
    assert event.params == {
        "path": r"\udcff",
        "name": r"a\udcff",
        r"\udcff": 1,
        "mute": "<Mute without a text: RuntimeError>",
        "enum": "loss",
        "3": None,
    }


def test_params_are_a_dictionary_of_your_own(trial: Trial) -> None:
    trial.params["lr"] = 3.0
    assert trial.params["lr"] == 0.1


def test_an_artifact_is_named_after_its_file(
    trial: Trial, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ü.ckpt").write_bytes(b"w")
    trial.log_artifact("ü.ckpt")
    trial.log_artifact(tmp_path / "ü.ckpt", name="best/w", kind="checkpoint", step=np.int64(4), score=np.float32("inf"))  # type: ignore[arg-type]
    assert [event.artifact() for event in sink.events if isinstance(event, ArtifactLogged)] == [
        hh.Artifact(Path("/kept/files/%C3%BC.ckpt"), "ü.ckpt", place="files/%C3%BC.ckpt"),
        hh.Artifact(Path("/kept/checkpoints/best/w"), "best/w", "checkpoint", 4, math.inf, place="checkpoints/best/w"),
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"path": "missing"},
            FileNotFoundError,
            "log_artifact: there is no file .*missing'; log it after it was written",
        ),
        ({"kind": "model"}, ArtifactError, "kind must be 'file' or 'checkpoint', got 'model'"),
        ({"step": 1.5}, MetricError, r"step: expected an int from 0 below 2\*\*63, got 1.5"),
        ({"score": "good"}, MetricError, "metric 'score' got 'good'"),
    ],
)
def test_an_artifact_that_cannot_be(
    trial: Trial, sink: Sink, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trial.log_artifact(**{"path": __file__, **options})  # type: ignore[arg-type]
    assert sink.events == []


CALLS: list[Callable[[Trial], object]] = [
    lambda trial: trial.log({"a": 1.0}),
    lambda trial: trial.log_params({"a": 1}),
    lambda trial: trial.log_artifact(__file__),
    lambda trial: trial.remove_artifact("a"),
    lambda trial: trial.log_tags({"a": "b"}),
    lambda trial: trial.log_note("a"),
    lambda trial: trial.log_dataset("a"),
    lambda trial: trial.log_image("a", __file__),
    lambda trial: trial.log_figure("a", object()),
    lambda trial: trial.log_table("a", {}),
    lambda trial: trial.log_text("a", "b"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", [state for state in TrialState if state.is_finished])
def test_a_trial_that_ended_logs_nothing_more(trial: Trial, sink: Sink, call: object, state: TrialState) -> None:
    trial.ended(replace(RECORD, state=state))
    with pytest.raises(TrialStateError, match=f"trial 's-3' ended as {state}; log before it ends"):
        call(trial)  # type: ignore[operator]
    assert not trial.should_stop
    assert sink.events == []
    assert sink.asked == []


@pytest.mark.parametrize("call", CALLS)
def test_a_silent_rank_logs_nothing_and_decides_nothing(call: object) -> None:
    silent = Trial(RECORD, Silence(), emits=False)
    call(silent)  # type: ignore[operator]
    assert not silent.should_stop
    assert not silent.emits
    assert silent.params == RECORD.params


def test_pruners_are_asked_with_what_the_trial_would_end_with(trial: Trial, sink: Sink) -> None:
    assert not trial.should_stop
    trial.log({"acc": 0.5}, step=10, epoch=1)
    trial.log({"acc": 0.25}, step=20, epoch=2)
    assert not trial.should_stop
    assert sink.asked == [
        (RECORD, None),
        (replace(RECORD, value=0.5, step=10, epoch=1), hh.Point(0.25, 20, 2)),
    ]


@pytest.mark.parametrize("stderr", [0.25, {"acc": 0.25}, {"acc": np.float32(0.25), "loss": 0}])
def test_a_standard_error_is_journalled_and_shown_to_pruners(trial: Trial, sink: Sink, stderr: object) -> None:
    trial.log({"acc": 0.5, "loss": 1.0}, step=10, stderr=stderr)  # type: ignore[arg-type]
    trial.log({"acc": 0.25}, step=20)
    (first, second) = (event for event in sink.events if isinstance(event, MetricsLogged))
    assert (first.stderr or {})["acc"] == 0.25
    assert second.stderr is None
    assert not trial.should_stop
    assert sink.asked == [(RECORD.at(hh.Point(0.5, 10, None, 0.25)), hh.Point(0.25, 20))]


def test_without_an_objective_a_standard_error_names_its_metric(sink: Sink) -> None:
    trial = Trial(RECORD, sink)
    with pytest.raises(MetricError, match="has no metric to belong to: the study has no objective; name it"):
        trial.log({"acc": 0.5}, stderr=0.1)
    trial.log({"acc": 0.5}, stderr={"acc": 0.1})
    assert [event.stderr for event in sink.events if isinstance(event, MetricsLogged)] == [{"acc": 0.1}]


def test_the_metric_is_expected_in_the_second_epoch_that_is_asked_in(trial: Trial, sink: Sink) -> None:
    assert not trial.should_stop
    for step, epoch in enumerate((None, 0, None, 0, 1)):
        trial.log({"loss": 0.5}, step=step, epoch=epoch)
        assert not trial.should_stop
    assert sink.expects == [False, False, False, False, False, True]


def test_a_loop_that_logs_no_epochs_may_validate_when_it_likes(trial: Trial, sink: Sink) -> None:
    for step in range(5):
        trial.log({"loss": 0.5}, step=step)
        assert not trial.should_stop
    assert sink.expects == [False] * 5


def test_adapters_say_by_themselves_whether_it_is(trial: Trial, sink: Sink) -> None:
    for expects in (False, True, False):
        trial.log({"loss": 0.5})
        assert not trial.ask_pruners(expects=expects)
    assert sink.expects == [False, True, False]


def test_once_told_to_stop_a_trial_asks_no_more(trial: Trial, sink: Sink) -> None:
    trial.log({"acc": 0.5}, step=10)
    sink.stop = True
    assert trial.should_stop
    sink.stop = False
    assert trial.should_stop
    assert trial.stop_requested
    assert len(sink.asked) == 1
    stops = [event for event in sink.events if isinstance(event, StopRequested)]
    assert [event.step for event in stops] == [10]
    trial.log({"acc": 0.6})


@pytest.mark.parametrize("reduce", ["best", "last"])
def test_another_process_s_events_rebuild_the_handle(sink: Sink, reduce: str) -> None:
    objective = hh.Maximize("acc", reduce=reduce)  # type: ignore[arg-type]
    there, here = Trial(RECORD, sink, objective=objective), Trial(RECORD, sink, objective=objective)
    here.log({"acc": 0.3}, step=0)
    there.log({"acc": 0.9}, step=5, epoch=1, stderr=0.1)
    there.log({"acc": 0.7}, step=6, epoch=1)
    there.log_params({"p": 1})
    sink.stop = True
    assert there.should_stop
    here.catch_up(iter(sink.events))
    assert here.curve.count == 3
    assert here.curve.reduced() == (hh.Point(0.9, 5, 1, 0.1) if reduce == "best" else hh.Point(0.7, 6, 1))
    assert here.stop_requested
    count = len(sink.events)
    here.log_params({"p": 1})
    assert len(sink.events) == count
    here.log({"acc": 0.1})
    assert points(sink)[-1][1] == 7


def test_the_current_trial_is_the_innermost_and_goes_back(trial: Trial, sink: Sink) -> None:
    inner = Trial(RECORD, sink)
    assert hh.current_trial() is None
    with running(trial):
        assert hh.current_trial() is trial
        with suppress(ValueError), running(inner):
            assert hh.current_trial() is inner
            raise ValueError("no")
        assert hh.current_trial() is trial
    assert hh.current_trial() is None


def test_repr_says_what_it_is(trial: Trial) -> None:
    assert repr(trial) == "Trial('s-3', RUNNING, params={'lr': 0.1, 'deep': True})"
    assert (trial.id, trial.number, trial.record) == ("a", 3, RECORD)
