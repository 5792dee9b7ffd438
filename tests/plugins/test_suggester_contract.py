"""The suggesters in the box pass the contract that other authors' suggesters pass."""

from __future__ import annotations

from hyperhook.testing import SuggesterContract
from hyperhook_plugins.evolution import Evolution
from hyperhook_plugins.grid_search import GridSearch
from hyperhook_plugins.quasi_random import QuasiRandom
from hyperhook_plugins.random_search import RandomSearch
from hyperhook_plugins.refine import Refine


class TestRandomSearch(SuggesterContract):
    examples = 200

    def make(self) -> RandomSearch:
        return RandomSearch()


class TestGridSearch(SuggesterContract):
    examples = 100
    seeded = False
    ends = True

    def make(self) -> GridSearch:
        return GridSearch(points=40)


class TestGridSearchThatIsTooLarge(SuggesterContract):
    examples = 100
    ends = True

    def make(self) -> GridSearch:
        return GridSearch(points=10_000, largest=1)


class TestQuasiRandom(SuggesterContract):
    examples = 60

    def make(self) -> QuasiRandom:
        return QuasiRandom()


class TestRefine(SuggesterContract):
    examples = 100

    def make(self) -> Refine:
        return Refine(trials_per_stage=3)


class TestEvolution(SuggesterContract):
    examples = 60

    def make(self) -> Evolution:
        return Evolution(population=4)


class TestRegularisedEvolution(SuggesterContract):
    examples = 100

    def make(self) -> Evolution:
        return Evolution(method="regularised", population=4)
