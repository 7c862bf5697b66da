"""A spool with small lanes, and what a test has to know of them."""

import queue
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.incoming import Whole
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, LaneFront
from dicom_listener.spool.journal.lanes import lane_path, lane_paths
from dicom_listener.spool.journal.spool_journal import FOLDER
from dicom_listener.spool.part10 import encode_file_meta
from dicom_listener.spool.shelf import Shelf
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance

MIB = 1024 * 1024
LANE_BYTES = 2 * MIB
"""Enough for the tests, and quickly written."""
LONG = 30.0


class JournalRoom:
    """One process's view of a spool with lanes, and who was told of what."""

    def __init__(self, root: Path, n_lanes: int = 2, lane_bytes: int = LANE_BYTES) -> None:
        """Make the lanes; those that are there stay."""
        self.spool = Spool(root, high_watermark=1.1)
        self.folder = root / FOLDER
        self.folder.mkdir(exist_ok=True)
        for number in range(n_lanes):
            if not lane_path(self.folder, number).exists():
                Lane.make(lane_path(self.folder, number), lane_bytes)
        self.told: list[StoredInstance] = []
        self.journal = self.spool.journal.open(3600.0)

    @property
    def lanes(self) -> list[Path]:
        """Their files."""
        return lane_paths(self.folder)

    def store(
        self,
        number: int = 1,
        pixels: bytes = b"\1\2" * 8,
        *,
        series: str = SERIES,
        on_filed: Callable[[StoredInstance], None] | None = None,
    ) -> None:
        """Receive an instance into a lane: it is durable, and has no file."""
        request, data_set = instance(number, series=series, pixels=pixels)
        incoming = self.journal.receive(request, on_filed or self.told.append)
        assert incoming is not None
        with incoming:
            incoming.write(data_set)
            assert incoming.commit() is None

    def break_off(self, number: int, pixels: bytes) -> None:
        """Receive a part of an instance."""
        request, data_set = instance(number, pixels=pixels)
        incoming = self.journal.receive(request, self.told.append)
        assert incoming is not None
        with incoming:
            incoming.write(data_set[:-100])

    def file_all(self) -> None:
        """Wait until everything has its file, also where the disk fails at first."""
        while not self.try_to_file():
            pass

    def try_to_file(self) -> bool:
        """Have everything filed; whether each has its file now."""
        answer: queue.Queue[bool] = queue.Queue()
        self.journal.file_all(answer.put)
        return answer.get(timeout=LONG)

    def told_numbers(self) -> list[int]:
        """The numbers of the instances that it was told of, in that order."""
        return [int(one.instance.sop_instance_uid.rsplit(".", 1)[1]) for one in self.told]

    def die(self) -> None:
        """Let go of the lanes as the kernel does for a process that was killed; nothing may be filed meanwhile."""
        for lane in self.journal._lanes._held:
            lane.close()

    def files(self) -> list[Path]:
        """Of instances, without conflicting ones."""
        return sorted(path for path in self.spool.root.glob("*/*.dcm") if path.parent.name[0] != ".")


def part10(number: int, pixels: bytes = b"\1\2" * 8) -> bytes:
    """What the file of an instance holds in the end."""
    request, data_set = instance(number, pixels=pixels)
    return encode_file_meta(request, len(data_set)) + data_set


def front_of(path: Path) -> LaneFront:
    """What the front of a lane says on disk."""
    with path.open("rb") as file:
        found = LaneFront.newest(file.read(FIRST_BYTE))
    assert found is not None
    return found


def lane_with_instances(room: JournalRoom) -> Path:
    """The lane that was begun and not left."""
    [path] = [path for path in room.lanes if front_of(path).sequence % 2]
    return path


def recovered(spool: Spool) -> dict[int, StoreOutcome]:
    """Recover lanes; what became of the instances that were told, by number."""
    told: list[StoredInstance] = []
    spool.journal.recover(told.append)
    return {int(one.instance.sop_instance_uid.rsplit(".", 1)[1]): one.outcome for one in told}


def make_lanes(folder: Path, n_lanes: int = 3) -> Path:
    """Small lanes in a folder, which is returned."""
    for number in range(n_lanes):
        Lane.make(lane_path(folder, number), MIB)
    return folder


def n_descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def flip(path: Path, offset: int) -> None:
    """Damage one byte of a file, where it stands."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def is_free(path: Path) -> bool:
    """Whether nobody holds a lane."""
    lane = Lane.claim(path)
    if lane is not None:
        lane.close()
    return lane is not None


def refuse_patient_data(log: str) -> None:
    """Raise where a log quotes an instance."""
    for secret in ("Nobody", SERIES, STUDY):
        assert secret not in log


class Naming:
    """How an instance gets its name, but it fails as often as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fails at no time, before `errors` says so."""
        self.errors: list[BaseException | None] = []
        self.n_calls = 0
        name = Shelf._name

        def call(shelf: Shelf, whole: Whole[Draft]) -> tuple[Path, StoreOutcome]:
            self.n_calls += 1
            error = self.errors.pop(0) if self.errors else None
            if error is not None:
                raise error
            return name(shelf, whole)

        monkeypatch.setattr(Shelf, "_name", call)
