"""Runs lanes until told to stop, each in a thread of its own: a destination that hangs delays no other."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from reporter.outbox_lane import Lane

_log = logging.getLogger(__name__)

POLL_S = 1.0
"""Longest wait before the outbox is looked at again: other processes add items and tell nobody."""
SHORTEST_PAUSE_S = 0.05
"""Between two looks at an item that another process is just taking."""
DATABASE_PAUSE_S = 5.0


class OutboxRunner:
    """The lanes of one process."""

    def __init__(
        self, lanes: Sequence[Lane], *, poll_s: float = POLL_S, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives Unix time in seconds."""
        self._lanes = tuple(lanes)
        self._poll_s = poll_s
        self._clock = clock
        self._wakes = tuple(threading.Event() for _ in self._lanes)
        self._stopping = threading.Event()

    def notify(self) -> None:
        """Something was added: look now."""
        for wake in self._wakes:
            wake.set()

    def drain_once(self, now: float) -> float | None:
        """Drain every lane once, one after the other; returns when to come again, None when nothing is open."""
        times = [due for lane in self._lanes if (due := lane.drain_once(now)) is not None]
        return min(times, default=None)

    def run(self, stop: threading.Event) -> None:
        """Drain until `stop` is set; an item that is under way then is finished first."""
        threads = [
            threading.Thread(target=self._run_lane, args=(lane, wake), name=lane.name)
            for lane, wake in zip(self._lanes, self._wakes, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            stop.wait()
        finally:
            self._stopping.set()
            self.notify()
            for thread in threads:
                thread.join()
            self._stopping.clear()

    def _run_lane(self, lane: Lane, wake: threading.Event) -> None:
        fresh = True
        while not self._stopping.is_set():
            wake.clear()
            try:
                if fresh:
                    lane.free_left_behind()
                    fresh = False
                due = lane.drain_once(self._clock())
            except DBAPIError as error:
                _log.error("%s: the outbox does not answer (%s)", lane.name, type(error).__name__)
                due = self._clock() + DATABASE_PAUSE_S
            # without an open item, or with one that is leased or due later, another process may still add one
            pause = self._poll_s if due is None else min(max(due - self._clock(), SHORTEST_PAUSE_S), self._poll_s)
            if not self._stopping.is_set():
                wake.wait(pause)
