"""Reads the head of a DICOM Part 10 file, in the spool or elsewhere: quickly, without pixels, whatever stands in it."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.spool.bounded_reader import BoundedReader
from dicom_listener.spool.element_values import (
    read_integer,
    read_number,
    read_numbers,
    read_text,
    read_texts,
    read_words,
)
from dicom_listener.spool.instance_head import InstanceHead
from dicom_listener.spool.parsing import DEFLATED, behind, inflate_front, is_fault_of_disk

LONGEST_VALUE = 64 * 1024
"""A longer value is not read, bytes: none of these elements needs as much."""
_INFLATED_LIMIT = 1024 * 1024
"""How much of a deflated data set is inflated, bytes: a bomb must not fill memory."""
_LAST_OF_HEAD = 0x00282110
"""Nothing that is read here comes behind the attributes of the pixels' description (group 0028)."""
_META_GROUP = 0x0002FFFF
_EXPLICIT_VRS = {vr.value.encode() for vr in VR if len(vr.value) == 2}

_KEYWORDS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer",
    "StudyDescription", "SeriesDescription", "DerivationDescription", "PatientID", "IssuerOfPatientID",
    "BodyPartExamined", "SliceThickness", "SpacingBetweenSlices", "ProtocolName", "ConvolutionKernel",
    "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "TemporalPositionIdentifier",
    "ImagesInAcquisition", "NumberOfSeriesRelatedInstances", "SamplesPerPixel", "NumberOfFrames", "Rows", "Columns",
    "PixelSpacing", "LossyImageCompression",
)  # fmt: skip
_TAGS: list[BaseTag | int] = [Tag(keyword) for keyword in _KEYWORDS]


@dataclass(frozen=True, slots=True)
class _Elements:
    dataset: Dataset
    is_whole: bool


def read_head(path: Path) -> InstanceHead:
    """Read the head of one file; under half a millisecond for a CT slice.

    Raises:
        UnreadableInstanceError: the file is no DICOM Part 10 file. Nothing that stands in one raises.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(128)
        if file.read(4) != b"DICM":
            raise UnreadableInstanceError("a file has no DICOM prefix: it is damaged or no DICOM Part 10 file")
        meta = _read(file, explicit=True, little_endian=True, last=_META_GROUP).dataset
        syntax = read_text(meta, "TransferSyntaxUID")
        data_set = _inflated(file) if syntax in DEFLATED else file
        found = _read(
            data_set,
            explicit=_is_explicit(data_set, syntax),
            little_endian=syntax != ExplicitVRBigEndian,
            last=_LAST_OF_HEAD,
            only=_TAGS,
        )
    return _head(meta, found)


def read_heads(paths: Iterable[Path]) -> list[InstanceHead]:
    """Read the heads of several files; of one that is no DICOM Part 10 file nothing is known.

    Raises:
        OSError: a file cannot be read.
    """
    return [_read_head_or_nothing(path) for path in paths]


def _read_head_or_nothing(path: Path) -> InstanceHead:
    try:
        return read_head(path)
    except UnreadableInstanceError:
        return _head(Dataset(), _Elements(Dataset(), is_whole=False))


def _read(
    file: BinaryIO, *, explicit: bool, little_endian: bool, last: int, only: list[BaseTag | int] | None = None
) -> _Elements:
    """Collect top-level elements up to `last`, or up to where the bytes make no sense any more."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    bounded: Any = BoundedReader(file)  # all that pydicom needs of a file
    try:
        for element in data_element_generator(
            bounded, not explicit, little_endian, behind(last), defer_size=LONGEST_VALUE, specific_tags=only
        ):
            # none of these is a sequence, and a value that is too long was skipped
            if isinstance(element, RawDataElement) and element.value is not None:
                elements.setdefault(element.tag, element)
    except Exception as error:  # pydicom answers malformed bytes with whatever they lead to
        if is_fault_of_disk(error):
            raise
        return _Elements(Dataset(elements), is_whole=False)
    return _Elements(Dataset(elements), is_whole=True)


def _inflated(file: BinaryIO) -> BinaryIO:
    try:
        return inflate_front(file, _INFLATED_LIMIT)
    except UnreadableInstanceError:
        return io.BytesIO()


def _is_explicit(file: BinaryIO, transfer_syntax_uid: str) -> bool:
    """Whether the data set is in explicit VR: what it looks like counts, as some writers name the wrong syntax."""
    start = file.tell()
    first = file.read(6)
    file.seek(start)
    return first[4:6] in _EXPLICIT_VRS if len(first) == 6 else transfer_syntax_uid != ImplicitVRLittleEndian


def _head(meta: Dataset, found: _Elements) -> InstanceHead:
    dataset = found.dataset
    return InstanceHead(
        transfer_syntax_uid=read_text(meta, "TransferSyntaxUID"),
        calling_ae_title=read_text(meta, "SendingApplicationEntityTitle"),
        called_ae_title=read_text(meta, "ReceivingApplicationEntityTitle"),
        is_whole=found.is_whole and "SOPInstanceUID" in dataset,
        sop_class_uid=read_text(dataset, "SOPClassUID") or read_text(meta, "MediaStorageSOPClassUID"),
        sop_instance_uid=read_text(dataset, "SOPInstanceUID") or read_text(meta, "MediaStorageSOPInstanceUID"),
        study_instance_uid=read_text(dataset, "StudyInstanceUID"),
        series_instance_uid=read_text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=read_text(dataset, "FrameOfReferenceUID"),
        patient_id=read_words(dataset, "PatientID"),
        issuer_of_patient_id=read_words(dataset, "IssuerOfPatientID"),
        modality=read_text(dataset, "Modality").upper(),
        image_type=tuple(value.upper() for value in read_texts(dataset, "ImageType")),
        manufacturer=read_words(dataset, "Manufacturer"),
        body_part=read_text(dataset, "BodyPartExamined").upper(),
        study_description=read_words(dataset, "StudyDescription"),
        series_description=read_words(dataset, "SeriesDescription"),
        protocol_name=read_words(dataset, "ProtocolName"),
        kernel=read_texts(dataset, "ConvolutionKernel"),
        series_number=_whole(dataset, "SeriesNumber"),
        acquisition_number=_whole(dataset, "AcquisitionNumber"),
        instance_number=_whole(dataset, "InstanceNumber"),
        temporal_position=_whole(dataset, "TemporalPositionIdentifier"),
        images_in_acquisition=_whole(dataset, "ImagesInAcquisition"),
        series_instances=_whole(dataset, "NumberOfSeriesRelatedInstances"),
        number_of_frames=_whole(dataset, "NumberOfFrames"),
        samples_per_pixel=read_integer(dataset, "SamplesPerPixel"),
        rows=read_integer(dataset, "Rows"),
        columns=read_integer(dataset, "Columns"),
        position=read_numbers(dataset, "ImagePositionPatient", 3),
        orientation=read_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_spacing=read_numbers(dataset, "PixelSpacing", 2),
        slice_thickness=read_number(dataset, "SliceThickness"),
        spacing_between_slices=read_number(dataset, "SpacingBetweenSlices"),
        is_lossy=read_text(dataset, "LossyImageCompression") == "01",
        derivation=read_words(dataset, "DerivationDescription"),
    )


def _whole(dataset: Dataset, keyword: str) -> int | None:
    """An integer string (PS3.5 6.2 IS: 32 bits) else None."""
    number = read_number(dataset, keyword)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**31 else None
