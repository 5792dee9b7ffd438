"""Optuna's samplers by name: `made`. Optuna is imported when one is made."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["SAMPLERS", "check", "made"]

SAMPLERS: dict[str, tuple[str, dict[str, object]]] = {
    "tpe": ("TPESampler", {"multivariate": True, "group": True, "constant_liar": True}),
    "gp": ("GPSampler", {"warn_independent_sampling": False}),
    "cmaes": ("CmaEsSampler", {"warn_independent_sampling": False}),
    "random": ("RandomSampler", {}),
    "nsgaii": ("NSGAIISampler", {}),
    "nsgaiii": ("NSGAIIISampler", {}),
    "qmc": ("QMCSampler", {"scramble": True, "warn_independent_sampling": False}),
}
"""The samplers by their names here: Optuna's classes, and what they are made with unless the user says otherwise."""


def check(sampler: object, options: dict[str, object]) -> None:
    """Check that this is a sampler, or a name with options that its sampler takes.

    Raises:
        TypeError: It is neither, or there is no such option.
        ValueError: Options come with an instance, or an option cannot be.
    """
    from optuna.samplers import BaseSampler

    if isinstance(sampler, str):
        made(sampler, options, 0, 0)
    elif not isinstance(sampler, BaseSampler):
        raise TypeError(f"OptunaSuggester: expected a name or a sampler of Optuna's, got {sampler!r}")
    elif options:
        raise ValueError(f"OptunaSuggester: options go with a name; make the {type(sampler).__name__} with them")


def made(name: str, options: dict[str, object], seed: int, sequence: int) -> BaseSampler:
    """Return a sampler of a name.

    Args:
        name: One of `SAMPLERS`.
        options: What the user wants it made with.
        seed: Seed of one suggestion.
        sequence: Seed of all of them, where they are the points of one sequence.
    """
    import optuna
    from optuna.exceptions import ExperimentalWarning

    kind: Any = getattr(optuna.samplers, SAMPLERS[name][0])
    wanted: dict[str, Any] = {"seed": seed, **SAMPLERS[name][1]}
    if name == "qmc":
        wanted |= {"seed": sequence, "independent_sampler": optuna.samplers.RandomSampler(seed)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler: BaseSampler = kind(**{**wanted, **options})
    return sampler
