"""The GPyTorch optimizer: a Gaussian process learns from the trials so far and chooses the next.

Importing this package imports neither torch nor GPyTorch nor BoTorch: that happens with the first suggestion.
"""

from __future__ import annotations

from hyperhook_plugins.gp.converged import Converged
from hyperhook_plugins.gp.plugin import GP

__all__ = ["GP", "Converged"]
