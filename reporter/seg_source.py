"""`SourceSeries`: what a result must know of the CT it describes, read once from the headers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage

from dicom_listener.series import series_key
from inference.read_headers import quiet_pydicom
from reporter.errors import SegBuildError
from reporter.raw_elements import raw_numbers, raw_text, raw_unsigned, tag_of

_log = logging.getLogger(__name__)

_SLICE_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceSlice:
    """One source instance, single frame."""

    sop_instance_uid: str
    position: tuple[float, float, float]
    """Image Position (Patient): centre of the first voxel, LPS, mm."""
    orientation: tuple[float, float, float, float, float, float]
    """Image Orientation (Patient): direction cosines of the row, then of the column."""


@dataclass(frozen=True, slots=True)
class SourceSeries:
    """A CT series as its result refers to it."""

    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    """Of the first slice; empty when that slice has none."""
    rows: int
    columns: int
    pixel_spacing: tuple[float, float]
    """Between rows, between columns, mm."""
    slice_thickness: float | None
    """mm; None where missing or not positive."""
    series_number: int | None
    slices: tuple[SourceSlice, ...]
    """In the volume's slice order."""
    header: Dataset
    """The first slice's whole header without pixels, undecoded."""


def read_source_series(paths: Sequence[Path], sop_instance_uids: Sequence[str]) -> SourceSeries:
    """Read the headers of a series and put them into the volume's slice order, matched by SOP Instance UID.

    Args:
        paths: DICOM files in any order.
        sop_instance_uids: source of each slice of the volume, in slice order.

    Raises:
        SegBuildError: a file cannot be read, a slice has no source file, or a header has no geometry.
    """
    if not sop_instance_uids:
        raise SegBuildError("the volume names no source instances; a DICOM SEG must refer to them")
    headers: dict[str, tuple[Path, Dataset]] = {}
    for place, path in enumerate(paths, start=1):
        header = _read(path, f"source file {place} of {len(paths)}", _SLICE_KEYWORDS)
        headers.setdefault(raw_text(header, "SOPInstanceUID"), (path, header))
    missing = sum(uid not in headers for uid in sop_instance_uids)
    if missing:
        raise SegBuildError(f"{missing} of {len(sop_instance_uids)} slices have no file among the {len(paths)} sources")
    ordered = [headers[uid][1] for uid in sop_instance_uids]
    _require_one_series(ordered)
    first = ordered[0]
    rows, columns = raw_unsigned(first, "Rows"), raw_unsigned(first, "Columns")
    spacing = raw_numbers(first, "PixelSpacing")
    if rows is None or columns is None or spacing is None or len(spacing) != 2:
        raise SegBuildError("Rows, Columns or Pixel Spacing (0028,0030) of the first slice is missing or malformed")
    thickness = raw_numbers(first, "SliceThickness")
    full = _read(headers[sop_instance_uids[0]][0], "the first slice's file", None)
    series_number = raw_numbers(full, "SeriesNumber")
    return SourceSeries(
        study_instance_uid=raw_text(first, "StudyInstanceUID"),
        series_instance_uid=raw_text(first, "SeriesInstanceUID"),
        frame_of_reference_uid=raw_text(first, "FrameOfReferenceUID"),
        rows=rows,
        columns=columns,
        pixel_spacing=(spacing[0], spacing[1]),
        slice_thickness=thickness[0] if thickness and thickness[0] > 0 else None,
        series_number=int(series_number[0]) if series_number else None,
        slices=tuple(_slice(number, header) for number, header in enumerate(ordered)),
        header=full,
    )


def _read(path: Path, what: str, keywords: tuple[str, ...] | None) -> Dataset:
    """Read a header; `what` names the file in the error, because file names often hold UIDs."""
    tags = None if keywords is None else [tag_of(keyword) for keyword in keywords]
    try:
        with quiet_pydicom():
            # force: a file without the Part 10 preamble is still the source that the reader has accepted
            return dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    except (OSError, EOFError, ValueError, NotImplementedError, InvalidDicomError) as error:
        raise SegBuildError(f"the header of {what} cannot be read ({type(error).__name__})") from error


def _slice(number: int, header: Dataset) -> SourceSlice:
    position, orientation = raw_numbers(header, "ImagePositionPatient"), raw_numbers(header, "ImageOrientationPatient")
    if position is None or len(position) != 3 or orientation is None or len(orientation) != 6:
        raise SegBuildError(f"slice {number}: Image Position or Image Orientation (Patient) is missing or malformed")
    return SourceSlice(
        raw_text(header, "SOPInstanceUID"),
        (position[0], position[1], position[2]),
        (orientation[0], orientation[1], orientation[2], orientation[3], orientation[4], orientation[5]),
    )


def _require_one_series(ordered: Sequence[Dataset]) -> None:
    """A result belongs to one series of one patient; only the Frame of Reference may differ, which is recorded."""
    others = sum(raw_text(header, "SOPClassUID") != CTImageStorage for header in ordered)
    if others:
        raise SegBuildError(f"{others} of {len(ordered)} source instances are no CT Image Storage")
    series = {(raw_text(h, "StudyInstanceUID"), raw_text(h, "SeriesInstanceUID")) for h in ordered}
    if len(series) != 1:
        raise SegBuildError(f"the source files belong to {len(series)} series; a result belongs to one")
    if "" in next(iter(series)):
        raise SegBuildError("the source files name no study or no series (0020,000D), (0020,000E)")
    sizes = {(raw_unsigned(h, "Rows"), raw_unsigned(h, "Columns")) for h in ordered}
    if len(sizes) != 1:
        raise SegBuildError(f"the source slices have {len(sizes)} different sizes")
    frames = {raw_text(h, "FrameOfReferenceUID") for h in ordered}
    if len(frames) != 1:
        text = "series %s: %d Frame of Reference UIDs in one series; the result carries the first slice's"
        _log.warning(text, series_key(*next(iter(series))), len(frames))
