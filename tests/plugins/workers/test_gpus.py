"""Which GPUs each worker may see."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperhook.errors import StudyError
from hyperhook_plugins.workers.gpus import shares, visible

LIST = """GPU 0: NVIDIA H100 (UUID: GPU-aaaa)
  MIG 1g.10gb     Device  0: (UUID: MIG-1111)
  MIG 1g.10gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA H100 (UUID: GPU-bbbb)
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of nvidia-smi, the only one on the path."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , GPU-ab12 ", ["3", "GPU-ab12"]),
        ("MIG-1111,MIG-2222", ["MIG-1111", "MIG-2222"]),
        ("", []),
        ("-1", []),
        ("2,-1,3", ["2"]),
        ("2,,3", ["2"]),
    ],
)
def test_the_gpus_are_those_that_this_process_may_see(
    named: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible() == found


def test_without_the_variable_nvidia_smi_tells_and_instances_stand_for_their_gpu(smi: Path) -> None:
    assert visible() == []  # there is no such program
    smi.write_text(f"#!/bin/sh\necho '{LIST}'\n")
    smi.chmod(0o755)
    assert visible() == ["MIG-1111", "MIG-2222", "GPU-bbbb"]


def test_a_driver_that_fails_is_told(smi: Path) -> None:
    smi.write_text("#!/bin/sh\nexit 9\n")
    smi.chmod(0o755)
    with pytest.raises(StudyError, match="name them in CUDA_VISIBLE_DEVICES"):
        visible()


@pytest.mark.parametrize(
    ("each", "workers", "expected"),
    [
        (1, 2, ["a", "b"]),
        (1, None, ["a", "b", "c", "d"]),
        (2, None, ["a,b", "c,d"]),
        (3, 1, ["a,b,c"]),
        (0.5, 5, ["a", "b", "c", "d", "a"]),
        (0.333, 12, ["a", "b", "c", "d"] * 3),
    ],
)
def test_gpus_are_shared_out(each: float, workers: int | None, expected: list[str]) -> None:
    assert shares(["a", "b", "c", "d"], each, workers) == expected


@given(
    count=st.integers(0, 16),
    each=st.one_of(st.integers(1, 5), st.sampled_from([0.5, 0.25, 0.1])),
    workers=st.integers(1, 40),
)
def test_no_gpu_is_given_more_than_it_has_and_what_fits_is_never_refused(count: int, each: float, workers: int) -> None:
    gpus = [f"GPU-{number}" for number in range(count)]
    fits = count // each if each >= 1 else count * round(1 / each)
    if workers > fits:
        with pytest.raises(StudyError, match="do not fit"):
            shares(gpus, each, workers)
        return
    given_out = shares(gpus, each, workers)
    assert len(given_out) == workers
    for gpu in gpus:
        users = sum(gpu in share.split(",") for share in given_out)
        assert users * min(each, 1) <= 1 + 1e-9


def test_too_few_gpus_are_told_with_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(StudyError, match=r"4 of 1 GPUs each do not fit on the 2 GPUs here .*'0,1'.*fewer workers"):
        shares(visible(), 1, 4)
    with pytest.raises(StudyError, match="gpus_per_trial=0"):
        shares([], 1, None)
