"""Orders the slices of a series along their normal and refuses stacks that no regular grid describes.

The geometry is that of PS3.3 C.7.6.2.1.1: position and direction cosines in LPS millimetres. Instance Number,
Slice Location and Spacing Between Slices are not looked at: they are often absent, negative or wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.errors import RejectionReason, SeriesRejectedError
from inference.read_headers import InstanceHeader

COSINE_TOLERANCE = 1e-3
"""Largest difference between direction cosines of two slices, and from unit length and orthogonality: 0.06 degrees."""
PIXEL_SPACING_TOLERANCE = 1e-3
"""Largest relative difference of Pixel Spacing between slices."""
DUPLICATE_TOLERANCE_MM = 0.01
"""Two slices closer than this lie at the same position."""
TILT_TOLERANCE_DEGREES = 0.5
"""Largest angle between the stack and its normal; a smaller one is kept in the affine as it is."""
MISSING_SLICE_FACTOR = 1.5
"""A gap of this many slice distances or more means that slices are missing."""
SPACING_TOLERANCE = 0.1
"""Largest relative deviation of one slice distance from their mean ..."""
SPACING_TOLERANCE_MM = 0.1
"""... or this much, whichever is larger: positions are often written with one decimal."""
GRID_TOLERANCE = 0.25
"""Largest distance of a slice from its place on the regular grid, in slice distances."""


@dataclass(frozen=True, slots=True, eq=False)
class SliceStack:
    """The slices of a series as a regular grid."""

    headers: tuple[InstanceHeader, ...]
    """In order of position along the normal."""
    affine: NDArray[np.float64]
    """As `Volume.affine`."""
    has_slice_distance: bool
    """False for a single slice without a Slice Thickness: 1 mm is assumed."""


def stack_slices(headers: Sequence[InstanceHeader]) -> SliceStack:
    """Find the regular grid on which the slices lie.

    The normal is cross(row direction, column direction), so that a slice order never depends on how a scanner
    numbers its images.

    Raises:
        SeriesRejectedError: missing geometry, mixed size, mixed orientation, duplicate positions, gantry tilt,
            missing slices, both of them, or an irregular spacing. Tilt and gaps are both looked for before either
            is reported.
    """
    _check_complete(headers)
    _check_same_size(headers)
    rows, columns = _directions(headers)
    normal = np.cross(rows, columns)
    positions = np.array([header.position for header in headers], dtype=np.float64)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    positions, along = positions[order], along[order]
    ordered = tuple(headers[i] for i in order)
    spacing = headers[0].pixel_spacing
    assert spacing is not None  # noqa: S101 (checked by _check_complete; tells the type checker)
    thickness = ordered[0].slice_thickness
    step = normal * (thickness if thickness and thickness > 0 else 1.0)
    if len(ordered) > 1:
        _check_regular(positions, along, normal)
        step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = step, columns * spacing[0], rows * spacing[1]
    affine[:3, 3] = positions[0]
    return SliceStack(ordered, affine, has_slice_distance=len(ordered) > 1 or bool(thickness and thickness > 0))


def _reject(reason: RejectionReason, detail: str) -> SeriesRejectedError:
    return SeriesRejectedError(reason, detail)


def _check_complete(headers: Sequence[InstanceHeader]) -> None:
    tests: dict[str, Callable[[InstanceHeader], bool]] = {
        "Rows or Columns (0028,0010/0011)": lambda h: bool(h.rows and h.columns),
        "Image Position (Patient) (0020,0032)": lambda h: h.position is not None,
        "Image Orientation (Patient) (0020,0037)": lambda h: h.orientation is not None,
        "Pixel Spacing (0028,0030)": lambda h: h.pixel_spacing is not None and min(h.pixel_spacing) > 0,
    }
    for name, is_there in tests.items():
        missing = sum(not is_there(header) for header in headers)
        if missing:
            detail = f"{missing} of {len(headers)} slices have no usable {name}; export the series with its geometry"
            raise _reject(RejectionReason.MISSING_GEOMETRY, detail)


def _check_same_size(headers: Sequence[InstanceHeader]) -> None:
    sizes = {(header.rows, header.columns) for header in headers}
    if len(sizes) > 1:
        names = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(sizes, key=str))
        raise _reject(RejectionReason.MIXED_SIZE, f"slices of different sizes in one series: {names}")
    spacings = np.array([header.pixel_spacing for header in headers])
    if np.ptp(spacings, axis=0).max() > PIXEL_SPACING_TOLERANCE * spacings.min():
        detail = f"Pixel Spacing varies between {spacings.min():.4g} and {spacings.max():.4g} mm in one series"
        raise _reject(RejectionReason.MIXED_SIZE, detail)


def _directions(headers: Sequence[InstanceHeader]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Orthonormal row and column directions shared by all slices."""
    cosines = np.array([header.orientation for header in headers], dtype=np.float64).reshape(-1, 2, 3)
    lengths = np.linalg.norm(cosines, axis=2)
    skew = np.abs(np.einsum("ij,ij->i", cosines[:, 0], cosines[:, 1]))
    if np.abs(lengths - 1).max() > COSINE_TOLERANCE or skew.max() > COSINE_TOLERANCE:
        detail = "Image Orientation (Patient) holds no two perpendicular unit vectors"
        raise _reject(RejectionReason.MISSING_GEOMETRY, detail)
    if np.ptp(cosines, axis=0).max() > COSINE_TOLERANCE:
        detail = "the slices of the series have different orientations, as localizers or reformatted images do"
        raise _reject(RejectionReason.MIXED_ORIENTATION, detail)
    row = cosines[0, 0] / lengths[0, 0]
    column = cosines[0, 1] - row * (row @ cosines[0, 1])
    return row, column / np.linalg.norm(column)


