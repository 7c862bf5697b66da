"""Asks who listens at an address: DICOM or not, and which implementation."""

from dataclasses import dataclass

from pynetdicom.presentation import build_context

from dicom_listener.errors import UnresolvedHostError
from dicom_listener.requesting_entity import RequestingEntity
from reporter.association import VERIFICATION, Destination


@dataclass(frozen=True, slots=True)
class Answer:
    """To an A-ASSOCIATE-RQ (PS3.8 9.3.3 and 9.3.4)."""

    rejection: tuple[int | None, ...] | None
    """Result, source and reason; None where the association came about."""
    reason: str = ""
    """Of the rejection, in the standard's words."""
    implementation_class_uid: str = ""
    """A rejection does not tell it."""


def who_answers(destination: Destination) -> Answer | None:
    """Request an association for Verification and release it; None where nobody answers, or not in DICOM."""
    entity = RequestingEntity(destination.calling_ae_title, seconds=destination.timeout_s)
    try:
        association = entity.associate(
            destination.host, destination.port, contexts=[build_context(VERIFICATION)], ae_title=destination.ae_title
        )
    except UnresolvedHostError:
        return None
    try:
        answer = association.acceptor.primitive
        if answer is None:
            return None
        if association.is_rejected:
            return Answer((answer.result, answer.result_source, answer.diagnostic), answer.reason_str)
        return Answer(None, implementation_class_uid=str(association.acceptor.implementation_class_uid or ""))
    finally:
        if association.is_established:
            association.release()
        entity.close_sockets()
