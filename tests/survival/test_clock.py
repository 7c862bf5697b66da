"""The wall clock jumps, forward and back: series end by their quiet time all the same, and so do associations."""

import os
import time
from pathlib import Path

import pytest

from tests.acceptance.hosts import TRACEBACK, read_sqlite
from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.survival.listener import IDLE_SECONDS, INTAKES, AttackedListener, missing_ones
from tests.survival.peer import Peer, PeerGoneError

pytestmark = pytest.mark.slow

QUIET_SECONDS = 4.0
HOUR = 3600
JUMPS = (0, 7 * HOUR, -9 * HOUR, 0, 400 * 24 * HOUR)
"""Seconds off the true time."""
CLOCK = """
import time
_true = time.time
def _jumping():
    with open(%r) as offset:
        return _true() + float(offset.read() or 0)
time.time = _jumping
time.time_ns = lambda: int(_jumping() * 1e9)
"""
"""A sitecustomize.py: libfaketime 0.9.10 makes time.sleep of Python 3.11 fail, and the true clock is everybody's."""


@pytest.mark.parametrize("intake", INTAKES)
def test_a_clock_that_jumps_moves_neither_quiet_time_nor_timers(tmp_path: Path, intake: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "sitecustomize.py").write_text(CLOCK % str(clock))
    path = os.pathsep.join([str(tmp_path / "custom"), *filter(None, [os.environ.get("PYTHONPATH")])])
    listener = AttackedListener(tmp_path / "listener", intake, {"listener.quiet_seconds": QUIET_SECONDS})
    listener.start(environment={"PYTHONPATH": path})
    try:
        with Peer(listener.port, patience=IDLE_SECONDS * 10) as peer:
            peer.associate()
            acknowledged = {}
            for number, jump in enumerate(JUMPS):
                clock.write_text(str(jump))
                uid = f"1.2.40.{number}"
                acknowledged[uid] = wire.ct_data_set(uid, series="1.2.40")
                assert peer.store(uid, acknowledged[uid]) == 0
                last = time.monotonic()
                assert _completed(listener) == []
                # a pause of a sender, shorter than any timer
                wait_until(lambda: time.monotonic() - last > IDLE_SECONDS / 4, "the sender goes on")  # noqa: B023 (called here)
            began = time.monotonic()
            with pytest.raises(PeerGoneError):
                peer.read_status(1)
            assert time.monotonic() - began < IDLE_SECONDS * 4
        wait_until(lambda: _completed(listener) != [], "the series is complete", timeout=QUIET_SECONDS * 5)
        assert time.monotonic() - last >= QUIET_SECONDS - 0.5
        assert _completed(listener) == [(1, len(acknowledged))]
        assert missing_ones(listener.spool_folder, acknowledged) == []
        assert listener.stop() == 0
        assert TRACEBACK not in listener.log()
        years = {line[:4] for line in listener.log().splitlines() if line.startswith("20")}
        assert len(years) > 1, "the clock did not jump: the test proves nothing"
    finally:
        listener.close()


def _completed(listener: AttackedListener) -> list[tuple[int, int]]:
    state = listener.folder / "site" / "segwatch-data" / "state.sqlite"
    sql = "SELECT version, n_instances FROM received_series WHERE completed_at IS NOT NULL"
    return [(int(version), int(count)) for version, count in read_sqlite(state, sql)]
