"""Modules that tests of faults share, which pytest's import mode keeps from being imported by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def servers() -> ModuleType:
    """The module beside this one."""
    return _load(Path(__file__).with_name("servers.py"))


@pytest.fixture(scope="session")
def readers() -> ModuleType:
    """What reads the backends back."""
    return _load(Path(__file__).parents[1] / "adapters" / "readers.py")
