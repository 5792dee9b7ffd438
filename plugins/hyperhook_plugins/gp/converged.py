"""`Converged`: an end to a study where the optimizer expects nothing better that could be told from noise.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
t                trials that ended by themselves; D: parameters of the space; C: columns; b: points (see `encoding`)
m, s    b        mean and standard deviation of the noiseless loss that the optimizer believes in (see `belief`)
β                how many squared standard deviations the bounds m ± √β s lie away
r                bound of the simple regret: the best upper bound at a tried point, less the least lower bound anywhere
======  =======  ======================================================================================================

Losses are standardised and bent (see `warping`); r is in the objective's own unit.

References:
    Makarova, Shen, Perrone, Klein, Faddoul, Krause, Seeger, Archambeau: Automatic termination for hyperparameter
    optimization. AutoML 2022 (the bound, and the standard error of a cross-validation as what it is compared with).
    Srinivas, Krause, Kakade, Seeger: Gaussian process optimization in the bandit setting. ICML 2010 (β, whose fifth
    they use in their experiments).
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, ClassVar

from hyperhook import HyperhookError, StudyRecord, hookimpl

if TYPE_CHECKING:
    from hyperhook_plugins.gp.insight import Insight

__all__ = ["Converged"]

POINTS = 2048
"""How many points of the space are looked at for the least lower bound, before the best of them are looked around."""
ROUNDS = ((0.1, 512), (0.03, 512), (0.01, 512))
"""How far around the lowest point so far, as a part of each parameter's range, and at how many points."""
DOUBT = 0.1
"""The probability that a bound is wrong, δ."""


class Converged:
    """End a study once the best that may still be found is better by less than can be told.

    A Gaussian process (that of the ``gp`` plugin) says how much better than the best tried params any others may be.
    The study ends when that is below `tolerance`, or without one, below the standard error of the best trial's value
    (`Study.run` with ``repeats``, or ``trial.log(…, stderr=…)``), or where it has none, below the noise that shows in
    the values.

    Args:
        tolerance: Improvements up to this one are not worth a trial, in the objective's unit, above 0.
        after: How many trials must have ended by themselves before that is asked, from 1.
        device: See `GP`.

    Raises:
        ValueError: An option is out of its range.

    Example:
        >>> study = hh.Study("s", space, objective, plugins=["gp", Converged(tolerance=0.001)])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "gpytorch", "botorch")

    def __init__(self, *, tolerance: float | None = None, after: int = 20, device: str = "auto") -> None:
        if tolerance is not None and (
            isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 < tolerance < math.inf
        ):
            raise ValueError(f"Converged: tolerance must be a finite number above 0, got {tolerance!r}")
        if not isinstance(after, int) or isinstance(after, bool) or after < 1:
            raise ValueError(f"Converged: after must be an int from 1, got {after!r}")
        self.tolerance = tolerance
        self.after = after
        self.device = device

    @hookimpl
    def prepare(self, study: StudyRecord) -> None:
        """Refuse a study that has not one objective.

        Raises:
            HyperhookError: It has none, or several.
        """
        if len(study.objectives) != 1:
            raise HyperhookError(
                f"Converged: study {study.name!r} has {len(study.objectives)} objectives, expected one to be best at"
            )

    @hookimpl
    def should_end(self, study: StudyRecord) -> str | None:
        """Answer what may still be found, and what can be told."""
        if sum(trial.state.ended_by_itself for trial in study.trials) < self.after:
            return None
        from hyperhook_plugins.gp.insight import Insight
        from hyperhook_plugins.gp.learning import NUMERICAL

        try:
            insight = Insight.of(study, self.device)
            if insight is None:
                return None
            regret, noise, stderr = _bounds(insight, len(study.trials))
        except (HyperhookError, *NUMERICAL):
            return None  # what cannot be modelled has not converged
        if self.tolerance is not None:
            what, bound = "the tolerance", self.tolerance
        else:
            what, bound = ("the best trial's standard error", stderr) if stderr else ("the noise", noise)
        if not regret <= bound:
            return None
        return f"nothing better by more than {regret:.3g} is to be expected, and {what} is {bound:.3g}"


def _bounds(insight: Insight, seed: int) -> tuple[float, float, float]:
    """Return r, and for the tried point with the best upper bound the noise's standard deviation and the known error.

    All are in the objective's own unit; the error is 0 where none is known.
    """
    import torch

    from hyperhook_plugins.gp.learning import own_settings

    belief, encoding = insight.learned.belief, insight.encoding
    count, dimension = len(insight.history.losses), max(encoding.dimension, 1)
    width = math.sqrt(2 * math.log(dimension * (count * math.pi) ** 2 / (6 * DOUBT)) / 5)
    generator = torch.Generator().manual_seed(random.Random(f"converged:{seed}").getrandbits(31))

    def bounds(units: torch.Tensor) -> torch.Tensor:
        mean, variance = belief.moments(encoding.encode(units).to(belief.x.device))
        return (mean[:, 0] - width * variance.sqrt()).cpu()

    with own_settings():
        mean, variance = belief.moments(belief.x)
        upper = mean[:, 0] + width * variance.sqrt()
        best = int(upper.argmin())
        units = encoding.snap(torch.rand(POINTS, len(encoding.space), generator=generator, dtype=torch.float64))
        units = torch.cat([units, encoding.units(insight.history.tried)])
        lower = bounds(units)
        for spread, points in ROUNDS:
            around = units[int(lower.argmin())] + spread * torch.randn(
                points, units.shape[1], generator=generator, dtype=torch.float64
            )
            around = encoding.snap(around.clamp(0.0, 1.0))
            units, lower = torch.cat([units, around]), torch.cat([lower, bounds(around)])
        ends = torch.stack([upper[best].cpu(), lower.min()])
        high, low = insight.predictions(ends, torch.zeros_like(ends))
        deviation = belief.noise.sqrt().reshape(1).cpu()
        noise = insight.predictions(mean[best, :1].cpu(), deviation)[0].std
    stderrs = insight.history.stderrs
    regret = max(insight.objective.loss(high.mean) - insight.objective.loss(low.mean), 0.0)
    return regret, noise, stderrs[insight.learned.rows[best]] if stderrs else 0.0
