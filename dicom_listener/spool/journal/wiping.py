"""Takes from lanes what is left in them of instances that have files: images of patients whom nobody means to keep.

It is written over, not punched out: a lane keeps its blocks on the disk, which is what makes it quick.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dicom_listener.spool.journal.lane import DamagedLaneError, Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, LaneFront
from dicom_listener.spool.journal.lanes import lane_paths


class Wiping:
    """Wipes the lanes of one folder that were clean for a while; for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Path, int] = {}

    def turn(self) -> None:
        """Wipe what has not changed since the turn before: not in the middle of a burst. Raises OSError."""
        seen, self._seen = self._seen, {}
        wipe_lanes(self._folder, lambda path, front: self._is_due(path, front, seen))

    def _is_due(self, path: Path, front: LaneFront, seen: dict[Path, int]) -> bool:
        self._seen[path] = front.sequence
        return seen.get(path) == front.sequence


def wipe_lanes(folder: Path, is_due: Callable[[Path, LaneFront], bool] = lambda _path, _front: True) -> None:
    """Wipe the clean lanes of a folder that nobody has. Raises OSError.

    Args:
        folder: of the lanes.
        is_due: asked for each that is not blank.
    """
    for path in lane_paths(folder):
        with suppress(FileNotFoundError, DamagedLaneError):
            front = Lane.front_of(path)
            if front is not None and front.used_to > FIRST_BYTE and is_due(path, front):
                _wipe(path)


def _wipe(path: Path) -> None:
    lane = Lane.claim(path)
    if lane is not None:
        try:
            if lane.is_clean and not lane.is_blank:  # it may have been used, or wiped, since its front was looked at
                lane.wipe()
        finally:
            lane.close()
