"""GPyTorch's import calls a function that torch has deprecated; as an error, the warning would end the collection."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import botorch  # noqa: F401
