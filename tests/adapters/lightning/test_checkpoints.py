"""Checkpoints: found once they are there, at the step that they were announced with."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyperhook_adapters.lightning.checkpoints import Checkpoints


@pytest.fixture
def kept() -> Any:
    """A checkpoint callback, as far as it is looked at."""
    return SimpleNamespace(best_k_models={}, best_model_path="", last_model_path="")


def found(checkpoints: Checkpoints, kept: Any) -> list[tuple[str, int, float | None]]:
    return [(file.path.name, file.step, file.score) for file in checkpoints.take([kept])]


def test_nothing_without_an_announcement(tmp_path: Path, kept: Any) -> None:
    kept.last_model_path = str(tmp_path / "old.ckpt")
    (tmp_path / "old.ckpt").touch()
    assert found(Checkpoints(), kept) == []


def test_a_file_that_is_written_in_the_background_keeps_its_step(tmp_path: Path, kept: Any) -> None:
    checkpoints = Checkpoints()
    for step, name in ((3, "a.ckpt"), (7, "b.ckpt")):
        kept.best_k_models[str(tmp_path / name)] = float(step)
        checkpoints.announce(step)
        assert found(checkpoints, kept) == []
    (tmp_path / "a.ckpt").touch()
    assert found(checkpoints, kept) == [("a.ckpt", 3, 3.0)]
    (tmp_path / "b.ckpt").touch()
    assert found(checkpoints, kept) == [("b.ckpt", 7, 7.0)]
    assert found(checkpoints, kept) == []


def test_a_file_that_is_written_again_is_found_again(tmp_path: Path, kept: Any) -> None:
    checkpoints = Checkpoints()
    last = tmp_path / "last.ckpt"
    kept.last_model_path = kept.best_model_path = str(last)
    for step in (3, 7):
        last.touch()
        os.utime(last, ns=(step, step))
        checkpoints.announce(step)
        assert found(checkpoints, kept) == [("last.ckpt", step, None)]
    checkpoints.announce(11)  # of a file that no checkpoint callback keeps
    assert found(checkpoints, kept) == []


def test_a_checkpoint_that_is_kept_for_its_score_and_as_the_last_is_one(tmp_path: Path, kept: Any) -> None:
    checkpoints = Checkpoints()
    path = tmp_path / "best.ckpt"
    path.touch()
    kept.best_model_path = kept.last_model_path = str(path)
    kept.best_k_models = {str(path): 0.5}
    checkpoints.announce(3)
    assert found(checkpoints, kept) == [("best.ckpt", 3, 0.5)]
