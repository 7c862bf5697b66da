"""What a process left in the intake journal when it ended: each instance gets its file."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import InvalidInstanceError, SpoolError, SpoolFullError
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.lane import DamagedLaneError, Lane, set_aside
from dicom_listener.spool.journal.lanes import lane_paths
from dicom_listener.spool.journal.to_file import DamagedRecordError, Filing
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)


class Recovery:
    """Files what ended processes left; for one thread at a time."""

    def __init__(self, root: Path, folder: Path, filing: Filing) -> None:
        """Recover lanes of `folder`; `root` is the spool, for messages; `filing` is how."""
        self._folder = folder
        self._errors = disk_errors_in_words(root)
        self._filing = filing
        self._filed: dict[bytes, set[int]] = {}
        """Where instances begin that have files, though one before them has none; by generation of their lane."""

    def recover(self, on_filed: Callable[[StoredInstance], None]) -> None:
        """File what is in lanes that no process holds; a damaged lane is kept for people, under another name.

        Args:
            on_filed: told of each instance.

        Raises:
            SpoolError: the disk failed at one of them; what has no file yet stays where it is.
        """
        failed: SpoolError | None = None
        with self._errors:
            paths = lane_paths(self._folder)
        for path in paths:
            try:
                with self._errors:
                    self._recover_path(path, on_filed)
            except SpoolError as error:  # the others do not wait for it
                failed = failed or error
        if failed is not None:
            raise failed

    def _recover_path(self, path: Path, on_filed: Callable[[StoredInstance], None]) -> None:
        try:
            lane = Lane.claim(path)
        except DamagedLaneError as error:
            kept = set_aside(path, os.urandom(8).hex())
            LOGGER.error("%s; what was acknowledged may be saved from it, it is kept as %s", error, kept)
            return
        if lane is None:
            return
        try:
            if not lane.is_clean:
                self._recover_lane(lane, on_filed)
        finally:
            lane.close()

    def _recover_lane(self, lane: Lane, on_filed: Callable[[StoredInstance], None]) -> None:
        filed = self._filed.setdefault(lane.generation, set())
        n_before = len(filed)
        found = self._file_rest(lane, filed, on_filed)
        n_filed = len(filed) - n_before
        if n_filed or found.n_torn:
            LOGGER.info(
                "journal recovered: %s: %d instances, and %d that were not whole", lane.path, n_filed, found.n_torn
            )
        if found.waits is not None:
            if found.waits_at > lane.filed_to and not found.is_odd:
                lane.mark_filed(found.waits_at)
            raise found.waits
        if found.is_damaged:
            kept = lane.set_aside()
            LOGGER.error("acknowledged instances in %s cannot be read any more, it is kept as %s", lane.path, kept)
        else:
            lane.mark_clean()
        del self._filed[lane.generation]

    def _file_rest(self, lane: Lane, filed: set[int], on_filed: Callable[[StoredInstance], None]) -> "_Found":
        """File what is in one lane; where each begins is added to `filed`.

        An instance is begun where the one before it ends, and once that is durable. So a loss of power leaves nothing
        unwritten but the last one: any other that is not whole was acknowledged.
        """
        found, begin = _Found(), lane.filed_to
        for trailer in lane.unfiled():
            found.is_damaged |= trailer.start != begin or found.n_torn > 0
            begin = trailer.end
            if trailer.start in filed:
                continue
            try:
                stored = self._filing.file(lane, trailer)
            except DamagedRecordError:
                found.n_torn += 1
            except InvalidInstanceError:  # its checksum is right, so it was acknowledged
                found.is_damaged = True
            except SpoolError as error:
                if found.waits is None:
                    found.waits, found.waits_at = error, trailer.start
                if isinstance(error, SpoolFullError):
                    break
            else:
                on_filed(stored)
                filed.add(trailer.start)
        return found


@dataclass(slots=True)
class _Found:
    """What was found in a lane."""

    n_torn: int = 0
    """Instances that are not what was written."""
    is_damaged: bool = False
    """Whether one of those had been acknowledged."""
    waits: SpoolError | None = None
    """Why the first that could not be filed now could not."""
    waits_at: int = 0
    """Where that begins."""

    @property
    def is_odd(self) -> bool:
        """Whether whoever looks at the lane next is to find what is wrong in it again."""
        return self.is_damaged or self.n_torn > 0
