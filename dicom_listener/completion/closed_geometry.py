"""Do slices make a stack without a gap? Pure geometry (PS3.3 C.7.6.2.1.1), and no proof that a series is complete.

Half a chest is a stack without a gap too. So this ends a wait early only by a setting, and only together with the
release of the association that brought the slices.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

COSINE_TOLERANCE = 1e-3
"""Largest difference between direction cosines of two slices: 0.06 degrees."""
SAME_PLACE_MM = 0.01
"""Two slices closer than this lie at the same place, as those of two phases in one series do."""
SPACING_TOLERANCE = 0.1
"""Largest relative deviation of one slice distance from their mean ..."""
SPACING_TOLERANCE_MM = 0.1
"""... or this much, whichever is larger: positions are often written with one decimal."""
MISSING_SLICE_FACTOR = 1.5
"""A gap of this many usual slice distances or more means that slices are missing."""


@dataclass(frozen=True, slots=True)
class SlicePlace:
    """Where one slice lies."""

    position: tuple[float, ...]
    """Image Position (Patient), LPS mm."""
    orientation: tuple[float, ...]
    """Image Orientation (Patient), row direction cosines before column direction cosines."""


def is_closed(slices: Sequence[SlicePlace | None], minimum_slices: int) -> bool:
    """Whether slices of one orientation follow each other at one distance, and are at least so many.

    A slice without a usable place (None) makes the answer no, as do two slices at the same place. The order does not
    matter. The tolerances are those with which `inference.slice_geometry` accepts a series.
    """
    places = [place for place in slices if place is not None]
    if len(places) < max(minimum_slices, 2) or len(places) < len(slices):
        return False
    first = places[0].orientation
    if any(
        abs(one - other) > COSINE_TOLERANCE
        for place in places
        for one, other in zip(place.orientation, first, strict=True)
    ):
        return False
    normal = _normal(first)
    if normal is None:
        return False
    along = sorted(sum(a * b for a, b in zip(place.position, normal, strict=True)) for place in places)
    gaps = [after - before for before, after in pairwise(along)]
    mean = (along[-1] - along[0]) / len(gaps)
    tolerance = max(SPACING_TOLERANCE * mean, SPACING_TOLERANCE_MM)
    longest = MISSING_SLICE_FACTOR * sorted(gaps)[(len(gaps) - 1) // 2]
    return min(gaps) >= SAME_PLACE_MM and all(abs(gap - mean) <= tolerance and gap < longest for gap in gaps)


def _normal(orientation: tuple[float, ...]) -> tuple[float, ...] | None:
    """Unit vector across row and column direction; None where they are no two directions."""
    (ax, ay, az), (bx, by, bz) = orientation[:3], orientation[3:]
    cross = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    length = math.hypot(*cross)
    return None if length < 1 - 10 * COSINE_TOLERANCE else tuple(value / length for value in cross)
