"""From a study's trials to what is believed of its losses, and what happens when a step of that fails.

Few losses have two explanations: a wild function without noise, or a calm one with noise. The first is fitted, and the
second, which is taken where it explains the losses significantly better, by the test of the likelihood ratio. What no
smooth function explains looks like noise, too: ripples that are finer than the trials lie apart. A trial that all but
repeats another one tells which it is.

References:
    Rasmussen, Williams: Gaussian Processes for Machine Learning. MIT Press 2006 (section 5.4: two such maxima).
    Self, Liang: Asymptotic Properties of Maximum Likelihood Estimators and Likelihood Ratio Tests Under Nonstandard
    Conditions. Journal of the American Statistical Association 82 (1987).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from botorch.exceptions.errors import BotorchError
from linear_operator.utils.errors import NotPSDError
from torch import Tensor

from hyperhook_plugins.gp.belief import Belief
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.evidence import fit
from hyperhook_plugins.gp.history import History
from hyperhook_plugins.gp.model import LOUD, SILENT, Surrogate, Trend
from hyperhook_plugins.gp.subset import telling
from hyperhook_plugins.gp.warping import Scale

__all__ = ["NUMERICAL", "Learned", "is_noisy", "learn", "learn_from", "own_settings", "repeats_agree"]

log = logging.getLogger("hyperhook")

NUMERICAL = (ArithmeticError, BotorchError, NotPSDError, RuntimeError, ValueError)
"""What linear algebra raises; ``torch.linalg.LinAlgError`` and a GPU without memory left are RuntimeErrors."""
EXACT = 1_000
"""Up to so many observations the Gaussian process is exact; of more it sees the most telling ones."""
NEGLIGIBLE = 1e-4
"""Up to this variance, 1 % of the signal's deviation, a fit counts as one without noise."""
SIGNIFICANT = 2.706
"""By how much the log likelihood must gain. Without noise, twice the gain is 0 half of the time and chi-squared of one
degree of freedom else (no noise lies on the edge of what can be; Self & Liang 1987, case 5), so it comes to this much
by chance once in a hundred studies."""


CLOSE = 1e-4
"""Trials that are less than this share of each parameter's range apart are repeats of each other."""
SAME = 0.01
"""Repeats that differ by less than this share of the noise's deviation are no noisy ones: by chance, one pair in a
hundred and seventy does."""


@contextmanager
def own_settings() -> Iterator[None]:
    """Shield from what the trainer may have set: another default device, no gradients, inference mode."""
    elsewhere = torch.get_default_device().type != "cpu"
    with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if elsewhere else nullcontext():
        yield


@dataclass(frozen=True)
class Learned:
    """What a history teaches.

    Attributes:
        belief: What is believed of its losses; batch 1.
        rows: Which of the history's trials it has seen, in order.
    """

    belief: Belief
    rows: list[int]

    @property
    def surrogate(self) -> Surrogate:
        """The Gaussian process behind the belief."""
        return self.belief.surrogate


def learn(
    history: History,
    encoding: Encoding,
    device: torch.device,
    values: Sequence[float] | None = None,
    *,
    straight: bool = False,
    trend: Trend | None = None,
) -> Learned:
    """Fit a Gaussian process to what ended; where the fit fails, its hyperparameters stay at the prior's mode.

    Args:
        history: At least one trial with a loss.
        encoding: The space's encoding.
        device: Where the linear algebra runs.
        values: What to learn of each trial, less being better; by default its loss.
        straight: Do not bend the losses (see `warping`).
        trend: What to expect of the losses, where that explains them better than to expect nothing.
    """
    x = encoding.encode(encoding.units(history.tried))
    losses = history.losses if values is None else values
    stderrs = history.stderrs if values is None else ()
    return learn_from(x.to(device), losses, stderrs, encoding.dimension, straight=straight, trend=trend)


