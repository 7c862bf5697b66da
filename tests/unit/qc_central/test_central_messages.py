import json
import uuid
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest
from pydantic import ValidationError

from qc.central.alerts import SiteWindow, update
from qc.central.messages import (
    AlertMessage,
    VerdictMessage,
    alert_message,
    dead_letter_message,
    json_schemas,
    verdict_message,
)
from qc.central.processing import case_of, epoch_of
from qc.stream.messages import Message, Position
from tests.unit.qc_central.samples import BAD, GOOD, RULE, detector, record

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference"


def samples() -> dict[str, Message]:
    window, alert = SiteWindow(), None
    number = 0
    while alert is None:
        one = record("site-a", number, GOOD if number < 20 else BAD)
        verdict = detector().judge(one.quality_metrics)
        window, alert = update(window, case_of(one, verdict), epoch_of(one, verdict), RULE)
        number += 1
    return {
        "verdict.schema.json": verdict_message(one, verdict),
        "alert.schema.json": alert_message(alert),
        "dead-letter.schema.json": dead_letter_message(Position("t", 0, 3), "DecodeError", "no JSON", "ab" * 32),
    }


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_the_published_schema_is_that_of_the_code(name: str) -> None:
    assert json.loads((DOCS / name).read_text()) == json_schemas()[name], (
        "write it anew: python -m qc.central.schemas docs/reference"
    )


@pytest.mark.parametrize("name", sorted(json_schemas()))
def test_messages_fit_the_published_schema_and_nothing_more_does(name: str) -> None:
    content = json.loads(samples()[name].value)
    validator = jsonschema.Draft202012Validator(json_schemas()[name])
    validator.validate(content)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**content, "patient_name": "DOE^JANE"})


def test_a_message_is_a_cloud_event_whose_id_follows_from_its_subject() -> None:
    for name, message in samples().items():
        assert message == samples()[name]
        assert message.headers["ce_specversion"] == "1.0"
        assert message.headers["ce_source"] == "/central"
        assert message.headers["content-type"] == "application/json"
        assert uuid.UUID(message.headers["ce_id"]).version == 5
        assert "ce_time" not in message.headers
    assert {m.headers["ce_type"] for m in samples().values()} == {
        "org.segwatch.verdict.v1",
        "org.segwatch.alert.v1",
        "org.segwatch.dead-letter.v1",
    }
    assert len({m.headers["ce_id"] for m in samples().values()}) == 3


def test_messages_of_a_site_share_a_key_so_that_they_keep_their_order() -> None:
    assert {samples()[name].key for name in ("verdict.schema.json", "alert.schema.json")} == {"site-a"}


def test_messages_are_closed_and_read_back() -> None:
    alert = AlertMessage.model_validate_json(samples()["alert.schema.json"].value)
    assert alert.state == "firing"
    content = json.loads(samples()["verdict.schema.json"].value)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        VerdictMessage.model_validate_json(json.dumps({**content, "patient_name": "DOE^JANE"}))
