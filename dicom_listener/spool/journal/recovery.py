"""What a process left in the intake journal when it ended: each instance gets its file."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from dicom_listener.errors import InvalidInstanceError, SpoolError
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.lane import DamagedLaneError, Lane, set_aside
from dicom_listener.spool.journal.lanes import lane_paths
from dicom_listener.spool.journal.to_file import DamagedRecordError, Filing
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)


def recover_lanes(root: Path, folder: Path, filing: Filing, on_filed: Callable[[StoredInstance], None]) -> None:
    """File what is in lanes that no process holds; a damaged lane is kept for people, under another name.

    Args:
        root: the spool, for messages.
        folder: of the lanes.
        filing: how.
        on_filed: told of each instance.

    Raises:
        SpoolError: the disk failed at one of them; what has no file yet stays where it is.
    """
    errors = disk_errors_in_words(root)
    failed: SpoolError | None = None
    with errors:
        paths = lane_paths(folder)
    for path in paths:
        try:
            with errors:
                _recover_path(path, filing, on_filed)
        except SpoolError as error:  # the others do not wait for it
            failed = failed or error
    if failed is not None:
        raise failed


def _recover_path(path: Path, filing: Filing, on_filed: Callable[[StoredInstance], None]) -> None:
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
            _recover(lane, filing, on_filed)
    finally:
        lane.close()


def _recover(lane: Lane, filing: Filing, on_filed: Callable[[StoredInstance], None]) -> None:
    """File what is in one lane.

    An instance is begun where the one before it ends, and once that is durable. So a loss of power leaves nothing
    unwritten but the last one: any other that is not whole was acknowledged.
    """
    n_filed = n_torn = 0
    is_damaged, begin = False, lane.filed_to
    for trailer in lane.unfiled():
        is_damaged |= trailer.start != begin or n_torn > 0
        begin = trailer.end
        try:
            stored = filing.file(lane, trailer)
        except DamagedRecordError:
            n_torn += 1
            continue
        except InvalidInstanceError:  # its checksum is right, so it was acknowledged
            is_damaged = True
            continue
        except SpoolError:
            if n_filed and not (is_damaged or n_torn):
                lane.mark_filed(trailer.start)  # the disk may be full for long: those before are not told each time
            raise
        on_filed(stored)
        n_filed += 1
    if is_damaged:
        kept = lane.set_aside()
        LOGGER.error("acknowledged instances in %s cannot be read any more, it is kept as %s", lane.path, kept)
    else:
        lane.mark_clean()
    if n_filed or n_torn:
        LOGGER.info("journal recovered: %s: %d instances, and %d that were not whole", lane.path, n_filed, n_torn)
