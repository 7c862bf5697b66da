"""`SeriesTraits`: what the heads of its instances say about a series. Pure; geometry in LPS mm (PS3.3 C.7.6.2.1.1)."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import TypeGuard

from dicom_listener.routing.kernels import KernelClass, classify_kernel
from dicom_listener.spool.instance_head import InstanceHead

Vector = tuple[float, float, float]

COSINE_TOLERANCE = 1e-3
"""Largest deviation of direction cosines from unit length and orthogonality, and between instances."""
SAME_POSITION_MM = 0.01
"""Instances closer than this along the normal lie at one position."""
GAP_FACTOR = 1.5
"""A step of this many usual steps or more leaves slices out."""
TILT_TOLERANCE_DEGREES = 0.5
"""Largest angle between the stack and its normal."""


@dataclass(frozen=True, slots=True)
class SeriesTraits:
    """A series as rules see it. Free texts may hold patient data and stay out of the `repr`."""

    n_instances: int
    n_unreadable: int
    """Instances whose head could not be read as a whole."""
    modalities: tuple[str, ...]
    """Distinct values of all instances, as in the following; a missing value is the empty text."""
    sop_classes: tuple[str, ...]
    n_localizers: int
    """Instances with LOCALIZER as value 3 of Image Type, or anywhere in it."""
    n_derived: int
    """Instances that were computed from others: DERIVED as value 1 of Image Type. DERIVED, PRIMARY, AXIAL with lossy
    compression is not counted: an archive that compresses makes so of every original (PS3.3 C.7.6.1.1.2)."""
    n_secondary: int
    """Instances made after the examination: SECONDARY as value 2 of Image Type. ORIGINAL, SECONDARY, AXIAL is not
    counted: it is a reconstruction of the raw data at a later time."""
    n_multi_frame: int
    n_colour: int
    """Instances with several samples per pixel."""
    n_without_geometry: int
    """Instances without usable Image Position, Image Orientation or Pixel Spacing."""
    has_one_orientation: bool
    """False as soon as two instances with geometry differ."""
    angle_to_axial_degrees: float | None
    """Between the normal of the first instance with geometry and the patient's long axis, 0..90."""
    n_positions: int
    """Distinct positions along the normal."""
    spacing_mm: float | None
    """The usual (lower median) distance of neighbouring positions; None with fewer than two."""
    length_mm: float
    """From the first position to the last, and one spacing (or slice thickness) more."""
    is_regular: bool
    """Every position once, no gap, no tilt against the normal: what a reader of volumes can use."""
    slice_thickness_mm: float | None
    """The largest Slice Thickness; None where no instance has one."""
    pixel_spacing_mm: float | None
    """The smallest distance of pixel centres."""
    kernel: tuple[str, ...]
    """Values of Convolution Kernel of the first instance that has it."""
    kernel_class: KernelClass
    body_parts: tuple[str, ...]
    series_descriptions: tuple[str, ...] = field(repr=False)
    other_descriptions: tuple[str, ...] = field(repr=False)
    """Study Description and Protocol Name."""
    series_number: int | None
    """The smallest Series Number."""
    called_ae_title: str
    """The AE title that the senders of most instances called."""

    @property
    def effective_thickness_mm(self) -> float | None:
        """What a slice stands for: the larger of Slice Thickness and spacing; None where neither is known."""
        return max((value for value in (self.slice_thickness_mm, self.spacing_mm) if value is not None), default=None)


def traits_of(heads: Sequence[InstanceHead]) -> SeriesTraits:
    """Sum up the heads of one series, in any order; never raises."""
    ordered = sorted(heads, key=lambda head: head.sop_instance_uid)
    planes = [plane for head in ordered if (plane := _plane(head)) is not None]
    normals = [_cross(row, column) for _, row, column in planes]
    positions = [position for position, _, _ in planes]
    stack = _Stack.of(positions, normals[0]) if normals else _Stack((), 0.0)
    thickness = max((h.slice_thickness for h in heads if h.slice_thickness and h.slice_thickness > 0), default=None)
    kernel = next((head.kernel for head in ordered if any(head.kernel)), ())
    maker = next((head.manufacturer for head in ordered if head.manufacturer), "")
    return SeriesTraits(
        n_instances=len(heads),
        n_unreadable=_count(heads, lambda h: not h.is_whole),
        modalities=_distinct(heads, lambda h: h.modality),
        sop_classes=_distinct(heads, lambda h: h.sop_class_uid),
        n_localizers=_count(heads, lambda h: "LOCALIZER" in h.image_type),
        n_derived=_count(heads, _is_derived),
        n_secondary=_count(heads, _is_secondary),
        n_multi_frame=_count(heads, lambda h: (h.number_of_frames or 1) > 1),
        n_colour=_count(heads, lambda h: (h.samples_per_pixel or 1) > 1),
        n_without_geometry=len(heads) - len(planes),
        has_one_orientation=all(_is_close(plane[1:], planes[0][1:]) for plane in planes),
        angle_to_axial_degrees=_angle_to_axial(normals[0]) if normals else None,
        n_positions=len(stack.places),
        spacing_mm=stack.spacing,
        length_mm=stack.length + ((stack.spacing or thickness or 0.0) if stack.places else 0.0),
        is_regular=stack.is_regular(len(planes)),
        slice_thickness_mm=thickness,
        pixel_spacing_mm=min((min(h.pixel_spacing) for h in heads if _usable(h.pixel_spacing)), default=None),
        kernel=kernel,
        kernel_class=classify_kernel(kernel, maker),
        body_parts=_distinct(heads, lambda h: h.body_part),
        series_descriptions=_distinct(heads, lambda h: h.series_description),
        other_descriptions=tuple(
            sorted({text for h in heads for text in (h.study_description, h.protocol_name) if text})
        ),
        series_number=min((h.series_number for h in heads if h.series_number is not None), default=None),
        called_ae_title=_most_frequent([h.called_ae_title for h in heads]),
    )


