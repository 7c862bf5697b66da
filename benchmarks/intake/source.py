"""CT instances to send: generated headers, noise for pixels, so that nothing on the way can compress them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1554.4"
ROWS = COLUMNS = 512
INSTANCE_BYTES = ROWS * COLUMNS * 2
"""Of the pixels of an instance, which is a little longer."""


@dataclass(frozen=True)
class Series:
    """One series on disk, what one sender sends."""

    folder: Path
    uids: frozenset[str]
    """SOP Instance UIDs."""
    bytes: int
    """Of the files."""


def write_series(folder: Path, number: int, instances: int, *, rows: int = ROWS) -> Series:
    """Write series `number` of a study that all series share; `rows` x 512 pixels of two bytes each."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(number)
    for index in range(1, instances + 1):
        _instance(number, index, rows, noise).save_as(folder / f"{index:05}.dcm", enforce_file_format=True)
    uids = frozenset(_uid(number, index) for index in range(1, instances + 1))
    return Series(folder, uids, sum(path.stat().st_size for path in folder.iterdir()))


def _uid(number: int, index: int) -> str:
    return f"{ROOT}.2.{number}.{index}"


def _instance(number: int, index: int, rows: int, noise: np.random.Generator) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(_uid(number, index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, _uid(number, index)
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{ROOT}.0", f"{ROOT}.1.{number}"
    data.FrameOfReferenceUID = f"{ROOT}.3"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "Benchmark", "BENCHMARK", "", ""
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "20260101", "120000", "", "1"
    data.ReferringPhysicianName, data.Manufacturer = "", "Segwatch"
    data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", number, index
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, index], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [0.7, 0.7], 1
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = rows, COLUMNS
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleIntercept, data.RescaleSlope = 0, 1
    data.PixelData = noise.bytes(rows * COLUMNS * 2)
    return data
