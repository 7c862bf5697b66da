"""What `segwatch doctor` and `segwatch status` say of the intake journal."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lanes import LANE_BYTES, lane_path
from dicom_listener.spool.journal.spool_journal import JournalState
from dicom_listener.spool.spool import Spool, SpoolUsage
from segwatch.commands.console import console
from segwatch.commands.inspect import _print_spool
from segwatch.findings import Caution
from segwatch.journal_check import check_journal
from segwatch.settings import SiteSettings


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


def settings(folder: Path, spool: dict[str, Any] | None = None, **listener: Any) -> SiteSettings:
    table = {"site": {"id": "x", "data_dir": folder}, "listener": listener}
    return SiteSettings.model_validate({**table, "spool": {"journal_bytes": 2 * LANE_BYTES, **(spool or {})}})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool with two lanes, which are shorter than real ones."""
    spool = Spool(tmp_path / "spool", high_watermark=0.999999)
    spool.journal.folder.mkdir()
    for number in range(2):
        Lane.make(lane_path(spool.journal.folder, number), 1024 * 1024)
    return spool


def test_lanes_are_counted_and_whether_all_in_them_is_filed(tmp_path: Path, spool: Spool) -> None:
    assert check_journal(settings(tmp_path)) == "2 lanes of 32 MB, every instance in them has its file"
    lane = Lane.claim(lane_path(spool.journal.folder, 1))
    assert lane is not None
    lane.begin()
    lane.close()
    waits = "2 lanes of 32 MB, 1 of them with instances that get their files "
    assert check_journal(settings(tmp_path)) == waits + "when the listener starts"
    spool.claim()
    assert check_journal(settings(tmp_path)) == waits + "in a moment"
    spool.release()


def test_damaged_lanes_are_told_at_once(tmp_path: Path, spool: Spool) -> None:
    first = lane_path(spool.journal.folder, 0)
    first.rename(first.with_name(f"damaged-{first.name}-00ff"))
    with lane_path(spool.journal.folder, 1).open("r+b") as file:
        file.write(bytes(2 * 4096))
    found = check_journal(settings(tmp_path))
    assert isinstance(found, Caution)
    assert found.text.startswith(f"2 lanes in {spool.journal.folder} are damaged: acknowledged instances may be lost")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"spool": {"journal_bytes": 0}}, "spool.journal_bytes = 0"),
        ({"receivers": 0}, "listener.receivers = 0"),
        ({"fast_intake": False}, "listener.fast_intake = false"),
    ],
)
def test_settings_that_leave_it_unused_are_named(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    assert check_journal(settings(tmp_path, **changes)) == f"not used: {why}"


@pytest.mark.usefixtures("spool")
def test_what_an_earlier_run_left_is_told(tmp_path: Path) -> None:
    found = check_journal(settings(tmp_path, receivers=0))
    assert found == (
        "not used: listener.receivers = 0; 2 lanes of 32 MB, every instance in them has its file, "
        "and the listener removes them"
    )


def test_a_disk_that_is_too_small_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_journal(settings(tmp_path)) == "0 lanes of 32 MB: the listener makes them"
    usage = DiskUsage(total=10**12, used=0, free=10**9 + 3 * LANE_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert check_journal(settings(tmp_path, {"high_watermark": 0.999, "minimum_free_bytes": 10**9})) == (
        "0 lanes of 32 MB: the listener makes them; the disk has room for 1 of the 2 that spool.journal_bytes asks "
        "for: what finds no room in them gets its file at once"
    )


@pytest.mark.parametrize(
    ("journal", "lines"),
    [
        (JournalState(0, 0, 0), []),
        (JournalState(16, 0, 0), ["Journal of the spool: 16 lanes, none of them holds instances that wait"]),
        (JournalState(16, 1, 0), ["Journal of the spool: 16 lanes, 1 of them holds instances that wait"]),
        (
            JournalState(15, 2, 1),
            [
                "Journal of the spool: 15 lanes, 2 of them hold instances that wait",
                "1 lanes of the journal are damaged",
            ],
        ),
    ],
)
def test_status_tells_of_the_journal_where_there_is_one(journal: JournalState, lines: list[str]) -> None:
    with console.capture() as printed:
        _print_spool(SpoolUsage(0, 0, 0, None, 0.5, None, journal))
    found = printed.get().splitlines()[1:]
    assert len(found) == len(lines)
    assert all(one.startswith(line) for one, line in zip(found, lines, strict=True))


def test_the_state_is_in_the_usage_of_the_spool(spool: Spool) -> None:
    assert spool.usage().journal == spool.journal.state() == JournalState(2, 0, 0)
