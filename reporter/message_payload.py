"""A message as bytes in the outbox: each try sends the very same topic, key, headers and value."""

import base64
import binascii
import json

from qc.stream.messages import Message
from reporter.errors import OutboxPayloadError


def encode_message(message: Message) -> bytes:
    """Encode a message; equal messages give equal bytes."""
    fields = {
        "topic": message.topic,
        "key": message.key,
        "headers": dict(message.headers),
        "value": base64.b64encode(message.value).decode("ascii"),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def decode_message(payload: bytes) -> Message:
    """Decode what `encode_message` wrote.

    Raises:
        OutboxPayloadError: the bytes are something else.
    """
    try:
        fields = json.loads(payload)
        headers = {str(name): str(value) for name, value in fields["headers"].items()}
        value = base64.b64decode(fields["value"], validate=True)
        return Message(topic=str(fields["topic"]), key=str(fields["key"]), value=value, headers=headers)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise OutboxPayloadError("the outbox holds a record that this version cannot read") from error
