"""The trials of an earlier study, as points of the present space.

======  =======  ======================================================================================================
symbol  shape    meaning
======  =======  ======================================================================================================
k, D             earlier trials; parameters of the present space
units   k x D    points of the present unit cube (see `encoding`); NaN where an earlier trial says nothing
C'               the columns of the parameters that both spaces share
======  =======  ======================================================================================================

Parameters are the same if they have the same name and are of one kind, options or numbers. Real values are carried
over, whatever the ranges and scales: a number may lie outside of the present bounds by up to the width of its range,
and still tell what is inside. A trial farther out, or with an option that is none any more, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperhook import Choice, Float, Int, Params, StudyRecord
from hyperhook_plugins.gp.encoding import Encoding
from hyperhook_plugins.gp.history import history_of

__all__ = ["Earlier"]

REACH = 1.0
"""How far beyond the bounds, in ranges, an earlier trial may lie."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier study's trials are in the present space.

    Attributes:
        units: ``k x D``.
        x: The columns of the shared parameters, ``k x C'``.
        columns: Which columns of the present encoding these are, ``C'``, int64.
        dimension: How many parameters are shared and vary.
        losses: Losses by the study's first objective, ``k``; see `history`.
        stderrs: Their standard errors, ``k``; empty where none was given.
        feasible: Which trials met the study's constraints, ``k``, bool.
    """

    units: Tensor
    x: Tensor
    columns: Tensor
    dimension: int
    losses: tuple[float, ...]
    stderrs: tuple[float, ...]
    feasible: Tensor

    @classmethod
    def of(cls, study: StudyRecord, encoding: Encoding) -> Earlier:
        """Carry over the trials of a study that ended and tell something.

        Args:
            study: The earlier study.
            encoding: That of the present space.
        """
        shared = [_alike(parameter, study.space.get(name)) for name, parameter in encoding.space.items()]
        parts = [part for part, known in zip(encoding.columns, shared, strict=True) if known and part.start < part.stop]
        columns = torch.tensor([column for part in parts for column in range(part.start, part.stop)], dtype=torch.int64)
        history = history_of(study)
        tried = history.tried if history.losses else ()
        found = {place: _coordinates(params, encoding, shared) for place, params in enumerate(tried)}
        rows = {place: row for place, row in found.items() if row is not None}
        units = torch.tensor([*rows.values()], dtype=torch.float64).reshape(len(rows), len(shared))
        return cls(
            units,
            _encoded(units, encoding)[:, columns],
            columns,
            len(parts),
            tuple(history.losses[place] for place in rows),
            tuple(history.stderrs[place] for place in rows) if history.stderrs else (),
            torch.tensor([place not in history.infeasible for place in rows], dtype=torch.bool),
        )


def _alike(parameter: Float | Int | Choice, other: Float | Int | Choice | None) -> bool:
    """Tell whether two parameters of one name are of one kind: options, or numbers."""
    return other is not None and isinstance(parameter, Choice) == isinstance(other, Choice)


def _coordinates(params: Params, encoding: Encoding, shared: Sequence[bool]) -> list[float] | None:
    """Return a trial's coordinates, ``D``; None if it lies outside."""
    row: list[float] = []
    for (name, parameter), known in zip(encoding.space.items(), shared, strict=True):
        if not known or name not in params:
            row.append(math.nan)
            continue
        value = params[name]
        if isinstance(parameter, Choice) and not parameter.contains(value):
            return None
        try:
            unit = parameter.to_unit(value)
        except (ValueError, OverflowError):  # no logarithm, or too far away
            return None
        if not -REACH <= unit <= 1 + REACH:
            return None
        row.append(unit)
    return row


def _encoded(units: Tensor, encoding: Encoding) -> Tensor:
    """Return the columns, ``k x C``, of points that may lack coordinates: these stand as inactive ones do."""
    x = torch.zeros(len(units), encoding.width, dtype=torch.float64)
    known = ~units.isnan()
    for i, (parameter, columns) in enumerate(zip(encoding.space.values(), encoding.columns, strict=True)):
        if isinstance(parameter, Choice) and columns.stop - columns.start > 1:
            option = (units[:, i].nan_to_num() * parameter.cardinality).long().clamp_max(parameter.cardinality - 1)
            hot = option[:, None] == torch.arange(columns.stop - columns.start)
            x[:, columns] = (hot & known[:, i : i + 1]) * math.sqrt(0.5)
        elif columns.start < columns.stop:
            x[:, columns.start] = units[:, i].nan_to_num(nan=0.5)
    return x
