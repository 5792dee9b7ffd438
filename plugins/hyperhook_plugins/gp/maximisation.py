"""Where the acquisition is highest, among points that are points of the space.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
units   r x D    r candidates as points of the unit cube, snapped (see `encoding`)
x       r x C    the same, encoded
score   r        what a candidate is worth, more being better
======  =======  ======================================================================================================

Nothing is rounded at the end: gradients move the continuous coordinates while the discrete ones hold still, and a local
search moves the discrete ones among their values, in turn, until neither improves a candidate (the alternating search
of Wan et al. 2021). All candidates are scored as one batch. All tensors are float64 on the CPU.

References:
    Wan, Nguyen, Ha, Ru, Lu, Osborne: Think Global and Act Local: Bayesian Optimisation over High-Dimensional
    Categorical and Mixed Search Spaces. ICML 2021.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from hyperhook import Params
from hyperhook.grid import Grid
from hyperhook.untried import Key, key_of
from hyperhook_plugins.gp.acquisition import Score
from hyperhook_plugins.gp.encoding import Encoding, is_unordered, neighbours
from hyperhook_plugins.gp.prior import by_quantiles

__all__ = ["climb", "maximise", "space_filling", "spread", "vary", "walk"]

ENUMERABLE = 2_000
"""Up to so many sets of params are scored one and all."""
SPREAD, NEAR = 256, 128
"""How many points are scored to find starts: spread over the space, and near the best trials."""
SPREAD_STARTS, NEAR_STARTS = 5, 3
ROUNDS = 4
GRADIENT_STEPS = 30
WALK_STEPS = 8


def maximise(score: Score, encoding: Encoding, best: Tensor, seen: Collection[Key], generator: Generator) -> Params:
    """Return the params with the highest score that have not been seen; seen ones only where there are no others.

    Args:
        score: What to maximise.
        encoding: The space's encoding.
        best: The best trials, ``k x D`` units; some starts lie around them.
        seen: What not to return.
        generator: Source of the starts.

    Raises:
        RuntimeError: No score is finite.
    """
    size = encoding.space.cardinality
    if size is not None and size <= ENUMERABLE:
        units = encoding.units(list(Grid(encoding.space)))
        scores = _evaluate(score, encoding, units)
    else:
        near = vary(encoding, best, NEAR, generator)
        raw = torch.cat([spread(encoding, SPREAD, generator), near])
        raw_scores = _evaluate(score, encoding, raw)
        starts = [
            raw_scores[:SPREAD].topk(SPREAD_STARTS).indices,
            SPREAD + raw_scores[SPREAD:].topk(NEAR_STARTS).indices,
        ]
        units = raw[torch.cat(starts)]
        for _ in range(ROUNDS):
            units = climb(score, encoding, units)
            units, moved = walk(score, encoding, units)
            if not moved:
                break
        units = torch.cat([units, raw])
        scores = torch.cat([_evaluate(score, encoding, units[: len(units) - len(raw)]), raw_scores])
    if not scores.isfinite().any():
        raise RuntimeError("the acquisition is finite nowhere")
    return _first_unseen(encoding, units[scores.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)], seen)


def climb(score: Score, encoding: Encoding, units: Tensor) -> Tensor:
    """Move the continuous coordinates uphill by L-BFGS-B, all candidates at once; the discrete ones hold still.

    Args:
        score: What to maximise.
        encoding: The space's encoding.
        units: ``r x D``.

    Returns:
        ``r x D``; no candidate scores less than before.
    """
    parameters = encoding.continuous
    if not parameters:
        return units
    x = encoding.encode(units)
    columns = [encoding.columns[i].start for i in parameters]
    free = encoding.active(units)[:, parameters]
    rows, places = free.nonzero(as_tuple=True)
    where = (rows, torch.tensor(columns)[places])
    if not len(rows):
        return units

    def negative(vector: np.ndarray) -> tuple[float, np.ndarray]:
        moved = torch.from_numpy(vector).requires_grad_()
        total = score(x.index_put(where, moved)).sum()
        (gradient,) = torch.autograd.grad(total, moved)
        return -total.item(), -gradient.numpy()

    found = minimize(
        negative,
        x[where].numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(rows),
        options={"maxiter": GRADIENT_STEPS},
    )
    climbed = units.index_put((rows, torch.tensor(parameters)[places]), torch.from_numpy(found.x).clamp(0.0, 1.0))
    better = _evaluate(score, encoding, climbed) > _evaluate(score, encoding, units)
    return torch.where(better[:, None], climbed, units)


def walk(score: Score, encoding: Encoding, units: Tensor) -> tuple[Tensor, bool]:
    """Move discrete coordinates, one at a time, to the best neighbouring value as long as that is uphill.

    Args:
        score: What to maximise.
        encoding: The space's encoding.
        units: ``r x D``.

    Returns:
        ``r x D``, no candidate scoring less than before, and whether any has moved.
    """
    parameters = list(encoding.space.values())
    units, moved = units.clone(), False
    scores = _evaluate(score, encoding, units)
    going = list(range(len(units))) if encoding.discrete else []
    for _ in range(WALK_STEPS):
        active = encoding.active(units)
        moves = [
            (r, i, unit)
            for r in going
            for i in encoding.discrete
            if active[r, i]
            for unit in neighbours(parameters[i], units[r, i].item())
        ]
        if not moves:
            break
        rows = torch.tensor([r for r, _, _ in moves])
        trial = units[rows]
        trial[torch.arange(len(moves)), [i for _, i, _ in moves]] = torch.tensor(
            [u for _, _, u in moves], dtype=torch.float64
        )
        gained = _evaluate(score, encoding, trial)
        uphill: list[int] = []
        for r in going:
            own = (rows == r).nonzero().squeeze(-1)
            if len(own) and gained[own].max() > scores[r]:
                best = own[gained[own].argmax()]
                units[r], scores[r] = trial[best], gained[best]
                uphill.append(r)
        going, moved = uphill, moved or bool(uphill)
    return units, moved


def spread(encoding: Encoding, count: int, generator: Generator) -> Tensor:
    """Return ``count x D`` points spread over the space (a scrambled Sobol sequence): half of them as priors say."""
    units = _sobol(len(encoding.space), count, seed=int(torch.randint(2**31, (), generator=generator)))
    return encoding.snap(torch.cat([by_quantiles(encoding.space, units[: count // 2]), units[count // 2 :]]))


def vary(encoding: Encoding, points: Tensor, count: int, generator: Generator) -> Tensor:
    """Return ``count x D`` points near given ones: a few coordinates of each differ, by a little or a lot.

    Args:
        encoding: The space's encoding.
        points: ``k x D``, k ≥ 1.
        count: How many to return.
        generator: Source of randomness.
    """
    units = points[torch.randint(len(points), (count,), generator=generator)]
    fresh, chance = torch.rand(2, *units.shape, generator=generator, dtype=torch.float64)
    reach = 10.0 ** (-2.5 + 2 * torch.rand(count, 1, generator=generator, dtype=torch.float64))
    shifted = (units + reach * torch.randn(units.shape, generator=generator, dtype=torch.float64)).clamp(0.0, 1.0)
    unordered = torch.tensor([is_unordered(parameter) for parameter in encoding.space.values()])
    changes = chance < max(0.5, 1 / units.shape[1]) * torch.where(unordered, 0.5, 1.0)
    return encoding.snap(torch.where(changes, torch.where(unordered, fresh, shifted), units))


def space_filling(encoding: Encoding, index: int, seed: int, seen: Collection[Key]) -> Params:
    """Return a point of a scrambled Sobol sequence, distributed as the priors say, that has not been seen.

    Args:
        encoding: The space's encoding.
        index: Where in the sequence to begin, from 0.
        seed: Which scrambling; the points of one seed fill the space together.
        seen: What not to return, as long as there is something else.
    """
    units = by_quantiles(encoding.space, _sobol(len(encoding.space), 64, seed=seed, skip=index))
    return _first_unseen(encoding, encoding.snap(units), seen)


def _sobol(dimension: int, count: int, *, seed: int, skip: int = 0) -> Tensor:
    """Return ``count x dimension`` points of a scrambled Sobol sequence, behind the first `skip` ones."""
    engine = SobolEngine(dimension, scramble=True, seed=seed)  # type: ignore[no-untyped-call]
    engine.fast_forward(skip)  # type: ignore[no-untyped-call]
    return engine.draw(count, dtype=torch.float64)


def _first_unseen(encoding: Encoding, units: Tensor, seen: Collection[Key]) -> Params:
    """Return the first of ``b x D`` points not seen; else any unseen set of params; else, all seen, the first."""
    for row in units:
        (params,) = encoding.params(row[None])
        if key_of(params) not in seen:
            return params
    if encoding.space.cardinality is not None:
        for params in Grid(encoding.space):
            if key_of(params) not in seen:
                return params
    return encoding.params(units[:1])[0]


def _evaluate(score: Score, encoding: Encoding, units: Tensor) -> Tensor:
    with torch.no_grad():
        return score(encoding.encode(units))
