"""The only pixel reader: the files of one CT series to a `Volume` in Hounsfield units on the patient grid.

What cannot be segmented is refused by name (`RejectionReason`); what is merely odd is a `ReadWarning`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.pixel_decoding import decode_into, padding_range
from inference.read_headers import InstanceHeader, find_series, quiet_pydicom, read_headers
from inference.slice_geometry import SliceStack, stack_slices
from inference.volume import ReadWarning, Volume

__all__ = ["ReadLimits", "find_series", "read_series"]

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT, Legacy Converted Enhanced CT."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture; its multi-frame classes extend this UID."""
HOUNSFIELD_RESCALE_TYPES = ("HU", "US", "")
"""Rescale Type (0028,1054): HU is implied where it is absent from a CT (PS3.3 C.8.2.1), US claims nothing."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What the reader refuses to take on."""

    minimum_slices: int = 16
    """A series of fewer slices is no chest."""
    maximum_voxels: int = 2**29
    """Rows x columns x slices; 2 GiB as float32, 2048 slices of 512 x 512."""
    maximum_file_bytes: int = 2**28
    """Of one instance, also after inflating a deflated one."""


def read_series(paths: Sequence[Path], limits: ReadLimits = ReadLimits(), *, threads: int = 2) -> Volume:
    """Read one series.

    Every header is read and judged before any pixel is decoded, and nothing larger than the limits is allocated.
    The check that tells most about a series comes first: what kind of object it is, whether it is one series, its
    number of slices, its geometry, its rescaling, at last its pixels.

    Args:
        paths: DICOM Part 10 files of one series, in any order.
        limits: bounds in slices, voxels and bytes.
        threads: slices decoded at a time.

    Returns:
        The volume, its slices ordered along cross(row direction, column direction). Padding is -1024 HU.

    Raises:
        NoInstancesError: no paths were given.
        SeriesRejectedError: the series cannot be segmented; messages name slices by number, never by UID or file.
    """
    if not paths:
        raise NoInstancesError("the series holds no files")
    with quiet_pydicom():
        headers = read_headers(sorted(paths))
        _check_kind(headers)
        if len(headers) < limits.minimum_slices:
            detail = f"{len(headers)} slices where at least {limits.minimum_slices} are wanted"
            raise SeriesRejectedError(RejectionReason.TOO_FEW_SLICES, detail)
        _check_voxels(headers, limits.maximum_voxels)
        stack = stack_slices(headers)
        _check_rescale(stack.headers)
        voxels = _decode(stack, limits, threads)
    return Volume(
        voxels=voxels,
        affine=stack.affine,
        sop_instance_uids=tuple(header.sop_instance_uid for header in stack.headers),
        acquisition_date=next((h.acquisition_date for h in stack.headers if h.acquisition_date), None),
        warnings=_warnings(stack),
    )


def _check_kind(headers: Sequence[InstanceHeader]) -> None:
    """Refuse other objects than single-frame CT images, and files of several series.

    Where all instances are of one wrong kind that kind is the reason, even when they belong to several series.
    """
    wrong = [problem for header in headers if (problem := _wrong_kind(header))]
    one_kind = len(wrong) == len(headers) and len({reason for reason, _ in wrong}) == 1
    series = len({(header.study_instance_uid, header.series_instance_uid) for header in headers})
    if series > 1 and not one_kind:
        detail = f"{len(headers)} files of {series} series; give the files of one series"
        raise SeriesRejectedError(RejectionReason.MIXED_SERIES, detail)
    if wrong:
        reason, detail = wrong[0]
        raise SeriesRejectedError(reason, f"{len(wrong)} of {len(headers)} instances: {detail}")
    if not all(header.sop_instance_uid for header in headers):
        detail = "instances without SOP Instance UID (0008,0018) cannot be referenced by a result"
        raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail)


_Kind = tuple[Callable[[InstanceHeader], bool], RejectionReason, str]

