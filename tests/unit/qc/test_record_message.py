"""The record as a CloudEvent on the topic of its site."""

import dataclasses

import pytest

from qc.errors import DecodeError, NewerSchemaError
from qc.record import (
    decode_message,
    decode_record,
    encode_record,
    record_message,
)
from tests.unit.qc.test_record import GOLDEN, NAME


def test_a_message_is_a_cloud_event_on_the_topic_of_the_site() -> None:
    record = decode_record(GOLDEN.read_bytes())
    message = record_message(record)
    assert message.topic == "segwatch.metrics.v1.site-a"
    assert message.key == record.study_key
    assert message.value == encode_record(record)
    assert message.headers == {
        "ce_specversion": "1.0",
        "ce_id": record.event_id,
        "ce_type": "org.segwatch.quality-record.v1",
        "ce_source": "/sites/site-a",
        "content-type": "application/json",
    }


@pytest.mark.parametrize(
    ("topic", "headers"),
    [
        ("segwatch.metrics.v1.site-b", {}),
        ("segwatch.metrics.v1.", {}),
        ("segwatch.verdicts.v1", {}),
        (None, {"ce_id": "00000000-0000-8000-8000-000000000000"}),
        (None, {"ce_source": "/sites/site-b"}),
        (None, {"ce_specversion": "0.3"}),
        (None, {"ce_type": "org.segwatch.verdict.v1"}),
        (None, {"ce_type": "org.segwatch.quality-record.vDoe"}),
        (None, {"ce_time": "2026-11-23T10:00:00Z"}),
        (None, {"ce_subject": NAME}),
        (None, {"content-type": "text/plain"}),
        (None, {"content-type": None}),
        (None, {"ce_type": None}),
        (None, {"ce_id": None}),
    ],
)
def test_topic_attributes_and_record_must_agree(topic: str | None, headers: dict[str, str | None]) -> None:
    message = record_message(decode_record(GOLDEN.read_bytes()))
    merged = {name: value for name, value in (dict(message.headers) | headers).items() if value is not None}
    with pytest.raises(DecodeError) as caught:
        decode_message(dataclasses.replace(message, topic=topic or message.topic, headers=merged))
    assert not isinstance(caught.value, NewerSchemaError)
    assert "Doe" not in str(caught.value)


def test_a_message_of_a_newer_type_is_to_be_parked_and_foreign_headers_are_ignored() -> None:
    message = record_message(decode_record(GOLDEN.read_bytes()))
    newer = dict(message.headers) | {"ce_type": "org.segwatch.quality-record.v2"}
    with pytest.raises(NewerSchemaError):
        decode_message(dataclasses.replace(message, headers=newer, value=b"not even JSON"))
    traced = dict(message.headers) | {"traceparent": "00-0-0-00"}
    assert decode_message(dataclasses.replace(message, headers=traced)) == decode_message(message)
