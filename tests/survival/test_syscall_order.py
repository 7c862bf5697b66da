"""Success is sent after the kernel confirmed that the instance, its name and its folder are on the disk."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from dicom_listener.spool.journal.lane_format import FIRST_BYTE, LaneFront
from dicom_listener.spool.journal.lanes import LANE_BYTES
from tests.survival import wire
from tests.survival.listener import INTAKES, AttackedListener, wait_until_filed
from tests.survival.peer import associated
from tests.survival.syscalls import (
    LONG_BYTES,
    Call,
    OrderCheck,
    WritebackCheck,
    check_trace,
    read_calls,
    strace_command,
)

SPOOL = Path("/spool")
UID = "1.2.3.4"
SENDERS, INSTANCES, AT_ONCE = 4, 24, 2


def _final() -> bytes:
    return f"/spool/key/{hashlib.sha256(UID.encode()).hexdigest()}.dcm".encode()


def _response() -> bytes:
    elements = [
        wire.command_element(0x0100, wire.C_STORE_RSP),
        wire.command_element(0x0900, 0),
        wire.command_element(0x1000, UID),
    ]
    return wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.command_set(elements)))


GOOD = (
    Call("write", (b"/spool/.incoming/a", b"data"), 4),
    Call("fdatasync", (b"/spool/.incoming/a",), 0),
    Call("mkdir", (b"/spool/key",), 0),
    Call("fsync", (b"/spool",), 0),
    Call("link", (b"/spool/.incoming/a", _final()), 0),
    Call("fsync", (b"/spool/key",), 0),
    Call("sendto", (b"socket:[1]", _response()), 100),
)


def _check(calls: tuple[Call, ...]) -> OrderCheck:
    check = OrderCheck(SPOOL)
    for call in calls:
        check.follow(call)
    return check


def test_the_check_accepts_what_is_right() -> None:
    assert _check(GOOD).violations == []
    assert _check(GOOD).checked == 1


def test_a_file_may_be_named_before_its_data_are_synced() -> None:
    written, _, *folders, _, _, answer = GOOD
    named = Call("rename", (b"/spool/.incoming/a", _final()), 0)
    synced = (Call("fsync", (b"/spool/key",), 0), Call("fdatasync", (_final(),), 0))
    assert _check((written, *folders, named, *synced, answer)).violations == []
    assert _check((written, *folders, named, synced[0], answer, synced[1])).violations != []
    assert _check((written, *folders, named, synced[1], answer, synced[0])).violations != []


@pytest.mark.parametrize(
    "change",
    [
        lambda calls: calls[:1] + calls[2:],
        lambda calls: calls[:2] + calls[0:1] + calls[2:],
        lambda calls: calls[:3] + calls[4:],
        lambda calls: calls[:4] + calls[5:],
        lambda calls: calls[:5] + calls[6:],
        lambda calls: calls[:5] + calls[6:] + calls[5:6],
        lambda calls: (*calls[:1], Call("fdatasync", (b"/spool/.incoming/a",), -1), *calls[2:]),
        lambda calls: (*calls[:4], Call("link", calls[4].strings, -1), *calls[6:]),
    ],
    ids=[
        "no fdatasync", "written after it", "series folder not durable", "no name", "folder not synced",
        "folder synced too late", "fdatasync failed", "no file",
    ],
)  # fmt: skip
def test_the_check_finds_what_is_wrong(change: Callable[[tuple[Call, ...]], tuple[Call, ...]]) -> None:
    assert _check(change(GOOD)).violations != []


LANE = b"/spool/.journal/lane-000"
_META = bytes(128) + b"DICM\2\0\3\0UI\x08\0" + UID.encode() + b"\0"
_WRITTEN = Call("pwrite64", (LANE, _META), 4096, "7")
_TRAILER = Call("pwrite64", (LANE, b"SEGWTAIL"), 4096, "7")
_SYNCED = Call("fdatasync", (LANE,), 0, "7")
_MARKED = (
    Call("pwrite64", (LANE, LaneFront(bytes(16), 1, FIRST_BYTE).encode()), 4096, "9"),
    Call("fdatasync", (LANE,), 0, "9"),
)
_CLEAN = Call("pwrite64", (LANE, LaneFront(bytes(16), 2, LANE_BYTES).encode()), 4096, "9")
_ANSWER = GOOD[-1]
_FILED = GOOD[:-1]
_WIPED = Call("pwrite64", (LANE, bytes(400)), 1_000_000, "8")


@pytest.mark.parametrize(
    ("calls", "violations"),
    [
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER), 0),
        ((_WRITTEN, _TRAILER, _SYNCED, *_MARKED, _ANSWER, *_MARKED, _WRITTEN, _TRAILER, _SYNCED, _ANSWER), 0),
        ((_WRITTEN, _TRAILER, _ANSWER, _SYNCED), 1),
        ((_WRITTEN, _TRAILER, Call("fdatasync", (LANE,), -1, "7"), _ANSWER), 1),
        ((_WRITTEN, _SYNCED, _TRAILER, _ANSWER), 1),
        ((_WRITTEN, _SYNCED, _ANSWER, _TRAILER), 1),
        ((_WRITTEN, _TRAILER, *_MARKED, _ANSWER), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, _WRITTEN, _TRAILER, _ANSWER), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, _ANSWER), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, *_FILED, _CLEAN, _WIPED, _WRITTEN, _TRAILER, _SYNCED, _ANSWER), 0),
        ((_WRITTEN, _TRAILER, _SYNCED, *_FILED, _CLEAN, _WIPED, _ANSWER), 0),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, *_FILED, _CLEAN, _TRAILER), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, _CLEAN), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, *_FILED[:-1], _CLEAN, _FILED[-1]), 1),
        ((_WRITTEN, _TRAILER, _SYNCED, _ANSWER, _WIPED), 1),
    ],
    ids=[
        "right", "right again", "synced too late", "fdatasync failed", "trailer after it", "trailer after the answer",
        "synced by another", "synced the time before", "nowhere", "wiped", "filed before the answer",
        "written to at rest", "taken out without a file", "taken out before its file is durable", "wiped too early",
    ],
)  # fmt: skip
def test_the_check_finds_what_is_wrong_in_a_lane(calls: tuple[Call, ...], violations: int) -> None:
    check = _check(calls)
    assert len(check.violations + check.lanes.violations) == violations


_PIECE = Call("write", (b"/spool/.incoming/a", b"data"), LONG_BYTES)
_BEGIN = Call("sync_file_range", (b"/spool/.incoming/a",), 0)
_SYNC = Call("fdatasync", (b"/spool/.incoming/a",), 0)
_LONG_IN_LANE = Call("pwrite64", (LANE, _META), LONG_BYTES)


@pytest.mark.parametrize(
    ("calls", "checked", "late"),
    [
        ((_PIECE, _BEGIN, _PIECE, _SYNC), 1, 0),
        ((_PIECE, _PIECE, _BEGIN, _SYNC), 1, 1),
        ((_PIECE, _PIECE, _SYNC, _BEGIN), 1, 1),
        ((_PIECE, _PIECE, _SYNC), 1, 1),
        ((_PIECE, Call("sync_file_range", _BEGIN.strings, -1), _PIECE, _SYNC), 1, 1),
        ((_PIECE, _SYNC), 0, 0),
        ((_LONG_IN_LANE, _LONG_IN_LANE, _SYNCED), 1, 1),
        ((_CLEAN, _WIPED, _SYNCED), 0, 0),
    ],
    ids=["in time", "when all was written", "after the sync", "never", "failed", "not long", "in a lane", "wiped"],
)
def test_the_check_finds_long_files_whose_writing_began_late(calls: tuple[Call, ...], checked: int, late: int) -> None:
    check = WritebackCheck(SPOOL)
    for call in calls:
        check.follow(call)
    assert (check.checked, len(check.late)) == (checked, late)


def test_calls_of_several_threads_are_told_apart() -> None:
    lines = [
        r"11 fdatasync(3<\x2f\x61> <unfinished ...>",
        r'12 sendto(4<\x73>, "\x04", 1, 0, NULL, 0 <unfinished ...>',
        r"11 <... fdatasync resumed>) = 0",
        r"12 <... sendto resumed>) = 1",
        r'11 link("\x2f\x61", "\x2f\x62") = -1 EEXIST (File exists)',
    ]
    assert list(read_calls(lines)) == [
        Call("sendto", (b"s", b"\x04"), 0),
        Call("fdatasync", (b"/a",), 0),
        Call("link", (b"/a", b"/b"), -1),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("intake", INTAKES)
def test_success_is_sent_when_everything_is_on_the_disk(tmp_path: Path, intake: str) -> None:
    listener = AttackedListener(tmp_path / "listener", intake)
    trace = tmp_path / "trace"
    listener.start(before=strace_command(trace))
    try:
        with ThreadPoolExecutor(SENDERS) as pool:
            for first in range(0, INSTANCES, AT_ONCE):  # bursts: the journal takes none that does not end
                list(pool.map(partial(_send, listener.port, range(first, first + AT_ONCE)), range(SENDERS)))
                wait_until_filed(listener.spool_folder)
            list(pool.map(partial(_send_others, listener.port), range(SENDERS)))
    finally:
        listener.close()
    order, writeback = check_trace(trace, listener.spool_folder)
    assert order.violations == []
    assert order.lanes.violations == []
    assert (order.lanes.checked > order.checked / 2) if intake == "journal" else order.lanes.checked == 0
    # each is sent twice, and a few a third time with another content; then a long one
    assert order.checked == SENDERS * (2 * INSTANCES + 5 + 1)
    assert writeback.late == []
    # what was long in the journal is long in its file too
    assert SENDERS <= writeback.checked <= 2 * SENDERS if intake == "journal" else writeback.checked == SENDERS


def _send(port: int, numbers: range, sender: int) -> None:
    """Send each of these twice."""
    with associated(port, patience=60) as peer:
        for number in numbers:
            uid = f"1.2.826.9.{sender}.{number}"
            data_set = wire.ct_data_set(uid, series=f"1.2.826.9.{sender}.{number % 3}", pixels=bytes(40_000))
            assert [peer.store(uid, data_set) for _ in range(2)] == [0, 0]
        peer.release()


def _send_others(port: int, sender: int) -> None:
    """Send another content of a few, and a long one."""
    with associated(port, patience=60) as peer:
        for number in range(5):
            uid = f"1.2.826.9.{sender}.{number}"
            other = wire.ct_data_set(uid, series=f"1.2.826.9.{sender}.{number % 3}", pixels=bytes(50))
            assert peer.store(uid, other) == 0
        long = wire.ct_data_set(f"1.2.826.10.{sender}", series="1.2.826.10", pixels=bytes(2 * LONG_BYTES + 1000))
        assert peer.store(f"1.2.826.10.{sender}", long) == 0
        peer.release()
