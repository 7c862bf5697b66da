"""Which series are worth segmenting? Pure: from the traits of a series and rules to a decision with its reasons."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing_rules import (
    CT_IMAGE_STORAGE,
    ENHANCED_CT_CLASSES,
    SECONDARY_CAPTURE,
    Patterns,
    RoutingRules,
    Span,
)
from dicom_listener.routing.series_traits import SeriesTraits

LENGTH_TOLERANCE_MM = 0.01
"""Thickness, spacing and length within this of a limit fit: they are written with few decimals."""
ANGLE_TOLERANCE_DEGREES = 0.01
_MODALITIES = (
    "ANN AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL "
    "IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG "
    "RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN "
    "TEXTUREMAP TG US VA XA XAPROTOCOL XC"
)
DEFINED_MODALITIES = frozenset(_MODALITIES.split())
"""Defined Terms of Modality (PS3.3 C.7.3.1.1.1), which name no patient."""


class RoutingReason(StrEnum):
    """Why rules leave a series out; `segwatch status` and `segwatch routes` show the value."""

    UNREADABLE = "unreadable"
    SOP_CLASS = "sop_class"
    ENHANCED_CT = "enhanced_ct"
    SECONDARY_CAPTURE = "secondary_capture"
    MODALITY = "modality"
    SEGMENTATION_AS_CT = "segmentation_as_ct"
    MULTI_FRAME = "multi_frame"
    COLOUR = "colour"
    LOCALIZER = "localizer"
    DERIVED = "derived"
    SECONDARY = "secondary"
    MISSING_GEOMETRY = "missing_geometry"
    MIXED_ORIENTATION = "mixed_orientation"
    NOT_AXIAL = "not_axial"
    TOO_FEW_SLICES = "too_few_slices"
    TOO_SHORT = "too_short"
    SLICE_THICKNESS = "slice_thickness"
    SPACING = "spacing"
    KERNEL = "kernel"
    BODY_PART = "body_part"
    DESCRIPTION = "description"


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason with its numbers."""

    name: str
    """A `RoutingReason`, or a name of another room's own."""
    detail: str
    """One sentence for a person, without patient data."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a series is taken by itself; which of several of a study is another question."""

    taken: bool
    reasons: tuple[Reason, ...]
    """Everything that speaks against it; empty when it is taken."""


def decide(traits: SeriesTraits, rules: RoutingRules) -> Decision:
    """Judge a series by every rule; never raises.

    What is missing does not speak against a series by itself (Body Part Examined, kernel, Slice Thickness and Image
    Type are often absent or wrong), except its geometry, without which nothing can be segmented.
    """
    reasons = tuple(reason for check in _CHECKS for reason in check(traits, rules))
    return Decision(not reasons, reasons)


def _reason(name: RoutingReason, detail: str) -> Iterator[Reason]:
    yield Reason(name.value, detail)


def _unreadable(traits: SeriesTraits, _rules: RoutingRules) -> Iterator[Reason]:
    if traits.n_unreadable:
        yield from _reason(RoutingReason.UNREADABLE, f"{_share(traits.n_unreadable, traits)} cannot be read")


