from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage
from pynetdicom.dimse_messages import C_ECHO_RQ, C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu import P_DATA_TF

from dicom_listener.receiving.c_store_messages import CStoreRequest, decode_c_store_request, encode_c_store_response

UIDS = st.from_regex(r"[1-9](\.[1-9][0-9]{0,4}){1,9}", fullmatch=True)
COMMENTS = st.text("abc ,DEF", max_size=64).map(str.strip)


def command_of(primitive: C_STORE | C_ECHO, message: DIMSEMessage) -> bytes:
    """The command set as pynetdicom encodes it."""
    message.primitive_to_message(primitive)
    (_, fragment), *_ = next(iter(message.encode_msg(1, 16384))).presentation_data_value_list
    return bytes(fragment[1:])


def c_store(instance: str = "1.2.3", message_id: int = 7) -> C_STORE:
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CTImageStorage, instance
    primitive.DataSet = BytesIO(b"\0\0")
    return primitive


@given(UIDS, st.integers(0, 65535))
def test_requests_are_decoded_as_pynetdicom_encodes_them(instance: str, message_id: int) -> None:
    command = command_of(c_store(instance, message_id), C_STORE_RQ())
    assert decode_c_store_request(command) == CStoreRequest(message_id, CTImageStorage, instance)


@given(UIDS, st.integers(0, 65535), st.sampled_from([0, 0xA700, 0xA900, 0xC000, 0x0110]), COMMENTS)
def test_responses_are_decoded_by_pynetdicom(instance: str, message_id: int, status: int, comment: str) -> None:
    encoded = encode_c_store_response(CStoreRequest(message_id, CTImageStorage, instance), 3, status, comment)
    pdu = P_DATA_TF()
    pdu.decode(encoded)
    message = DIMSEMessage()
    assert message.decode_msg(pdu.to_primitive())
    assert message.context_id == 3
    response = message.message_to_primitive()
    assert isinstance(response, C_STORE)
    assert response.MessageIDBeingRespondedTo == message_id
    assert response.Status == status
    assert response.AffectedSOPInstanceUID == instance
    assert response.AffectedSOPClassUID == CTImageStorage
    assert (response.ErrorComment or "") == comment


def test_other_commands_are_not_taken() -> None:
    echo = C_ECHO()
    echo.MessageID, echo.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    assert decode_c_store_request(command_of(echo, C_ECHO_RQ())) is None


@pytest.mark.parametrize("uid", [b"../../x\0", b"1.2\0.3\0", b"", b"1" * 65 + b"\0"])
def test_uids_that_are_none_are_not_taken(uid: bytes) -> None:
    command = command_of(c_store("1.2.3"), C_STORE_RQ())
    head, tail = command.split(b"\0\0\0\x10\x06\0\0\x001.2.3\0")
    assert decode_c_store_request(head + b"\0\0\0\x10" + len(uid).to_bytes(4, "little") + uid + tail) is None


@given(st.binary(max_size=120), st.integers(0, 119), st.integers(0, 255))
def test_nothing_that_is_sent_raises(sent: bytes, position: int, value: int) -> None:
    assert decode_c_store_request(sent) is None
    command = bytearray(command_of(c_store(), C_STORE_RQ()))
    command[position % len(command)] = value
    found = decode_c_store_request(bytes(command))
    assert found is None or set(found.sop_instance_uid) <= set("0123456789.")
