"""Reads what the reader of a series must know of each instance, and finds the series of a folder."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_listener.spool.element_values import read_date, read_integer, read_number, read_numbers, read_text
from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError

_LOGGER = logging.getLogger(__name__)

MAXIMUM_FILE_BYTES = 2**28
"""Longest instance, also after inflating a deflated one; a CT slice of 512 x 512 holds half a million."""
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_DATES = ("AcquisitionDate", "SeriesDate", "StudyDate")
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


def read_header(path: Path, *, maximum_file_bytes: int = MAXIMUM_FILE_BYTES) -> InstanceHeader:
    """Read one DICOM Part 10 file up to its pixels.

    Raises:
        InvalidDicomError: the file is no DICOM Part 10 file.
        SeriesRejectedError: `TOO_LARGE` for a file, or the content of a deflated one, beyond the bound;
            `UNREADABLE_FILE` where it starts like DICOM and cannot be parsed or read.
    """
    try:
        _check_size(path, maximum_file_bytes)
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
    except (InvalidDicomError, SeriesRejectedError):
        raise
    except Exception as error:  # a malformed file makes the parser raise anything from KeyError to struct.error
        detail = f"the header cannot be parsed ({type(error).__name__}); send the series again"
        raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail) from error
    return _parse(path, dataset)


def read_headers(paths: Sequence[Path], *, maximum_file_bytes: int = MAXIMUM_FILE_BYTES) -> list[InstanceHeader]:
    """Read the headers of all files of a series.

    Raises:
        SeriesRejectedError: `TOO_LARGE` or `UNREADABLE_FILE`; the file is named by its place in the given order,
            because file names often hold UIDs or patient names.
    """
    headers = []
    for number, path in enumerate(paths, start=1):
        place = f"file {number} of {len(paths)} by name"
        try:
            headers.append(read_header(path, maximum_file_bytes=maximum_file_bytes))
        except InvalidDicomError as error:
            detail = f"{place}: no DICOM Part 10 file"
            raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail) from error
        except SeriesRejectedError as error:
            raise SeriesRejectedError(error.reason, f"{place}: {error.detail}") from error
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


def _check_size(path: Path, maximum_bytes: int) -> None:
    """Refuse what pydicom would read or inflate into memory without a bound."""
    size = path.stat().st_size
    if size <= maximum_bytes and read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        size = _inflated_size(path, maximum_bytes)
    if size > maximum_bytes:
        detail = f"one instance holds more than {maximum_bytes} bytes; a CT slice holds about half a million"
        raise SeriesRejectedError(RejectionReason.TOO_LARGE, detail)


def _inflated_size(path: Path, maximum_bytes: int) -> int:
    """Length of a deflated data set, counted no further than just past the bound."""
    data = path.read_bytes()
    # the data set follows preamble, prefix and the meta group, whose length stands at byte 140 (PS3.10 7.1)
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, data[start:]
    while rest and not inflater.eof and size <= maximum_bytes:
        size += len(inflater.decompress(rest, 1 << 20))
        rest = inflater.unconsumed_tail
    return size


def _parse(path: Path, dataset: Dataset) -> InstanceHeader:
    meta = getattr(dataset, "file_meta", Dataset())
    return InstanceHeader(
        path=path,
        sop_instance_uid=read_text(dataset, "SOPInstanceUID") or str(meta.get("MediaStorageSOPInstanceUID", "")),
        sop_class_uid=read_text(dataset, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", "")),
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        study_instance_uid=read_text(dataset, "StudyInstanceUID"),
        series_instance_uid=read_text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=read_text(dataset, "FrameOfReferenceUID"),
        modality=read_text(dataset, "Modality"),
        number_of_frames=int((read_numbers(dataset, "NumberOfFrames", 1) or (1.0,))[0]),
        samples_per_pixel=read_integer(dataset, "SamplesPerPixel") or 1,
        rows=read_integer(dataset, "Rows"),
        columns=read_integer(dataset, "Columns"),
        position=read_numbers(dataset, "ImagePositionPatient", 3),
        orientation=read_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_spacing=read_numbers(dataset, "PixelSpacing", 2),
        slice_thickness=read_number(dataset, "SliceThickness"),
        bits_allocated=read_integer(dataset, "BitsAllocated"),
        pixel_representation=read_integer(dataset, "PixelRepresentation") or 0,
        padding_value=read_integer(dataset, "PixelPaddingValue"),
        padding_limit=read_integer(dataset, "PixelPaddingRangeLimit"),
        rescale_slope=read_number(dataset, "RescaleSlope"),
        rescale_intercept=read_number(dataset, "RescaleIntercept"),
        rescale_type=read_text(dataset, "RescaleType"),
        lossy=read_text(dataset, "LossyImageCompression") == "01",
        acquisition_date=next(filter(None, (read_date(dataset, k) for k in _DATES)), None),
    )
