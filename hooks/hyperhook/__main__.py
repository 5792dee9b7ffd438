"""``python -m hyperhook`` is the ``hyperhook`` command."""

from __future__ import annotations

from hyperhook.cli import main

main()
