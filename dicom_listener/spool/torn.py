"""Which files a loss of power has torn: they have their length, and were never written in between.

An instance has its name before its content is durable, so such a file may come back; nobody was told that it is stored.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import BinaryIO

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.files import has_hole

_PROBE_BYTES = 1024 * 1024


def refuse_torn(file: BinaryIO, root: Path) -> None:
    """Look whether a part of a file of the spool `root` was never written, where the file system can tell.

    Raises:
        InvalidInstanceError: it was not.
    """
    if has_hole(file) and not _zeros_are_holes(root, os.fstat(file.fileno()).st_dev):
        raise InvalidInstanceError("a part of it was never written: the power failed")


def _zeros_are_holes(root: Path, device: int) -> bool:
    # some file systems that compress, such as ZFS, keep zeros as holes, and images are full of zeros
    try:
        return _probe(root, device)
    except OSError:  # a spool that can only be read
        return True


@cache
def _probe(root: Path, _device: int) -> bool:
    with tempfile.TemporaryFile(dir=root) as probe:
        probe.write(bytes(_PROBE_BYTES))
        probe.flush()
        os.fsync(probe.fileno())
        return has_hole(probe)
