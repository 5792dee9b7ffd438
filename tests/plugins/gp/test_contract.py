"""The Gaussian process passes the suite for suggesters."""

from __future__ import annotations

from hyperhook.testing import SuggesterContract
from hyperhook_plugins.gp import GP


class TestGP(SuggesterContract):
    def make(self) -> object:
        return GP()
