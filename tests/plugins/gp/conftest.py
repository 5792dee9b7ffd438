"""GPyTorch's import calls a function that torch has deprecated; as an error, the warning would end the collection."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import botorch  # noqa: F401


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """On a machine that others use, too, threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
