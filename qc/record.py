"""`QualityRecord`: the one message that leaves a site about a segmentation, and its codec.

A closed schema is the privacy guard: there is no field that a name, a UID, a date of birth or a free text could be put
into, and producer and consumer both check it. Published as docs/reference/quality-record.schema.json.

On the wire it is a CloudEvent in the binary mode of the Kafka binding (1.0.2). The event has no `time` attribute on
purpose: the exact moment of processing would point at an examination, which the record's period avoids. The broker's
own timestamp says when the record arrived.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from pydantic import Field, ValidationError, model_validator

from qc.errors import DecodeError, MetricSetError, NewerSchemaError
from qc.metric_set import METRIC_SETS, find_metric_set
from qc.quality_metrics import QualityMetrics
from qc.record_fields import SITE_PATTERN, UUID_PATTERN, ClosedModel, Hash, Metrics, Period, SiteId, Slug, Version
from qc.stream.messages import Message
from qc.stream.topics import METRICS_PREFIX

SCHEMA_VERSION: Literal[1] = 1

MAXIMUM_BYTES = 16_384
"""A record has about 700 bytes; something far larger is none, and is not parsed."""

EVENT_TYPE_PREFIX = "org.segwatch.quality-record.v"
EVENT_TYPE = f"{EVENT_TYPE_PREFIX}{SCHEMA_VERSION}"
CONTENT_TYPE = "application/json"
SPEC_VERSION = "1.0"


class ModelReference(ClosedModel):
    """The segmentation model that is being watched."""

    name: Slug
    version: Version
    sha256: Hash = Field(description="SHA-256 of the model's ONNX file.")


class MetricSetReference(ClosedModel):
    """The definitions by which the metrics were computed, see docs/reference/metrics.md."""

    name: Slug
    version: int = Field(ge=1, le=65_535)


class QualityRecord(ClosedModel):
    """Quality metrics of one segmentation; nothing else about the patient."""

    schema_version: Literal[1] = Field(description="Version of this schema.")
    event_id: str = Field(pattern=UUID_PATTERN, description="Same for every copy of the record of one result.")
    site_id: SiteId = Field(description="The site, as in the topic's name.")
    model: ModelReference
    metric_set: MetricSetReference
    metrics: Metrics = Field(description="Exactly the metrics of the metric set, by name.")
    study_key: Hash = Field(description="HMAC-SHA256 of the study under the site's own secret.")
    period: Period = Field(description="Acquisition day, ISO week or month, as the site decided; or `unknown`.")
    software_version: Version = Field(description="Version of Segwatch at the site.")

    @model_validator(mode="after")
    def _check_metrics(self) -> "QualityRecord":
        find_metric_set(self.metric_set.name, self.metric_set.version).check(self.metrics)
        return self

    @property
    def quality_metrics(self) -> QualityMetrics:
        """The metrics as the detector takes them."""
        return QualityMetrics(find_metric_set(self.metric_set.name, self.metric_set.version), self.metrics)


def make_record(
    metrics: QualityMetrics,
    *,
    event_id: str,
    site_id: str,
    model: ModelReference,
    study_key: str,
    period: str,
    software_version: str,
) -> QualityRecord:
    """Put a record together at the site.

    Raises:
        pydantic.ValidationError: a value does not fit the schema; its text does not show the value.
    """
    return QualityRecord(
        schema_version=SCHEMA_VERSION,
        event_id=event_id,
        site_id=site_id,
        model=model,
        metric_set=MetricSetReference(name=metrics.metric_set.name, version=metrics.metric_set.version),
        metrics=metrics.values,
        study_key=study_key,
        period=period,
        software_version=software_version,
    )


def encode_record(record: QualityRecord) -> bytes:
    """Encode as canonical JSON: UTF-8, keys sorted, no white space; the same record gives the same bytes."""
    content = record.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode_record(payload: bytes) -> QualityRecord:
    """Decode and check a record. No error's text repeats a value of the payload.

    Raises:
        NewerSchemaError: the schema or the metric set is newer than this software; park the payload.
        DecodeError: the payload is no valid record.
    """
    content = _parse(payload)
    _check_schema_version(content)
    _check_metric_set(content)
    try:
        return QualityRecord.model_validate(content)
    except ValidationError as error:
        # without the chain: pydantic's error object still holds the input
        raise DecodeError(f"no valid quality record: {_describe(error)}") from None
    except MetricSetError:
        raise DecodeError("no valid quality record: metrics do not match their registered metric set") from None


def _parse(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAXIMUM_BYTES:
        raise DecodeError(f"no quality record: {len(payload)} bytes, at most {MAXIMUM_BYTES} are accepted")
    try:
        content = json.loads(payload.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise DecodeError("no quality record: not JSON of this schema (UTF-8, unique keys, finite numbers)") from None
    if not isinstance(content, dict):
        raise DecodeError("no quality record: the JSON is not an object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is there twice")
    return content


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _check_schema_version(content: Mapping[str, Any]) -> None:
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise DecodeError("no valid quality record: schema_version is missing or no positive whole number")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(f"a record of schema version {version}; this software knows up to {SCHEMA_VERSION}")


def _check_metric_set(content: Mapping[str, Any]) -> None:
    """Tell a metric set that a later version may register from one that never was."""
    try:
        named = MetricSetReference.model_validate(content.get("metric_set"))
    except ValidationError:
        return  # the whole record's check names the field
    known = [version for name, version in METRIC_SETS if name == named.name]
    if not known:
        raise NewerSchemaError("a record of a metric set that this software does not know")
    if named.version > max(known):
        raise NewerSchemaError(
            f"a record of version {named.version} of its metric set; this software knows up to {max(known)}"
        )


def _describe(error: ValidationError) -> str:
    """Name fields and kinds of mistakes; a field that the schema does not know is not named, it may be anything."""
    known = {"model", "metric_set", *QualityRecord.model_fields, *ModelReference.model_fields}
    parts = []
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        path = [str(part) if part in known else "(unnamed)" for part in mistake["loc"]]
        parts.append(f"{'.'.join(path)}: {mistake['type']}")
    return "; ".join(parts[:8])


def record_message(record: QualityRecord) -> Message:
    """Make the message of a record; the same record gives an equal message.

    The study is the key, so that all records of a study keep their order in one partition.
    """
    headers = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": record.event_id,
        "ce_type": EVENT_TYPE,
        "ce_source": _source_of(record.site_id),
        "content-type": CONTENT_TYPE,
    }
    return Message(METRICS_PREFIX + record.site_id, record.study_key, encode_record(record), headers)


def decode_message(message: Message) -> QualityRecord:
    """Decode a message and check that topic, attributes and record agree. No error's text repeats a value.

    Headers outside CloudEvents (`ce_...`) and `content-type` are ignored: proxies and tracing add theirs.

    Raises:
        NewerSchemaError: the schema or the metric set is newer than this software; park the message.
        DecodeError: the message is no valid quality record.
    """
    site_id = message.topic.removeprefix(METRICS_PREFIX)
    if site_id == message.topic or re.fullmatch(SITE_PATTERN, site_id) is None:
        raise DecodeError("the topic is not one of a site's quality records")
    _check_type(message.headers.get("ce_type", ""))
    record = decode_record(message.value)
    if record.site_id != site_id:
        raise DecodeError("the record names another site than its topic")
    expected = record_message(record)
    attributes = {name for name in message.headers if name.startswith("ce_")} | {"content-type"}
    wrong = [name for name, value in expected.headers.items() if message.headers.get(name) != value]
    if wrong:
        raise DecodeError(f"message headers that are missing or do not match the record: {', '.join(wrong)}")
    if not attributes <= set(expected.headers):
        raise DecodeError("the message carries CloudEvents attributes outside the schema")
    return record


def _source_of(site_id: str) -> str:
    return f"/sites/{site_id}"


def _check_type(event_type: str) -> None:
    version = re.fullmatch(re.escape(EVENT_TYPE_PREFIX) + "([1-9][0-9]{0,4})", event_type)
    if version is None:
        raise DecodeError("the message is no quality record: ce_type is missing or another")
    if int(version[1]) > SCHEMA_VERSION:
        raise NewerSchemaError(f"a record of schema version {version[1]}; this software knows up to {SCHEMA_VERSION}")
