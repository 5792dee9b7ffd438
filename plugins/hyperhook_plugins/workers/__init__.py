"""Trials in local worker processes, several at a time."""

from __future__ import annotations

from hyperhook_plugins.workers.plugin import Workers

__all__ = ["Workers"]
