"""Optuna's published tests of samplers, with the GP from the second trial on, and with random search.

`SingleOnlySamplerTestCase` is left out: it is for samplers that refuse several objectives.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase

from hyperhook_adapters.optuna import HyperhookSampler
from hyperhook_plugins.gp import GP


class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler(GP(startup=1, device="cpu"), seed=0)


class TestRandom(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler("random", seed=0)
