"""A keeper of the journal that a test follows."""

import threading

from dicom_listener.spool.journal.keeper import JournalKeeper
from dicom_listener.stored import StoredInstance
from tests.unit.dicom_listener.journal_room import LONG


class Looks:
    """A keeper that runs, and when it has looked."""

    def __init__(self, keeper: JournalKeeper) -> None:
        """Start it; returns when it has looked once."""
        self.keeper = keeper
        self.n_looks = 0
        self._looked = threading.Condition()
        wait = keeper._look.wait

        def note(timeout: float | None = None) -> bool:
            with self._looked:
                self.n_looks += 1
                self._looked.notify_all()
            return wait(timeout)

        keeper._look.wait = note  # type: ignore[method-assign] # (it waits there when it has looked)
        keeper.start()
        self._wait(1)

    def again(self) -> None:
        """Let it look now; returns when it has."""
        n_looks = self.n_looks
        self.keeper._look.set()
        self._wait(n_looks + 1)

    def _wait(self, n_looks: int) -> None:
        with self._looked:
            assert self._looked.wait_for(lambda: self.n_looks >= n_looks, LONG)


def always(_n_bytes: int) -> bool:
    """The disk has room."""
    return True


def nobody(_stored: StoredInstance) -> None:
    """Nobody is told."""
