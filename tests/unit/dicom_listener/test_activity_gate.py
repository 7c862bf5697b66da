"""The wait of an association's loop in the fast intake."""

import threading

from dicom_listener.network.waking import ActivityGate

LONG = 60.0


def _turns(gate: ActivityGate, count: int) -> bool:
    """Whether a loop gets through the gate so often without waiting for the time to pass."""

    def loop() -> None:
        for _ in range(count):
            gate.wait()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    thread.join(0.5)
    return not thread.is_alive()


def test_the_loop_turns_once_for_what_happened() -> None:
    gate = ActivityGate(lambda: LONG)
    assert _turns(gate, 1)  # it begins with a look
    gate.notify()
    gate.notify()

    assert _turns(gate, 1)
    assert not _turns(gate, 1)


def test_the_loop_turns_freely_after_the_end() -> None:
    gate = ActivityGate(lambda: LONG)
    gate.end()

    # the notifying thread counts as alive for a moment after its last word: one look may come too early
    assert _turns(gate, 100)
