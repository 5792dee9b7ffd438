"""hyperhook: one callback in a trainer that already exists; every tracker, any search, nothing lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperhook.constraint import Constraint
from hyperhook.current import current_trial
from hyperhook.errors import HyperhookError, TrialPruned
from hyperhook.hookspecs import hookimpl
from hyperhook.objective import CurvePoint, Maximize, Minimize, Objective, Point
from hyperhook.parameters import Choice, Float, Int, Params, Scalar
from hyperhook.priors import Beta, LogNormal, Normal
from hyperhook.records import Artifact, Dataset, Prediction, StudyRecord, TrialRecord, TrialState
from hyperhook.space import Space
from hyperhook.tracker import Tracker
from hyperhook.trial import Trial

if TYPE_CHECKING:
    from hyperhook.study import Study

__all__ = [
    "Artifact",
    "Beta",
    "Choice",
    "Constraint",
    "CurvePoint",
    "Dataset",
    "Float",
    "HyperhookError",
    "Int",
    "LogNormal",
    "Maximize",
    "Minimize",
    "Normal",
    "Objective",
    "Params",
    "Point",
    "Prediction",
    "Scalar",
    "Space",
    "Study",
    "StudyRecord",
    "Tracker",
    "Trial",
    "TrialPruned",
    "TrialRecord",
    "TrialState",
    "current_trial",
    "hookimpl",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `Study`, and with it store and delivery, when it is first asked for: workers and plugins do without."""
    if name == "Study":
        from hyperhook.study import Study

        return Study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
