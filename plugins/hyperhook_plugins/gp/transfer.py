"""What earlier studies tell about the losses of the present one: where to begin, and what to expect.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    encoded points of the present space (see `encoding`)
units   k x D    points of its unit cube; NaN where an earlier trial says nothing (see `earlier`)
n, J             trials of the present study; earlier studies
μⱼ      b        standardised losses that the j-th earlier study lets one expect
w       J        weights, together 1
t       b        the trend Σ wⱼ μⱼ
======  =======  ======================================================================================================

Each earlier study gets a Gaussian process of its own, fitted once, over the parameters that both spaces share. How much
to believe it is decided twice. Ranks decide between the studies: one weighs as much as it is likely to put the present
trials into the right order better than the others do, and nothing where it does no better than chance. Likelihood
decides about the trend as a whole: the present losses are seen as a multiple of it plus a Gaussian process, as Kennedy
and O'Hagan do, where that explains them better than a Gaussian process alone (see `learning`). So losses may be on
another scale, what a shift changes is left to learn, and a study that misleads is soon left out.

References:
    Feurer, Letham, Hutter, Bakshy: Practical Transfer Learning for Bayesian Optimization. arXiv:1802.02219v4, 2022 (the
    weights, and that poor models are dropped).
    Kennedy, O'Hagan: Predicting the Output from a Complex Computer Code When Fast Approximations Are Available.
    Biometrika 87 (2000).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from hyperhook import Params, Space, StudyRecord
from hyperhook.untried import Key, key_of
from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.devices import device_of
from hyperhook_plugins.gp.earlier import Earlier
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.learning import NUMERICAL, learn_from, own_settings
from hyperhook_plugins.gp.maximisation import space_filling
from hyperhook_plugins.gp.subset import telling

__all__ = ["Blend", "Source", "Sources", "blend", "head_start"]

log = logging.getLogger("hyperhook")

FEW = 3
"""Fewer different losses have no order to speak of."""
MANY = 300
"""Of more earlier trials, the most telling ones are learned from, so that a suggestion is not held up."""
LEADING = 16
"""How many of an earlier study's best trials are kept to begin with, at most."""
BEST = 0.1
"""They are chosen among this share of its trials."""
RESAMPLED = 64
"""How many samples of the present trials the ranks are compared on."""
RANKED = 200
"""How many of the present trials are ranked, at most: the most telling ones."""


@dataclass(frozen=True)
class Source:
    """An earlier study, as seen from the present space.

    Attributes:
        leading: Its best trials, the best one first, the others spread: ``k x D`` units.
        columns: The columns of the shared parameters, ``C'``, int64.
        belief: What it lets one expect; batch 1; None where its trials have no order.
    """

    leading: Tensor
    columns: Tensor
    belief: Belief | None

    @classmethod
    def of(cls, study: StudyRecord, encoding: Encoding, device: torch.device) -> Source:
        """Learn from an earlier study; a warning says so where it tells nothing.

        Args:
            study: The earlier study; its first objective counts.
            encoding: That of the present space.
            device: Where the linear algebra runs.
        """
        earlier = Earlier.of(study, encoding)
        if not earlier.losses or not earlier.dimension:
            reason = "no trial with a value in this space" if earlier.dimension else "no parameter in common with it"
            log.warning("gp: the earlier study %s teaches this one nothing: it has %s", study.name, reason)
            return cls(earlier.units[:0], earlier.columns, None)
        belief, ranks = _believed(study.name, earlier, device)
        return cls(earlier.units[_leading(earlier, ranks)], earlier.columns, belief)

    def expected(self, x: Tensor) -> Tensor:
        """Return μ, ``b``, at ``b x C`` points, differentiable; 0 where nothing is expected."""
        if self.belief is None:
            return x.new_zeros(len(x))
        known = x[:, self.columns.to(x.device)].to(self.belief.x.device)  # which may be another one than that of x
        return self.belief.mean(known)[:, 0].to(x.device)


def _believed(name: str, earlier: Earlier, device: torch.device) -> tuple[Belief | None, Tensor]:
    """Return what an earlier study's trials let one expect, None where they have no order, and what to rank them by."""
    losses_told = torch.tensor(earlier.losses, dtype=torch.float64)
    if len(set(earlier.losses)) < FEW:
        return None, losses_told
    seen = telling(earlier.x, losses_told, MANY)
    losses = [earlier.losses[place] for place in seen]
    stderrs = [earlier.stderrs[place] for place in seen] if earlier.stderrs else []
    try:
        belief = learn_from(earlier.x[seen].to(device), losses, stderrs, earlier.dimension).belief
        return belief, belief.mean(earlier.x.to(device))[:, 0].cpu()
    except NUMERICAL as error:
        log.warning("gp: the earlier study %s cannot be modelled (%s: %s)", name, type(error).__name__, error)
        return None, losses_told


