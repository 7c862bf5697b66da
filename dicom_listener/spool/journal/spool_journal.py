"""The intake journal of one spool: who uses it, who keeps it, and how much of the disk it may take."""

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.spool.disk_room import DiskRoom
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.journal import Journal
from dicom_listener.spool.journal.keeper import JournalKeeper
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lanes import LANE_BYTES, damaged_paths, lane_paths
from dicom_listener.spool.journal.recovery import Recovery
from dicom_listener.spool.journal.to_file import Filing
from dicom_listener.spool.journal.wiping import wipe_lanes
from dicom_listener.stored import StoredInstance

FOLDER = ".journal"
_LARGEST_SHARE = 0.05
"""Of the disk, that lanes take: it is there for instances."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the journal holds; damaged lanes are not among the others."""

    lanes: int
    unfiled: int
    """Lanes with instances that may have no file yet: those that are written to, and those that wait for it."""
    damaged: int
    """Lanes of which something cannot be read any more: those that were set aside, and those with a bad front."""


NO_JOURNAL = JournalState(0, 0, 0)


class SpoolJournal:
    """The lanes below one spool; for any number of threads and processes."""

    def __init__(self, root: Path, filing: Filing, room: DiskRoom) -> None:
        """`filing` gives instances their files below `root`; `room` knows the disk."""
        self._root = root
        self._folder = root / FOLDER
        self._filing = filing
        self._room = room
        self._recovery = Recovery(root, self._folder, filing)
        self._recovering = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether there are lanes. Raises `SpoolError`: the disk failed."""
        with disk_errors_in_words(self._root):
            return bool(lane_paths(self._folder))

    @property
    def is_filed(self) -> bool:
        """Whether every instance that was in a lane has its file. Raises `SpoolError`: the disk failed."""
        with disk_errors_in_words(self._root):
            return all(Lane.says_clean(path) for path in lane_paths(self._folder))

    @property
    def folder(self) -> Path:
        """Of the lanes; there once the first is made."""
        return self._folder

    def state(self) -> JournalState:
        """Look at the lanes' fronts: a few kB of each. Raises `SpoolError`: the disk failed."""
        says: list[bool | None] = []
        with disk_errors_in_words(self._root):
            for path in lane_paths(self._folder):
                with suppress(FileNotFoundError):  # removed, or set aside, just now
                    says.append(Lane.says_clean(path))
            n_aside = len(damaged_paths(self._folder))
        n_damaged = says.count(None)
        return JournalState(len(says) - n_damaged, says.count(False), n_damaged + n_aside)

    def further_lanes(self, most: int) -> int:
        """For how many lanes more, at most `most`, the disk has room. Raises `SpoolError`: it cannot be asked."""
        with disk_errors_in_words(self._root):
            return next((number for number in range(most, 0, -1) if self._may_grow(number * LANE_BYTES)), 0)

    def open(self, longest_seconds: float) -> Journal:
        """Use it in this process; an instance waits for its file for no more than `longest_seconds`."""
        return Journal(
            self._root,
            self._folder,
            self._filing,
            has_room=self._can_be_filed,
            check_room=self._room.refuse_when_full,
            longest_seconds=longest_seconds,
        )

    def keep(self, n_bytes: int, on_filed: Callable[[StoredInstance], None]) -> JournalKeeper:
        """Keep lanes of at most so many bytes; for the one process that has the spool's claim.

        Args:
            n_bytes: 0 for no lanes; what there is in those of an earlier run gets its files all the same.
            on_filed: told, from another thread, of each instance that got its file because its process has ended.
        """
        return JournalKeeper(
            self._root,
            self._folder,
            n_bytes // LANE_BYTES,
            may_make=self._may_grow,
            recover=lambda: self.recover(on_filed),
        )

    def recover(self, on_filed: Callable[[StoredInstance], None]) -> None:
        """Give a file to each instance that ended processes left; waits for another thread that does so.

        Raises:
            SpoolError: the disk failed.
        """
        with self._recovering:
            self._recovery.recover(on_filed)

    def wipe(self) -> None:
        """Leave nothing of instances in lanes that are filed and that nobody has.

        Raises:
            SpoolError: the disk failed.
        """
        with disk_errors_in_words(self._root):
            wipe_lanes(self._folder)

    def _size(self) -> int:
        return len(lane_paths(self._folder)) * LANE_BYTES

    def _can_be_filed(self) -> bool:
        # what is acknowledged needs as much again for its files, and there must be room for those
        return self._room.disk(self._size()).refusal is None

    def _may_grow(self, n_bytes: int) -> bool:
        lanes = self._size() + n_bytes
        is_small = lanes <= _LARGEST_SHARE * shutil.disk_usage(self._root).total
        return is_small and self._room.disk(lanes + n_bytes).refusal is None
