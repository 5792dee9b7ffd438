"""The events and their lines in the journal."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook.errors import JournalError
from hyperhook.events import (
    SCHEMA,
    ArtifactLogged,
    DatasetLogged,
    Event,
    MetricsLogged,
    ParamsLogged,
    StopRequested,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialResumed,
    TrialStarted,
    decode,
    encode,
    finite,
    trial_after,
)

times = st.floats(0, 4e9)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
steps = st.integers(0, 2**62)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | names
)
errors = st.floats(0, allow_infinity=False)
metrics = st.builds(
    lambda time, values, step, epoch, stderr: MetricsLogged(
        time=time,
        metrics={name: finite(value) for name, value in values.items()},
        step=step,
        epoch=epoch,
        stderr=stderr,
    ),
    times,
    st.dictionaries(names, st.floats(), min_size=1, max_size=3),
    steps,
    st.none() | steps,
    st.none() | st.dictionaries(names, errors, max_size=2),
)
events = st.one_of(
    metrics,
    st.builds(
        TrialStarted,
        time=times,
        id=names,
        number=steps,
        study=names,
        params=st.dictionaries(names, scalars, max_size=3),
    ),
    st.builds(ParamsLogged, time=times, params=st.dictionaries(names, scalars, max_size=3)),
    st.builds(
        ArtifactLogged,
        time=times,
        path=names,
        name=names,
        kind=st.sampled_from(["file", "checkpoint"]),
        step=st.none() | steps,
        score=st.none() | st.floats().map(finite),
        metadata=st.dictionaries(names, scalars, max_size=2),
    ),
    st.builds(
        DatasetLogged,
        time=times,
        name=names,
        context=names,
        digest=st.none() | names,
        source=st.none() | names,
        profile=st.dictionaries(names, scalars, max_size=2),
    ),
    st.builds(StopRequested, time=times, step=st.none() | steps),
    st.builds(
        TrialFinished,
        time=times,
        state=st.sampled_from(hh.TrialState),
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        step=st.none() | steps,
        error=st.none() | names,
        stderr=st.none() | errors,
        metrics=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
    ),
)


@given(events)
def test_an_event_is_one_line_of_strict_json_and_comes_back_the_same(event: Event) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert decode(line) == event


@given(st.dictionaries(names, st.floats(), min_size=1, max_size=4))
def test_nan_and_the_infinities_come_back(values: dict[str, float]) -> None:
    event = MetricsLogged(time=0.0, metrics={name: finite(value) for name, value in values.items()}, step=0)
    back = decode(encode(event))
    assert isinstance(back, MetricsLogged)
    assert repr(back.values()) == repr(values)


@given(events, st.data())
def test_a_torn_line_is_no_event_and_no_error(event: Event, data: st.DataObject) -> None:
    line = encode(event)
    assert decode(line[: data.draw(st.integers(0, len(line) - 2))]) is None


@pytest.mark.parametrize(
    "torn", [b'{"event":"of_tomorrow","ti', b'{"event":"metrics_logged","metrics":{"\xc3":1},"step":0}']
)
def test_what_cannot_be_read_at_all_was_torn(torn: bytes) -> None:
    assert decode(torn) is None


@pytest.mark.parametrize("line", [b"[]", b"1", b"{}", b'{"a": 1}', b'{"event": "metrics_logged"}', b'{"schema": "x"}'])
def test_json_that_is_no_event_is_an_error(line: bytes) -> None:
    with pytest.raises(JournalError, match=r"not an event: .*; is the file a journal\?"):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        encode(TrialStarted(time=0.0, schema=SCHEMA + 1, id="a", number=0, study="s", params={})),
        b'{"event":"trial_started","schema":%d,"shape":"unknown"}' % (SCHEMA + 1),
        b'{"event":"of_tomorrow","schema":%d}' % (SCHEMA + 1),
    ],
)
def test_a_newer_schema_is_refused_and_says_so(line: bytes) -> None:
    message = f"the journal has schema {SCHEMA + 1}, this hyperhook reads up to {SCHEMA}; update hyperhook"
    with pytest.raises(JournalError, match=message):
        decode(line)


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_an_older_schema_is_read(schema: int) -> None:
    line = b'{"event":"trial_started","time":0,"schema":%d,"id":"a","number":0,"study":"s","params":{}}' % schema
    assert decode(line) == TrialStarted(time=0.0, schema=schema, id="a", number=0, study="s", params={})


def test_an_artifact_of_before_it_had_metadata_has_none() -> None:
    event = decode(b'{"event":"artifact_logged","time":0,"path":"/a/w","name":"w"}')
    assert isinstance(event, ArtifactLogged)
    assert event.artifact().metadata == {}


def test_standard_errors_are_written_where_there_are_some_and_before_there_were_any_there_are_none() -> None:
    plain = b'{"event":"metrics_logged","time":0.0,"metrics":{"m":0.5},"step":0}\n'
    event = decode(plain)
    assert isinstance(event, MetricsLogged)
    assert event.stderr is None
    assert encode(event) == plain
    ended = decode(b'{"event":"trial_finished","time":0.0,"state":"COMPLETE","value":0.5}\n')
    assert isinstance(ended, TrialFinished)
    assert ended.point == hh.Point(0.5)


def test_the_schema_is_written_into_the_first_event() -> None:
    trial = hh.TrialRecord("a", 0, "s")
    assert json.loads(encode(TrialStarted.of(trial)))["schema"] == SCHEMA
    study = hh.StudyRecord("s", hh.Space({}))
    assert json.loads(encode(StudyStarted.of(study)))["schema"] == SCHEMA


@pytest.mark.parametrize("objective", [None, hh.Maximize("acc"), hh.Minimize("loss", reduce="last")])
@pytest.mark.parametrize("kind", [StudyStarted, StudyFinished])
def test_a_study_comes_back_without_its_trials(
    kind: type[StudyStarted | StudyFinished], objective: hh.Objective | None
) -> None:
    space = hh.Space({"lr": hh.Float(1e-4, 1, log=True), "net": hh.Choice({"a": {"n": hh.Int(1, 2)}, "b": {}})})
    bounds = () if objective is None else (hh.Constraint("ms", "<=", 20), hh.Constraint("größe", ">=", 0.5))
    trials = (hh.TrialRecord("a", 0, "s"),)
    further = () if objective is None else (hh.Minimize("ms"), hh.Maximize("f1", reduce="last"))
    study = hh.StudyRecord("ünïversal/.. 🎛", space, objective, 7, trials, bounds, further)
    back = decode(encode(kind.of(study)))
    assert isinstance(back, kind)
    assert back.record() == replace(study, trials=())
    assert (b"constraints" in encode(kind.of(study))) == (b"further" in encode(kind.of(study))) == bool(bounds)


def test_a_trial_is_folded_from_its_events() -> None:
    trial = hh.TrialRecord("a", 3, "s", {"x": 0.5}, started_time=10.0)
    ended = hh.TrialRecord(
        "a",
        3,
        "s",
        {"x": 0.5},
        hh.TrialState.FAILED,
        0.25,
        7,
        1,
        "ValueError: no",
        started_time=10.0,
        finished_time=12.0,
        stderr=0.125,
        metrics={"ms": 12.5},
    )
    assert trial_after(None, MetricsLogged(time=0.0, metrics={"m": 1.0}, step=0)) is None
    begun = trial_after(None, TrialStarted.of(trial))
    assert begun == trial
    assert trial_after(begun, MetricsLogged(time=0.0, metrics={"m": 1.0}, step=0)) == trial
    assert trial_after(begun, TrialFinished.of(ended)) == ended
    assert trial_after(ended, TrialResumed(time=13.0)) == begun


def test_an_artifact_comes_back_with_a_score_that_json_lacks() -> None:
    event = ArtifactLogged(
        time=0.0,
        path="/a/ü.ckpt",
        name="best/ü.ckpt",
        place="checkpoints/best/ü.ckpt",
        kind="checkpoint",
        step=3,
        score=finite(math.inf),
        aliases=("best",),
        metadata={"signature": "{}"},
    )
    back = decode(encode(event))
    assert isinstance(back, ArtifactLogged)
    assert back.artifact() == hh.Artifact(
        Path("/a/ü.ckpt"),
        "best/ü.ckpt",
        "checkpoint",
        3,
        math.inf,
        ("best",),
        "checkpoints/best/ü.ckpt",
        {"signature": "{}"},
    )


def test_a_dataset_comes_back() -> None:
    event = DatasetLogged(time=0.0, name="größe", context="test", digest="d", source="s", profile={"rows": 3})
    back = decode(encode(event))
    assert isinstance(back, DatasetLogged)
    assert back.dataset() == hh.Dataset("größe", "test", "d", "s", {"rows": 3})
