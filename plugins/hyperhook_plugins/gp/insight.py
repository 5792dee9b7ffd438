"""What the optimizer learned from a study: predictions, the importance of each parameter, and which trial is best.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
n                trials that ended by themselves; b: sets of params; C: columns (see `encoding`)
x       b x C    encoded params
y       n        bent and standardised losses (see `warping`), less being better
======  =======  ======================================================================================================

All answers are of the optimizer's own belief.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperhook import HyperhookError, Objective, Params, Prediction, StudyRecord, TrialRecord, TrialState
from hyperhook_plugins.gp.devices import device_of
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History, history_of
from hyperhook_plugins.gp.learning import EXACT, NUMERICAL, Learned, is_noisy, learn, own_settings
from hyperhook_plugins.gp.sobol import Indices, sobol_indices
from hyperhook_plugins.gp.warping import FENCE

__all__ = ["Insight", "complete"]


@dataclass(frozen=True)
class Insight:
    """A model of a study's losses.

    Attributes:
        objective: What is searched for.
        encoding: How params become columns.
        history: What the trials told.
        learned: What is believed of standardised losses.
        is_noisy: Whether the losses differ significantly by more than their params can explain.
    """

    objective: Objective
    encoding: Encoding
    history: History
    learned: Learned
    is_noisy: bool

    @classmethod
    def of(cls, study: StudyRecord, device: str) -> Insight | None:
        """Learn from a study's trials; None where there is nothing to learn: no loss, or no parameter that varies.

        Args:
            study: The study with all its trials.
            device: See `devices.device_of`.

        Raises:
            HyperhookError: The device is not there, or the losses defy the linear algebra.
        """
        encoding, history = Encoding.of(study.space), history_of(study)
        if study.objective is None or not history.losses or not encoding.dimension:
            return None
        place = device_of(device, min(len(history.tried), EXACT), encoding.width)
        try:
            with own_settings():
                learned = learn(history, encoding, place)
                noisy = is_noisy(learned, encoding.dimension, history.complete)
        except NUMERICAL as error:
            raise HyperhookError(
                f"GP: study {study.name!r} cannot be modelled ({type(error).__name__}: {error}); look at its values"
            ) from error
        return cls(study.objective, encoding, history, learned, noisy)

    def covers(self, study: StudyRecord) -> bool:
        """Tell whether this is what would be learned from a study, too."""
        known, now = self.history, history_of(study)
        return (
            study.objective == self.objective
            and [*study.space.items()] == [*self.encoding.space.items()]
            and (known.tried, known.losses, known.stderrs) == (now.tried, now.losses, now.stderrs)
        )

    def predict(self, many: Sequence[Params]) -> list[Prediction]:
        """Return what the noiseless objective would be at b sets of params, in its own unit and direction."""
        with own_settings():
            mean, variance = self.learned.belief.moments(self._encoded(self.encoding.units(many)))
            return self.predictions(mean[:, 0], variance.sqrt())

    def predictions(self, mean: Tensor, std: Tensor) -> list[Prediction]:
        """Return what standardised means and standard deviations, each ``b``, are in the objective's own unit."""
        surrogate = self.learned.surrogate
        bent = surrogate.scale.bent(surrogate.log_bend)
        means, stds = surrogate.scale.losses(bent, surrogate.log_bend, mean.cpu(), std.cpu())
        pairs = zip(means.tolist(), stds.tolist(), strict=True)
        return [Prediction(self.objective.loss(loss), deviation) for loss, deviation in pairs]

    def indices(self) -> Indices:
        """Return Sobol's indices of the expected loss, ``D`` each, one for each parameter of the space.

        The points are uniform over the space, each parameter on its own scale. One below a choice makes no difference
        where it is not active, so it counts by as much of the space as it is active in. Losses beyond Tukey's outer
        fence count as there: by how much a training diverged makes nothing important.
        """
        surrogate = self.learned.surrogate
        with own_settings():
            u = surrogate.scale.u.cpu()
            lower, upper = torch.quantile(u, u.new_tensor([0.25, 0.75])).tolist()
            fence = upper + FENCE * (upper - lower) if upper > lower else float(u.max())
            bent = surrogate.scale.bent(surrogate.log_bend)

            def expected(units: Tensor) -> Tensor:
                mean = self.learned.belief.mean(self._encoded(units))[:, 0].cpu()
                return bent.unbent(surrogate.log_bend, mean, torch.zeros_like(mean))[0].clamp_max(fence)

            return sobol_indices(expected, len(self.encoding.space), self.encoding.snap)

    def importance(self) -> dict[str, float]:
        """Return the share of each parameter in the sum of the total indices.

        Where the expected loss is the same everywhere nothing is known to matter more than anything else: all
        parameters that vary share alike.
        """
        total = self.indices().total.tolist()
        if not any(total):
            total = [float(columns.start < columns.stop) for columns in self.encoding.columns]
        return {name: index / sum(total) for name, index in zip(self.encoding.space, total, strict=True)}

    def best(self) -> int:
        """Return which of the history's trials has the best expected value; of those with equal ones, the luckiest."""
        with own_settings():
            means = self.learned.belief.mean(self.learned.belief.x)[:, 0].tolist()
        order = [
            (round(mean, 9), self.history.losses[row], row) for mean, row in zip(means, self.learned.rows, strict=True)
        ]
        return min(order)[-1]

    def _encoded(self, units: Tensor) -> Tensor:
        return self.encoding.encode(units).to(self.learned.belief.x.device)


def complete(study: StudyRecord) -> StudyRecord:
    """Return a study with only those of its trials that may be the best: COMPLETE, with a finite value.

    The others differ for reasons that are not noise: pruned trials were trained less, failed ones count as the worst.
    """

    def counts(trial: TrialRecord) -> bool:
        return trial.state is TrialState.COMPLETE and trial.value is not None and math.isfinite(trial.value)

    return replace(study, trials=tuple(filter(counts, study.trials)))
