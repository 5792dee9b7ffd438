"""The Gaussian process passes the contract that other authors' suggesters pass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hyperhook.testing import SuggesterContract
from hyperhook_plugins.gp import GP


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestGP(SuggesterContract):
    def make(self) -> GP:
        return GP(device="cpu")


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestGPAtLength(TestGP):
    """A thousand spaces and histories for each property."""

    examples = 1000
