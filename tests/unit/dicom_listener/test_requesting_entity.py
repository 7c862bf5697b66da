"""The loop of an association that we requested is paused while we send."""

import threading
from types import SimpleNamespace
from typing import Any, cast

from dicom_listener.requesting_entity import LoopCheckpoint
from tests.peers.waiting import wait_until


def test_a_loop_that_is_about_to_go_on_is_not_taken_for_paused() -> None:
    association: Any = SimpleNamespace(_is_paused=False)
    checkpoint = LoopCheckpoint(cast(Any, association))
    passed, go_on, ends = threading.Event(), threading.Event(), threading.Event()

    def loop() -> None:  # as pynetdicom's, with a long moment behind its wait
        while not ends.is_set():
            association._is_paused = True
            checkpoint.wait()
            passed.set()
            go_on.wait()
            association._is_paused = False

    thread = threading.Thread(target=loop)
    thread.start()
    passed.wait()
    checkpoint.clear()
    assert not association._is_paused
    go_on.set()
    wait_until(lambda: association._is_paused, "the loop is paused", interval=0.001)
    passed.clear()
    assert not passed.wait(0.05)
    ends.set()
    checkpoint.set()
    thread.join(10)
    assert not thread.is_alive()
