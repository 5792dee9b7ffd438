"""From a study's trials to the next params: the steps of the optimizer, and what happens when one of them fails."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence

import torch
from torch import Generator

from hyperhook import Params, StudyRecord
from hyperhook.untried import key_of
from hyperhook_plugins.gp.devices import device_of, given_back
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import History, history_of
from hyperhook_plugins.gp.learning import EXACT, NUMERICAL, own_settings
from hyperhook_plugins.gp.maximisation import space_filling
from hyperhook_plugins.gp.mind import Mind
from hyperhook_plugins.gp.plugin import Acquisition
from hyperhook_plugins.gp.transfer import Blend, Source, blend, head_start

__all__ = ["default_startup", "next_params"]

log = logging.getLogger("hyperhook")


def next_params(
    study: StudyRecord,
    count: int,
    *,
    startup: int | None,
    device: str,
    seed: int,
    acquisition: Acquisition = "auto",
    per_second: bool = False,
    sources: Sequence[Source] = (),
) -> list[Params]:
    """Choose the params of the next trials, each in view of those chosen before it.

    Args:
        study: The study with all its trials.
        count: How many sets of params to choose.
        startup: How many trials fill the space first; None for `default_startup`.
        device: See `device_of`.
        seed: Seed of the search; the same seed and trials give the same params.
        acquisition: What the next trial is chosen by; see `acquisition`.
        per_second: Divide what a trial is worth by how long it is likely to take.
        sources: Earlier studies to learn from; see `transfer`.

    Raises:
        HyperhookError: The device is not there. Numerical failures are logged, and a space-filling point is returned.
    """
    index = len(study.trials)
    sequence, draws = (random.Random(text).getrandbits(31) for text in (f"{seed}", f"{seed}:{index}"))
    encoding, history = Encoding.of(study.space), history_of(study)
    observations = min(len(history.tried), EXACT) + len(history.pending) + count
    place = device_of(device, observations, encoding.width)
    with own_settings(), given_back(place):
        seen = history.seen
        startup = default_startup(encoding.dimension) if startup is None else startup
        generator = Generator().manual_seed(draws)
        usable = bool(history.losses) and encoding.dimension > 0
        trend = trend_of(history, encoding, place, sources) if usable else None
        helpful = sources if len(history.losses) < 2 else () if trend is None else trend.sources
        ahead = int(any(len(source.leading) for source in sources))  # the first trial is an earlier study's
        if not helpful:
            startup += ahead  # and if that misled, the others are those of a cold start
        mind: Mind | None = None
        chosen: list[Params] = []
        while len(chosen) < count:
            params: Params | None = None
            pending = [*history.pending, *chosen]
            if usable and len(history.tried) + len(pending) >= startup:
                try:
                    mind = mind or Mind.of(history, encoding, place, per_second, trend)
                    params = mind.best(acquisition, pending, seen, generator)
                except NUMERICAL as error:
                    if isinstance(error, torch.OutOfMemoryError) and place.type != "cpu":
                        log.warning("gp: %s has too little memory left; the CPU takes over", place)
                        place, mind = torch.device("cpu"), None
                        continue
                    log.warning("gp: %s: %s; a space-filling point is taken", type(error).__name__, error)
                    log.debug("gp: traceback", exc_info=True)
                    usable = False
            if params is None:
                place_in_line = index + len(chosen)
                params = head_start(helpful, encoding, place_in_line, sequence, seen)
                params = params or space_filling(encoding, max(place_in_line - ahead, 0), sequence, seen)
            chosen.append(params)
            seen.add(key_of(params))
    return chosen


def trend_of(history: History, encoding: Encoding, device: torch.device, sources: Sequence[Source]) -> Blend | None:
    """Return what earlier studies let one expect, by how well they rank the trials so far; None for nothing."""
    if not sources:
        return None
    try:
        return blend(sources, encoding.encode(encoding.units(history.tried)).to(device), history.losses)
    except NUMERICAL as error:
        log.warning("gp: %s: %s; earlier studies are left out", type(error).__name__, error)
        return None


def default_startup(dimension: int) -> int:
    """Return how many trials fill the space before the model is asked, for that many varying parameters."""
    return min(max((dimension + 1) // 2, 4), 12)
