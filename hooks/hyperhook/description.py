"""What is said of a trial: tags, a note, and the data that it works with."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

from hyperhook.events import DatasetLogged, NoteLogged, TagsLogged
from hyperhook.parameters import Scalar
from hyperhook.records import Dataset, TrialRecord
from hyperhook.sink import Sink
from hyperhook.values import as_facts, as_label, as_tags, as_text

__all__ = ["DescriptionLog"]


class DescriptionLog(ABC):
    """The part of a `Trial` that describes it."""

    _sink: Sink
    _record: TrialRecord
    _known_datasets: dict[tuple[str, str], Dataset]
    """What was told last, by name and context."""

    @abstractmethod
    def _is_heard(self, what: str) -> bool:
        """Tell whether this handle logs."""

    def log_tags(self, tags: Mapping[str, object]) -> None:
        """Put labels on the trial; one that is there already changes its value.

        Args:
            tags: Names and values; values are recorded as texts of 100,000 characters at the most.

        Raises:
            ArtifactError: A name is no string, or a text is too long.
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_tags"):
            found = as_tags(tags)
            if found:
                self._sink.emit(self._record, TagsLogged(time=time.time(), tags=found))

    def log_note(self, note: str) -> None:
        """Describe the trial in words (Markdown), in place of what was said before.

        Args:
            note: The words, 100,000 characters at the most.

        Raises:
            ArtifactError: It is too long.
            TrialStateError: The trial has ended.
        """
        if self._is_heard("log_note"):
            self._sink.emit(self._record, NoteLogged(time=time.time(), note=as_text("log_note", note)))

    def log_dataset(
        self,
        name: str,
        *,
        context: str = "training",
        digest: str | None = None,
        source: str | None = None,
        profile: Mapping[str, Scalar] | None = None,
    ) -> None:
        """Tell which data the trial works with; the data itself is not read.

        One of the same name and context takes the place of what was told before. What is known already, in the very
        same words, is not recorded again, also after the trial was resumed.

        Args:
            name: What it is called.
            context: What it serves, such as ``"training"``, ``"validation"`` or ``"test"``.
            digest: A fingerprint of the data, such as a commit or a checksum.
            source: Where the data comes from, such as a path or an address. Leave passwords out: trackers show it.
            profile: What it looks like, such as ``{"rows": 60000, "batch_size": 32}``, 100 entries at the most.

        Raises:
            ArtifactError: A text is no string of 1 to 10,000 characters, or the profile no names and values.
            TrialStateError: The trial has ended.

        Example:
            >>> trial.log_dataset("digits", digest="5d41402a", profile={"rows": 1797})  # doctest: +SKIP
        """
        if not self._is_heard("log_dataset"):
            return
        facts = as_facts("log_dataset: profile", {} if profile is None else profile)
        event = DatasetLogged(
            time=time.time(),
            name=as_label("log_dataset: name", name),
            context=as_label("log_dataset: context", context),
            digest=None if digest is None else as_label("log_dataset: digest", digest),
            source=None if source is None else as_label("log_dataset: source", source),
            profile=facts,
        )
        dataset = event.dataset()
        if self._known_datasets.get((dataset.name, dataset.context)) != dataset:
            self._known_datasets[dataset.name, dataset.context] = dataset
            self._sink.emit(self._record, event)
