"""HTJ2K (PS3.5 section 10.16) arrives as it was sent; DCMTK 3.6.7 cannot send it, so pynetdicom does."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicom_listener.network.scp import ScpSettings
from tests.unit.dicom_listener.instances import SERIES, STUDY
from tests.unit.dicom_listener.listening import Listener, send

FILES = {
    "1.2.840.10008.1.2.4.201": "HTJ2KLossless_08_RGB.dcm",
    "1.2.840.10008.1.2.4.202": "HTJ2KLossless_08_RGB.dcm",  # no such file was found; the listener does not decode
    "1.2.840.10008.1.2.4.203": "HTJ2K_08_RGB.dcm",
}


@pytest.mark.parametrize("syntax", FILES)
def test_htj2k_is_stored_as_received(
    listeners: Callable[..., Listener], test_data: Path, tmp_path: Path, syntax: str
) -> None:
    dataset = dcmread(test_data / "odd_pydicom" / FILES[syntax])
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES  # the files have none
    dataset.save_as(tmp_path / "sent.dcm")
    sop_class = str(dataset.SOPClassUID)
    listener = listeners(ScpSettings(sop_classes=(sop_class,)))
    association = listener.associate((sop_class, syntax))
    assert send(association, dataset, syntax).Status == 0x0000
    association.release()
    (stored,) = listener.told()
    assert stored.instance.transfer_syntax_uid == syntax
    assert _data_set(stored.instance.path) == _data_set(tmp_path / "sent.dcm")
    kept = dcmread(stored.instance.path)
    assert kept.PixelData == dataset.PixelData
    assert kept.file_meta.TransferSyntaxUID == UID(syntax)


def _data_set(path: Path) -> bytes:
    """What follows the File Meta Information."""
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]
