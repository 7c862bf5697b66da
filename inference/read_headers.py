"""Reads what the reader of a series must know of each instance, and finds the series of a folder.

Element values are parsed from their raw bytes: a decimal string such as `007.812500e-01` or a malformed time must
neither stop a reading nor print a source value into a warning, as pydicom's own conversion may.
"""

import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError

_LOGGER = logging.getLogger(__name__)

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_KEYWORDS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "AcquisitionDate", "SeriesDate", "StudyDate", "SliceThickness", "NumberOfFrames", "SamplesPerPixel",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "BitsAllocated",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "LossyImageCompression",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """The elements of one instance that decide whether and where its pixels belong; None where missing or malformed."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    """UIDs are empty strings where missing."""
    frame_of_reference_uid: str
    modality: str
    """Empty where missing."""
    number_of_frames: int
    samples_per_pixel: int
    rows: int | None
    columns: int | None
    position: tuple[float, ...] | None
    """Image Position (Patient), LPS mm; None unless it holds three finite numbers."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): row direction cosines, then column direction cosines."""
    pixel_spacing: tuple[float, ...] | None
    """Pixel Spacing, mm: between rows, then between columns."""
    slice_thickness: float | None
    bits_allocated: int | None
    pixel_representation: int
    """0 unsigned, 1 two's complement."""
    padding_value: int | None
    """Pixel Padding Value as stored: may be written unsigned though the pixels are signed."""
    padding_limit: int | None
    """Pixel Padding Range Limit as stored."""
    rescale_slope: float | None
    rescale_intercept: float | None
    rescale_type: str
    lossy: bool
    """Lossy Image Compression is 01."""
    acquisition_date: date | None
    """Acquisition Date, else Series Date, else Study Date."""


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings, which quote element values and so may carry patient data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(path: Path) -> InstanceHeader:
    """Read one DICOM Part 10 file up to its pixels.

    Raises:
        InvalidDicomError: the file is no DICOM Part 10 file.
        SeriesRejectedError: (`UNREADABLE_FILE`) it starts like one and cannot be parsed or read.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    except InvalidDicomError:
        raise
    except Exception as error:  # a malformed file makes the parser raise anything from KeyError to struct.error
        detail = f"the header cannot be parsed ({type(error).__name__}); send the series again"
        raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail) from error
    return _parse(path, dataset)


def read_headers(paths: Sequence[Path]) -> list[InstanceHeader]:
    """Read the headers of all files of a series.

    Raises:
        SeriesRejectedError: (`UNREADABLE_FILE`) a file cannot be read; it is named by its place in name order,
            because file names often hold UIDs or patient names.
    """
    headers = []
    for number, path in enumerate(paths, start=1):
        try:
            headers.append(read_header(path))
        except (InvalidDicomError, SeriesRejectedError) as error:
            what = error.detail if isinstance(error, SeriesRejectedError) else "no DICOM Part 10 file"
            detail = f"file {number} of {len(paths)} by name: {what}"
            raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail) from error
    return headers


def find_series(directory: Path) -> list[tuple[Path, ...]]:
    """Group the DICOM files under a folder by Study and Series Instance UID.

    DICOMDIR and files that are no DICOM are skipped; a file that starts like DICOM and cannot be parsed forms a
    group of its own, so that `read_series` can say what is wrong with it.

    Returns:
        Groups of paths in name order, the largest group first.

    Raises:
        NoInstancesError: the folder does not exist or holds no DICOM instance.
    """
    if not directory.is_dir():
        raise NoInstancesError(f"{directory} is no folder")
    groups: dict[tuple[str, str], list[Path]] = {}
    with quiet_pydicom():
        for path in sorted(p for p in directory.rglob("*") if p.is_file()):
            try:
                header = read_header(path)
            except InvalidDicomError:
                continue
            except SeriesRejectedError:
                groups.setdefault(("", str(path)), []).append(path)
                continue
            if header.sop_class_uid != MEDIA_STORAGE_DIRECTORY:
                groups.setdefault((header.study_instance_uid, header.series_instance_uid), []).append(path)
    if not groups:
        raise NoInstancesError(f"{directory} holds no DICOM instance (files in DICOM Part 10 format are looked for)")
    _LOGGER.debug("found %d series", len(groups))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [tuple(paths) for _, paths in ordered]


def _parse(path: Path, dataset: Dataset) -> InstanceHeader:
    meta = getattr(dataset, "file_meta", Dataset())
    return InstanceHeader(
        path=path,
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        sop_class_uid=_text(dataset, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", "")),
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        series_instance_uid=_text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID"),
        modality=_text(dataset, "Modality"),
        number_of_frames=int((_numbers(dataset, "NumberOfFrames", 1) or (1.0,))[0]),
        samples_per_pixel=_integer(dataset, "SamplesPerPixel") or 1,
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        position=_numbers(dataset, "ImagePositionPatient", 3),
        orientation=_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_spacing=_numbers(dataset, "PixelSpacing", 2),
        slice_thickness=_number(dataset, "SliceThickness"),
        bits_allocated=_integer(dataset, "BitsAllocated"),
        pixel_representation=_integer(dataset, "PixelRepresentation") or 0,
        padding_value=_integer(dataset, "PixelPaddingValue"),
        padding_limit=_integer(dataset, "PixelPaddingRangeLimit"),
        rescale_slope=_number(dataset, "RescaleSlope"),
        rescale_intercept=_number(dataset, "RescaleIntercept"),
        rescale_type=_text(dataset, "RescaleType"),
        lossy=_text(dataset, "LossyImageCompression") == "01",
        acquisition_date=next(filter(None, (_date(dataset, k) for k in _DATES)), None),
    )


_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")


def _raw(dataset: Dataset, keyword: str) -> tuple[bytes, bool]:
    """Value bytes of an element and whether they are little endian; empty bytes where it is missing."""
    tag = Tag(keyword)
    if tag not in dataset:
        return b"", True
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        return (element.value if isinstance(element.value, bytes) else b""), element.is_little_endian
    return str(element.value if element is not None else "").encode("ascii", "replace"), True


def _text(dataset: Dataset, keyword: str) -> str:
    value, _ = _raw(dataset, keyword)
    return value.decode("ascii", "replace").strip(" \0\n\r\t")


def _integer(dataset: Dataset, keyword: str) -> int | None:
    """An unsigned 16-bit element (US, or US/SS before its sign is known)."""
    value, little = _raw(dataset, keyword)
    return int.from_bytes(value[:2], "little" if little else "big") if len(value) >= 2 else None


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """A decimal or integer string of exactly `count` finite values, else None."""
    parts = _text(dataset, keyword).split("\\")
    try:
        numbers = tuple(float(part.strip(" \0")) for part in parts)
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset, keyword, 1)
    return numbers[0] if numbers else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    """A date (PS3.5 6.2 DA, and the dotted form of ACR-NEMA), else None."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", _text(dataset, keyword))
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
