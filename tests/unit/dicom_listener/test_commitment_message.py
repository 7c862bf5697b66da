"""Action Information and Event Information, as bytes."""

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from dicom_listener.commitment.commitment import CommitmentReport, CommitmentRequest, FailureReason, Reference
from dicom_listener.commitment.commitment_message import event_information, read_request
from dicom_listener.errors import CommitmentError, CommitmentLimitError, InvalidCommitmentError

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
uids = st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts)))
references = st.builds(Reference, uids, uids)


def _read(content: bytes | None, syntax: UID = ExplicitVRLittleEndian, maximum: int = 100) -> CommitmentRequest:
    return read_request(
        None if content is None else BytesIO(content),
        syntax,
        calling_ae_title="PACS",
        called_ae_title="SEGWATCH",
        maximum_references=maximum,
    )


def _encoded(transaction: str | None, pairs: list[tuple[str, str]], syntax: UID = ExplicitVRLittleEndian) -> bytes:
    dataset = Dataset()
    if transaction is not None:
        dataset.TransactionUID = transaction
    items = []
    for sop_class, instance in pairs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        items.append(item)
    dataset.ReferencedSOPSequence = items
    encoded = encode(dataset, syntax.is_implicit_VR, syntax.is_little_endian)
    assert encoded is not None
    return encoded


@given(uids, st.lists(references, min_size=1, max_size=20), st.sampled_from(SYNTAXES))
def test_a_request_is_read_as_it_was_written_each_reference_once(
    transaction: str, some: list[Reference], syntax: UID
) -> None:
    pairs = [(reference.sop_class_uid, reference.sop_instance_uid) for reference in some]
    request = _read(_encoded(transaction, pairs, syntax), syntax)
    assert request == CommitmentRequest(transaction, tuple(dict.fromkeys(some)), "PACS", "SEGWATCH")


GOOD = _encoded("1.2.3", [("1.2", f"1.3.{number}") for number in range(5)])


@given(st.binary(max_size=300) | st.integers(0, len(GOOD)).map(lambda end: GOOD[:end]))
@example(b"")
@example(GOOD)
def test_whatever_comes_is_a_request_or_a_named_error(content: bytes) -> None:
    for syntax in SYNTAXES:
        try:
            request = _read(content, syntax)
        except CommitmentError as error:
            assert "1.2.3" not in str(error)
        else:
            assert request.transaction_uid
            assert request.references


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_request_or_a_named_error(place: int, value: int) -> None:
    content = bytearray(GOOD)
    content[place] = value
    with suppress(CommitmentError):
        assert _read(bytes(content)).references


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "Action Information"),
        (b"", "Transaction UID|Referenced SOP Sequence"),
        (_encoded(None, [("1.2", "1.3")]), "Transaction UID"),
        (_encoded("1.2.3", []), "Referenced SOP Sequence"),
        (GOOD.replace(b"1.3.4", b"1.3.x"), "Referenced SOP Instance UID"),
        (GOOD.replace(b"1.3.4", b"1.3/4"), "Referenced SOP Instance UID"),
        (GOOD.replace(b"1.3.4", b"1\\3.4"), "Referenced SOP Instance UID"),
    ],
)
def test_what_is_wrong_is_named(content: bytes | None, word: str) -> None:
    with pytest.raises(InvalidCommitmentError, match=word):
        _read(content)


def test_what_is_too_much_is_refused_before_it_is_parsed_or_kept() -> None:
    assert len(_read(GOOD, maximum=5).references) == 5
    with pytest.raises(CommitmentLimitError, match="5 instances"):
        _read(GOOD, maximum=4)
    with pytest.raises(CommitmentLimitError, match="bytes"):
        _read(b"\0" * 100_000, maximum=5)


@given(st.lists(references, max_size=4, unique=True), st.lists(references, max_size=4, unique=True))
def test_a_report_names_what_it_must(committed: list[Reference], failed: list[Reference]) -> None:
    reasons = tuple((reference, FailureReason.NO_SUCH_INSTANCE) for reference in failed)
    dataset = event_information(CommitmentReport("1.2.3", tuple(committed), reasons))
    # type 1C (PS3.4 table J.3-3): absent where there is nothing to list
    assert ("ReferencedSOPSequence" in dataset, "FailedSOPSequence" in dataset) == (bool(committed), bool(failed))
    assert [item.ReferencedSOPInstanceUID for item in dataset.get("ReferencedSOPSequence", ())] == [
        reference.sop_instance_uid for reference in committed
    ]
    assert [(item.ReferencedSOPClassUID, item.FailureReason) for item in dataset.get("FailedSOPSequence", ())] == [
        (reference.sop_class_uid, 0x0112) for reference in failed
    ]
