"""The `GP` plugin: its options, and its answer to `suggest`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from hyperhook import Params, StudyRecord, hookimpl

__all__ = ["GP"]


class GP:
    """Bayesian optimization with a Gaussian process, by GPyTorch and BoTorch.

    The first trials fill the space (scrambled Sobol points). Then a Gaussian process is fitted to all losses so far,
    and the params with the highest log expected improvement come next. Trials that run count as pending; those that
    failed or diverged count as being as bad as the worst; killed ones are left out. In a finite space nothing comes
    twice.

    Priors of the space lead the search at first, and fade as trials come in (πBO, Hvarfner et al., ICLR 2022).

    Args:
        startup: How many trials, running ones included, fill the space first; by default a little more than there are
            parameters.
        device: Where the linear algebra runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` takes a GPU where
            there is one.
        seed: Seed of the search; by default that of the study. With one, the same trials give the same suggestion.

    Raises:
        ValueError: `startup` is below 1.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=[GP(startup=6)])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "gpytorch", "botorch")

    def __init__(self, *, startup: int | None = None, device: str = "auto", seed: int | None = None) -> None:
        if startup is not None and startup < 1:
            raise ValueError(f"GP: startup must be 1 or more, got {startup!r}")
        self.startup = startup
        self.device = device
        self.seed = seed
        self._entropy = random.SystemRandom().getrandbits(31)

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> Sequence[Params]:
        """Choose `count` sets of params together, each counting the ones before it as running."""
        from hyperhook_plugins.gp.search import next_params  # torch, GPyTorch and BoTorch are imported here

        if not study.space:
            return [{} for _ in range(count)]
        seed = next(seed for seed in (self.seed, study.seed, self._entropy) if seed is not None)
        return next_params(study, count, startup=self.startup, device=self.device, seed=seed)
