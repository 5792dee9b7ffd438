"""Optuna's samplers as suggesters of hyperhook's studies.

::

    study = hh.Study("digits", space, hh.Maximize("val_acc"), plugins=["tpe"])
    study = hh.Study("digits", space, hh.Maximize("val_acc"), plugins=[OptunaSuggester("cmaes", sigma0=0.2)])

How a study is put to a sampler is said in `hyperhook_adapters.optuna.mirror`.
"""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING, ClassVar

from hyperhook import Params, StudyRecord, hookimpl
from hyperhook_adapters.optuna.samplers import SAMPLERS, check, made

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from hyperhook_adapters.optuna.mirror import MakeSampler, Mirror

__all__ = ["OptunaSuggester"]


class OptunaSuggester:
    """Suggest params by a sampler of Optuna's.

    A named sampler is made anew for each suggestion, with a seed from the study's seed and its number of trials: one
    worker that is interrupted goes on as if it had not been. An instance is used as it is, and draws from its own
    random state. cmaes, nsgaii, nsgaiii and qmc keep notes of their own beside the trials; a process that opens a study
    asks them for each trial again, which takes them seconds for hundreds of trials and a minute for a thousand.

    Trials that run or are queued stand there as running ones, so that a sampler with a ``constant_liar`` keeps away
    from them. All losses are minimised, and constraints go to the samplers that heed them (tpe, gp, nsgaii, nsgaiii;
    from Optuna 5 on). Failed and killed trials, and those whose value is not finite, tell nothing. Priors of the space
    are not looked at, and in a finite space params may come twice, as is Optuna's way.

    Args:
        sampler: ``"tpe"``, ``"gp"``, ``"cmaes"``, ``"random"``, ``"nsgaii"``, ``"nsgaiii"``, ``"qmc"``, or a sampler.
        options: What a named sampler is made with, as in ``OptunaSuggester("tpe", n_startup_trials=20)``. TPE is
            multivariate, in groups, unless they say otherwise.

    Raises:
        ValueError: There is no sampler of that name, or options come with an instance.
        TypeError: The sampler does not take these options, or what was given is neither a name nor a sampler.

    Example:
        >>> study = hh.Study("s", space={"lr": hh.Float(0.0, 1.0)}, plugins=["tpe"])  # doctest: +SKIP
    """

    requires: ClassVar[tuple[str, ...]] = ("optuna",)

    def __init__(self, sampler: str | BaseSampler = "tpe", **options: object) -> None:
        if isinstance(sampler, str) and sampler not in SAMPLERS:
            raise ValueError(f"OptunaSuggester: sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
        if "seed" in options:
            raise ValueError("OptunaSuggester: the seed is the study's; write hh.Study(…, seed=…)")
        self._sampler = sampler
        self._options = options
        self._entropy = secrets.token_hex(8)
        self._mirror: Mirror | None = None
        if options or not isinstance(sampler, str):  # a mere name imports nothing
            check(sampler, options)

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> list[Params]:
        """Ask the sampler for `count` sets of params, each counting the ones before it as running.

        Raises:
            Exception: What the sampler raises, such as for several objectives where it takes one.
        """
        if not study.space:
            return [{} for _ in range(count)]
        from hyperhook_adapters.optuna.mirror import Mirror

        if self._mirror is None or not self._mirror.goes_on(study):
            self._mirror = Mirror(study, self._maker(study))
        self._mirror.follow(study)
        return [self._mirror.ask() for _ in range(count)]

    def _maker(self, study: StudyRecord) -> MakeSampler:
        sampler, options = self._sampler, self._options
        seed = self._entropy if study.seed is None else study.seed
        sequence = random.Random(f"{seed}").getrandbits(31)

        def make(number: int) -> BaseSampler:
            if not isinstance(sampler, str):
                return sampler
            return made(sampler, options, random.Random(f"{seed}:{number}").getrandbits(31), sequence)

        return make

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_mirror": None}
