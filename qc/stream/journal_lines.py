"""One message of the embedded journal as one line of JSON, without its line end.

Text stays readable: a value that is UTF-8 stands under `value`, any other bytes under `value_base64`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from qc.errors import StreamError
from qc.stream.messages import Message


def encode_line(message: Message) -> bytes:
    """Write a message as one line, its topic left out because the file carries it. Raises `StreamError`."""
    fields: dict[str, Any] = {"key": message.key, "headers": dict(message.headers)}
    try:
        fields["value"] = message.value.decode()
    except UnicodeDecodeError:
        fields["value_base64"] = base64.b64encode(message.value).decode()
    try:
        # JSON escapes every control character, so a value never breaks the line
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError as error:
        raise StreamError(f"a message for {message.topic} has a key or header that is no UTF-8 text") from error


def decode_line(topic: str, line: bytes) -> Message:
    """Read a line back. Raises `StreamError` for a line that `encode_line` did not write."""
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict) or set(fields) - {"key", "headers", "value", "value_base64"}:
            raise StreamError("unknown fields")
        return Message(topic=topic, key=_text(fields["key"]), value=_value(fields), headers=_headers(fields["headers"]))
    except (ValueError, KeyError, TypeError, binascii.Error, StreamError) as error:
        raise StreamError(f"a line of the journal of {topic} is damaged ({type(error).__name__})") from error


def _value(fields: Mapping[str, Any]) -> bytes:
    if "value" in fields:
        return _text(fields["value"]).encode()
    return base64.b64decode(_text(fields["value_base64"]), validate=True)


def _headers(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("headers")
    return {_text(name): _text(text) for name, text in value.items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text")
    return value
