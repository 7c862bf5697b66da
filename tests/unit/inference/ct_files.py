"""Writes small CT instances whose headers a test can bend."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

Change = Callable[[int, Dataset], None]

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ct_instance(number: int, pixels: NDArray[np.int16], position: Sequence[float], **elements: object) -> Dataset:
    """One CT image of a series, stored values as HU + 1024."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=["instance", str(number)]),
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.2",
        "FrameOfReferenceUID": "1.2.3.3",
        "Modality": "CT",
        "PatientName": "Secret^Name",
        "PatientID": "SECRET-ID",
        "AcquisitionDate": "20240229",
        "ImagePositionPatient": [float(value) for value in position],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [1.0, 1.0],
        "SliceThickness": 2.0,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        **elements,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<i2").tobytes()
    return dataset


def write(dataset: Dataset, path: Path) -> Path:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3.4")
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_stack(folder: Path, count: int = 6, change: Change | None = None, spacing: float = 2.0) -> list[Path]:
    """An axial stack of 8 x 10 pixels; slice k holds k HU everywhere. `change` bends the k-th header."""
    paths = []
    for k in range(count):
        dataset = ct_instance(k, np.full((8, 10), 1024 + k, dtype=np.int16), (-5.0, -4.0, 10 + spacing * k))
        if change is not None:
            change(k, dataset)
        paths.append(write(dataset, folder / f"{count - k:03}.dcm"))
    return paths


def at(index: int, change: Callable[[Dataset], object]) -> Change:
    return lambda k, dataset: change(dataset) if k == index else None  # type: ignore[return-value]  # (setters return None)


def everywhere(**elements: object) -> Change:
    def change(_: int, dataset: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return change


def without(*keywords: str) -> Change:
    def change(_: int, dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def raw(**texts: str) -> Change:
    """Element values as they stand in the file, not checked by pydicom."""

    def change(_: int, dataset: Dataset) -> None:
        for keyword, text in texts.items():
            if keyword not in dataset:
                setattr(dataset, keyword, "")
            dataset[keyword]._value = text

    return change


def positioned(*places: float) -> Change:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-5.0, -4.0, places[k]]

    return change


def deflated(_: int, dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
