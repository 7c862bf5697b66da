"""Waiting for something that tells nobody when it happens, with a deadline and a sentence when it does not."""

import threading
import time
from collections.abc import Callable

_never = threading.Event()


def wait_until(condition: Callable[[], bool], what: str, *, timeout: float = 30, interval: float = 0.05) -> None:
    """Return as soon as `condition()` is true, looked at every `interval` seconds.

    For peers that offer no event to wait for (a REST API, a child process's database); inside one process an Event is
    better.

    Raises:
        TimeoutError: it did not come true within `timeout` seconds; the message says what.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain until {what}")
        _never.wait(interval)
