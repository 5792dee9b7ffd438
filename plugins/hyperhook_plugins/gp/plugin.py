"""The `GP` plugin: its options, and its answers."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

from hyperhook import HyperhookError, Params, Prediction, StudyRecord, TrialRecord, hookimpl
from hyperhook.growth import aligned

if TYPE_CHECKING:
    from hyperhook_plugins.gp.diagnostics import Diagnostics
    from hyperhook_plugins.gp.insight import Insight
    from hyperhook_plugins.gp.transfer import Source, Sources

__all__ = ["GP", "Acquisition"]

Acquisition: TypeAlias = Literal["auto", "ei", "pi", "ucb", "thompson", "nei"]

log = logging.getLogger("hyperhook")

FEW = 10
"""With fewer trials nobody can tell noise from signal, so nothing is imported to try."""


class GP:
    """Bayesian optimization with a Gaussian process, by GPyTorch and BoTorch.

    The first trials fill the space (scrambled Sobol points). Then a Gaussian process is fitted to the losses so far,
    and the params with the highest log expected improvement come next. Trials that run count as pending; those that
    failed or diverged count as being as bad as the worst, and what is likely to fail is avoided; killed ones are left
    out. In a finite space nothing comes twice until all was tried, which a warning says.

    Losses over orders of magnitude are seen through a logarithm, as far as that explains them better. Constraints are
    learned, each by a Gaussian process of its own, and what is likely to break them is avoided. With several objectives
    the search widens the Pareto front. Standard errors of values count as noise that is known.

    Earlier studies with the same parameters, or some of them, say where to begin and what to expect, as far as the
    trials of this one bear them out.

    Priors of the space lead the search at first, and fade as trials come in (πBO, Hvarfner et al., ICLR 2022).

    It also predicts, says which parameters matter, and where the objective is noisy, which trial is best by what is
    expected of it rather than by its luck.

    Args:
        startup: How many trials, running ones included, fill the space first; by default half as many as there are
            parameters, but 4 to 12.
        device: Where the linear algebra runs: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"`` takes a GPU
            where there is one with memory to spare, and the trials are many.
        seed: Seed of the search; by default that of the study. With one, the same trials give the same suggestion.
        acquisition: What the next trial is chosen by: ``"ei"`` (log expected improvement), ``"pi"`` (log probability of
            improvement), ``"ucb"`` (confidence bound), ``"thompson"`` (the minimum of a function drawn from what is
            believed), ``"nei"`` (expected improvement over what the noise may hide), or ``"auto"``: ``"ei"``, every
            other time over a target below the best loss; where the losses turn out to be noisy ``"nei"``, and where
            they are very much so, in turn with ``"thompson"``. With several objectives it is always the expected
            hypervolume improvement.
        per_second: Prefer trials that take less time, by the durations of those before them: what counts is the
            expected improvement per second.
        warm_start: Earlier studies to learn from: names of studies in the same home, or records, as ``Study.record()``
            returns them, from anywhere. They are taken as they are when the search begins. Of the first trials every
            other one is one of their best, as long as the trials so far bear them out.

    Raises:
        ValueError: `startup` is below 1, there is no acquisition of that name, or it is none to divide by seconds, or
            `warm_start` is no list of names and records.

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
        per_second: bool = False,
        warm_start: Sequence[str | StudyRecord] = (),
    ) -> None:
        if startup is not None and startup < 1:
            raise ValueError(f"GP: startup must be 1 or more, got {startup!r}")
        if acquisition not in get_args(Acquisition):
            raise ValueError(f"GP: acquisition must be one of {', '.join(get_args(Acquisition))}, got {acquisition!r}")
        if per_second and acquisition in ("ucb", "thompson"):
            raise ValueError(
                f"GP: per_second needs an expected improvement, got acquisition={acquisition!r}; use 'auto'"
            )
        if isinstance(warm_start, str) or not isinstance(warm_start, Sequence):
            raise ValueError(f"GP: warm_start must be a list, got {warm_start!r}; write warm_start=['last-year']")
        for one in warm_start:
            if not isinstance(one, str | StudyRecord):
                raise ValueError(f"GP: warm_start takes names of studies and StudyRecords, got {one!r}; write its name")
        self.startup = startup
        self.warm_start = tuple(warm_start)
        self.acquisition: Acquisition = acquisition
        self.per_second = per_second
        self.device = device
        self.seed = seed
        self._known: tuple[Insight, ...] = ()
        self._exhausted: set[str] = set()
        self._earlier: dict[str, tuple[StudyRecord, ...]] = {}
        self._sources: Sources | None = None
        self._entropy = random.SystemRandom().getrandbits(31)

    @hookimpl
    def prepare(self, study: StudyRecord, read_study: Callable[[str], StudyRecord]) -> None:
        """Read the earlier studies.

        Raises:
            HyperhookError: There is none of that name, or it is the study itself.
        """
        if study.name in self.warm_start:
            raise HyperhookError(f"GP: warm_start names {study.name!r}, the study itself; name an earlier one")
        try:
            earlier = [read_study(one) if isinstance(one, str) else aligned(one) for one in self.warm_start]
        except HyperhookError as error:
            raise type(error)(f"GP: warm_start: {error}") from None
        self._earlier[study.name] = tuple(earlier)
        if earlier and study.further:
            log.warning("gp: study %s has several objectives: earlier studies only tell where to begin", study.name)

    @hookimpl
    def suggest(self, study: StudyRecord, count: int) -> Sequence[Params]:
        """Choose `count` sets of params together, each counting the ones before it as running."""
        from hyperhook_plugins.gp.search import next_params  # torch, GPyTorch and BoTorch are imported here

        if not study.space:
            return [{} for _ in range(count)]
        seed = next(seed for seed in (self.seed, study.seed, self._entropy) if seed is not None)
        chosen = next_params(
            study,
            count,
            startup=self.startup,
            device=self.device,
            seed=seed,
            acquisition=self.acquisition,
            per_second=self.per_second,
            sources=self._sources_for(study),
        )
        self._say_if_exhausted(study, chosen)
        return chosen

    def _sources_for(self, study: StudyRecord) -> Sequence[Source]:
        """Return the earlier studies, learned from once."""
        if not self.warm_start:
            return ()
        names = [one for one in self.warm_start if isinstance(one, str)]
        if study.name not in self._earlier and names:
            raise HyperhookError(
                f"GP: warm_start names studies ({', '.join(names)}), which are found in the home of a hyperhook.Study, "
                "and there is none here; give their records: warm_start=[hh.Study(name).record()]"
            )
        from hyperhook_plugins.gp.transfer import Sources

        earlier = self._earlier.get(study.name) or tuple(
            aligned(one) for one in self.warm_start if isinstance(one, StudyRecord)
        )
        if self._sources is None or not self._sources.are_those_of(earlier, study.space):
            self._sources = Sources.of(earlier, study.space, self.device)
        return self._sources.all

    def _say_if_exhausted(self, study: StudyRecord, chosen: Sequence[Params]) -> None:
        """Warn, once for each study, that nothing new is left to try."""
        if study.space.cardinality is None or study.name in self._exhausted:
            return
        from hyperhook.untried import key_of
        from hyperhook_plugins.gp.history import history_of

        seen = history_of(study).seen
        if any(key_of(params) in seen for params in chosen):
            self._exhausted.add(study.name)
            log.warning("gp: all %s sets of params of the space were tried; some come again", study.space.cardinality)

    @hookimpl
    def predict(self, study: StudyRecord, many: Sequence[Params]) -> Sequence[Prediction] | None:
        """Predict the noiseless objective; None where no parameter varies."""
        insight = self._insight(study)
        return None if insight is None else insight.predict(many)

    @hookimpl
    def importance(self, study: StudyRecord) -> dict[str, float] | None:
        """Share out Sobol's total indices of the expected loss; None where no parameter varies."""
        insight = self._insight(study)
        return None if insight is None else insight.importance()

    @hookimpl
    def which_is_best(self, study: StudyRecord) -> TrialRecord | None:
        """Choose the COMPLETE trial with the best expected value; None where the objective is not noisy."""
        if len(study.trials) < FEW:
            return None
        from hyperhook_plugins.gp.insight import complete

        candidates = complete(study)
        try:
            insight = self._insight(candidates)
        except HyperhookError as error:
            log.warning("%s; the best value counts", error)
            return None
        return candidates.trials[insight.best()] if insight is not None and insight.is_noisy else None

    def diagnose(self, study: StudyRecord) -> Diagnostics:
        """Return how well the model predicts each trial from the others, its length scales and its noise.

        Args:
            study: What ``Study.record()`` returns.

        Raises:
            HyperhookError: There is nothing to learn: no objective, no trial with a value, or no parameter that varies.

        Example:
            >>> GP().diagnose(study.record()).length_scales  # doctest: +SKIP
            {'lr': 0.21, 'width': 1.4, 'activation': 5.3}
        """
        if not isinstance(study, StudyRecord):
            raise HyperhookError(f"GP.diagnose: expected a StudyRecord, got {study!r}; write study.record()")
        from hyperhook_plugins.gp.diagnostics import diagnostics_of

        study = aligned(study)
        insight = self._insight(study)
        if insight is None:
            raise HyperhookError(
                f"GP.diagnose: study {study.name!r} teaches nothing yet: expected an objective, a trial with a finite "
                "value and a parameter that varies; run it first"
            )
        return diagnostics_of(insight, study)

    def _insight(self, study: StudyRecord) -> Insight | None:
        """Return what the trials tell, learned again only where they changed."""
        from hyperhook_plugins.gp.insight import Insight

        known = next((known for known in self._known if known.covers(study)), None)
        if known is None:
            known = Insight.of(study, self.device)
            if known is not None:
                self._known = (known, *self._known[:1])  # one of all trials, one of those that are complete
        return known

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_known": (), "_sources": None}  # quickly learned again, and of no use to a worker
