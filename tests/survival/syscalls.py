"""The order of system calls: what must have reached the disk before a C-STORE response is sent.

That a process may be killed at any time proves nothing about the loss of power. But when the kernel was asked to
write an instance, its name and its folder, and had answered that it did, before the response went out, then Success
means durable as far as the disk keeps its own promise. `strace` writes down both in the order in which they happened.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dicom_listener.spool.journal.lane_format import LaneFront
from dicom_listener.spool.journal.lanes import LANE_BYTES
from tests.peers.missing import missing_peer
from tests.survival import wire

CALLS = "openat,mkdir,mkdirat,write,writev,pwrite64,pwritev,fdatasync,fsync,link,linkat,rename,renameat,renameat2,"
CALLS += "sendto,sendmsg,sync_file_range"
LONG_BYTES = 256 * 1024
"""A file that is longer is written in several pieces."""
_LINE = re.compile(r"(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_STRING = re.compile(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]')
_LANE = re.compile(r"\.journal/lane-\d{3}")
_LANE_IN_MAKING = ".new"
_UID_IN_META = re.compile(rb"\x02\x00\x03\x00UI..([0-9.]+)", re.DOTALL)
_NO_SUCCESS, _WRITES = -1, {"write", "writev", "pwrite64", "pwritev"}


def strace_command(trace: Path) -> list[str | Path]:
    """Make the command before which a program is written to be traced."""
    strace = shutil.which("strace")
    if strace is None:
        missing_peer("strace", "not installed (Debian package strace)")
    return [strace, "-f", "--seccomp-bpf", "-y", "-xx", "-s", "400", "-o", trace, "-e", f"trace={CALLS}"]


@dataclass(frozen=True, slots=True)
class Call:
    """A system call: at its begin, if it sends; at its end, if it writes."""

    name: str
    strings: tuple[bytes, ...]
    """Paths, of descriptors too, and contents, in the order of the arguments."""
    result: int
    thread: str = field(default="", compare=False)


def read_calls(lines: Iterable[str]) -> Iterator[Call]:
    """Read what strace wrote. What was sent counts from when it began, everything else from when it had ended."""
    begun: dict[str, tuple[str, str]] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        pid, name, rest = found["pid"], found["name"], found["rest"]
        if name is not None and rest.endswith("<unfinished ...>"):
            if name.startswith("send"):
                yield _call(pid, name, rest, "= 0")
            begun[pid] = (name, rest)
        elif name is not None:
            yield _call(pid, name, rest, rest)
        elif pid in begun:
            name, start = begun.pop(pid)
            if not name.startswith("send"):
                yield _call(pid, name, start, rest)


def _call(thread: str, name: str, arguments: str, end: str) -> Call:
    strings = tuple(bytes.fromhex(one.replace("\\x", "")) for one in _STRING.findall(arguments))
    result = re.search(r"\) += (-?\d+)|^= (\d+)", end)
    return Call(name, strings, int(result[1] or result[2]) if result else _NO_SUCCESS, thread)


def is_lane(path: str, spool: Path) -> bool:
    """Whether that is a lane of the spool's intake journal."""
    return _LANE.fullmatch(path.removeprefix(f"{spool}/")) is not None


def begins_file(content: bytes) -> bool:
    """Whether that is the begin of a Part 10 file."""
    return content[128:132] == b"DICM"


