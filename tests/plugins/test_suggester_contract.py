"""The suggesters in the box pass the contract that other authors' suggesters pass."""

from __future__ import annotations

from hyperhook.testing import SuggesterContract
from hyperhook_plugins.random_search import RandomSearch


class TestRandomSearch(SuggesterContract):
    examples = 200

    def make(self) -> RandomSearch:
        return RandomSearch()
