"""How a Segwatch process starts, says that it is ready, and stops.

A process stops on SIGTERM and SIGINT. A child of `segwatch site` also stops when its standard input ends, which is
what happens when the parent dies in whatever way; so no child outlives a killed site and keeps its port.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

WAKE_S = 0.5
"""How often a thread that waits to be stopped looks whether a signal came."""
GRACE_S = 15.0
"""How long a child may finish what it does after its parent is gone."""


def on_stop_signal(callback: Callable[[], None]) -> None:
    """Call back, in the main thread, at SIGTERM and SIGINT."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        callback()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def stop_event(*, at_end_of_input: bool) -> threading.Event:
    """Make the event that is set when this process is to stop."""
    stop = threading.Event()
    # not in the handler itself: it may run while this thread is inside `stop.wait` and holds the event's lock
    on_stop_signal(lambda: threading.Thread(target=stop.set, name="stop", daemon=True).start())
    if at_end_of_input:
        threading.Thread(target=_set_at_end_of_input, args=(stop,), name="parent-watch", daemon=True).start()
    return stop


def wait_for(stop: threading.Event) -> None:
    """Wait until this process is to stop.

    In short waits: a signal that comes just before the thread goes to sleep does not wake it (CPython runs handlers
    between two steps of its main thread).
    """
    while not stop.wait(WAKE_S):
        pass


def announce_ready(name: str, text: str) -> None:
    """Tell whoever reads standard output, in one line of JSON, that this process does its work from now on."""
    sys.stdout.write(json.dumps({"ready": name, "text": text}) + "\n")
    sys.stdout.flush()


def _set_at_end_of_input(stop: threading.Event) -> None:
    # not by sys.stdin: a thread that waits in it holds a lock, which aborts the interpreter when the process ends
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()
    time.sleep(GRACE_S)
    # still busy, e.g. with a long series: end as a crash would, which every part survives, before a new site starts
    os._exit(1)
