"""DICOM results on disk: durable before the outbox names them."""

from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from reporter.durable_file import write_durably
from reporter.errors import SegBuildError
from reporter.raw_elements import raw_text


def write_seg(dataset: Dataset, path: Path) -> None:
    """Write a result as a DICOM Part 10 file that is whole or absent, even after a crash.

    Raises:
        OSError: the file cannot be written, e.g. because the disk is full.
    """
    write_durably(path, lambda file: dataset.save_as(file, enforce_file_format=True))


def read_series_uid(path: Path) -> str:
    """Series Instance UID of a result on disk; the next version names it as its predecessor.

    Raises:
        SegBuildError: the file is missing or no DICOM.
    """
    try:
        return raw_text(dcmread(path, stop_before_pixels=True), "SeriesInstanceUID")
    except (OSError, InvalidDicomError) as error:
        raise SegBuildError(f"{path}: no DICOM result ({type(error).__name__})") from error