def _kind(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    others = [uid for uid in traits.sop_classes if uid not in rules.sop_classes]
    if any(uid in ENHANCED_CT_CLASSES for uid in others):
        yield from _reason(
            RoutingReason.ENHANCED_CT, "enhanced multi-frame CT cannot be segmented yet; send CT Image Storage"
        )
    if any(_is_secondary_capture(uid) for uid in others):
        yield from _reason(RoutingReason.SECONDARY_CAPTURE, "a secondary capture holds no Hounsfield units")
    if any(uid not in ENHANCED_CT_CLASSES and not _is_secondary_capture(uid) for uid in others):
        yield from _reason(RoutingReason.SOP_CLASS, "the SOP class is none of those that are taken")
    yield from _modality(traits, rules)
    if traits.n_multi_frame and not any(uid in ENHANCED_CT_CLASSES for uid in traits.sop_classes):
        detail = f"{_share(traits.n_multi_frame, traits)} hold several frames; send single frames"
        yield from _reason(RoutingReason.MULTI_FRAME, detail)
    if traits.n_colour:
        detail = f"{_share(traits.n_colour, traits)} have colour pixels, as screenshots and dose reports have"
        yield from _reason(RoutingReason.COLOUR, detail)


def _modality(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    is_ct = set(traits.sop_classes) <= {CT_IMAGE_STORAGE, *ENHANCED_CT_CLASSES}
    others = [m for m in traits.modalities if m not in rules.modalities and (m or not is_ct)]
    if "SEG" in others and is_ct:
        detail = "Modality is SEG under the SOP class of a CT: a segmentation, no acquisition"
        yield from _reason(RoutingReason.SEGMENTATION_AS_CT, detail)
    elif others:
        which = ", ".join(dict.fromkeys(_modality_name(m) for m in others))
        detail = f"Modality is {which}, not {' or '.join(rules.modalities) or 'allowed'}"
        yield from _reason(RoutingReason.MODALITY, detail)


def _modality_name(value: str) -> str:
    """The standard's term; what is none may be anything, even a name, and is not quoted."""
    if not value:
        return "missing"
    return value if value in DEFINED_MODALITIES else "no term of the standard"


def _image_type(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    if traits.n_localizers and not rules.localizers:
        yield from _reason(RoutingReason.LOCALIZER, f"{_share(traits.n_localizers, traits)} are localizers")
    if traits.n_derived and not rules.derived:
        detail = f"{_share(traits.n_derived, traits)} are derived images (Image Type), e.g. reformatted or computed"
        yield from _reason(RoutingReason.DERIVED, detail)
    if traits.n_secondary and not rules.secondary:
        detail = f"{_share(traits.n_secondary, traits)} are secondary images (Image Type), made after the examination"
        yield from _reason(RoutingReason.SECONDARY, detail)


def _orientation(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    if traits.n_without_geometry and not traits.n_multi_frame:  # frames have a geometry of their own
        detail = f"{_share(traits.n_without_geometry, traits)} have no usable position, orientation or pixel spacing"
        yield from _reason(RoutingReason.MISSING_GEOMETRY, detail)
    if not traits.has_one_orientation:
        detail = "its images have different orientations, as localizers and reformatted images have"
        yield from _reason(RoutingReason.MIXED_ORIENTATION, detail)
    angle, limit = traits.angle_to_axial_degrees, rules.axial_tolerance_degrees
    if angle is not None and angle > limit + ANGLE_TOLERANCE_DEGREES:
        detail = f"its images stand {angle:.0f} degrees off the axial plane, {limit:g} are allowed"
        yield from _reason(RoutingReason.NOT_AXIAL, detail)


def _extent(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    if traits.n_without_geometry == traits.n_instances:
        return  # nothing is known of it, which has been told
    if traits.n_positions < rules.minimum_slices:
        detail = f"{traits.n_positions} of at least {rules.minimum_slices} slice positions"
        yield from _reason(RoutingReason.TOO_FEW_SLICES, detail)
    if traits.length_mm < rules.minimum_length_mm - LENGTH_TOLERANCE_MM:
        detail = f"{traits.length_mm:.0f} mm long, at least {rules.minimum_length_mm:g} mm are needed"
        yield from _reason(RoutingReason.TOO_SHORT, detail)
    for name, value, span in (
        (RoutingReason.SLICE_THICKNESS, traits.slice_thickness_mm, rules.slice_thickness),
        (RoutingReason.SPACING, traits.spacing_mm, rules.spacing),
    ):
        if value is not None and not _lies_in(value, span):
            detail = f"{value:.4g} mm, {span.minimum:g} to {span.maximum:g} mm are taken"
            yield from _reason(name, detail)


def _kernel(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    kind = traits.kernel_class
    if kind not in rules.kernel_classes:
        which = "no kernel is given" if kind is KernelClass.MISSING else f"the kernel is of the class {kind.value}"
        yield from _reason(RoutingReason.KERNEL, f"{which}; taken are {', '.join(rules.kernel_classes) or 'none'}")
    elif problem := _misfit(traits.kernel, traits.kernel, rules.kernels, "the kernel"):
        yield from _reason(RoutingReason.KERNEL, problem)


def _body_part(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    if _chest_pattern(traits, rules) is not None:
        return
    if problem := _misfit(traits.body_parts, traits.body_parts, rules.body_parts, "Body Part Examined"):
        yield from _reason(RoutingReason.BODY_PART, problem)


def overruled_body_part(traits: SeriesTraits, rules: RoutingRules) -> str | None:
    """Say which pattern of `chest_descriptions` let a series pass whose body part would have left it out."""
    pattern = _chest_pattern(traits, rules)
    problem = _misfit(traits.body_parts, traits.body_parts, rules.body_parts, "Body Part Examined")
    if pattern is None or problem is None:
        return None
    return f"a description fits {pattern} of chest_descriptions, so it does not count that {problem}"


def _chest_pattern(traits: SeriesTraits, rules: RoutingRules) -> str | None:
    texts = (*traits.series_descriptions, *traits.other_descriptions)
    return next((pattern for pattern in rules.chest_descriptions if any(_fits(text, pattern) for text in texts)), None)


def _description(traits: SeriesTraits, rules: RoutingRules) -> Iterator[Reason]:
    # the study's words speak for a series, not against it: a study of chest and head is described by both
    everything = (*traits.series_descriptions, *traits.other_descriptions)
    if problem := _misfit(everything, traits.series_descriptions, rules.descriptions, "the description"):
        yield from _reason(RoutingReason.DESCRIPTION, problem)


_CHECKS: tuple[Callable[[SeriesTraits, RoutingRules], Iterator[Reason]], ...] = (
    _unreadable,
    _kind,
    _image_type,
    _orientation,
    _extent,
    _kernel,
    _body_part,
    _description,
)


def _misfit(wanted: Sequence[str], unwanted: Sequence[str], patterns: Patterns, what: str) -> str | None:
    """Say which pattern a series does not fit; the pattern is quoted, never the value, which may name a patient."""
    include = patterns.include
    if include and not any(_fits(value, pattern) for value in wanted for pattern in include):
        state = "fits none of" if any(wanted) else "is missing and so fits none of"
        return f"{what} {state} {', '.join(include)}"
    excluded = next((pattern for pattern in patterns.exclude for value in unwanted if _fits(value, pattern)), None)
    return None if excluded is None else f"{what} fits {excluded}, which is left out"


def _fits(value: str, pattern: str) -> bool:
    return bool(value) and fnmatchcase(value.strip().casefold(), pattern.casefold())


def _lies_in(value: float, span: Span) -> bool:
    return span.minimum - LENGTH_TOLERANCE_MM <= value <= span.maximum + LENGTH_TOLERANCE_MM


def _is_secondary_capture(uid: str) -> bool:
    return f"{uid}.".startswith(f"{SECONDARY_CAPTURE}.")


def _share(count: int, traits: SeriesTraits) -> str:
    return f"{count} of {traits.n_instances} instances"