def _check_regular(positions: NDArray[np.float64], along: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    gaps = np.diff(along)
    duplicates = int((gaps < DUPLICATE_TOLERANCE_MM).sum())
    if duplicates:
        detail = f"{duplicates} of {len(along)} slices lie where another one lies; send one phase per series"
        raise _reject(RejectionReason.DUPLICATE_POSITIONS, detail)
    # the lower median: of two gaps, the smaller one is the distance of neighbours
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    missing = int(np.round(gaps[gaps >= MISSING_SLICE_FACTOR * usual] / usual - 1).clip(min=1).sum())
    tilt = _tilt_degrees(positions, normal)
    tilted = tilt > TILT_TOLERANCE_DEGREES
    if tilted and missing:
        detail = f"the stack is tilted by {tilt:.1f} degrees and {_missing(missing)}"
        raise _reject(RejectionReason.TILT_AND_MISSING_SLICES, detail)
    if tilted:
        detail = f"the stack is tilted by {tilt:.1f} degrees against its normal; send a tilt-corrected reconstruction"
        raise _reject(RejectionReason.GANTRY_TILT, detail)
    if missing:
        detail = f"{_missing(missing)} among {len(along)} slices {usual:.4g} mm apart, {_where(gaps, along, usual)}"
        detail += "; send them again"
        raise _reject(RejectionReason.MISSING_SLICES, detail)
    grid, step = np.linspace(along[0], along[-1], len(along), retstep=True)
    off_grid = np.abs(along - grid).max() > GRID_TOLERANCE * step
    if off_grid or np.abs(gaps - step).max() > max(SPACING_TOLERANCE * step, SPACING_TOLERANCE_MM):
        detail = f"slice distances vary between {gaps.min():.4g} and {gaps.max():.4g} mm"
        raise _reject(RejectionReason.IRREGULAR_SPACING, f"{detail}; send a reconstruction of constant spacing")


def _missing(number: int) -> str:
    return "1 slice is missing" if number == 1 else f"about {number} slices are missing"


def _where(gaps: NDArray[np.float64], along: NDArray[np.float64], usual: float) -> str:
    """The first gap, by its ends along the stack's normal in mm, and whether there are more."""
    found = np.flatnonzero(gaps >= MISSING_SLICE_FACTOR * usual)
    first = int(found[0])
    more = ", and elsewhere" if len(found) > 1 else ""
    return f"between {along[first]:.4g} and {along[first + 1]:.4g} mm along the normal of the stack{more}"


def _tilt_degrees(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> float:
    """Angle between the normal and the usual step from slice to slice, or the whole stack, whichever is larger."""
    steps = np.vstack([np.median(np.diff(positions, axis=0), axis=0), positions[-1] - positions[0]])
    lateral = np.linalg.norm(steps - np.outer(steps @ normal, normal), axis=1)
    return float(np.degrees(np.arctan2(lateral, steps @ normal)).max())
