"""Opens associations as SCU and says in words why one did not come about."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_listener.errors import UnresolvedHostError
from dicom_listener.requesting_entity import RequestingEntity
from reporter.errors import DeliveryError, DeliveryRefusedError

VERIFICATION = "1.2.840.10008.1.1"
"""SOP class of C-ECHO."""
MAXIMUM_PDU = 131_072
"""Announced Maximum Length of what we receive, bytes."""
REJECTED_PERMANENT = 1
"""Result of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""
SERVICE_USER, SERVICE_PROVIDER_PRESENTATION = 1, 3
"""Sources of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
NO_REASON, CALLING_NOT_RECOGNISED, CALLED_NOT_RECOGNISED = 1, 3, 7
"""Reasons; those of the AE titles where the source is the service user."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A DICOM node that takes instances."""

    name: str
    """In settings, outbox and `status`."""
    ae_title: str
    """Called AE title, at most 16 characters."""
    host: str
    port: int
    calling_ae_title: str = "SEGWATCH"
    timeout_s: float = 30.0
    """Wait for the connection and for each answer, seconds."""

    @property
    def address(self) -> str:
        """How a person writes it."""
        return f"{self.ae_title}@{self.host}:{self.port}"


@contextmanager
def associated(destination: Destination, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """Open an association and release it afterwards.

    Raises:
        DeliveryRefusedError: the destination rejects this AE title or every presentation context, for good.
        DeliveryError: it is unreachable, busy, or ended the association.
    """
    entity = RequestingEntity(destination.calling_ae_title, seconds=destination.timeout_s)
    connected = threading.Event()
    try:
        association = entity.associate(
            destination.host,
            destination.port,
            contexts=list(contexts),
            ae_title=destination.ae_title,
            max_pdu=MAXIMUM_PDU,
            evt_handlers=[(evt.EVT_CONN_OPEN, lambda _event: connected.set())],
        )
    except UnresolvedHostError as error:
        raise DeliveryError(
            f"{destination.address} is unreachable: {error}; check host, and this machine's name service"
        ) from error
    if not association.is_established:
        entity.close_sockets()
        raise _why_not(association, destination, connected.is_set())
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _why_not(association: Association, destination: Destination, connected: bool) -> DeliveryError:
    where = destination.address
    if not connected:
        return DeliveryError(f"{where} is unreachable: no connection; check host, port and whether it runs")
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        text = f"{where} rejected the association ({answer.result_str}; {answer.reason_str})"
        text += f"; {_cure(answer.result_source, answer.diagnostic, destination)}"
        return DeliveryRefusedError(text) if answer.result == REJECTED_PERMANENT else DeliveryError(text)
    if association.rejected_contexts and not association.accepted_contexts:
        return DeliveryRefusedError(f"{where} accepts none of the proposed kinds of object")
    return DeliveryError(f"{where} took the connection and ended it; is it a DICOM node?")


def _cure(source: int | None, reason: int | None, destination: Destination) -> str:
    """Say what to do about an A-ASSOCIATE-RJ, by its source and reason (PS3.8 table 9-21)."""
    if source == SERVICE_PROVIDER_PRESENTATION:
        return "it is busy: try later"
    if reason == NO_REASON:
        return f"it does not say why: is {destination.calling_ae_title} registered there? otherwise try later"
    if source == SERVICE_USER and reason == CALLING_NOT_RECOGNISED:
        return f"register {destination.calling_ae_title} there"
    if source == SERVICE_USER and reason == CALLED_NOT_RECOGNISED:
        return f"its AE title is not {destination.ae_title}: take the one that is set there"
    return "is it a DICOM node?"


def echo(destination: Destination) -> None:
    """C-ECHO (PS3.7 9.1.5): is the destination there and does it know us?

    Raises:
        DeliveryError: no; the message says why.
    """
    context = PresentationContext()
    context.abstract_syntax = VERIFICATION
    context.transfer_syntax = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
    with associated(destination, [context]) as association:
        answer = association.send_c_echo()
    if "Status" not in answer:
        raise DeliveryError(f"{destination.address} gave no answer to C-ECHO within {destination.timeout_s:g} s")
    if answer.Status != 0:
        raise DeliveryRefusedError(f"{destination.address} answered C-ECHO with status {answer.Status:04X}")
