import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qc.errors import DecodeError, MetricSetError, NewerSchemaError
from qc.metric_set import LESION_CORE_1
from qc.quality_metrics import QualityMetrics
from qc.record import (
    ModelReference,
    QualityRecord,
    decode_message,
    decode_record,
    encode_record,
    make_record,
    record_message,
)
from qc.record_fields import (
    HASH_PATTERN,
    METRIC_NAME_PATTERN,
    SITE_PATTERN,
    SLUG_PATTERN,
    UUID_PATTERN,
    VERSION_PATTERN,
)
from qc.record_schema import record_json_schema

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/fixtures/records/v1.json"
SCHEMA = ROOT / "docs/reference/quality-record.schema.json"
NAME = "Doe^John"


def golden() -> dict[str, Any]:
    content = json.loads(GOLDEN.read_bytes())
    assert isinstance(content, dict)
    return content


def encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


def metric_values() -> st.SearchStrategy[dict[str, float]]:
    return st.fixed_dictionaries(
        {
            metric.name: st.floats(metric.minimum, min(metric.maximum, 1e9), allow_nan=False)
            for metric in LESION_CORE_1.metrics
        }
    )


def records() -> st.SearchStrategy[QualityRecord]:
    def matching(pattern: str) -> st.SearchStrategy[str]:
        return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(lambda text: "\n" not in text)

    periods = st.one_of(st.just("unknown"), st.dates().map(str), st.dates().map(lambda day: f"{day:%Y-%m}".zfill(7)))
    return st.builds(
        make_record,
        metric_values().map(lambda values: QualityMetrics(LESION_CORE_1, values)),
        event_id=matching(UUID_PATTERN),
        site_id=matching(SITE_PATTERN),
        model=st.builds(
            ModelReference,
            name=matching(SLUG_PATTERN),
            version=matching(VERSION_PATTERN),
            sha256=matching(HASH_PATTERN),
        ),
        study_key=matching(HASH_PATTERN),
        period=periods,
        software_version=matching(VERSION_PATTERN),
    )


@given(records())
def test_a_record_survives_the_wire_and_fits_the_published_schema(record: QualityRecord) -> None:
    payload = encode_record(record)
    assert decode_record(payload) == record
    assert encode_record(decode_record(payload)) == payload
    assert decode_message(record_message(record)) == record
    jsonschema.validate(json.loads(payload), record_json_schema())


def test_the_golden_record_of_version_1_is_read_and_written_as_it_was() -> None:
    payload = GOLDEN.read_bytes().strip()
    record = decode_record(payload)
    assert encode_record(record) == payload
    assert (record.site_id, record.period, record.model.version) == ("site-a", "2026-W48", "1.0.0")
    assert record.metrics["intensity_mode"] == -412.0
    assert record.quality_metrics.metric_set is LESION_CORE_1
    jsonschema.validate(json.loads(payload), json.loads(SCHEMA.read_text()))


def test_the_published_schema_is_that_of_the_code() -> None:
    jsonschema.Draft202012Validator.check_schema(record_json_schema())
    assert json.loads(SCHEMA.read_text()) == record_json_schema(), f"write record_json_schema() to {SCHEMA.name}"


