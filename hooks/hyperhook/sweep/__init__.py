"""Sweep files: the configuration that Weights & Biases publishes, read for a study; see `Sweep`."""

from __future__ import annotations

from hyperhook.sweep.reader import read_sweep
from hyperhook.sweep.record import Addon, Sweep

__all__ = ["Addon", "Sweep", "read_sweep"]
