from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hyperhook as hh
from hyperhook import StudyRecord, TrialRecord, TrialState
from hyperhook_plugins.gp import GP, search
from hyperhook_plugins.gp.devices import bytes_needed, device_of, given_back

SPACE = hh.Space({"x": hh.Float(0.0, 1.0), "y": hh.Float(0.0, 1.0)})


def study_of(count: int = 12) -> StudyRecord:
    import random

    rng = random.Random(0)
    trials = (
        TrialRecord(f"t-{n}", n, "s", SPACE.sample(rng), state=TrialState.COMPLETE, value=rng.random())
        for n in range(count)
    )
    return StudyRecord("s", SPACE, hh.Minimize("loss"), seed=1, trials=tuple(trials))


class Card:
    """Stands in for a GPU: how much memory is free, and how often it was given back."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.returns = 0

    def put_in(self, patch: pytest.MonkeyPatch) -> Card:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "mem_get_info", lambda: (self.free, 2 * self.free))
        patch.setattr(torch.cuda, "empty_cache", self.empty)
        return self

    def empty(self) -> None:
        self.returns += 1


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that something was put on, none of which need be there."""
    names: list[str] = []
    empty = torch.empty

    def put(*size: Any, device: Any = None, **rest: Any) -> torch.Tensor:
        names.append(str(device))
        return empty(*size, **rest)

    monkeypatch.setattr(torch, "empty", put)
    return names


def test_few_observations_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    Card(free=80 << 30).put_in(monkeypatch)
    assert device_of("auto", 100, 8).type == "cpu"


def test_many_go_to_the_gpu(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    Card(free=80 << 30).put_in(monkeypatch)
    assert device_of("auto", 1_000, 8).type == "cuda"
    assert asked == ["cuda"]


def test_a_gpu_that_is_nearly_full_is_left_to_the_trainer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Card(free=bytes_needed(1_000, 8)).put_in(monkeypatch)
    with caplog.at_level(logging.INFO, logger="hyperhook"):
        assert device_of("auto", 1_000, 8).type == "cpu"
    assert "the CPU is taken" in caplog.text


def test_without_a_gpu_everything_stays_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto", 100_000, 8).type == "cpu"


@given(st.integers(1, 5_000), st.integers(1, 100))
def test_more_observations_need_more_memory(observations: int, columns: int) -> None:
    assert bytes_needed(observations, columns) < bytes_needed(observations + 1, columns)
    assert bytes_needed(observations, columns) > 8 * observations**2


def test_memory_is_given_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(free=1 << 30).put_in(monkeypatch)
    with given_back(torch.device("cuda")):
        pass
    with pytest.raises(RuntimeError), given_back(torch.device("cuda")):
        raise RuntimeError
    assert card.returns == 2
    with given_back(torch.device("cpu")):
        pass
    assert card.returns == 2


def test_the_cpu_takes_over_where_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = GP(device="cpu").suggest(study_of(), 2)
    learned = search.Mind.of

    def of(history: Any, encoding: Any, device: torch.device, *rest: Any) -> search.Mind:
        if device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learned(history, encoding, device, *rest)

    monkeypatch.setattr(search.Mind, "of", of)
    monkeypatch.setattr(search, "device_of", lambda *_: torch.device("meta"))
    with caplog.at_level(logging.WARNING, logger="hyperhook"):
        assert GP().suggest(study_of(), 2) == expected
    assert [record.getMessage() for record in caplog.records] == [
        "gp: meta has too little memory left; the CPU takes over"
    ]
