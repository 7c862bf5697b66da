"""What a sender puts on the wire, as bytes, so that it can be cut anywhere (PS3.8 section 9.3, PS3.7 section 9.3.1)."""

from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

from benchmarks.intake.source import ROOT

A_ASSOCIATE_AC = 0x02
RELEASE = bytes.fromhex("05 00 00000004 00000000")
"""A-RELEASE-RQ."""
ABORT = bytes.fromhex("07 00 00000004 00000000")
"""A-ABORT by the user."""
_CONTEXT_ID = 1
_PDU_BYTES = 16384


@dataclass(frozen=True)
class Wire:
    """The PDUs of one sender."""

    associate: bytes
    """A-ASSOCIATE-RQ for CT Image Storage."""
    store: bytes
    """P-DATA-TF PDUs of one C-STORE request with its data set."""


def make_wire(called_ae_title: str, instance: FileDataset) -> Wire:
    """Encode what a sender says who stores one CT instance."""
    return Wire(_associate(called_ae_title), _store(instance))


def _associate(called_ae_title: str) -> bytes:
    context = build_context(CTImageStorage, ExplicitVRLittleEndian)
    context.context_id = _CONTEXT_ID
    maximum, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    maximum.maximum_length_received = _PDU_BYTES
    implementation.implementation_class_uid = f"{ROOT}.9"
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = "BENCHMARK", called_ae_title
    request.presentation_context_definition_list = [context]
    request.user_information = [maximum, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    return bytes(pdu.encode())


def _store(instance: FileDataset) -> bytes:
    request = C_STORE()
    request.MessageID, request.Priority = 1, 0
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = instance.SOPClassUID, instance.SOPInstanceUID
    request.DataSet = BytesIO(encode(instance, False, True) or b"")
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pdus = []
    for primitive in message.encode_msg(_CONTEXT_ID, _PDU_BYTES):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        pdus.append(bytes(pdu.encode()))
    return b"".join(pdus)
