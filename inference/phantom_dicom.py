"""Writes a volume as a CT series (PS3.3 A.3, CT Image IOD): what demo, tests and benchmark send."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from inference.volume import Volume

RESCALE_INTERCEPT = -1024
"""HU of stored value 0; the slope is 1, so rounding costs 0.5 HU at most."""
WINDOWS = {"LUNG": (-600, 1500), "MEDIASTINUM": (40, 400)}
"""Centre and width."""
DEFAULT_DATE = date(2020, 1, 2)


@dataclass(frozen=True, slots=True)
class PhantomIdentity:
    """Who and what the series claims to be. The person is invented and says so."""

    patient_id: str = "PHANTOM-0001"
    patient_name: str = "Phantom^Generated"
    patient_birth_date: date = date(1900, 1, 1)
    study_seed: int | None = None
    """Names the study; by default the series' own seed. Several series with one study seed share a study."""
    acquired: date = DEFAULT_DATE


def write_ct_series(
    volume: Volume, directory: Path, *, seed: int, identity: PhantomIdentity | None = None
) -> list[Path]:
    """Write one CT Image Storage instance per slice of `volume` into `directory`, created when missing.

    Explicit VR Little Endian, int16, Rescale Intercept -1024, one Frame of Reference; HU are rounded to integers.
    Every UID is 2.25.<UUID> derived from `seed` and the identity, so that the same call writes the same instances.
    Returns the paths in slice order.
    """
    identity = identity or PhantomIdentity()
    directory.mkdir(parents=True, exist_ok=True)
    common = _common(volume, identity, seed)
    width = max(4, len(str(volume.voxels.shape[0])))
    paths = []
    for index, plane in enumerate(volume.voxels):
        path = directory / f"ct{index + 1:0{width}d}.dcm"
        _instance(common, volume, index, plane, seed).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def derived_uid(*parts: object) -> UID:
    """2.25.<integer of a UUID> (PS3.5 B.2) that depends on `parts` alone."""
    digest = hashlib.sha256("\0".join(str(part) for part in ("segwatch-phantom", *parts)).encode()).digest()
    # a name-based UUID is version 5; the hash behind it is not visible in the UID
    number = uuid.UUID(bytes=digest[:16], version=5).int
    return UID(f"2.25.{number}")


def _common(volume: Volume, identity: PhantomIdentity, seed: int) -> Dataset:
    study = identity.study_seed if identity.study_seed is not None else seed
    owner = (identity.patient_id, study)
    day = identity.acquired.strftime("%Y%m%d")
    data = Dataset()
    data.SOPClassUID = CTImageStorage
    data.PatientName, data.PatientID = identity.patient_name, identity.patient_id
    data.PatientBirthDate, data.PatientSex = identity.patient_birth_date.strftime("%Y%m%d"), "O"
    data.StudyInstanceUID, data.StudyID = derived_uid("study", *owner), str(study)
    data.SeriesInstanceUID = derived_uid("series", *owner, seed)
    data.FrameOfReferenceUID = derived_uid("frame of reference", *owner, seed)
    data.PositionReferenceIndicator = None
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = day
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
    data.AccessionNumber = data.ReferringPhysicianName = None
    data.StudyDescription, data.SeriesDescription = "Generated chest phantom", "Chest phantom 1.0"
    data.Modality, data.SeriesNumber, data.AcquisitionNumber = "CT", 1, 1
    data.PatientPosition, data.BodyPartExamined = "HFS", "CHEST"
    data.Manufacturer, data.ManufacturerModelName = "Segwatch", "Phantom"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.KVP, data.ConvolutionKernel = "120", "PHANTOM"
    _describe_pixels(data, volume)
    return data


def _describe_pixels(data: Dataset, volume: Volume) -> None:
    spacing = volume.spacing
    row_direction, column_direction = volume.affine[:3, 2] / spacing[2], volume.affine[:3, 1] / spacing[1]
    data.ImageOrientationPatient = _decimals(np.concatenate([row_direction, column_direction]))
    data.PixelSpacing = _decimals(np.array(spacing[1:]))
    data.SliceThickness = format_number_as_ds(spacing[0])
    data.Rows, data.Columns = volume.voxels.shape[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = str(RESCALE_INTERCEPT), "1", "HU"
    data.WindowCenter = [str(centre) for centre, _ in WINDOWS.values()]
    data.WindowWidth = [str(width) for _, width in WINDOWS.values()]
    data.WindowCenterWidthExplanation = list(WINDOWS)


def _instance(common: Dataset, volume: Volume, index: int, plane: NDArray[np.float32], seed: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = derived_uid("instance", common.SeriesInstanceUID, seed, index)
    data = FileDataset("", common, file_meta=meta, preamble=b"\0" * 128)
    position = volume.affine @ (index, 0, 0, 1)
    normal = np.cross(volume.affine[:3, 2], volume.affine[:3, 1])
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.InstanceNumber = index + 1
    data.ImagePositionPatient = _decimals(position[:3])
    data.SliceLocation = format_number_as_ds(round(float(position[:3] @ normal / np.linalg.norm(normal)), 6))
    stored = np.clip(np.rint(plane) - RESCALE_INTERCEPT, -32768, 32767).astype("<i2")
    data.PixelData = stored.tobytes()
    return data


def _decimals(values: NDArray[np.float64]) -> list[str]:
    return [format_number_as_ds(round(float(value), 9) + 0.0) for value in values]