class LaneOrder:
    """Follows what is written to the lanes of the intake journal, of which each has one writer at a time.

    An instance is durable there once the thread that wrote all of it, its trailer last, has synced the lane. Once a
    lane says that every instance in it has a file, nothing but zeros is written over them, until the next one.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.checked = 0
        """Responses of Success for instances in lanes."""
        self._begun: dict[str, _Record] = {}
        self._held: dict[str, set[str]] = {}
        """Instances that were acknowledged as soon as they were in a lane, by lane."""

    def wrote(self, lane: str, content: bytes, thread: str) -> set[str]:
        """Something was written to a lane; gives the acknowledged instances that it says have files from now on."""
        front = LaneFront.newest(content)  # what strace quotes of it is enough
        if front is None:
            self._wrote_content(lane, content, thread)
        elif front.filed_to >= LANE_BYTES:
            self._begun.pop(lane, None)
            return self._held.pop(lane, set())
        return set()

    def _wrote_content(self, lane: str, content: bytes, thread: str) -> None:
        found = _UID_IN_META.search(content) if begins_file(content) else None
        if found is not None:
            self._begun[lane] = _Record(found[1].rstrip(b"\0").decode(), thread)
            return
        record = self._begun.get(lane)
        if record is None:
            if content.strip(b"\0"):
                self.violations.append("something else than zeros was written to a lane at rest")
            return
        record.is_synced = False
        if record.is_acknowledged:
            self.violations.append("acknowledged before all of it was written to its lane")

    def synced(self, lane: str, thread: str) -> None:
        """A lane was synced."""
        record = self._begun.get(lane)
        if record is not None and record.thread == thread:
            record.is_synced = True

    def acknowledged(self, uid: str) -> bool:
        """An instance is acknowledged; whether it was in a lane."""
        for lane, record in self._begun.items():
            if record.uid == uid and not record.is_acknowledged:
                record.is_acknowledged = True
                self._held.setdefault(lane, set()).add(uid)
                self.checked += 1
                if not record.is_synced:
                    self.violations.append("acknowledged before its lane was synced")
                return True
        return False


@dataclass
class _Record:
    uid: str
    thread: str
    is_synced: bool = False
    is_acknowledged: bool = False


@dataclass
class OrderCheck:
    """Follows the calls; a response of Success for something that is not durable yet is a violation."""

    spool: Path
    violations: list[str] = field(default_factory=list)
    checked: int = 0
    """Responses of Success that were looked at."""
    lanes: LaneOrder = field(default_factory=LaneOrder)
    """Those of them for instances in the intake journal."""
    _unsynced: set[str] = field(default_factory=set)
    """Files with bytes that were not synced, by the path under which they were written."""
    _source: dict[str, str] = field(default_factory=dict)
    """The path under which a final name was written."""
    _loose_names: set[str] = field(default_factory=set)
    """Names in folders that were not synced since."""

    def follow(self, call: Call) -> None:
        """Take the next call."""
        paths = [one.decode(errors="replace") for one in call.strings]
        failed = call.result < 0
        if call.name.startswith("send"):
            self._sent(call.strings[-1] if call.strings else b"")
        elif paths and is_lane(paths[0], self.spool):
            if call.name in _WRITES and not failed:
                for uid in self.lanes.wrote(paths[0], call.strings[1], call.thread):
                    self._check_file(uid, "taken out of the journal")
            elif call.name in {"fdatasync", "fsync"} and not failed:
                self.lanes.synced(paths[0], call.thread)
        elif call.name in _WRITES and not failed and paths and paths[0].startswith(f"{self.spool}/"):
            self._unsynced.add(paths[0])
        elif call.name in {"fdatasync", "fsync"} and not failed:
            # of a file that was renamed meanwhile the new name is shown
            self._unsynced -= {paths[0], self._source.get(paths[0], "")}
            inside = {one for one in self._loose_names if str(PurePosixPath(one).parent) == paths[0]}
            self._loose_names -= inside
        elif call.name.startswith(("link", "rename")):
            own = [one for one in paths if one.startswith(f"{self.spool}/")]
            if len(own) >= 2 and (not failed or call.name.startswith("link")):
                # a name that is taken already may still be loose: its folder is to be synced again
                self._loose_names.add(own[-1])
                if not failed:
                    self._source[own[-1]] = own[0]
        elif call.name.startswith("mkdir") and not failed and paths[-1].startswith(f"{self.spool}/"):
            self._loose_names.add(paths[-1])

    def _sent(self, content: bytes) -> None:
        uid = acknowledged_uid(content)
        if uid is None:
            return
        self.checked += 1
        if not self.lanes.acknowledged(uid):
            self._check_file(uid, "acknowledged")

    def _check_file(self, uid: str, what: str) -> None:
        name = hashlib.sha256(uid.encode()).hexdigest()
        finals = [one for one in self._source if PurePosixPath(one).name.startswith(name)]
        if not finals:
            self.violations.append(f"{what}, but no file had its name")
        for final in finals:
            if self._source[final] in self._unsynced:
                self.violations.append(f"{what} before its data were synced")
        for loose in self._loose_names:
            if PurePosixPath(loose).name.startswith(name):
                self.violations.append(f"{what} before the folder of its name was synced")
            elif any(PurePosixPath(loose) in PurePosixPath(final).parents for final in finals):
                self.violations.append(f"{what} before the folder of its series was durable")


@dataclass
class WritebackCheck:
    """Follows the calls; a long file whose writing the kernel was not asked to begin before its last piece is late."""

    spool: Path
    late: list[str] = field(default_factory=list)
    checked: int = 0
    """Long files that were synced."""
    _bytes: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _early: set[str] = field(default_factory=set)
    """Files that went on after their writing was begun."""

    def follow(self, call: Call) -> None:
        """Take the next call."""
        path = call.strings[0].decode(errors="replace") if call.strings else ""
        if not path.startswith(f"{self.spool}/") or path.endswith(_LANE_IN_MAKING):
            return
        if call.name in _WRITES and call.result > 0:
            if self._is_no_instance(path, call):
                return
            self._bytes[path] = self._bytes.get(path, 0) + call.result
            if path in self._begun:
                self._early.add(path)
        elif call.name == "sync_file_range" and call.result == 0:
            self._begun.add(path)
        elif call.name in {"fdatasync", "fsync"} and self._bytes.pop(path, 0) > LONG_BYTES:
            self.checked += 1
            if path not in self._early:
                self.late.append(path)
            self._begun.discard(path)
            self._early.discard(path)

    def _is_no_instance(self, path: str, call: Call) -> bool:
        """Whether it is the front of a lane, or zeros over what has files: nobody waits for those."""
        return is_lane(path, self.spool) and path not in self._bytes and not begins_file(call.strings[1])


def acknowledged_uid(sent: bytes) -> str | None:
    """SOP Instance UID of a C-STORE response of Success, if that is what was sent."""
    if len(sent) < 12 or sent[0] != wire.P_DATA_TF or sent[11] != wire.LAST_COMMAND:
        return None
    values: dict[int, bytes] = {}
    at = 12
    while at + 8 <= len(sent):
        number, length = (
            int.from_bytes(sent[at + 2 : at + 4], "little"),
            int.from_bytes(sent[at + 4 : at + 8], "little"),
        )
        values[number] = sent[at + 8 : at + 8 + length]
        at += 8 + length
    if values.get(0x0100) != b"\x01\x80" or values.get(0x0900) != b"\0\0":
        return None
    return values.get(0x1000, b"").rstrip(b"\0").decode()


def check_trace(trace: Path, spool: Path) -> tuple[OrderCheck, WritebackCheck]:
    """Check a whole trace."""
    order, writeback = OrderCheck(spool), WritebackCheck(spool)
    with trace.open(errors="replace") as lines:
        for call in read_calls(lines):
            order.follow(call)
            writeback.follow(call)
    return order, writeback
