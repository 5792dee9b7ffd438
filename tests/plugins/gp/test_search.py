"""What happens when a step of the optimizer fails, and what the optimizer leaves alone."""

from __future__ import annotations

import logging
import random
import subprocess
import sys

import pytest
import torch

from hyperhook import Choice, Float, HyperhookError, Int, Maximize, Params, Space, StudyRecord, TrialRecord, TrialState
from hyperhook_plugins.gp import GP, learning, mind

SPACE = Space({"x": Float(0.0, 1.0), "n": Int(1, 300, log=True), "c": Choice(["a", "b"])})


def quality(params: Params) -> float:
    return float(params["x"] or 0) + (params["c"] == "a")


def study_of(count: int = 8) -> StudyRecord:
    rng = random.Random(0)
    tried = [SPACE.sample(rng) for _ in range(count)]
    trials = tuple(
        TrialRecord(f"t{i}", i, "s", params, TrialState.COMPLETE, quality(params)) for i, params in enumerate(tried)
    )
    return StudyRecord("s", SPACE, Maximize("quality"), 0, trials)


def fails(*_: object) -> None:
    raise torch.linalg.LinAlgError("no factor")


def test_a_failed_fit_falls_back_on_the_prior(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(learning, "fit", fails)
    with caplog.at_level(logging.WARNING, logger="hyperhook"):
        (params,) = GP(device="cpu").suggest(study_of(), 1)
    SPACE.validate(params)
    assert [record.getMessage() for record in caplog.records] == [
        "gp: the fit failed (_LinAlgError: no factor); the prior's hyperparameters are taken"
    ]
    assert params["c"] == "a"  # it has still learned


def test_a_failed_model_falls_back_on_space_filling(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mind, "maximise", fails)
    with caplog.at_level(logging.WARNING, logger="hyperhook"):
        suggested = GP(device="cpu").suggest(study_of(), 3)
    for params in suggested:
        SPACE.validate(params)
    assert len({str(params) for params in suggested}) == 3
    assert ["space-filling" in record.getMessage() for record in caplog.records] == [True]


def test_a_device_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(HyperhookError, match="'nonsense' cannot be used"):
        GP(device="nonsense").suggest(study_of(), 1)
    if not torch.cuda.is_available():
        with pytest.raises(HyperhookError, match=r"'cuda' cannot be used .* use device='auto' or 'cpu'"):
            GP(device="cuda").suggest(study_of(), 1)


def test_the_device_is_told_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="hyperhook"):
        GP().suggest(study_of(), 1)
    assert any(record.getMessage().startswith("gp: device c") for record in caplog.records)


@pytest.mark.parametrize("startup", [0, -3])
def test_a_start_without_trials_is_an_error(startup: int) -> None:
    with pytest.raises(ValueError, match="startup must be 1 or more"):
        GP(startup=startup)


def test_it_works_in_whatever_mode_the_trainer_is_and_leaves_it_as_it_was() -> None:
    expected = GP(device="cpu").suggest(study_of(), 1)
    before = torch.get_rng_state()
    with torch.inference_mode():
        assert GP(device="cpu").suggest(study_of(), 1) == expected
        assert torch.is_inference_mode_enabled()
    with torch.no_grad(), torch.device("meta"):
        assert GP(device="cpu").suggest(study_of(), 1) == expected
        assert torch.empty(0).device.type == "meta"
    torch.set_default_dtype(torch.float16)
    try:
        (params,) = GP(device="cpu").suggest(study_of(), 1)
    finally:
        torch.set_default_dtype(torch.float32)
    SPACE.validate(params)
    assert torch.equal(torch.get_rng_state(), before)


def test_naming_the_plugin_imports_no_torch() -> None:
    code = (
        "import sys; from hyperhook.manager import load_plugin; load_plugin('gp')\n"
        "print([name for name in ('torch', 'gpytorch', 'botorch', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
