"""What the heads of spooled instances say about how many there are, and about gaps; read only where a setting asks."""

import logging
from collections.abc import Iterable

from dicom_listener.completion.closed_geometry import SlicePlace, is_closed
from dicom_listener.errors import UnreadableInstanceError, in_short
from dicom_listener.series import ReceivedInstance
from dicom_listener.spool.heads import read_head
from dicom_listener.spool.instance_head import InstanceHead

LOGGER = logging.getLogger(__name__)


def claimed_count(instance: ReceivedInstance) -> int | None:
    """Number of Series Related Instances (0020,1209) of an instance; None when it has none.

    Images in Acquisition (0020,1002) is not looked at: it counts an acquisition, not a series. One acquisition is
    reconstructed into several series, a series may hold several acquisitions, and scanners differ in what they write.
    """
    head = _head(instance)
    return None if head is None else head.series_instances


class SlicePlaces:
    """Where the slices of open series lie; each file is read once."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, SlicePlace | None]] = {}

    def are_closed(self, key: str, instances: Iterable[ReceivedInstance], minimum_slices: int) -> bool:
        """Whether the instances of a series make a stack without a gap, see `closed_geometry`."""
        known = self._places.setdefault(key, {})
        places: list[SlicePlace | None] = []
        for instance in instances:
            uid = instance.sop_instance_uid
            if uid not in known:
                known[uid] = _place(_head(instance))
            places.append(known[uid])
        return is_closed(places, minimum_slices)

    def forget(self, key: str) -> None:
        """Give back the memory of a series."""
        self._places.pop(key, None)


def _place(head: InstanceHead | None) -> SlicePlace | None:
    if head is None or head.position is None or head.orientation is None:
        return None
    return SlicePlace(head.position, head.orientation)


def _head(instance: ReceivedInstance) -> InstanceHead | None:
    try:
        return read_head(instance.path)
    except (UnreadableInstanceError, OSError) as error:
        # evidence is missing then, and the quiet time decides
        LOGGER.warning("the head of a spooled instance cannot be read: %s", in_short(error))
        return None
