"""The exceptions of hyperhook, one tree.

::

    HyperhookError
    ├── SpaceError (ValueError)        a parameter, a space or a set of params that cannot be
    ├── MetricError (ValueError)       a metric's name, value or step that cannot be logged
    ├── ArtifactError (ValueError)     a file, a figure, a table, a text, a tag or a dataset that cannot be logged
    ├── ObjectiveError (ValueError)    what is searched for cannot be, or a trial gives no value to search with
    │   └── NotFiniteError             its value is NaN or infinite: the training diverged
    ├── PluginError                    a plugin that cannot be used
    │   ├── UnknownPluginError         no plugin of that name is installed
    │   ├── MissingLibraryError        the plugin is there, the library it drives is not
    │   └── HookError                  a hook method that no contract knows, or with a wrong argument
    ├── StudyError                     a study that cannot be opened, or cannot go on
    │   ├── StudyMismatchError         it exists, with another space or objective, or other constraints
    │   ├── TooManyFailuresError       trial after trial failed, so the search was stopped
    │   ├── EmptyStudyError            nothing to answer with: no trial has a value yet
    │   └── NothingLeftError           nothing to ask for: the suggester has nothing left to try
    ├── SweepError (ValueError)        a sweep file that cannot be read: its line, its key, what was expected
    ├── TrialStateError                a trial that has ended already
    ├── TrialPruned                    no error: a training function raises it to end its trial as PRUNED
    ├── StoreError                     the store cannot be opened, read or written
    └── JournalError                   a journal of a newer schema, or one that is not a journal

Each message says what was wrong, what was found, what was expected, and how to mend it.
"""

from __future__ import annotations

__all__ = [
    "ArtifactError",
    "EmptyStudyError",
    "HookError",
    "HyperhookError",
    "JournalError",
    "MetricError",
    "MissingLibraryError",
    "NotFiniteError",
    "NothingLeftError",
    "ObjectiveError",
    "PluginError",
    "SpaceError",
    "StoreError",
    "StudyError",
    "StudyMismatchError",
    "SweepError",
    "TooManyFailuresError",
    "TrialPruned",
    "TrialStateError",
    "UnknownPluginError",
    "is_pruned",
]


class HyperhookError(Exception):
    """Base of every error that hyperhook raises by itself."""


class SpaceError(HyperhookError, ValueError):
    """A parameter, a space or a set of params that cannot be."""


class MetricError(HyperhookError, ValueError):
    """A metric's name, value or step that cannot be logged."""


class ArtifactError(HyperhookError, ValueError):
    """A file, an image, a figure, a table, a text, a tag or a dataset that cannot be logged."""


class ObjectiveError(HyperhookError, ValueError):
    """An objective or a constraint that cannot be, or a trial that gives no value to search with."""


class NotFiniteError(ObjectiveError):
    """The trial's value is NaN or infinite: the training diverged."""


class PluginError(HyperhookError):
    """A plugin that cannot be used."""


class UnknownPluginError(PluginError):
    """No plugin of that name is installed."""


class MissingLibraryError(PluginError):
    """The plugin is installed, the library that it drives is not."""


class HookError(PluginError):
    """A hook method that no contract knows, or one with an argument that its contract lacks."""


class StudyError(HyperhookError):
    """A study that cannot be opened, or cannot go on."""


class StudyMismatchError(StudyError):
    """The study exists already, with another space or objective, or with other constraints."""


class TooManyFailuresError(StudyError):
    """Trial after trial failed, so the search was stopped."""


class EmptyStudyError(StudyError):
    """The study has no trial with a value yet."""


class NothingLeftError(StudyError):
    """The suggester has nothing left to try."""


class SweepError(HyperhookError, ValueError):
    """A sweep file that cannot be read."""


class TrialStateError(HyperhookError):
    """The trial has ended already."""


class TrialPruned(HyperhookError):
    """No error: a training function raises it to end its trial as PRUNED, with the value that it logged last."""


def is_pruned(error: BaseException) -> bool:
    """Tell whether an exception is `TrialPruned`, or Optuna's of that name: such objectives run unchanged."""
    return any(kind.__name__ == "TrialPruned" for kind in type(error).__mro__)


class StoreError(HyperhookError):
    """The store cannot be opened, read or written."""


class JournalError(HyperhookError):
    """A journal of a newer schema, or a file that is not a journal."""
