"""What lets pynetdicom's loops wait for something to happen, where they would sleep and look again."""

import queue
import threading
from collections.abc import Callable
from typing import Any


class ActivityGate(threading.Event):
    """The association's checkpoint: its loop waits here in each turn, and now also until something happened."""

    def __init__(self, longest_wait: Callable[[], float]) -> None:
        """`longest_wait` gives the seconds after which the loop must look at its idle timer."""
        super().__init__()
        self._activity = threading.Event()
        self._longest_wait = longest_wait
        self._has_ended = False
        self.set()

    def notify(self) -> None:
        """Something happened."""
        self._activity.set()

    def end(self) -> None:
        """Nothing will happen any more: let the loop turn until it sees that the thread which notified it is gone."""
        self._has_ended = True
        self._activity.set()

    def set(self) -> None:
        """Let the loop go on; pynetdicom also calls this when it wants the loop to end."""
        super().set()
        self._activity.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until something happened, and until the loop may go on."""
        self._activity.wait(self._longest_wait())
        self._activity.clear()
        if self._has_ended:  # looked at last: an end that comes in between must not be forgotten
            self._activity.set()
        return super().wait(timeout)


class WakingQueue(queue.Queue[Any]):
    """A queue whose reader waits elsewhere."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self.wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401 (as the base class)
        """Put an item and wake the reader."""
        super().put(item, block, timeout)
        self.wake()
