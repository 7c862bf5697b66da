"""What central publishes, as closed schemas: a verdict per case, alerts about sites, dead letters.

Like the quality record a CloudEvent in the binary mode of the Kafka binding (1.0.2). Ids and contents follow from the
records alone, without a clock, so a replay gives equal messages and a reader can drop repeats by `ce_id`.
"""

import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qc.central.alert_text import summarise, what_to_do
from qc.central.alerts import NAMESPACE, Alert
from qc.record import CONTENT_TYPE, SPEC_VERSION, MetricSetReference, ModelReference, QualityRecord
from qc.record_fields import HASH_PATTERN, METRIC_NAME_PATTERN, UUID_PATTERN, Hash, Period, SiteId, Slug, Version
from qc.stream.messages import Message, Position
from qc.stream.topics import ALERTS, DEAD_LETTERS, VERDICTS
from qc.verdict import Verdict

SCHEMA_VERSION: Literal[1] = 1
SOURCE = "/central"

EventId = Annotated[str, Field(pattern=UUID_PATTERN)]
MetricName = Annotated[str, Field(pattern=METRIC_NAME_PATTERN)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, from_attributes=True, hide_input_in_errors=True)


class DetectorReference(_Closed):
    """The detector that judged."""

    name: Slug
    version: Version
    sha256: Hash = Field(description="Fingerprint of the detector's content.")


class ContributionPart(_Closed):
    """What one metric adds to a verdict."""

    metric: MetricName
    value: Finite = Field(description="As measured, in the metric's own unit.")
    standardised: Finite = Field(description="In standard deviations from the mean of the fitted samples.")
    coefficient: Finite
    contribution: Finite = Field(description="coefficient x standardised, in units of the logit.")


class VerdictMessage(_Closed):
    """What the detector says about one segmentation, on `segwatch.verdicts.v1`."""

    schema_version: Literal[1]
    event_id: EventId = Field(description="Of the quality record.")
    site_id: SiteId
    model: ModelReference
    metric_set: MetricSetReference
    period: Period
    detector: DetectorReference
    probability: Probability = Field(description="Of low quality, at the prevalence of the detector's calibration.")
    threshold: Probability
    low_quality: bool
    contributions: Annotated[tuple[ContributionPart, ...], Field(strict=False)]
    out_of_range: Annotated[tuple[MetricName, ...], Field(strict=False)] = Field(
        description="Metrics outside the range of the fitted samples: the probability is an extrapolation there."
    )


class SharePart(_Closed):
    """Flagged cases among all, with an exact two-sided 95% interval (Clopper-Pearson)."""

    flagged: Count
    cases: Count
    share: Probability
    low: Probability
    high: Probability


class MovedPart(_Closed):
    """A metric whose mean moved between the baseline and the recent cases."""

    metric: MetricName
    before: Finite
    after: Finite
    shift: Finite = Field(description="after - before in pooled standard deviations.")


class RulePart(_Closed):
    """Parameters of the rule that raised the alert."""

    window: Count
    window_minimum: Count
    baseline: Count
    baseline_minimum: Count
    baseline_confidence: Probability
    tail: Probability
    hold: Probability


class AlertMessage(_Closed):
    """A site whose share of flagged cases rose above its own baseline, on `segwatch.alerts.v1`."""

    schema_version: Literal[1]
    alert_id: EventId = Field(description="Same for the message that raises the alert and the one that resolves it.")
    alert: Literal["flagged-share-above-baseline"]
    state: Literal["firing", "resolved"]
    site_id: SiteId
    model: ModelReference
    detector: DetectorReference
    summary: str = Field(max_length=1000)
    what_to_do: str = Field(max_length=1000)
    since_period: Period = Field(description="Acquisition period in which the rise probably began.")
    raised_by: EventId = Field(description="Record with which the rule fired.")
    recent: SharePart
    baseline: SharePart
    baseline_bound: Probability = Field(description="Share against which the recent cases are tested.")
    out_of_range: Count = Field(description="Recent cases outside the range that the detector was fitted on.")
    moved: Annotated[tuple[MovedPart, ...], Field(strict=False)] = Field(description="Metrics that moved most.")
    record_ids: Annotated[tuple[EventId, ...], Field(strict=False, max_length=6)]
    rule: RulePart


