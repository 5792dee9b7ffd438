"""What the next trial adds to the Pareto front, where there are several objectives.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
x       b x C    points to score
m                objectives; M: ways in which the losses may be, at points tried and running
======  =======  ======================================================================================================

Each objective has a Gaussian process of its own. A trial is worth the volume, in the space of standardised losses, that
it adds to what the front dominates: the expectation over joint draws of the losses at the points tried, at those
running and at x (qNEHVI), in the smooth logarithmic form that keeps its slope where the expectation underflows. The
volume ends a tenth beyond the worst of the front.

References:
    Daulton, Balandat, Bakshy: Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected Hypervolume
    Improvement. NeurIPS 2021.
    Ament, Daulton, Eriksson, Balandat, Bakshy: Unexpected Improvements to Expected Improvement for Bayesian
    Optimization. NeurIPS 2023 (the logarithmic form).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.models import ModelListGP, SingleTaskGP
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from gpytorch.means import ConstantMean
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from hyperhook_plugins.gp.acquisition import Score
from hyperhook_plugins.gp.model import Belief

__all__ = ["hypervolume_improvement"]

DRAWS = 64
"""M."""


def hypervolume_improvement(beliefs: Sequence[Belief], tried: Tensor, pending: Tensor, seed: int) -> Score:
    """Return the logarithm of the expected hypervolume improvement.

    Args:
        beliefs: What is believed of each objective's losses, m of them; batch 1.
        tried: The feasible points tried, ``n x C``.
        pending: The points running, ``p x C``.
        seed: Seed of the draws.
    """
    model = ModelListGP(*map(_turned, beliefs))
    values = torch.cat([-belief.mean(tried) for belief in beliefs], dim=-1)  # more is better
    with torch.random.fork_rng(devices=()), _quietly():
        torch.default_generator.manual_seed(seed)  # which points can be left out of the front is drawn, too
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=infer_reference_point(values[is_non_dominated(values)]),
            X_baseline=tried,
            sampler=SobolQMCNormalSampler(torch.Size([DRAWS]), seed=seed),
            prune_baseline=True,
            X_pending=pending if len(pending) else None,
        )

    def score(x: Tensor) -> Tensor:
        with _quietly():
            value: Tensor = acquisition(x[:, None, :])
        return value

    return score


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back that a matrix got jitter: where points come close, it is what one expects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        yield


def _turned(belief: Belief) -> SingleTaskGP:
    """Return a belief as a BoTorch model in which more is better."""
    surrogate, mean = belief.surrogate, ConstantMean().to(belief.x)
    mean.constant.data.copy_(-belief.constant)
    model = SingleTaskGP(
        belief.x,
        -belief.y.mT,
        train_Yvar=(belief.noise + belief.known)[:, None],
        covar_module=surrogate.covar_module,
        mean_module=mean,
        outcome_transform=None,
    )
    return model.eval().requires_grad_(False)
