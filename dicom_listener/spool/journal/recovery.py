"""What a process left in the intake journal when it ended: each instance gets its file."""

import logging
from collections.abc import Callable
from pathlib import Path

from dicom_listener.errors import InvalidInstanceError, SpoolError
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lanes import lane_paths
from dicom_listener.spool.journal.to_file import DamagedRecordError, Filing
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)


def recover_lanes(root: Path, folder: Path, filing: Filing, on_filed: Callable[[StoredInstance], None]) -> None:
    """File what is in lanes that no process holds.

    Args:
        root: the spool, for messages.
        folder: of the lanes.
        filing: how.
        on_filed: told of each instance.

    Raises:
        SpoolError: the disk failed; what has no file yet stays where it is.
    """
    with disk_errors_in_words(root):
        for path in lane_paths(folder):
            try:
                lane = Lane.claim(path)
            except SpoolError as error:
                LOGGER.error("%s", error)
                continue
            if lane is not None:
                try:
                    if not lane.is_clean:
                        _recover(lane, filing, on_filed)
                finally:
                    lane.close()


def _recover(lane: Lane, filing: Filing, on_filed: Callable[[StoredInstance], None]) -> None:
    n_filed = n_torn = 0
    for trailer in lane.unfiled():
        try:
            stored = filing.file(lane, trailer)
        except (DamagedRecordError, InvalidInstanceError):
            n_torn += 1  # the power failed before all of it was on the disk, so nobody was told that it is stored
            continue
        on_filed(stored)
        n_filed += 1
    lane.mark_clean()
    if n_filed or n_torn:
        LOGGER.info("journal recovered: %s: %d instances, and %d that were not whole", lane.path, n_filed, n_torn)
