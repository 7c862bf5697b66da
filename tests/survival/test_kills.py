"""A bounded sample of `python -m tests.survival kills`."""

import os
import signal
from pathlib import Path

import pytest

from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.survival.kills import Victim, kill_many_times
from tests.survival.listener import IN_PROCESSES, INTAKES, RECEIVERS, attacked
from tests.survival.peer import associated

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("intake", INTAKES)
def test_whatever_is_acknowledged_survives_kills(tmp_path: Path, intake: str) -> None:
    report = kill_many_times(tmp_path, intake, times=12)
    assert report.problems == []
    assert report.kills.total() == 12
    assert len(report.kills) == 4
    assert report.acknowledged >= 100
    assert (report.in_journal > 0) is (intake == "journal")


@pytest.mark.parametrize("intake", IN_PROCESSES)
def test_whatever_is_acknowledged_survives_kills_of_single_receivers(tmp_path: Path, intake: str) -> None:
    report = kill_many_times(tmp_path, intake, times=12, victim=Victim.RECEIVER)
    assert report.problems == []
    assert report.kills.total() == 12
    assert report.acknowledged >= 100


def test_receivers_end_with_a_listener_that_is_killed_alone(tmp_path: Path) -> None:
    with attacked(tmp_path, "receivers") as listener, associated(listener.port) as peer:
        uid = "1.2.826.56.1"
        assert peer.store(uid, wire.ct_data_set(uid)) == 0
        ours = listener.processes()[1:]
        assert len(ours) == 1 + RECEIVERS
        os.kill(listener.running.pid, signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in ours), "the receivers ended")
        peer.read_to_end()