def _leading(earlier: Earlier, ranks: Tensor) -> list[int]:
    """Return the positions of good trials: the best one, then in turn the one farthest from those before."""
    places = earlier.feasible.nonzero()[:, 0] if earlier.feasible.any() else torch.arange(len(ranks))
    pool = places[ranks[places].argsort(stable=True)][: max(1, int(BEST * len(ranks)))].tolist()
    chosen = [pool.pop(0)]
    while pool and len(chosen) < LEADING:
        distances = torch.cdist(earlier.x[pool], earlier.x[chosen]).amin(1)
        chosen.append(pool.pop(int(distances.argmax())))
    return chosen


@dataclass(frozen=True)
class Sources:
    """The earlier studies of one search.

    Attributes:
        studies: The studies themselves.
        space: The present space.
        all: What was learned from each.
    """

    studies: tuple[StudyRecord, ...]
    space: Space
    all: tuple[Source, ...]

    @classmethod
    def of(cls, studies: tuple[StudyRecord, ...], space: Space, device: str) -> Sources:
        """Learn from earlier studies.

        Args:
            studies: The earlier studies.
            space: The present space.
            device: See `devices.device_of`.

        Raises:
            HyperhookError: The device is not there.
        """
        place = device_of(device)
        with own_settings():
            encoding = Encoding.of(space)
            return cls(studies, space, tuple(Source.of(study, encoding, place) for study in studies))

    def are_those_of(self, studies: tuple[StudyRecord, ...], space: Space) -> bool:
        """Tell whether this is what would be learned from these studies for that space."""
        return studies == self.studies and [*space.items()] == [*self.space.items()]


@dataclass(frozen=True)
class Blend:
    """A trend made of earlier studies.

    Attributes:
        sources: Those that count.
        weights: w.
    """

    sources: tuple[Source, ...]
    weights: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Return t, ``b``, at ``b x C`` points; differentiable."""
        parts = [weight * source.expected(x) for source, weight in zip(self.sources, self.weights, strict=True)]
        return torch.stack(parts).sum(0)


def blend(sources: Sequence[Source], x: Tensor, losses: Sequence[float]) -> Blend | None:
    """Weigh earlier studies by how well they rank the present trials; None where none does better than chance.

    Args:
        sources: The earlier studies.
        x: The present trials, ``n x C``, n ≥ 1.
        losses: Their losses, ``n``.
    """
    present = torch.tensor(losses, dtype=torch.float64).to(x.device)
    seen = telling(x, present, RANKED)
    order = _order(present[seen])
    able: list[Source] = []
    wrong: list[Tensor] = []
    for source in sources:
        misranked = ((_order(source.expected(x[seen])) != order) & (order != 0)).double()
        if source.belief is not None and misranked.mean() <= (order != 0).double().mean() / 2:
            able.append(source)
            wrong.append(misranked)
    if not able:
        return None
    weights = _chances(torch.stack(wrong)).tolist()
    kept = [(source, weight) for source, weight in zip(able, weights, strict=True) if weight > 0]
    return Blend(tuple(source for source, _ in kept), tuple(weight for _, weight in kept))


def _order(values: Tensor) -> Tensor:
    """Return for each pair which is lower, ``n x n``: -1, 0 or 1."""
    return torch.sign(values[:, None] - values)


def _chances(wrong: Tensor) -> Tensor:
    """Return how likely each study is to have the fewest pairs in the wrong order, ``J``.

    Args:
        wrong: 1 for each such pair, ``J x n x n``.
    """
    n = wrong.shape[-1]
    drawn = torch.randint(n, (RESAMPLED, n), generator=Generator().manual_seed(0))
    counts = torch.nn.functional.one_hot(drawn, n).sum(1).to(wrong)
    pairs = torch.einsum("bi,jik,bk->jb", counts, wrong, counts)
    fewest = (pairs == pairs.amin(0)).double()
    return (fewest / fewest.sum(0)).mean(1)


def head_start(
    sources: Sequence[Source], encoding: Encoding, index: int, seed: int, seen: Collection[Key]
) -> Params | None:
    """Return one of the best earlier trials, for every other trial to begin with; None for the others.

    The others fill the space, so that a study that misleads is told from one that helps.

    Args:
        sources: The earlier studies, which take turns.
        encoding: That of the present space.
        index: The number of the trial.
        seed: Which space-filling points what an earlier trial does not say is taken from.
        seen: What not to return.
    """
    able = [source for source in sources if len(source.leading)]
    if index % 2 or not able:
        return None
    turn = index // 2
    for row in able[turn % len(able)].leading[turn // len(able) :]:
        elsewhere = encoding.units([space_filling(encoding, index, seed, ())])
        units = torch.where(row.isnan(), elsewhere, row.clamp(0.0, 1.0))
        (params,) = encoding.params(encoding.snap(units))
        if key_of(params) not in seen:
            return params
    return None
