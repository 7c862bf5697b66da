"""The wait of an association's loop in the fast intake."""

import threading

import pytest

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


def test_an_end_while_the_loop_goes_on_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = ActivityGate(lambda: LONG)
    clear = gate._activity.clear

    def end_and_clear() -> None:
        gate.end()
        clear()

    monkeypatch.setattr(gate._activity, "clear", end_and_clear)
    gate.wait()
    monkeypatch.undo()

    assert _turns(gate, 100)