@dataclass(frozen=True, slots=True)
class _Stack:
    """Distinct positions along a normal, in order, mm."""

    places: tuple[float, ...]
    tilt_degrees: float

    @classmethod
    def of(cls, positions: Sequence[Vector], normal: Vector) -> "_Stack":
        """Project positions onto a normal."""
        along = sorted((place, p) for p in positions if math.isfinite(place := _dot(p, normal)))
        if not along:
            return cls((), 0.0)
        places: list[float] = []
        for place, _ in along:
            if not places or place - places[-1] > SAME_POSITION_MM:
                places.append(place)
        (low, first), (high, last) = along[0], along[-1]
        step = [b - a for a, b in zip(first, last, strict=True)]
        aside = math.dist(step, [(high - low) * n for n in normal])
        return cls(tuple(places), math.degrees(math.atan2(aside, high - low)) if len(places) > 1 else 0.0)

    @property
    def steps(self) -> list[float]:
        return [b - a for a, b in zip(self.places, self.places[1:], strict=False)]

    @property
    def spacing(self) -> float | None:
        return median_low(self.steps) if len(self.places) > 1 else None

    @property
    def length(self) -> float:
        return self.places[-1] - self.places[0] if self.places else 0.0

    def is_regular(self, n_instances: int) -> bool:
        """Whether each instance has its own place, no place is empty, and the stack stands on its normal."""
        has_gap = any(step >= GAP_FACTOR * (self.spacing or math.inf) for step in self.steps)
        return len(self.places) == n_instances and not has_gap and self.tilt_degrees <= TILT_TOLERANCE_DEGREES


def _plane(head: InstanceHead) -> tuple[Vector, Vector, Vector] | None:
    """Position, row and column direction, orthonormal; None where they are missing or no plane."""
    if head.position is None or head.orientation is None or not _usable(head.pixel_spacing):
        return None
    a, b, c, d, e, f = head.orientation
    row, column = (a, b, c), (d, e, f)
    lengths = math.hypot(*row), math.hypot(*column)
    if max(abs(length - 1) for length in lengths) > COSINE_TOLERANCE or abs(_dot(row, column)) > COSINE_TOLERANCE:
        return None
    x, y, z = head.position
    return (x, y, z), _scaled(row, 1 / lengths[0]), _scaled(column, 1 / lengths[1])


def _is_derived(head: InstanceHead) -> bool:
    is_compressed_original = head.is_lossy and head.image_type[1:3] == ("PRIMARY", "AXIAL")
    return head.image_type[:1] == ("DERIVED",) and not is_compressed_original


def _is_secondary(head: InstanceHead) -> bool:
    is_later_reconstruction = head.image_type[:1] == ("ORIGINAL",) and head.image_type[2:3] == ("AXIAL",)
    return head.image_type[1:2] == ("SECONDARY",) and not is_later_reconstruction


def _usable(spacing: tuple[float, ...] | None) -> TypeGuard[tuple[float, ...]]:
    return spacing is not None and len(spacing) == 2 and min(spacing) > 0


def _is_close(some: Sequence[Vector], others: Sequence[Vector]) -> bool:
    return all(
        abs(a - b) <= COSINE_TOLERANCE
        for one, other in zip(some, others, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def _angle_to_axial(normal: Vector) -> float:
    return math.degrees(math.acos(min(1.0, abs(normal[2]) / (math.hypot(*normal) or 1.0))))


def _dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _scaled(a: Vector, factor: float) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor


def _count(heads: Sequence[InstanceHead], applies: Callable[[InstanceHead], bool]) -> int:
    return sum(map(applies, heads))


def _distinct(heads: Sequence[InstanceHead], value: Callable[[InstanceHead], str]) -> tuple[str, ...]:
    return tuple(sorted(set(map(value, heads))))


def _most_frequent(titles: Sequence[str]) -> str:
    counts = Counter(titles)
    return min(counts, key=lambda title: (-counts[title], title), default="")
