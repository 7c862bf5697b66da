"""What all who read the front of a data set share: which are deflated, where to stop, whose fault an error is."""

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO

from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_listener.errors import UnreadableInstanceError

_JPIP_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.95"
_JPIP_HTJ2K_REFERENCED_DEFLATE = "1.2.840.10008.1.2.4.205"
DEFLATED = frozenset((DeflatedExplicitVRLittleEndian, _JPIP_REFERENCED_DEFLATE, _JPIP_HTJ2K_REFERENCED_DEFLATE))
"""Transfer syntaxes whose data sets are a bare deflate stream without zlib header (PS3.5 section A.5)."""


def inflate_front(file: BinaryIO, limit: int) -> BinaryIO:
    """Inflate what a file goes on with, up to `limit` bytes: a bomb must not fill memory.

    Raises:
        UnreadableInstanceError: it is no deflate stream.
    """
    try:
        return io.BytesIO(zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(file.read(limit), limit))
    except zlib.error as error:
        raise UnreadableInstanceError("the data set is not the deflate stream its transfer syntax promises") from error


def behind(last: int) -> Callable[[BaseTag, str | None, int], bool]:
    """For pydicom: stop at the first element whose tag is greater."""

    def is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > last

    return is_behind


def is_fault_of_disk(error: Exception) -> bool:
    """Whether pydicom met an error of the disk; it answers malformed bytes with whatever they lead to.

    For sequences that are cut off it raises an OSError too, but without a number.
    """
    return isinstance(error, OSError) and error.errno is not None