_WRONG_KINDS: tuple[_Kind, ...] = (
    (
        lambda h: UID(h.sop_class_uid).name == h.sop_class_uid,  # pydicom names every standard UID
        RejectionReason.INVALID_SOP_CLASS,
        "SOP Class UID (0008,0016) is missing or no standard one",
    ),
    (
        lambda h: h.sop_class_uid in ENHANCED_CT_CLASSES,
        RejectionReason.MULTI_FRAME,
        "enhanced multi-frame CT is not supported; send single-frame CT Image Storage",
    ),
    (
        lambda h: h.sop_class_uid.startswith(SECONDARY_CAPTURE) and h.modality == "CT",
        RejectionReason.SECONDARY_CAPTURE,
        "a secondary capture that is labelled CT holds no Hounsfield units",
    ),
    (lambda h: h.sop_class_uid != CT_IMAGE_STORAGE, RejectionReason.NOT_CT, "the SOP class is not CT Image Storage"),
    (
        lambda h: h.modality == "SEG",
        RejectionReason.SEGMENTATION_AS_CT,
        "Modality (0008,0060) is SEG under the SOP class of a CT",
    ),
    (lambda h: h.modality not in ("CT", ""), RejectionReason.NOT_CT, "Modality (0008,0060) is not CT"),
    (
        lambda h: h.number_of_frames > 1,
        RejectionReason.MULTI_FRAME,
        "several frames in one CT image; send single frames",
    ),
    (
        lambda h: h.samples_per_pixel != 1,
        RejectionReason.NOT_CT,
        "colour pixels, as screenshots and dose reports have",
    ),
)
"""What is no single-frame CT image: the first row that applies names it."""


def _wrong_kind(header: InstanceHeader) -> tuple[RejectionReason, str] | None:
    return next(((reason, detail) for applies, reason, detail in _WRONG_KINDS if applies(header)), None)


def _check_voxels(headers: Sequence[InstanceHeader], maximum: int) -> None:
    voxels = sum((header.rows or 0) * (header.columns or 0) for header in headers)
    if voxels > maximum:
        detail = f"{voxels} voxels where at most {maximum} are allowed"
        raise SeriesRejectedError(RejectionReason.TOO_LARGE, detail)


def _check_rescale(headers: Sequence[InstanceHeader]) -> None:
    missing = sum(not header.rescale_slope or header.rescale_intercept is None for header in headers)
    if missing:
        detail = f"{missing} of {len(headers)} slices have no usable Rescale Slope or Intercept (0028,1052/1053)"
        raise SeriesRejectedError(RejectionReason.MISSING_RESCALE, detail)
    if any(header.rescale_type not in HOUNSFIELD_RESCALE_TYPES for header in headers):
        detail = "Rescale Type (0028,1054) says that the pixels are no Hounsfield units"
        raise SeriesRejectedError(RejectionReason.NOT_HOUNSFIELD, detail)


def _decode(stack: SliceStack, limits: ReadLimits, threads: int) -> NDArray[np.float32]:
    """Decode all slices into one array, each straight into its place."""
    first = stack.headers[0]
    voxels = np.empty((len(stack.headers), first.rows or 0, first.columns or 0), dtype=np.float32)

    def decode(index: int) -> None:
        try:
            decode_into(voxels[index], stack.headers[index], maximum_file_bytes=limits.maximum_file_bytes)
        except SeriesRejectedError as error:
            detail = f"slice {index + 1} of {len(stack.headers)}: {error.detail}"
            raise SeriesRejectedError(error.reason, detail) from error

    with ThreadPoolExecutor(max_workers=max(1, threads), thread_name_prefix="decode") as pool:
        futures = [pool.submit(decode, index) for index in range(len(stack.headers))]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return voxels


_Oddity = tuple[str, Callable[[InstanceHeader], bool], str]

_ODDITIES: tuple[_Oddity, ...] = (
    ("missing_frame_of_reference", lambda h: not h.frame_of_reference_uid, "no Frame of Reference UID"),
    ("missing_modality", lambda h: not h.modality, "no Modality; the SOP class says that they are CT"),
    ("lossy_compression", lambda h: h.lossy, "pixels that were compressed with loss"),
    (
        "implausible_pixel_padding",
        lambda h: h.padding_value is not None and padding_range(h) is None,
        "a Pixel Padding Value that would blank tissue; it is not applied",
    ),
)


def _warnings(stack: SliceStack) -> tuple[ReadWarning, ...]:
    found = []
    frames = {header.frame_of_reference_uid for header in stack.headers}
    if len(frames) > 1:
        detail = f"{len(frames)} different Frame of Reference UIDs in slices of one consistent geometry"
        found.append(ReadWarning("differing_frame_of_reference", detail))
    for code, is_odd, detail in _ODDITIES:
        count = sum(map(is_odd, stack.headers))
        if count:
            found.append(ReadWarning(code, f"{count} of {len(stack.headers)} slices have {detail}"))
    if not stack.has_slice_distance:
        found.append(ReadWarning("assumed_slice_thickness", "a single slice without Slice Thickness: 1 mm is assumed"))
    return tuple(found)
