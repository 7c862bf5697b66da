"""Storage commitment on the wire: Action Information read into a request, a report written as Event Information."""

import re
from collections.abc import Sequence
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_listener.commitment.commitment import CommitmentReport, CommitmentRequest, Reference
from dicom_listener.errors import CommitmentLimitError, InvalidCommitmentError

STORAGE_COMMITMENT_PUSH_MODEL = UID("1.2.840.10008.1.20.1")
STORAGE_COMMITMENT_INSTANCE = UID("1.2.840.10008.1.20.1.1")
"""The one SOP instance of the class (PS3.4 section J.3.5)."""
TRANSFER_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_TRANSACTION_UID = 0x00081195
_REFERENCED_SOP_SEQUENCE = 0x00081199
_REFERENCED_SOP_CLASS_UID = 0x00081150
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_BYTES_BESIDE, _BYTES_EACH = 64 * 1024, 512
"""Longest Action Information that is parsed: this much beside the references, and for each of them."""


def read_request(
    action_information: BytesIO | None,
    transfer_syntax: UID,
    *,
    calling_ae_title: str,
    called_ae_title: str,
    maximum_references: int,
) -> CommitmentRequest:
    """Read the Action Information of an N-ACTION request (PS3.4 table J.3-1).

    Raises:
        InvalidCommitmentError: it is missing, cannot be decoded, or lacks or spoils what it must have.
        CommitmentLimitError: it names more than `maximum_references` instances.
    """
    if action_information is None:
        raise InvalidCommitmentError("Action Information is missing")
    size = action_information.getbuffer().nbytes
    if size > _BYTES_BESIDE + maximum_references * _BYTES_EACH:
        raise CommitmentLimitError(f"Action Information of {size} bytes for at most {maximum_references} instances")
    try:
        action_information.seek(0)  # it was written by pynetdicom and stands at its end
        dataset = read_dataset(action_information, transfer_syntax.is_implicit_VR, transfer_syntax.is_little_endian)
        items = list(dataset[_REFERENCED_SOP_SEQUENCE].value) if _REFERENCED_SOP_SEQUENCE in dataset else []
        transaction_uid = _text(dataset, _TRANSACTION_UID)
        pairs = [(_text(item, _REFERENCED_SOP_CLASS_UID), _text(item, _REFERENCED_SOP_INSTANCE_UID)) for item in items]
    except Exception as error:  # pydicom answers malformed bytes with whatever they lead to
        raise InvalidCommitmentError(f"Action Information cannot be decoded ({type(error).__name__})") from error
    if len(pairs) > maximum_references:
        raise CommitmentLimitError(f"{len(pairs)} instances in one request, at most {maximum_references} are taken")
    return CommitmentRequest(
        transaction_uid=_checked(transaction_uid, "Transaction UID"),
        references=_references(pairs),
        calling_ae_title=calling_ae_title,
        called_ae_title=called_ae_title,
    )


def _references(pairs: Sequence[tuple[str, str]]) -> tuple[Reference, ...]:
    if not pairs:
        raise InvalidCommitmentError("Referenced SOP Sequence is missing or empty")
    found = (
        Reference(_checked(sop_class, "Referenced SOP Class UID"), _checked(instance, "Referenced SOP Instance UID"))
        for sop_class, instance in pairs
    )
    return tuple(dict.fromkeys(found))


def _text(dataset: Dataset, tag: int) -> str:
    """Read a value raw: pydicom's conversion would warn, and quote the value, where it breaks a rule."""
    value = dataset.get_item(tag).value if tag in dataset else b""
    return value.decode("ascii", "replace").rstrip("\0 ") if isinstance(value, bytes) else ""


def _checked(uid: str, name: str) -> str:
    if len(uid) > _UID_LENGTH or not _UID.fullmatch(uid):
        raise InvalidCommitmentError(f"{name} is missing or is no UID")
    return uid


def event_information(report: CommitmentReport) -> Dataset:
    """Write a report as Event Information (PS3.4 table J.3-3)."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        dataset.FailedSOPSequence = [_item(reference) for reference, _ in report.failed]
        for item, (_, reason) in zip(dataset.FailedSOPSequence, report.failed, strict=True):
            item.FailureReason = int(reason)
    return dataset


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
