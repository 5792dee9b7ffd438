"""What was learned of a study, and how the next trial is chosen by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from botorch.utils.sampling import draw_sobol_normal_samples
from torch import Generator, Tensor

from hyperhook import Params
from hyperhook.untried import Key, key_of
from hyperhook_plugins.gp.acquisition import (
    Score,
    expected_improvement,
    lower_confidence_bound,
    probability_of_improvement,
)
from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.cost import Cost
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.feasibility import Feasibility
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.hypervolume import front_of, hypervolume_improvement
from hyperhook_plugins.gp.learning import CLOSE, Learned, learn, repeats_agree
from hyperhook_plugins.gp.maximisation import maximise
from hyperhook_plugins.gp.paths import draw_path
from hyperhook_plugins.gp.plugin import Acquisition
from hyperhook_plugins.gp.prior import with_prior
from hyperhook_plugins.gp.transfer import Blend

__all__ = ["Mind"]

FANTASIES = 16
"""In how many ways running trials may end."""
INCUMBENTS = 4
"""Around how many of the best trials the search for the next one also starts."""
CANDIDATES = 64
NOISY = 1e-4
"""Above this share of noise in the variance of the losses, ``auto`` takes the noise into account."""
VERY_NOISY = 1e-2
"""Above this one, it follows a draw every other time."""
AIM = 0.2
"""How far below the best loss every other trial aims, as a share of what lies between it and the median."""
ENOUGH = 10
"""From so many trials on, noise that is believed in is probed."""
NUDGE = CLOSE / 100


@dataclass(frozen=True)
class Mind:
    """What was learned of a history, and how the next trial is chosen by it.

    Attributes:
        history: What the trials told.
        encoding: How params become columns.
        learned: What they teach of the losses.
        further: What is believed of the losses by each further objective, likewise.
        leading: What the earlier studies that count found best, ``k x D`` units.
        feasibility: What is believed of the constraints, and of failures.
        cost: What is believed of the durations; None where they do not count.
    """

    history: History
    encoding: Encoding
    learned: Learned
    further: tuple[Belief, ...]
    leading: Tensor
    feasibility: Feasibility
    cost: Cost | None

    @classmethod
    def of(
        cls,
        history: History,
        encoding: Encoding,
        device: torch.device,
        per_second: bool,
        trend: Blend | None = None,
    ) -> Mind:
        """Learn from a history that has a loss; what to expect of it is heeded where there is one objective."""
        several = any(history.further)  # a front in logarithms would be crowded at its ends: nothing is bent
        trend = None if several else trend
        learned = learn(history, encoding, device, straight=several, trend=trend)
        further = tuple(
            learn(history, encoding, device, losses, straight=True).belief for losses in history.further if losses
        )
        cost = Cost.of(history, encoding, device) if per_second else None
        leading = torch.empty(0, len(encoding.space), dtype=torch.float64)
        if trend is not None and learned.surrogate.trend is not None:
            leading = torch.cat([source.leading[:INCUMBENTS] for source in trend.sources])
        return cls(history, encoding, learned, further, leading, Feasibility.of(history, encoding, device), cost)

    @property
    def belief(self) -> Belief:
        """What is believed of the losses; batch 1."""
        return self.learned.belief

    @property
    def noise(self) -> float:
        """The most that the noise has of the variance of the losses."""
        belief = self.belief
        return float((belief.noise + belief.known).max()) * belief.surrogate.amplitude**2

    def best(self, acquisition: Acquisition, pending: list[Params], seen: set[Key], generator: Generator) -> Params:
        """Return the params with the highest acquisition.

        Args:
            acquisition: Its name.
            pending: Params of the trials that are running.
            seen: What not to return.
            generator: Source of randomness.
        """
        device = self.belief.x.device
        x = self.encoding.encode(self.encoding.units(pending)).to(device)
        probe = self._probe(x) if acquisition == "auto" else None
        if probe is not None and key_of(probe) not in seen:
            return probe
        value = self._value(x, acquisition, generator)

        def score(points: Tensor) -> Tensor:
            x = points.to(device)
            worth = value(x) + self.feasibility.log_probability(x)
            return (worth if self.cost is None else worth - self.cost.log_seconds(x)).cpu()

        trials = len(self.history.tried) + len(pending)
        informed = with_prior(score, self.encoding, trials)
        return maximise(informed, self.encoding, self._incumbents(), seen, generator)

    def _value(self, pending: Tensor, acquisition: Acquisition, generator: Generator) -> Score:
        """Return the acquisition function of that name; a constant as long as no trial is feasible."""
        feasible = self.history.feasible
        if not feasible:
            return lambda x: 0.0 * x.sum(-1)
        if self.further:
            return self._volume(feasible, pending, generator)
        belief = self.belief
        aim = 0.0
        if acquisition == "auto":
            acquisition, aim = self._chosen(len(self.history.tried) + len(pending))
        if len(pending) and acquisition != "thompson":  # draws differ by themselves
            belief = belief.fantasise(pending, _normals(FANTASIES, len(pending), generator).to(pending))
        if acquisition == "thompson":
            return draw_path(belief, generator)
        if acquisition == "ucb":
            return lower_confidence_bound(belief, self.encoding.dimension)
        if acquisition == "nei":
            belief = belief.denoised(_normals(FANTASIES, len(belief.x), generator).to(belief.x))
        best: Tensor | None = None
        if self.history.infeasible:
            lowest = self.encoding.encode(self._lowest(feasible)).to(belief.x)
            best = belief.mean(torch.cat([lowest, pending])).amin(0)
        if aim:
            best = belief.best if best is None else best
            best = best - aim * (belief.mean(belief.x).median(0).values - best).clamp_min(0.0)
        return (probability_of_improvement if acquisition == "pi" else expected_improvement)(belief, best)

    def _chosen(self, trials: int) -> tuple[Acquisition, float]:
        """Return what ``auto`` stands for, and how far below the best loss it aims.

        An expected improvement over the best loss polishes what was found first, since the model is surer of itself
        than it may be: every other trial aims lower, at a target (Jones 2001), and so goes where there is more to gain.
        Where there is noise that aim would be led by luck. There it is the trials near the best place that hold an
        expected improvement back, as each moves what is believed of it: every other trial follows a draw instead, which
        may lead anywhere.

        Args:
            trials: How many have been tried, or run.
        """
        acquisition: Acquisition = "nei" if self.noise > NOISY else "ei"
        if acquisition == "ei" or repeats_agree(self.learned, self.history.complete):
            is_sure = self.cost is not None or self.learned.surrogate.trend is not None
            return acquisition, 0.0 if trials % 2 or is_sure else AIM
        is_plain = self.cost is None and not self.feasibility.limits
        draws = self.noise > VERY_NOISY and is_plain and trials % 2
        return "thompson" if draws else acquisition, 0.0

    def _probe(self, pending: Tensor) -> Params | None:
        """Return all but the params of the best trial, where only a repeat of it tells noise from ripples."""
        complete = [place for place in self.history.feasible if place in self.history.complete]
        if self.further or len(complete) < ENOUGH or self.belief.known.max() > 0 or self.noise <= VERY_NOISY:
            return None
        best = self._lowest(complete)[:1]
        free = [i for i in self.encoding.continuous if self.encoding.active(best)[0, i]]
        place = self.encoding.encode(best).to(pending)
        is_running = len(pending) > 0 and bool(((pending - place).abs().amax(-1) < CLOSE).any())
        if not free or is_running or repeats_agree(self.learned, self.history.complete) is not None:
            return None
        nudged = best.clone()
        nudged[0, free] += torch.where(best[0, free] > 0.5, -NUDGE, NUDGE)
        return self.encoding.params(nudged)[0]

    def _volume(self, feasible: Sequence[int], pending: Tensor, generator: Generator) -> Score:
        """Return what is worth a place on the front of several objectives."""
        points = torch.cat([self._encoded(feasible), pending])
        beliefs: list[Belief] = []
        for belief in (self.belief, *self.further):
            if len(pending):
                belief = belief.fantasise(pending, _normals(FANTASIES, len(pending), generator).to(pending))
            if (belief.noise + belief.known).max() > NOISY:
                belief = belief.denoised(_normals(FANTASIES, len(belief.x), generator).to(belief.x))
            beliefs.append(belief)
        return hypervolume_improvement(beliefs, points, int(torch.randint(2**31, (), generator=generator)))

    def _incumbents(self) -> Tensor:
        """Return the trials with the lowest means, ``k x D`` units, out of those with the lowest losses.

        With several objectives they are those of the front.
        """
        feasible = self.history.feasible
        if self.further and feasible:
            front = front_of((self.belief, *self.further), self._encoded(feasible)).tolist()
            return self.encoding.units([self.history.tried[feasible[place]] for place in front])
        units = self._lowest(range(len(self.history.tried)))
        means = self.belief.mean(self.encoding.encode(units).to(self.belief.x))[:, 0].cpu()
        lowest = units[means.argsort(stable=True)[:INCUMBENTS]]
        told = torch.where(self.leading.isnan(), lowest[:1], self.leading)
        return torch.cat([lowest, self.encoding.snap(told.clamp(0.0, 1.0))])

    def _encoded(self, places: Sequence[int]) -> Tensor:
        """Return the columns of trials, by their places, on the belief's device."""
        units = self.encoding.units([self.history.tried[place] for place in places])
        return self.encoding.encode(units).to(self.belief.x)

    def _lowest(self, places: Sequence[int]) -> Tensor:
        """Return the feasible trials with the lowest losses, and then the others, of those in question: ``k x D``."""
        history = self.history
        lowest = sorted(places, key=lambda place: (place in history.infeasible, history.losses[place]))[:CANDIDATES]
        return self.encoding.units([history.tried[place] for place in lowest])


def _normals(count: int, dimension: int, generator: Generator) -> Tensor:
    """Return ``count x dimension`` standard normal numbers, evenly spread."""
    seed = int(torch.randint(2**31, (), generator=generator))
    normals: Tensor = draw_sobol_normal_samples(dimension, count, dtype=torch.float64, seed=seed)
    return normals
