"""`Ending`: what ended the wait for further instances of a series."""

from enum import StrEnum


class Ending(StrEnum):
    """What ended the wait for further instances."""

    QUIET = "quiet"
    MAXIMUM_WAIT = "maximum_wait"
    COUNT = "count"
    CLOSED_GEOMETRY = "closed_geometry"
