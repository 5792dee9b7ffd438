"""The package's face: light to import, sorted, documented, its examples right."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import hyperhook

HEAVY = (
    "hypothesis",
    "lightning",
    "mlflow",
    "numpy",
    "pytorch_lightning",
    "ray",
    "sqlalchemy",
    "tensorboard",
    "torch",
    "wandb",
)
MODULES = sorted(
    f"hyperhook.{module.name}" for module in pkgutil.iter_modules(hyperhook.__path__) if module.name != "__main__"
)
ALIASES = {"Params", "Scalar"}


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    "code",
    [
        "import hyperhook",
        "import hyperhook; hyperhook.Study, hyperhook.Trial, hyperhook.Tracker",
        "from hyperhook import *",
        "import hyperhook.testing, hyperhook.cli",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


def test_naming_every_plugin_and_tracker_that_ships_loads_nothing_heavy() -> None:
    code = """
import os; os.environ['HYPERHOOK_WEBHOOK_URL'] = 'https://example.com'
from hyperhook.manager import installed
options = {"budget": {"trials": 9}, "target": {"value": 0.9}}
for name, entry in installed().items(): entry.load()(**options.get(name, {}))
"""
    assert not loaded_after(code) & set(HEAVY)


def test_all_is_sorted_and_there() -> None:
    assert hyperhook.__all__ == sorted(hyperhook.__all__)
    assert len(set(hyperhook.__all__)) == len(hyperhook.__all__) <= 28
    for name in hyperhook.__all__:
        assert getattr(hyperhook, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Stdy'"):
        hyperhook.Stdy  # noqa: B018


@pytest.mark.parametrize("name", sorted(set(hyperhook.__all__) - ALIASES))
def test_public_names_and_their_methods_are_documented(name: str) -> None:
    found = getattr(hyperhook, name)
    assert inspect.getdoc(found)
    if isinstance(found, type):
        for attribute, value in vars(found).items():
            if not attribute.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                assert inspect.getdoc(getattr(found, attribute)), f"{name}.{attribute}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_documented_and_name_what_they_offer(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_right(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs={"hh": hyperhook, "hookimpl": hyperhook.hookimpl})
    assert failed == 0
