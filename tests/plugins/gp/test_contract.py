"""The Gaussian process passes the suite for suggesters."""

from __future__ import annotations

import pytest

from hyperhook.testing import SuggesterContract
from hyperhook_plugins.gp import GP


class TestGP(SuggesterContract):
    def make(self) -> object:
        return GP()

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    def test_a_thousand_histories_give_valid_params(self) -> None:
        for number in range(1000):
            self.suggest(self.history(number), count=1 + number % 3)
