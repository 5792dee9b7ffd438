"""The pruners in the box pass the contract that other authors' pruners pass."""

from __future__ import annotations

from hyperhook.testing import PrunerContract
from hyperhook_plugins.halving import ASHA, Hyperband
from hyperhook_plugins.median import Median, Percentile
from hyperhook_plugins.patience import Patience


class TestASHA(PrunerContract):
    def make(self) -> ASHA:
        return ASHA(reduction=2)


class TestASHAWithAnEnd(PrunerContract):
    def make(self) -> ASHA:
        return ASHA(min_steps=2, max_steps=9, unit="step")


class TestHyperband(PrunerContract):
    by_number = True

    def make(self) -> Hyperband:
        return Hyperband(max_steps=9, reduction=2)


class TestMedian(PrunerContract):
    def make(self) -> Median:
        return Median(startup_trials=1)


class TestPercentile(PrunerContract):
    def make(self) -> Percentile:
        return Percentile(25.0, startup_trials=2, warmup_steps=1, unit="step")


class TestPatience(PrunerContract):
    judges_alone = True

    def make(self) -> Patience:
        return Patience(2, min_improvement=0.5)
