"""How far to trust the optimizer: each trial predicted from all others, length scales, and noise.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                trials that ended by themselves
y       n        their standardised losses
μ, s    n        mean and standard deviation of each loss, noise included, were it left out
K       n x n    kernel matrix with the noise on its diagonal; α = K⁻¹ (y − c) for the constant mean c
======  =======  ======================================================================================================

μᵢ = yᵢ − αᵢ / (K⁻¹)ᵢᵢ and sᵢ² = 1 / (K⁻¹)ᵢᵢ, with the hyperparameters of all trials together: no fit is repeated.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (equations 5.10 to 5.12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from hyperhook import Prediction, StudyRecord

if TYPE_CHECKING:
    from hyperhook_plugins.gp.insight import Insight

__all__ = ["Diagnostics", "LeftOut", "diagnostics_of"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A trial, as the others predict it.

    Attributes:
        number: Its number in the study.
        value: What it was taken for, in the objective's own unit and direction: its value, that of the worst if it
            failed, that of the fence if it is far worse than the others.
        prediction: What the others make of it; the noise is part of the standard deviation.
        residual: ``(value − mean) / std`` of the standardised losses, so above 0 if it is worse than predicted. If the
            model is right, these are standard normal: beyond ±3 is rare.
        log_density: Logarithm of the density that was predicted at its standardised loss. Who knows nothing but mean
            and deviation of all losses gets −1.42 on average.
    """

    number: int
    value: float
    prediction: Prediction
    residual: float
    log_density: float


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What the model of a study is like, and how well it predicts.

    Attributes:
        left_out: Each trial that ended by itself, by number, as the others predict it; of more than a thousand those
            that the model goes by.
        length_scales: For each parameter how far one must go until the objective is another one; 1 is its whole range,
            on its own scale, and the way from one option to another. For a choice the shortest of its options' length
            scales; infinity for a parameter with a single value.
        noise_std: By how much the objective differs from one run with the same params to the next, in its own unit.
        is_noisy: Whether that is significant.
    """

    left_out: tuple[LeftOut, ...]
    length_scales: Mapping[str, float]
    noise_std: float
    is_noisy: bool

    @property
    def log_density(self) -> float:
        """Mean of the log densities; above −1.42 the model knows something."""
        return fmean(one.log_density for one in self.left_out)


def diagnostics_of(insight: Insight, study: StudyRecord) -> Diagnostics:
    """Return the diagnostics of what was learned from a study."""
    belief = insight.learned.belief
    y, precision = belief.y[0], belief.inverse.square().sum(0)  # the diagonal of K⁻¹ = L⁻ᵀ L⁻¹
    off, std = belief.weights[:, 0] / precision, precision.rsqrt()
    residuals = off / std
    densities = -residuals.square() / 2 - std.log() - math.log(2 * math.pi) / 2
    taken = insight.predictions(y, 0 * std)
    ended = [trial.number for trial in study.trials if trial.state.ended_by_itself]
    columns = zip(
        (ended[row] for row in insight.learned.rows),
        (prediction.mean for prediction in taken),
        insight.predictions(y - off, std),
        residuals.tolist(),
        densities.tolist(),
        strict=True,
    )
    scales = belief.scales.tolist()
    (noise,) = insight.predictions(belief.best, belief.noise.sqrt())
    return Diagnostics(
        tuple(LeftOut(*row) for row in columns),
        {
            name: min(scales[columns], default=math.inf)
            for name, columns in zip(insight.encoding.space, insight.encoding.columns, strict=True)
        },
        noise.std,
        insight.is_noisy,
    )