class DeadLetterMessage(_Closed):
    """A message that was refused, on `segwatch.deadletter.v1`; what it held is not repeated."""

    schema_version: Literal[1]
    topic: str = Field(max_length=249)
    partition: Count
    offset: Count
    error: str = Field(pattern=r"^[A-Za-z]{1,64}$", description="Class of the error.")
    reason: str = Field(max_length=1000, description="The error in words; it names fields, never values.")
    payload_sha256: str = Field(pattern=HASH_PATTERN)


def verdict_message(record: QualityRecord, verdict: Verdict) -> Message:
    """Make the message of a verdict."""
    content = VerdictMessage(
        schema_version=SCHEMA_VERSION,
        event_id=record.event_id,
        site_id=record.site_id,
        model=record.model,
        metric_set=record.metric_set,
        period=record.period,
        detector=DetectorReference(
            name=verdict.detector_name, version=verdict.detector_version, sha256=verdict.detector_sha256
        ),
        probability=verdict.probability,
        threshold=verdict.threshold,
        low_quality=verdict.low_quality,
        contributions=tuple(ContributionPart.model_validate(part) for part in verdict.contributions),
        out_of_range=verdict.out_of_range,
    )
    return _message(VERDICTS, record.site_id, "verdict", f"{record.event_id}/{verdict.detector_sha256}", content)


def alert_message(alert: Alert) -> Message:
    """Make the message of an alert that begins or ends."""
    epoch = alert.epoch
    content = AlertMessage(
        schema_version=SCHEMA_VERSION,
        alert_id=alert.alert_id,
        alert="flagged-share-above-baseline",
        state=alert.state,
        site_id=epoch.site_id,
        model=ModelReference(name=epoch.model_name, version=epoch.model_version, sha256=epoch.model_sha256),
        detector=DetectorReference(
            name=epoch.detector_name, version=epoch.detector_version, sha256=epoch.detector_sha256
        ),
        summary=summarise(alert),
        what_to_do=what_to_do(alert),
        since_period=alert.since_period,
        raised_by=alert.raised_by,
        recent=SharePart.model_validate(alert.recent),
        baseline=SharePart.model_validate(alert.baseline),
        baseline_bound=alert.baseline_bound,
        out_of_range=alert.out_of_range,
        moved=tuple(MovedPart.model_validate(moved) for moved in alert.moved),
        record_ids=alert.record_ids,
        rule=RulePart.model_validate(alert.rule),
    )
    return _message(ALERTS, epoch.site_id, "alert", f"{alert.alert_id}/{alert.state}", content)


def dead_letter_message(position: Position, error: str, reason: str, payload_sha256: str) -> Message:
    """Make the message about a message that was refused."""
    content = DeadLetterMessage(
        schema_version=SCHEMA_VERSION,
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        error=error,
        reason=reason[:1000],
        payload_sha256=payload_sha256,
    )
    about = f"{position.topic}/{position.partition}/{position.offset}/{payload_sha256}"
    return _message(DEAD_LETTERS, position.topic, "dead-letter", about, content)


def json_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schemas (draft 2020-12) of what central publishes, by the name of their file in docs/reference."""
    models: dict[str, type[BaseModel]] = {
        "verdict": VerdictMessage,
        "alert": AlertMessage,
        "dead-letter": DeadLetterMessage,
    }
    return {
        f"{name}.schema.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:segwatch:{name}:v{SCHEMA_VERSION}",
            **model.model_json_schema(),
        }
        for name, model in models.items()
    }


def _message(topic: str, key: str, kind: str, about: str, content: BaseModel) -> Message:
    headers = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": str(uuid.uuid5(NAMESPACE, f"{kind}/{about}")),
        "ce_type": f"org.segwatch.{kind}.v{SCHEMA_VERSION}",
        "ce_source": SOURCE,
        "content-type": CONTENT_TYPE,
    }
    return Message(topic, key, content.model_dump_json().encode(), headers)
