"""The `GP` plugin: its options, and its answer to `suggest`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias, get_args

from hyperhook import Params, StudyRecord, hookimpl

__all__ = ["GP", "Acquisition"]

Acquisition: TypeAlias = Literal["auto", "ei", "pi", "ucb", "thompson", "nei"]


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
        acquisition: What the next trial is chosen by: ``"ei"`` (log expected improvement), ``"pi"`` (log probability of
            improvement), ``"ucb"`` (confidence bound), ``"thompson"`` (the minimum of a function drawn from what is
            believed), ``"nei"`` (expected improvement over what the noise may hide), or ``"auto"``: ``"nei"`` where the
            losses turn out to be noisy, else ``"ei"``.

    Raises:
        ValueError: `startup` is below 1, or there is no acquisition of that name.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=[GP(startup=6)])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "gpytorch", "botorch")

    def __init__(
        self,
        *,
        startup: int | None = None,
        device: str = "auto",
        seed: int | None = None,
        acquisition: Acquisition = "auto",
    ) -> None:
        if startup is not None and startup < 1:
            raise ValueError(f"GP: startup must be 1 or more, got {startup!r}")
        if acquisition not in get_args(Acquisition):
            raise ValueError(f"GP: acquisition must be one of {', '.join(get_args(Acquisition))}, got {acquisition!r}")
        self.startup = startup
        self.acquisition: Acquisition = acquisition
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
        return next_params(
            study,
            count,
            startup=self.startup,
            device=self.device,
            seed=seed,
            acquisition=self.acquisition,
        )
