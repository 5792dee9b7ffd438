"""From a study's trials to the next params: the steps of the optimizer, and what happens when one of them fails."""

from __future__ import annotations

import logging
import random

import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Tensor

from hyperhook import Params, StudyRecord
from hyperhook_plugins.gp.acquisition import (
    Score,
    expected_improvement,
    lower_confidence_bound,
    probability_of_improvement,
)
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History, Key, history_of, key_of
from hyperhook_plugins.gp.learning import NUMERICAL, device_of, learn, own_settings
from hyperhook_plugins.gp.maximisation import maximise, space_filling
from hyperhook_plugins.gp.model import Belief
from hyperhook_plugins.gp.paths import draw_path
from hyperhook_plugins.gp.plugin import Acquisition
from hyperhook_plugins.gp.prior import with_prior

__all__ = ["default_startup", "next_params"]

log = logging.getLogger("hyperhook")

FANTASIES = 16
"""In how many ways running trials may end."""
INCUMBENTS = 4
"""Around how many of the best trials the search for the next one also starts."""
CANDIDATES = 64
NOISY = 1e-4
"""Above this share of noise in the variance of the losses, ``auto`` takes the noise into account."""


def next_params(
    study: StudyRecord, count: int, *, startup: int | None, device: str, seed: int, acquisition: Acquisition = "auto"
) -> list[Params]:
    """Choose the params of the next trials, each in view of those chosen before it.

    Args:
        study: The study with all its trials.
        count: How many sets of params to choose.
        startup: How many trials fill the space first; None for `default_startup`.
        device: See `device_of`.
        seed: Seed of the search; the same seed and trials give the same params.
        acquisition: What the next trial is chosen by; see `acquisition`.

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
                    belief = belief or learn(history, encoding, place).belief
                    params = _best(belief, encoding, history, acquisition, pending, seen, generator)
                except NUMERICAL as error:
                    log.warning("gp: %s: %s; a space-filling point is taken", type(error).__name__, error)
                    log.debug("gp: traceback", exc_info=True)
                    usable = False
            if params is None:
                params = space_filling(encoding, index + len(chosen), sequence, seen)
            chosen.append(params)
            seen.add(key_of(params))
    return chosen


def default_startup(dimension: int) -> int:
    """Return how many trials fill the space before the model is asked, for that many varying parameters."""
    return min(max((dimension + 1) // 2, 4), 12)


def _best(
    belief: Belief,
    encoding: Encoding,
    history: History,
    acquisition: Acquisition,
    pending: list[Params],
    seen: set[Key],
    generator: torch.Generator,
) -> Params:
    device = belief.x.device
    best = _incumbents(belief, encoding, history)
    if pending and acquisition != "thompson":  # draws differ by themselves
        x = encoding.encode(encoding.units(pending)).to(device)
        belief = belief.fantasise(x, _normals(FANTASIES, len(pending), generator).to(device))
    value = _score(belief, encoding, acquisition, generator)

    def score(points: Tensor) -> Tensor:
        return value(points.to(device)).cpu()

    trials = len(history.tried) + len(pending)
    return maximise(with_prior(score, encoding, trials), encoding, best, seen, generator)


def _incumbents(belief: Belief, encoding: Encoding, history: History) -> Tensor:
    """Return the trials with the lowest means, ``k x D`` units, out of those with the lowest losses."""
    lowest = sorted(range(len(history.tried)), key=history.losses.__getitem__)[:CANDIDATES]
    units = encoding.units([history.tried[i] for i in lowest])
    means = belief.mean(encoding.encode(units).to(belief.x))[:, 0].cpu()
    return units[means.argsort(stable=True)[:INCUMBENTS]]


def _normals(count: int, dimension: int, generator: torch.Generator) -> Tensor:
    """Return ``count x dimension`` standard normal numbers, evenly spread."""
    seed = int(torch.randint(2**31, (), generator=generator))
    normals: Tensor = draw_sobol_normal_samples(dimension, count, dtype=torch.float64, seed=seed)
    return normals


def _score(belief: Belief, encoding: Encoding, acquisition: Acquisition, generator: torch.Generator) -> Score:
    """Return the acquisition function of that name."""
    if acquisition == "auto":
        acquisition = "nei" if belief.noise > NOISY else "ei"
    if acquisition == "thompson":
        return draw_path(belief, generator)
    if acquisition == "ucb":
        return lower_confidence_bound(belief, encoding.dimension)
    if acquisition == "pi":
        return probability_of_improvement(belief)
    if acquisition == "nei":
        belief = belief.denoised(_normals(FANTASIES, len(belief.x), generator).to(belief.x))
    return expected_improvement(belief)
