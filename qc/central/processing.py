"""What happens to one message, inside one transaction: decode, insert, judge, update the alert rule, queue the news."""

import enum
import json
import logging
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from qc.central import outbox, store, tables
from qc.central.alerts import AlertRule, Epoch, update
from qc.central.baseline import Case
from qc.central.messages import alert_message, dead_letter_message, verdict_message
from qc.central.store import Arrival, Inserted
from qc.detector import LinearDetector
from qc.errors import DecodeError, EventConflictError, FeatureMismatchError, NewerSchemaError, QualityError
from qc.record import QualityRecord, decode_message
from qc.verdict import Verdict

_log = logging.getLogger(__name__)


class Outcome(enum.StrEnum):
    """What became of a message."""

    JUDGED = "judged"
    """A new record, with its verdict."""
    UNJUDGED = "unjudged"
    """A new record of a metric set that the detector was not fitted on: stored without a verdict."""
    COPY = "copy"
    """A record that was there already."""
    REFUSED = "refused"
    """No valid record, or another one under a known event id: a dead letter."""
    PARKED = "parked"
    """A record of a newer schema: kept until this software knows it."""


@dataclass(frozen=True, slots=True)
class Judge:
    """By what records are judged."""

    detector: LinearDetector
    rule: AlertRule


def process(connection: Connection, arrival: Arrival, judge: Judge) -> Outcome:
    """Process one message; a second time it changes nothing. Raises SQLAlchemy's errors alone."""
    try:
        record = decode_message(arrival.stored.message)
    except NewerSchemaError as error:
        if store.insert_parked(connection, arrival, error):
            _log.warning("%s: parked: %s", _where(arrival), error)
        return Outcome.PARKED
    except DecodeError as error:
        return _refuse(connection, arrival, error)
    inserted = store.insert_record(connection, record, arrival)
    if inserted is Inserted.COPY:
        return Outcome.COPY
    if inserted is Inserted.CONFLICT:
        conflict = EventConflictError("another record is known under this event id, the first one stands")
        return _refuse(connection, arrival, conflict)
    return _judge(connection, record, judge, arrival.now)


def replay_parked(engine: Engine, judge: Judge, now: float) -> Counter[Outcome]:
    """Process the parked messages that this software knows by now, each in a transaction of its own.

    They come after what followed them in the log, so the alert rule of their sites sees another order than a replay of
    the whole topic would show it. Raises SQLAlchemy's errors.
    """
    outcomes: Counter[Outcome] = Counter()
    with engine.begin() as connection:
        waiting = store.read_parked(connection)
    for stored in waiting:
        arrival = Arrival(stored, now)
        with engine.begin() as connection:
            outcome = process(connection, arrival, judge)
            if outcome is not Outcome.PARKED:
                store.delete_parked(connection, arrival)
        outcomes[outcome] += 1
    return outcomes


def check_detector(connection: Connection, detector: LinearDetector) -> None:
    """Compare the detector with the records that are stored, so that a wrong file is named before anything is read.

    Raises:
        FeatureMismatchError: there are records, and none of them has the metrics that the detector was fitted on.
    """
    columns = (tables.records.c.metric_set_name, tables.records.c.metric_set_version)
    stored = {(row[0], row[1]) for row in connection.execute(select(*columns).distinct())}
    own = (detector.metric_set.name, detector.metric_set.version)
    if stored and own not in stored:
        names = ", ".join(f"{name} {version}" for name, version in sorted(stored))
        raise FeatureMismatchError(
            f"detector {detector.name} {detector.version} was fitted on metric set {own[0]} {own[1]}, but all stored "
            f"records are of {names}: set a detector that was fitted on these"
        )


def _judge(connection: Connection, record: QualityRecord, judge: Judge, now: float) -> Outcome:
    try:
        verdict = judge.detector.judge(record.quality_metrics)
    except FeatureMismatchError as error:
        _log.warning("a record of site %s gets no verdict: %s", record.site_id, error)
        return Outcome.UNJUDGED
    store.insert_verdict(connection, record.event_id, verdict)
    news = [verdict_message(record, verdict)]
    epoch = epoch_of(record, verdict)
    window, alert = update(store.read_window(connection, epoch), case_of(record, verdict), epoch, judge.rule)
    store.write_window(connection, epoch, window, now)
    if alert is not None:
        message = alert_message(alert)
        store.write_alert(connection, alert, json.loads(message.value), now)
        news.append(message)
        _log.warning("alert %s: %s", alert.state, json.loads(message.value)["summary"])
    outbox.queue(connection, news, now)
    return Outcome.JUDGED


def _refuse(connection: Connection, arrival: Arrival, error: QualityError) -> Outcome:
    if store.insert_dead_letter(connection, arrival, error):
        position, name = arrival.stored.position, type(error).__name__
        letter = dead_letter_message(position, name, str(error), arrival.payload_sha256)
        outbox.queue(connection, [letter], arrival.now)
        _log.warning("%s: refused: %s", _where(arrival), error)
    return Outcome.REFUSED


def epoch_of(record: QualityRecord, verdict: Verdict) -> Epoch:
    """The baseline to which a judged record belongs."""
    return Epoch(
        site_id=record.site_id,
        model_name=record.model.name,
        model_version=record.model.version,
        model_sha256=record.model.sha256,
        detector_name=verdict.detector_name,
        detector_version=verdict.detector_version,
        detector_sha256=verdict.detector_sha256,
    )


def case_of(record: QualityRecord, verdict: Verdict) -> Case:
    """What the alert rule sees of a judged record."""
    return Case(
        event_id=record.event_id,
        period=record.period,
        flagged=verdict.low_quality,
        probability=verdict.probability,
        out_of_range=bool(verdict.out_of_range),
        metrics=dict(record.metrics),
    )


def _where(arrival: Arrival) -> str:
    position = arrival.stored.position
    return f"{position.topic}/{position.partition} offset {position.offset}"
