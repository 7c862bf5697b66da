"""How much the spool holds, counted now and then: looking at every file at each scrape would hurt a full spool."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dicom_listener.errors import SpoolError
from dicom_listener.spool.spool import Spool, SpoolUsage

LOGGER = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 5.0
PAUSES_PER_COUNT = 19
"""Counting takes at most a twentieth of the time, however many files there are."""


@dataclass(frozen=True, slots=True)
class SpoolMeasurement:
    """What the spool held."""

    usage: SpoolUsage
    measured_at: float
    """Unix time in seconds."""


class SpoolMeasure:
    """Counts what a spool holds in a thread of its own."""

    def __init__(self, spool: Spool, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time in seconds."""
        self._spool = spool
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._latest: SpoolMeasurement | None = None

    @property
    def latest(self) -> SpoolMeasurement | None:
        """The last count; None before the first one."""
        return self._latest

    def start(self) -> None:
        """Begin to count."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="spool-measure", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Count no more; does not wait for a count that is under way, which only reads."""
        self._stop.set()

    def measure(self) -> float:
        """Count once; returns how long to pause before the next time, seconds."""
        began = time.monotonic()
        try:
            self._latest = SpoolMeasurement(self._spool.usage(), self._clock())
        except SpoolError as error:
            LOGGER.warning("the spool could not be measured: %s", error)
        return max(SHORTEST_PAUSE_SECONDS, PAUSES_PER_COUNT * (time.monotonic() - began))

    def _run(self) -> None:
        while not self._stop.wait(self.measure()):
            pass
