import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.errors import InvalidInstanceError, UnreadableInstanceError
from dicom_listener.spool import part10
from dicom_listener.spool.identifiers import Identifiers
from dicom_listener.spool.part10 import encode_file_meta, read_file_meta, read_identifiers
from dicom_listener.stored import StoreRequest
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, SERIES, STUDY, data_set, encode, request, uid

SYNTAXES = (EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("calling", ["PACS", "ODD", "SIXTEEN_LETTERS_", ""])
def test_pydicom_reads_the_file_meta_that_we_write(calling: str) -> None:
    wanted = request(calling=calling)
    read = dcmread(io.BytesIO(encode_file_meta(wanted) + encode(data_set())))
    assert read.file_meta.MediaStorageSOPClassUID == CTImageStorage
    assert read.file_meta.MediaStorageSOPInstanceUID == uid(1)
    assert read.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert read.file_meta.ImplementationClassUID == part10.IMPLEMENTATION_CLASS_UID
    assert (read.file_meta.SendingApplicationEntityTitle or "") == calling
    assert read.file_meta.FileMetaInformationGroupLength > 0
    assert read.SeriesInstanceUID == SERIES


def test_implementation_names_fit_the_standard() -> None:
    assert len(part10.IMPLEMENTATION_CLASS_UID) <= 64
    assert len(part10.IMPLEMENTATION_VERSION_NAME) <= 16


def test_file_meta_is_read_as_written() -> None:
    file = io.BytesIO(encode_file_meta(request()) + b"rest")
    assert read_file_meta(file) == request()
    assert file.read() == b"rest"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_identifiers_are_found_in_every_encoding(syntax: str) -> None:
    found = read_identifiers(io.BytesIO(encode(data_set(), syntax)), syntax)
    assert found == Identifiers(CTImageStorage, uid(1), STUDY, SERIES)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, b"", b"../../etc/passwd", b"1.2\\3.4", b"1." * 40, b"1.2\0.3 "])
def test_a_missing_or_malformed_identifier_is_named(keyword: str, value: bytes | None) -> None:
    encoded = encode(data_set())
    old = str(data_set()[keyword].value).encode()
    old += b"\0" * (len(old) % 2)
    tag = {"SOPClassUID": b"\x08\0\x16\0", "SOPInstanceUID": b"\x08\0\x18\0"}.get(keyword)
    tag = tag or {"StudyInstanceUID": b"\x20\0\x0d\0", "SeriesInstanceUID": b"\x20\0\x0e\0"}[keyword]
    element = tag + b"UI" + len(old).to_bytes(2, "little") + old
    assert element in encoded
    new = b"" if value is None else tag + b"UI" + len(value).to_bytes(2, "little") + value
    with pytest.raises(InvalidInstanceError, match=r"\((0008|0020),00(16|18|0D|0E)\)") as caught:
        read_identifiers(io.BytesIO(encoded.replace(element, new)), EXPLICIT_LITTLE)
    assert not isinstance(caught.value, UnreadableInstanceError)


@pytest.mark.parametrize("vr", [b"U\x7f", b"??", b"SQ", b"ZZ"])
def test_an_empty_identifier_of_an_odd_vr_is_missing(vr: bytes) -> None:
    encoded = encode(data_set())
    begin = encoded.index(b"\x20\0\x0d\0UI")
    end = encoded.index(b"\x20\0\x0e\0UI")
    with pytest.raises(InvalidInstanceError):
        read_identifiers(io.BytesIO(encoded[:begin] + b"\x20\0\x0d\0" + vr + b"\0\0" + encoded[end:]), EXPLICIT_LITTLE)


def test_an_inflating_bomb_is_read_in_part_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "HEAD_LIMIT", 4096)
    dataset = data_set(pixels=bytes(10_000_000))
    file = io.BytesIO(encode(dataset, DeflatedExplicitVRLittleEndian))
    assert read_identifiers(file, DeflatedExplicitVRLittleEndian).series_instance_uid == SERIES
    early = Dataset()
    early.SOPClassUID = CTImageStorage
    early.ImageComments = ""
    early.add_new(0x00091001, "OB", bytes(10_000_000))  # a large private element before the identifiers
    early.StudyInstanceUID = STUDY
    with pytest.raises(InvalidInstanceError):
        read_identifiers(io.BytesIO(encode(early, DeflatedExplicitVRLittleEndian)), DeflatedExplicitVRLittleEndian)


def test_what_is_not_deflated_is_unreadable() -> None:
    with pytest.raises(UnreadableInstanceError):
        read_identifiers(io.BytesIO(b"\xff" * 100), DeflatedExplicitVRLittleEndian)


def test_deeply_nested_sequences_do_not_end_the_process() -> None:
    depth = 5000
    nested = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * depth
    with pytest.raises(InvalidInstanceError):
        read_identifiers(io.BytesIO(nested), EXPLICIT_LITTLE)


@pytest.mark.filterwarnings("ignore")  # pydicom warns about what it meets in noise
@given(noise=st.binary(max_size=300), syntax=st.sampled_from(SYNTAXES), cut=st.integers(0, 200))
def test_noise_ends_in_identifiers_or_in_a_named_error(noise: bytes, syntax: str, cut: int) -> None:
    for encoded in (noise, encode(data_set(), syntax)[:cut] + noise):
        try:
            found = read_identifiers(io.BytesIO(encoded), syntax)
        except InvalidInstanceError:
            continue
        assert "/" not in found.sop_instance_uid


@given(noise=st.binary(max_size=200), cut=st.integers(0, 400))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_spool_file_is_a_named_error(noise: bytes, cut: int) -> None:
    try:
        found = read_file_meta(io.BytesIO(encode_file_meta(request())[:cut] + noise))
    except InvalidInstanceError:
        return
    assert isinstance(found, StoreRequest)


def test_real_files_of_every_transfer_syntax_show_the_same_identifiers(test_data: Path) -> None:
    paths = sorted((test_data / "odd_transfer_syntaxes").glob("CTImage*.dcm"))
    assert len(paths) == 15
    for path in paths:
        expected = dcmread(path, stop_before_pixels=True)
        with path.open("rb") as file:
            file.seek(132 + 12 + expected.file_meta.FileMetaInformationGroupLength)
            found = read_identifiers(file, expected.file_meta.TransferSyntaxUID)
        assert found == Identifiers(
            expected.SOPClassUID, expected.SOPInstanceUID, expected.StudyInstanceUID, expected.SeriesInstanceUID
        )
