"""Values of data sets whose elements break rules: read raw, so nothing raises."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from dicom_listener.spool.element_values import read_text, read_words
from reporter.raw_elements import raw_bytes, raw_numbers, raw_text, raw_unsigned


@pytest.mark.parametrize("vr", [b"ZZ", b"U\x7f", b"??", b"SH"])
def test_an_empty_value_of_an_odd_vr_is_empty(vr: bytes) -> None:
    encoded = b"\x20\0\x0d\0UI\x02\x001\0" + b"\x20\0\x10\0" + vr + b"\0\0"

    def read() -> Dataset:
        return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)

    assert (raw_bytes(read(), "StudyID"), raw_text(read(), "StudyID"), raw_numbers(read(), "StudyID")) == (
        b"",
        "",
        None,
    )
    assert raw_unsigned(read(), "StudyID") is None
    assert (read_text(read(), "StudyID"), read_words(read(), "StudyID")) == ("", "")
