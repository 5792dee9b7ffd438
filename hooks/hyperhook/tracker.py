"""The base of trackers: plugins that mirror a trial's events into an outside system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from hyperhook.parameters import Scalar
from hyperhook.records import TrialRecord

__all__ = ["Tracker"]

_MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


class Tracker:
    """Mirrors events into an outside system so that what was sent twice is there once.

    A tracker implements hooks of `TrialEvents`, each marked with `hookimpl`. The forwarder reads a trial's journal in
    batches: it calls the hooks for each event in order, then `flush`; when that returns, the batch is confirmed and
    the cursor moves behind it. All trials of a study share one instance, their batches may interleave, and one thread
    makes all calls.

    When a hook or `flush` raises, or the process dies, the forwarder later goes on behind the last confirmed batch:

    - no batch was ever confirmed: it starts over with `trial_started`, which must therefore begin the run afresh, or
      find the one that is there already;
    - otherwise it calls `resume` with what the last `flush` returned. The tracker drops whatever came after that, and
      answers True; or it answers False, and everything is sent again from `trial_started`.

    The library that a tracker drives is imported inside its methods, so that naming the tracker costs the training
    process nothing; `requires` names it, so that its absence is told at once.

    Example:
        >>> class Lines(Tracker):
        ...     @hookimpl
        ...     def metrics_logged(self, trial, metrics, step):
        ...         print(trial.name, step, metrics)
    """

    requires: ClassVar[tuple[str, ...]] = ()
    """Top-level modules that must be importable."""

    batch_size: ClassVar[int] = 1000
    """How many events the forwarder sends, at the most, before it calls `flush`."""

    on_moved: Callable[[str], None] | None = None
    """Who hears of `moved`; set by the forwarder."""

    def moved(self, progress: str) -> None:
        """Say that a call that takes long, such as an upload, still moves: call it as often as you like.

        Without it, a call that does not return for a minute is reported, and after five it is given up when the
        forwarder would otherwise end.

        Args:
            progress: What is shown to the user, such as ``"last.ckpt: 40 of 200 MB"``.
        """
        if self.on_moved is not None:
            self.on_moved(progress)

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Make durable what was sent of a trial; return what `resume` needs to go on from here.

        Args:
            trial: The trial whose batch ends.
        """
        return {}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Go on with a trial exactly behind the batch that returned `state`; False asks for everything again.

        Args:
            trial: The trial, as it started.
            state: What `flush` returned for its last confirmed batch, in this process or an earlier one.
        """
        return False

    def refuses(self, error: BaseException) -> bool:
        """Tell whether an error is for good: the same event, sent again, would fail again.

        An event that is refused three times is set aside, so that what comes after it arrives; any other error is
        tried again for as long as it takes. By default an error is for good where it is a mistake in a value or in
        the program (TypeError, ValueError, LookupError, …), and not where a disk or a network speaks (OSError).

        Args:
            error: What a hook or `flush` raised.
        """
        return isinstance(error, _MISTAKES) and not isinstance(error, OSError)

    def options(self) -> Mapping[str, Scalar] | None:
        """Return the arguments that make this tracker again, in the same directory; they are kept with the study.

        `hyperhook sync` uses them. None, where they cannot be told or are secret: then only the script that made the
        tracker can send what is left. By default that is so unless the tracker was made without arguments.
        """
        try:
            return {} if vars(type(self)()) == vars(self) else None
        except Exception:  # it cannot be made without arguments
            return None

    def close(self) -> None:
        """Let go of everything; called once, when the forwarder ends."""
