"""From a study's trials to the next params: the steps of the optimizer, and what happens when one of them fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from linear_operator.utils.errors import NotPSDError
from torch import Tensor

from hyperhook import HyperhookError, Params, StudyRecord
from hyperhook_plugins.gp.acquisition import log_expected_improvement
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History, Key, history_of, key_of
from hyperhook_plugins.gp.maximisation import maximise, space_filling
from hyperhook_plugins.gp.model import Belief, Surrogate, fit, standardise

__all__ = ["NUMERICAL", "default_startup", "device_of", "learn", "next_params", "own_settings"]

log = logging.getLogger("hyperhook")

FANTASIES = 16
"""In how many ways running trials may end."""
INCUMBENTS = 4
"""Around how many of the best trials the search for the next one also starts."""
NUMERICAL = (ArithmeticError, NotPSDError, RuntimeError, ValueError)
"""What linear algebra raises; ``torch.linalg.LinAlgError`` and a GPU without memory left are RuntimeErrors."""


def next_params(study: StudyRecord, count: int, *, startup: int | None, device: str, seed: int) -> list[Params]:
    """Choose the params of the next trials, each in view of those chosen before it.

    Args:
        study: The study with all its trials.
        count: How many sets of params to choose.
        startup: How many trials fill the space first; None for `default_startup`.
        device: See `device_of`.
        seed: Seed of the search; the same seed and trials give the same params.

    Raises:
        HyperhookError: The device is not there. Numerical failures are logged, and a space-filling point is returned.
    """
    place = device_of(device)
    index = len(study.trials)
    sequence, draws = (random.Random(text).getrandbits(31) for text in (f"{seed}", f"{seed}:{index}"))
    with own_settings():
        encoding = Encoding.of(study.space)
        history = history_of(study)
        seen = history.seen
        startup = default_startup(encoding.dimension) if startup is None else startup
        generator = torch.Generator().manual_seed(draws)
        usable = bool(history.losses) and encoding.dimension > 0
        belief: Belief | None = None
        chosen: list[Params] = []
        while len(chosen) < count:
            params: Params | None = None
            pending = [*history.pending, *chosen]
            if usable and len(history.tried) + len(pending) >= startup:
                try:
                    belief = belief or learn(history, encoding, place)
                    params = _best(belief, encoding, history, pending, seen, generator)
                except NUMERICAL as error:
                    log.warning("gp: %s: %s; a space-filling point is taken", type(error).__name__, error)
                    log.debug("gp: traceback", exc_info=True)
                    usable = False
            if params is None:
                params = space_filling(encoding, index + len(chosen), sequence, seen)
            chosen.append(params)
            seen.add(key_of(params))
    return chosen


@contextmanager
def own_settings() -> Iterator[None]:
    """Shield from what the trainer may have set: another default device, no gradients, inference mode."""
    elsewhere = torch.get_default_device().type != "cpu"
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if elsewhere else nullcontext():
        yield


def default_startup(dimension: int) -> int:
    """Return how many trials fill the space before the model is asked, for that many varying parameters."""
    return min(max((dimension + 1) // 2, 4), 12)


def device_of(name: str) -> torch.device:
    """Return the device of that name; ``"auto"`` is the GPU where there is one, else the CPU.

    Raises:
        HyperhookError: There is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        reason = str(error).splitlines()[0]
        raise HyperhookError(f"GP: device {name!r} cannot be used ({reason}); use device='auto' or 'cpu'") from None
    log.debug("gp: device %s", device)
    return device


def learn(history: History, encoding: Encoding, device: torch.device) -> Belief:
    """Fit a Gaussian process to what ended; where the fit fails, its hyperparameters stay at the prior's mode.

    Args:
        history: At least one trial with a loss.
        encoding: The space's encoding.
        device: Where the linear algebra runs.
    """
    x = encoding.encode(encoding.units(history.tried)).to(device)
    y = standardise(torch.tensor(history.losses, dtype=torch.float64)).to(device)
    surrogate = Surrogate(x, y, encoding.dimension)
    try:
        surrogate = fit(surrogate)
    except NUMERICAL as error:
        log.warning("gp: the fit failed (%s: %s); the prior's hyperparameters are taken", type(error).__name__, error)
        log.debug("gp: traceback", exc_info=True)
        surrogate = Surrogate(x, y, encoding.dimension)
    return Belief(surrogate, x, y[None])


def _best(
    belief: Belief,
    encoding: Encoding,
    history: History,
    pending: list[Params],
    seen: set[Key],
    generator: torch.Generator,
) -> Params:
    device = belief.x.device
    order = belief.moments(belief.x)[0][:, 0].argsort()[:INCUMBENTS].cpu()
    best = encoding.units(history.tried)[order]
    if pending:
        x = encoding.encode(encoding.units(pending)).to(device)
        seed = int(torch.randint(2**31, (), generator=generator))
        normals = draw_sobol_normal_samples(len(pending), FANTASIES, device=device, dtype=torch.float64, seed=seed)
        belief = belief.fantasise(x, normals)
    acquisition = log_expected_improvement(belief)

    def score(points: Tensor) -> Tensor:
        return acquisition(points.to(device)).cpu()

    return maximise(score, encoding, best, seen, generator)