BAD_VALUES: list[tuple[str, Any]] = [
    ("site_id", NAME),
    ("site_id", "Site-A"),
    ("site_id", "site-a\n"),
    ("event_id", "1.2.840.113619.2.55"),
    ("event_id", 7),
    ("study_key", "1.2.840.113619.2.55"),
    ("study_key", "AB" * 32),
    ("period", "2026-02-30"),
    ("period", "2026-W54"),
    ("period", "2025-W53"),
    ("period", "2026-13"),
    ("period", "19700101"),
    ("period", "2026-11-23T10:00"),
    ("period", None),
    ("software_version", "1.0 Doe"),
    ("software_version", "1.0+john.doe"),
    ("model", {"name": NAME, "version": "1", "sha256": "0" * 64}),
    ("model", {"name": "m", "version": "1", "sha256": "0" * 64, "path": NAME}),
    ("model", {"name": "m", "version": "1"}),
    ("model", NAME),
    ("metric_set", {"name": "lesion-core", "version": "1"}),
    ("metric_set", {"name": "lesion-core", "version": True}),
    ("metric_set", {"name": "lesion-core", "version": 0}),
    ("metrics", {}),
    ("metrics", [1.0]),
    ("patient_name", NAME),
    (NAME, 1),
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES)
def test_what_is_outside_the_closed_schema_is_refused_without_repeating_it(field: str, value: Any) -> None:
    payload = encoded(golden() | {field: value})
    with pytest.raises(DecodeError) as caught:
        decode_record(payload)
    assert not isinstance(caught.value, NewerSchemaError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "Doe" not in str(caught.value)
    assert "1.2.840" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smoothness", "0.5"),
        ("smoothness", True),
        ("smoothness", None),
        ("smoothness", 1.5),
        ("smoothness", [0.5]),
        ("patient_birth_date", 19700101),
        (NAME, 1.0),
    ],
)
def test_metrics_are_exactly_the_registered_numbers(name: str, value: Any) -> None:
    content = golden()
    content["metrics"][name] = value
    with pytest.raises(DecodeError) as caught:
        decode_record(encoded(content))
    assert "Doe" not in str(caught.value)
    assert "birth" not in str(caught.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, record_json_schema())


@pytest.mark.parametrize("field", list(QualityRecord.model_fields))
def test_no_field_may_be_missing(field: str) -> None:
    content = golden()
    del content[field]
    with pytest.raises(DecodeError, match=field):
        decode_record(encoded(content))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, record_json_schema())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"schema_version": NaN}',
        b'{"schema_version": 1e999}',
        b'{"schema_version": 1, "schema_version": 2}',
        b'{"schema_version": "2"}',
        b'{"schema_version": true}',
        b'{"schema_version": 1.0}',
        b'{"schema_version": 0}',
        b"[" * 10_000,
        b'{"a": ' * 2_000 + b"1" + b"}" * 2_000,
        b" " * 20_000,
    ],
)
def test_other_bytes_are_no_record(payload: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_record(payload)
    assert not isinstance(caught.value, NewerSchemaError)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_record(payload)


@given(
    st.sampled_from(sorted(QualityRecord.model_fields)),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
)
def test_any_json_in_a_field_is_decoded_or_refused_as_the_schema_says(field: str, value: Any) -> None:
    content = golden() | {field: value}
    try:
        jsonschema.validate(content, record_json_schema())
        fits = True
    except jsonschema.ValidationError:
        fits = False
    try:
        decode_record(json.dumps(content).encode())
        accepted = True
    except DecodeError:
        accepted = False
    # a float that is a whole number is an integer for JSON Schema, a period may name no existing day
    assert accepted == fits or (fits and not accepted and field in {"period", "schema_version"})


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"schema_version": 2, "scanner": {"class": "x"}},
        {"metric_set": {"name": "lesion-core", "version": 2}, "metrics": {"new_metric": 1.0}},
        {"metric_set": {"name": "lesion-texture", "version": 1}},
    ],
)
def test_a_newer_record_is_told_apart(changes: dict[str, Any]) -> None:
    with pytest.raises(NewerSchemaError):
        decode_record(encoded(golden() | changes))


def test_a_site_cannot_make_a_record_outside_the_schema_and_the_error_hides_the_value() -> None:
    record = decode_record(GOLDEN.read_bytes())
    with pytest.raises(ValidationError) as caught:
        make_record(
            record.quality_metrics,
            event_id=record.event_id,
            site_id=NAME,
            model=record.model,
            study_key=record.study_key,
            period=record.period,
            software_version=record.software_version,
        )
    assert NAME not in str(caught.value)
    with pytest.raises(MetricSetError):
        QualityRecord.model_validate(record.model_dump() | {"metrics": dict(record.metrics) | {"smoothness": 2.0}})


def test_a_record_does_not_change() -> None:
    record = decode_record(GOLDEN.read_bytes())
    with pytest.raises(ValidationError, match="frozen"):
        record.site_id = "other"  # type: ignore[misc]  # what the test is about
    with pytest.raises(TypeError):
        record.metrics["smoothness"] = 0.0  # type: ignore[index]  # what the test is about


def test_metric_names_fit_the_schema() -> None:
    assert all(re.fullmatch(METRIC_NAME_PATTERN, name) for name in LESION_CORE_1.names)
