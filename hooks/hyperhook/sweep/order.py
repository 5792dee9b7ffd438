"""What the store keeps of a sweep, so that agents anywhere can work on it: `Order`."""

from __future__ import annotations

import msgspec

from hyperhook.errors import StudyError, SweepError
from hyperhook.store import Store
from hyperhook.sweep.reader import read_sweep
from hyperhook.sweep.record import Sweep

__all__ = ["Order"]


class Order(msgspec.Struct, frozen=True):
    """A sweep file, and where its program runs.

    Attributes:
        file: What the file is called.
        text: What it holds.
        directory: The folder that the program is started in.
    """

    file: str
    text: str
    directory: str

    def sweep(self) -> Sweep:
        """Read the file.

        Raises:
            SweepError: It cannot be read by this version.
        """
        return read_sweep(self.text, self.file)

    def check(self, store: Store, study: str) -> None:
        """Check that a study has no other order.

        Raises:
            SweepError: It has; the message names the difference.
        """
        before = Order.find(store, study)
        difference = None if before is None else before.sweep().difference(self.sweep())
        if difference is not None:
            raise SweepError(
                f"{self.file}: study {study!r} was made from another file: {difference}; "
                "give this search another name, by --name, or go on with the old file"
            )

    def keep(self, store: Store, study: str) -> None:
        """Put the order into the study's row, in place of an equal one."""
        store.keep_sweep(study, msgspec.json.encode(self).decode())

    @staticmethod
    def find(store: Store, study: str) -> Order | None:
        """Return the order of a study; None where it came from no sweep file, or is not there."""
        kept = store.sweep(study)
        return None if kept is None else msgspec.json.decode(kept, type=Order)

    @staticmethod
    def of(store: Store, study: str) -> Order:
        """Return the order of a study.

        Raises:
            StudyError: There is no such study, or it came from no sweep file.
        """
        found = Order.find(store, study)
        if found is None:
            store.study(study)  # says where there is none of that name
            raise StudyError(f"study {study!r} came from no sweep file; make one by: hyperhook sweep FILE.yaml")
        return found
