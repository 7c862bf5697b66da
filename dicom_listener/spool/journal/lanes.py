"""The lanes that a process holds: taken when instances come, left to others when every instance in them has a file."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import SpoolError
from dicom_listener.spool.journal.lane import DAMAGED, Lane

LOGGER = logging.getLogger(__name__)

LANE_BYTES = 32 * 1024 * 1024
"""Of one lane: sixty slices. One that is full rests while its instances get their files, and others are used."""
_PREFIX = "lane-"
_PAUSE_SECONDS = 0.1
"""After all lanes were found taken, before they are tried again."""
RETIRED_SECONDS = 60.0
"""After the disk failed at a lane, before it is begun again: another one may lie where the disk is sound."""


def lane_path(folder: Path, number: int) -> Path:
    """Name of a lane."""
    return folder / f"{_PREFIX}{number:03}"


def lane_paths(folder: Path) -> list[Path]:
    """The lanes that there are, sorted; none where there is no journal. Raises OSError."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (a path is made of few of them)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names) if name.startswith(_PREFIX) and name[len(_PREFIX) :].isdecimal()]


def damaged_paths(folder: Path) -> list[Path]:
    """The lanes that were set aside, sorted; none where there is no journal. Raises OSError."""
    return sorted(folder.glob(f"{DAMAGED}{_PREFIX}*"))


@dataclass(slots=True, eq=False)
class _Held:
    lane: Lane
    unfiled: int = 0
    """Instances in it that have no file yet."""
    is_in_use: bool = True
    is_retired: bool = False
    """Whether nothing is written to it any more: the disk failed."""
    is_damaged: bool = False
    """Whether something in it cannot be read any more."""


class Lanes:
    """Lanes of one folder; for any number of threads."""

    def __init__(self, folder: Path, *, may_claim: Callable[[], bool]) -> None:
        """`may_claim` is asked before a further lane is begun."""
        self._folder = folder
        self._may_claim = may_claim
        self._held: dict[Lane, _Held] = {}
        self._claim_at = 0.0
        self._faulty: set[Path] = set()
        self._retired_until: dict[Path, float] = {}
        self._lock = threading.Lock()

    def take(self, n_bytes: int) -> Lane | None:
        """Take a lane that has room for so many bytes; None when there is none. Give it back.

        Raises:
            OSError: the disk cannot be asked.
        """
        with self._lock:
            for held in self._held.values():
                if not held.is_in_use and not held.is_retired and held.lane.room >= n_bytes:
                    held.is_in_use = True
                    return held.lane
            if n_bytes > LANE_BYTES // 2 or time.monotonic() < self._claim_at:
                return None
            lane = self._claim() if self._may_claim() else None
            if lane is None:
                self._claim_at = time.monotonic() + _PAUSE_SECONDS
            else:
                self._held[lane] = _Held(lane)
            return lane

    def _claim(self) -> Lane | None:
        try:
            paths = lane_paths(self._folder)
        except OSError as error:
            self._tell_once(self._folder, error)
            return None
        first = os.getpid() % max(len(paths), 1)  # each process tries another one first
        return next(filter(None, map(self._claim_clean, paths[first:] + paths[:first])), None)

    def _claim_clean(self, path: Path) -> Lane | None:
        if time.monotonic() < self._retired_until.get(path, 0.0):
            return None
        lane: Lane | None = None
        try:
            lane = Lane.claim(path)
            if lane is not None and lane.is_clean:
                lane.begin()
                return lane
        except (SpoolError, OSError) as error:
            self._tell_once(path, error)
        if lane is not None:
            lane.close()  # of a process that ended: for whoever recovers it
        return None

    def _tell_once(self, path: Path, error: Exception) -> None:
        """Instances go where there is no fault."""
        if path not in self._faulty:
            LOGGER.error("a lane of the journal of the spool is not used: %s", error)
            self._faulty.add(path)

    def add_unfiled(self, lane: Lane) -> None:
        """An instance more in it has no file yet."""
        with self._lock:
            self._held[lane].unfiled += 1

    def retire(self, lane: Lane) -> None:
        """Do not use a lane again: the disk failed, and what in it was written last is not known."""
        with self._lock:
            self._held[lane].is_retired = True
            self._retired_until[lane.path] = time.monotonic() + RETIRED_SECONDS

    def set_aside(self, lane: Lane) -> None:
        """Keep a lane for people, and do not use it again: something in it cannot be read any more."""
        with self._lock:
            self._held[lane].is_retired = self._held[lane].is_damaged = True

    def give_back(self, lane: Lane) -> None:
        """Nothing is written to it now."""
        with self._lock:
            self._held[lane].is_in_use = False

    def filed(self, lane: Lane, count: int) -> None:
        """So many instances more in it have a file; it has to be marked, or left."""
        with self._lock:
            self._held[lane].unfiled -= count

    def leave(self, lane: Lane) -> bool:
        """Leave a lane to others, if nothing in it or to it is on its way. Raises OSError: the disk failed."""
        with self._lock:
            held = self._held[lane]
            if held.is_in_use or held.unfiled:
                return False
            del self._held[lane]
        try:
            if held.is_damaged:
                lane.set_aside()
            else:
                lane.mark_clean()
        finally:
            lane.close()
        return True

    def mark_filed(self, lane: Lane, filed_to: int) -> None:
        """Every instance in it before that byte has a file: leave it, or note how far. Raises OSError."""
        if not self.leave(lane) and not self._held[lane].is_damaged:  # whoever recovers it is to find the damage
            lane.mark_filed(filed_to)

    def idle(self) -> list[Lane]:
        """Lanes that `leave` would leave."""
        with self._lock:
            return [held.lane for held in self._held.values() if not held.is_in_use and not held.unfiled]
