"""An A-ASSOCIATE-RQ as bytes, with faults that no library would send."""

from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_items import ApplicationContextItem
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification


def associate_request(*, application_context: str = "1.2.840.10008.3.1.1.1", version: int = 1) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "PACS", "SEGWATCH"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    context = build_context(CTImageStorage, ImplicitVRLittleEndian)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    pdu = A_ASSOCIATE_RQ(primitive)
    pdu.protocol_version = version
    (item,) = (one for one in pdu.variable_items if isinstance(one, ApplicationContextItem))
    item.application_context_name = application_context
    return bytes(pdu.encode())
