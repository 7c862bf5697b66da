"""The only pixel reader: the files of one CT series to a `Volume` in Hounsfield units on the patient grid.

What cannot be segmented is refused by name (`RejectionReason`); what is merely odd is a `ReadWarning`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.instance_kind import check_kind
from inference.pixel_decoding import decode_into, padding_range
from inference.read_headers import (
    MAXIMUM_FILE_BYTES,
    InstanceHeader,
    find_series,
    quiet_pydicom,
    read_headers,
)
from inference.slice_geometry import SliceStack, stack_slices
from inference.volume import ReadWarning, Volume

__all__ = ["ReadLimits", "find_series", "read_series"]

OTHER_RESCALE_TYPES = ("OD", "MGML", "Z_EFF", "ED", "EDW", "PCT")
"""Defined terms of Rescale Type (0028,1054) that are no Hounsfield units (PS3.3 C.11.1.1.2); vendors misspell HU."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What the reader refuses to take on."""

    minimum_slices: int = 16
    """A series of fewer slices is no chest."""
    maximum_voxels: int = 2**29
    """Rows x columns x slices; 2 GiB as float32, 2048 slices of 512 x 512."""
    maximum_file_bytes: int = MAXIMUM_FILE_BYTES
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
        headers = read_headers(sorted(paths), maximum_file_bytes=limits.maximum_file_bytes)
        check_kind(headers)
        if len(headers) < limits.minimum_slices:
            detail = f"{len(headers)} slices where at least {limits.minimum_slices} are wanted"
            raise SeriesRejectedError(RejectionReason.TOO_FEW_SLICES, detail)
        _check_voxels(headers, limits.maximum_voxels)
        stack = stack_slices(headers)
        _check_rescale(stack.headers)
        voxels = _decode(stack, threads)
    return Volume(
        voxels=voxels,
        affine=stack.affine,
        sop_instance_uids=tuple(header.sop_instance_uid for header in stack.headers),
        acquisition_date=next((h.acquisition_date for h in stack.headers if h.acquisition_date), None),
        warnings=_warnings(stack),
    )


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
    if any(header.rescale_type in OTHER_RESCALE_TYPES for header in headers):
        detail = "Rescale Type (0028,1054) says that the pixels are no Hounsfield units"
        raise SeriesRejectedError(RejectionReason.NOT_HOUNSFIELD, detail)


def _decode(stack: SliceStack, threads: int) -> NDArray[np.float32]:
    """Decode all slices into one array, each straight into its place."""
    first = stack.headers[0]
    voxels = np.empty((len(stack.headers), first.rows or 0, first.columns or 0), dtype=np.float32)

    def decode(index: int) -> None:
        try:
            decode_into(voxels[index], stack.headers[index])
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
        "unusual_rescale_type",
        lambda h: h.rescale_type not in ("HU", "US", ""),
        "a Rescale Type other than HU; the values are taken as Hounsfield units",
    ),
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