def learn_from(
    x: Tensor,
    losses: Sequence[float],
    stderrs: Sequence[float],
    dimension: int,
    *,
    straight: bool = False,
    trend: Trend | None = None,
) -> Learned:
    """Fit a Gaussian process to losses at encoded points; see `learn`.

    Args:
        x: The points, ``n x C``.
        losses: ``n``.
        stderrs: Their standard errors, ``n``; empty where none is known.
        dimension: How many parameters vary.
        straight: Do not bend the losses.
        trend: What to expect of the losses.
    """
    values, errors = (torch.tensor(each, dtype=torch.float64).to(x.device) for each in (losses, stderrs))
    seen = telling(x, values, EXACT)
    scale = Scale.of(values[seen], errors[seen] if len(errors) else None)
    surrogate = _fitted(x[seen], scale, dimension, straight)
    if trend is not None:
        surrogate = _informed(surrogate, x[seen], dimension, straight, trend)
    y = scale.bent(surrogate.log_bend).z / surrogate.amplitude
    known = scale.variances / surrogate.amplitude**2
    return Learned(Belief(surrogate, x[seen], y[None], known=known), seen.tolist())


def is_noisy(learned: Learned, dimension: int, complete: Collection[int]) -> bool:
    """Tell whether losses differ significantly by more than their params can explain.

    Args:
        learned: What was learned of them.
        dimension: How many parameters vary.
        complete: See `repeats_agree`.

    Raises:
        RuntimeError: A fit failed.
    """
    surrogate = learned.surrogate
    if learned.belief.known.max() > NEGLIGIBLE:
        return True  # who gives standard errors knows it
    if surrogate.likelihood.noise <= NEGLIGIBLE or repeats_agree(learned, complete):
        return False
    silent = fit(Surrogate(surrogate.train_inputs[0], surrogate.scale, dimension, SILENT))
    return surrogate.log_likelihood - silent.log_likelihood > SIGNIFICANT


def repeats_agree(learned: Learned, complete: Collection[int]) -> bool | None:
    """Tell whether repeated trials have the same loss, so that what looks like noise is none; None without repeats.

    Args:
        learned: What was learned of the losses.
        complete: Which of the history's trials count; those that failed or were stopped differ for other reasons.
    """
    belief = learned.belief
    counts = torch.tensor([row in complete for row in learned.rows], device=belief.x.device)
    close = torch.cdist(belief.x, belief.x, p=torch.inf) < CLOSE
    first, second = (close & counts & counts[:, None]).triu(1).nonzero(as_tuple=True)
    if not len(first):
        return None
    furthest = (belief.y[0, first] - belief.y[0, second]).abs().max()
    return bool(furthest < SAME * (2 * belief.noise).sqrt())


def _fitted(x: Tensor, scale: Scale, dimension: int, straight: bool) -> Surrogate:
    """Return the surrogate that explains the losses; one with the prior's hyperparameters where the fit fails."""
    try:
        return _explaining(x, scale, dimension, straight)
    except NUMERICAL as error:
        log.warning("gp: the fit failed (%s: %s); the prior's hyperparameters are taken", type(error).__name__, error)
        log.debug("gp: traceback", exc_info=True)
        return Surrogate(x, scale, dimension, straight=straight)


def _explaining(x: Tensor, scale: Scale, dimension: int, straight: bool, trend: Trend | None = None) -> Surrogate:
    """Return the surrogate whose noise, or lack of it, explains the losses."""
    quiet = fit(Surrogate(x, scale, dimension, straight=straight, trend=trend))
    loud = fit(Surrogate(x, scale, dimension, LOUD, straight=straight, trend=trend))
    return loud if loud.log_likelihood - quiet.log_likelihood > SIGNIFICANT else quiet


def _informed(surrogate: Surrogate, x: Tensor, dimension: int, straight: bool, trend: Trend) -> Surrogate:
    """Return a surrogate that expects a trend; the one without where that explains the losses as well."""
    try:
        informed = _explaining(x, surrogate.scale, dimension, straight, trend)
    except NUMERICAL as error:
        log.warning("gp: the fit with a trend failed (%s: %s); none is taken", type(error).__name__, error)
        return surrogate
    gain = informed.log_likelihood - surrogate.log_likelihood
    log.debug("gp: a trend of slope %.2f gains a log likelihood of %.2f", informed.slope, gain)
    return informed if gain > 0 and informed.slope > 0 else surrogate
