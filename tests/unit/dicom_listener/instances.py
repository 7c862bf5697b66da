"""Small CT instances as a sender would encode them."""

import zlib

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.stored import StoreRequest

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
STUDY = "1.2.826.0.1.3680043.8.498.1"
SERIES = "1.2.826.0.1.3680043.8.498.1.2"


def uid(number: int, series: str = SERIES) -> str:
    """SOP Instance UID of the n-th instance of a series."""
    return f"{series}.{number}"


def data_set(number: int = 1, *, study: str = STUDY, series: str = SERIES, pixels: bytes = b"\1\2" * 8) -> Dataset:
    """A CT data set of a few hundred bytes, with a sequence before its identifiers."""
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid(number, series)
    dataset.Modality = "CT"
    dataset.ReferencedStudySequence = [item]
    dataset.PatientName = "Nobody^Test"
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.InstanceNumber = number
    dataset.add_new(0x7FE00010, "OW", pixels)
    return dataset


def encode(dataset: Dataset, transfer_syntax: str = EXPLICIT_LITTLE) -> bytes:
    """The data set as it travels in a C-STORE request."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = transfer_syntax != ExplicitVRBigEndian
    write_dataset(buffer, dataset)
    encoded = buffer.getvalue()
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return deflate.compress(encoded) + deflate.flush()
    return encoded


def request(
    number: int = 1, *, series: str = SERIES, transfer_syntax: str = EXPLICIT_LITTLE, calling: str = "PACS"
) -> StoreRequest:
    """The parameters of the C-STORE request for `data_set(number)`."""
    return StoreRequest(CTImageStorage, uid(number, series), transfer_syntax, calling, "SEGWATCH")


def instance(number: int = 1, *, series: str = SERIES, pixels: bytes = b"\1\2" * 8) -> tuple[StoreRequest, bytes]:
    """Request and encoded data set of the n-th instance of a series."""
    return request(number, series=series), encode(data_set(number, series=series, pixels=pixels))
