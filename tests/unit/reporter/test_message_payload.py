"""Messages in the outbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc.stream.messages import Message
from reporter.errors import OutboxPayloadError
from reporter.message_payload import decode_message, encode_message

messages = st.builds(
    Message, st.text(), st.text(), st.binary(max_size=300), st.dictionaries(st.text(), st.text(), max_size=5)
)


@given(message=messages)
def test_round_trip(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(message=messages)
def test_the_order_of_headers_does_not_change_the_bytes(message: Message) -> None:
    turned = Message(message.topic, message.key, message.value, dict(reversed(list(message.headers.items()))))
    assert encode_message(turned) == encode_message(message)


@given(payload=st.binary(max_size=200))
def test_anything_else_is_a_named_error(payload: bytes) -> None:
    with pytest.raises(OutboxPayloadError):
        decode_message(payload)


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"[]", b"null", b'{"topic":"t","key":"k","headers":[],"value":""}', b'{"topic":"t","key":"k","value":"!"}'],
)
def test_json_of_another_kind_is_a_named_error(payload: bytes) -> None:
    with pytest.raises(OutboxPayloadError):
        decode_message(payload)
