"""The loop of BoTorch's own tutorials, with what its documentation recommends for mixed spaces.

A `SingleTaskGP` with its default priors and its default standardised outcomes, fitted by `fit_gpytorch_mll`, and
`qLogNoisyExpectedImprovement` with 256 samples, maximised from 10 of 512 raw points; a batch is built one point after
the other. The first 10 trials are Sobol points, as many as in "Closed-loop batch BO" (fewer in one or two dimensions:
``2 (d + 1)``). Options are a `MixedSingleTaskGP`'s categorical columns, and `optimize_acqf_mixed_alternating` takes
them and the integers of up to 20 values; integers of more are relaxed and rounded. BoTorch has no conditional
parameters: the space is flat, with inactive ones in the middle of their range.

References:
    Balandat et al.: BoTorch: A framework for efficient Monte-Carlo Bayesian optimization. NeurIPS 2020.
    Ament et al.: Unexpected improvements to expected improvement for Bayesian optimization. NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hyperhook as hh

__all__ = ["BoTorch"]

FEW = 20  # values that BoTorch enumerates instead of relaxing them
NOISY = 0.01  # share of the outcomes' variance from which on the model, not the lowest loss, names the best trial
RESTARTS = {"num_restarts": 10, "raw_samples": 512, "options": {"batch_limit": 5, "maxiter": 200}}
MIXED_RESTARTS = {"num_restarts": 10, "raw_samples": 512}


class BoTorch:
    """The loop, asked and told.

    Args:
        space: What may vary.
        seed: Seed of the search.
    """

    def __init__(self, space: hh.Space, seed: int) -> None:
        import torch

        torch.manual_seed(seed)
        self.space = space
        self.startup = min(10, 2 * (len(space) + 1))
        self.sobol = torch.quasirandom.SobolEngine(len(space), scramble=True, seed=seed)
        self.categories: dict[int, list[float]] = {}
        self.discrete: dict[int, list[float]] = {}
        for column, parameter in enumerate(space.values()):
            if isinstance(parameter, hh.Choice):
                self.categories[column] = [float(i) for i in range(len(parameter.options))]
            elif parameter.cardinality is not None and parameter.cardinality <= FEW:
                cells = [(i + 0.5) / parameter.cardinality for i in range(parameter.cardinality)]
                values = [parameter.from_unit(cell) for cell in cells]
                if isinstance(parameter, hh.Int) and parameter.log:
                    values = list(range(parameter.low, parameter.high + 1))
                self.discrete[column] = [self._column(parameter, value) for value in values]
        self.rows: list[list[float]] = []
        self.losses: list[float] = []

    @staticmethod
    def _column(parameter: hh.Parameter, value: hh.Scalar) -> float:
        """Return what stands for a value in the model: an option's position, or a number from 0 to 1."""
        if isinstance(parameter, hh.Choice):
            return float(parameter.index(value))
        low, high = parameter.to_unit(parameter.low), parameter.to_unit(parameter.high)
        return (parameter.to_unit(value) - low) / (high - low) if high > low else 0.0

    def _row(self, params: hh.Params) -> list[float]:
        return [self._column(p, params[name] if name in params else p.from_unit(0.5)) for name, p in self.space.items()]

    def _params(self, row: Sequence[float]) -> hh.Params:
        params: dict[str, hh.Scalar] = {}
        for (name, parameter), value in zip(self.space.items(), row, strict=True):
            if not self.space.is_active(name, params):
                continue
            if isinstance(parameter, hh.Choice):
                params[name] = parameter.options[round(value)]
            else:
                low, high = parameter.to_unit(parameter.low), parameter.to_unit(parameter.high)
                params[name] = parameter.from_unit(min(max(low + value * (high - low), 0.0), 1.0))
        return params

    def ask(self, count: int) -> Sequence[hh.Params]:
        """Return Sobol points, then what the acquisition function prefers, given those that were just asked for."""
        few = min(count, max(0, self.startup - len(self.rows)))
        many = [self.space.from_unit(point) for point in self.sobol.draw(few).double().tolist()] if few else []
        if few < count:
            many += [self._params(row) for row in self._maximise(count - few, [self._row(params) for params in many])]
        return many

    def _fit(self) -> tuple[Any, Any]:
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import MixedSingleTaskGP, SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        x = torch.tensor(self.rows, dtype=torch.double)
        y = -torch.tensor(self.losses, dtype=torch.double).unsqueeze(-1)
        model = MixedSingleTaskGP(x, y, cat_dims=list(self.categories)) if self.categories else SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model, x

    def _maximise(self, count: int, pending: list[list[float]]) -> list[list[float]]:
        import torch
        from botorch.acquisition.logei import qLogNoisyExpectedImprovement
        from botorch.optim import optimize_acqf
        from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
        from botorch.sampling import SobolQMCNormalSampler

        if not self.rows:  # a batch larger than the startup
            return [self._row(self.space.from_unit(p)) for p in self.sobol.draw(count).double().tolist()]
        model, x = self._fit()
        acquisition = qLogNoisyExpectedImprovement(
            model,
            X_baseline=x,
            sampler=SobolQMCNormalSampler(torch.Size([256])),
            prune_baseline=True,
            X_pending=torch.tensor(pending, dtype=torch.double) if pending else None,
        )
        bounds = torch.tensor(
            [[0.0] * x.shape[1], [float(len(self.categories.get(i, (0, 1))) - 1) for i in range(x.shape[1])]],
            dtype=torch.double,
        )
        if self.categories or self.discrete:
            found, _ = optimize_acqf_mixed_alternating(
                acquisition, bounds, discrete_dims=self.discrete, cat_dims=self.categories, q=count, **MIXED_RESTARTS
            )
        else:
            found, _ = optimize_acqf(acquisition, bounds, q=count, sequential=True, **RESTARTS)
        rows: list[list[float]] = found.tolist()
        return rows

    def tell(self, many: Sequence[hh.Params], losses: Sequence[float]) -> None:
        """Add what was observed."""
        self.rows += [self._row(params) for params in many]
        self.losses += losses

    def best(self) -> int | None:
        """Return the trial of the best posterior mean where the model finds noise, else the one of the lowest loss.

        The tutorials take the lowest loss, noise or not; the mean is what Ax takes, and better where there is noise.
        """
        model, x = self._fit()
        if float(model.likelihood.noise) < NOISY:
            return None
        return int(model.posterior(x).mean.argmax())
