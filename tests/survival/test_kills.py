"""A bounded sample of `python -m tests.survival kills`."""

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.hosts import read_sqlite
from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.survival.kills import Victim, kill_many_times
from tests.survival.listener import IN_PROCESSES, INTAKES, RECEIVERS, attacked, in_lanes
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


def test_a_series_of_which_a_killed_receiver_left_instances_in_the_journal_is_complete_without_a_restart(
    tmp_path: Path,
) -> None:
    with attacked(tmp_path, "journal", listener__quiet_seconds=2.0) as listener, associated(listener.port) as peer:
        sent = 0
        while not in_lanes(listener.spool_folder):  # some are in the journal alone, however busy the machine is
            sent += 1
            uid = f"1.2.826.57.{sent}"
            assert peer.store(uid, wire.ct_data_set(uid, series="1.2.826.57")) == 0
        for pid in listener.receivers():
            os.kill(pid, signal.SIGKILL)
        state = listener.folder / "site" / "segwatch-data" / "state.sqlite"
        sql = "SELECT version, n_instances, n_conflicts FROM received_series WHERE completed_at IS NOT NULL"
        wait_until(lambda: read_sqlite(state, sql) != [], "the series is complete", timeout=60)
        assert [tuple(map(int, row)) for row in read_sqlite(state, sql)] == [(1, sent, 0)]


def test_receivers_end_with_a_listener_that_is_killed_alone(tmp_path: Path) -> None:
    with attacked(tmp_path, "receivers") as listener, associated(listener.port) as peer:
        uid = "1.2.826.56.1"
        assert peer.store(uid, wire.ct_data_set(uid)) == 0
        ours = listener.processes()[1:]
        assert len(ours) == 1 + RECEIVERS
        os.kill(listener.running.pid, signal.SIGKILL)
        wait_until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in ours), "the receivers ended")
        peer.read_to_end()
