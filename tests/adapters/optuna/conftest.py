"""GPyTorch's import calls a function that torch has deprecated; as an error, the warning would end the collection."""

from __future__ import annotations

import warnings

import optuna
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import botorch  # noqa: F401


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Optuna writes a line for each trial otherwise."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
