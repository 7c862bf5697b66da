"""Keeps the lanes of the intake journal: makes them in advance, and takes care of what ended processes left in them."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from dicom_listener.errors import SpoolError, in_short
from dicom_listener.spool.files import disk_errors_in_words, sync_folder
from dicom_listener.spool.journal.lane import UNFINISHED, Lane
from dicom_listener.spool.journal.lanes import LANE_BYTES, lane_path, lane_paths
from dicom_listener.spool.journal.wiping import Wiping, wipe_lanes

LOGGER = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often it is looked for lanes of ended processes: one may end while nobody sees it."""


class JournalKeeper:
    """The lanes of one spool, in a thread of its own."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        n_lanes: int,
        *,
        may_make: Callable[[int], bool],
        recover: Callable[[], None],
    ) -> None:
        """Make a keeper that does nothing before `start`.

        Args:
            root: the spool, for messages.
            folder: of the lanes.
            n_lanes: how many there shall be; others are removed once they are empty.
            may_make: whether the disk has room for so many bytes more of them.
            recover: files what is in lanes that no process holds. May raise SpoolError.
        """
        self._root = root
        self._errors = disk_errors_in_words(root)
        self._folder = folder
        self._n_lanes = n_lanes
        self._may_make = may_make
        self._recover = recover
        self._wiping = Wiping(folder)
        self._stop = threading.Event()
        self._look = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="journal-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; waits for what is under way, and leaves no image in a lane that nobody has."""
        if self._thread is not None:
            self._stop.set()
            self._look.set()
            self._thread.join()
            self._thread = None
            try:
                with self._errors:
                    wipe_lanes(self._folder)
            except SpoolError as error:
                LOGGER.error("the journal of the spool still holds images: %s", error)

    def _run(self) -> None:
        trouble = ""
        while not self._stop.is_set():
            try:
                with self._errors:
                    self._recover()
                    self._remove_unfinished()
                    self._remove_surplus()
                    self._make_missing()
                    self._wiping.turn()
                trouble = ""
            except Exception as error:  # noqa: BLE001 (last resort: it is tried again, nothing is lost)
                text = in_short(error)
                if text != trouble:  # told once
                    LOGGER.error("the journal of the spool: %s", text)
                trouble = text
            self._look.wait(LOOK_SECONDS)
            self._look.clear()

    def _remove_unfinished(self) -> None:
        """Remove what a keeper that was killed has left half made."""
        for path in self._folder.glob(f"*{UNFINISHED}"):
            path.unlink(missing_ok=True)

    def _make_missing(self) -> None:
        made = 0
        for number in range(self._n_lanes):
            path = lane_path(self._folder, number)
            if self._stop.is_set() or path.exists():
                continue
            if not self._may_make(LANE_BYTES):
                return
            self._folder.mkdir(mode=0o750, exist_ok=True)
            sync_folder(self._root)
            Lane.make(path, LANE_BYTES)
            made += 1
        if made:
            LOGGER.info("the journal of the spool has %d lanes of %d MB", self._n_lanes, LANE_BYTES // 1024**2)

    def _remove_surplus(self) -> None:
        wanted = {lane_path(self._folder, number) for number in range(self._n_lanes)}
        for path in lane_paths(self._folder):
            lane = None if path in wanted else Lane.claim(path)
            if lane is not None:
                try:
                    if lane.is_clean:
                        path.unlink()
                finally:
                    lane.close()
