"""Optuna's published tests of samplers, with the GP from the second trial on, and with random search.

`MultiObjectiveSamplerTestCase` is left out: it is for samplers of several objectives, and excludes
`SingleOnlySamplerTestCase`, which is for those of one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase

from hyperhook_adapters.optuna import HyperhookSampler
from hyperhook_plugins.gp import GP


class TestGP(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler(GP(startup=1, device="cpu"), seed=0)


class TestRandom(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: HyperhookSampler("random", seed=0)
