"""What the central store remembers. Functions work in the caller's transaction and raise SQLAlchemy's own errors."""

import enum
import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from qc.central import tables
from qc.central.alerts import Alert, Epoch, SiteWindow
from qc.central.window_codec import decode_window, encode_window
from qc.errors import QualityError
from qc.record import QualityRecord
from qc.stream.messages import Message, Position, StoredMessage
from qc.verdict import Verdict


class Inserted(enum.Enum):
    """What became of a record that was to be inserted."""

    NEW = enum.auto()
    COPY = enum.auto()
    """The same record was there."""
    CONFLICT = enum.auto()
    """Another record was there under the same event id."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came, and when."""

    stored: StoredMessage
    now: float

    @property
    def payload_sha256(self) -> str:
        """Hash of the value."""
        return hashlib.sha256(self.stored.message.value).hexdigest()

    @property
    def place(self) -> dict[str, Any]:
        """Where it lay in the log, as columns."""
        position = self.stored.position
        return {
            "topic": position.topic,
            "partition_number": position.partition,
            "message_offset": position.offset,
            "payload_sha256": self.payload_sha256,
        }


def insert_record(connection: Connection, record: QualityRecord, arrival: Arrival) -> Inserted:
    """Insert a record unless its event id is there."""
    row = {
        **arrival.place,
        "event_id": record.event_id,
        "site_id": record.site_id,
        "model_name": record.model.name,
        "model_version": record.model.version,
        "model_sha256": record.model.sha256,
        "metric_set_name": record.metric_set.name,
        "metric_set_version": record.metric_set.version,
        "metrics": dict(record.metrics),
        "study_key": record.study_key,
        "period": record.period,
        "software_version": record.software_version,
        "received_at": arrival.now,
    }
    if connection.execute(_insert_if_missing(connection, tables.records).values(row)).rowcount == 1:
        return Inserted.NEW
    known = select(tables.records.c.payload_sha256).where(tables.records.c.event_id == record.event_id)
    return Inserted.COPY if connection.scalar(known) == arrival.payload_sha256 else Inserted.CONFLICT


def insert_verdict(connection: Connection, event_id: str, verdict: Verdict) -> None:
    """Insert the verdict on a record."""
    contributions = [
        {
            "metric": part.metric,
            "value": part.value,
            "standardised": part.standardised,
            "coefficient": part.coefficient,
            "contribution": part.contribution,
        }
        for part in verdict.contributions
    ]
    row = {
        "event_id": event_id,
        "detector_name": verdict.detector_name,
        "detector_version": verdict.detector_version,
        "detector_sha256": verdict.detector_sha256,
        "probability": verdict.probability,
        "threshold": verdict.threshold,
        "low_quality": verdict.low_quality,
        "contributions": contributions,
        "out_of_range": list(verdict.out_of_range),
    }
    connection.execute(insert(tables.verdicts).values(row))


def read_window(connection: Connection, epoch: Epoch) -> SiteWindow:
    """Read what the alert rule remembers of an epoch, and lock it; empty for a new epoch."""
    table = tables.site_windows
    row = connection.execute(select(table.c.window).where(*_is_epoch(epoch)).with_for_update()).first()
    return SiteWindow() if row is None else decode_window(row.window)


def write_window(connection: Connection, epoch: Epoch, window: SiteWindow, now: float) -> None:
    """Remember the state of an epoch."""
    values = {"cases": window.cases, "window": encode_window(window), "updated_at": now}
    table = tables.site_windows
    if connection.execute(update(table).where(*_is_epoch(epoch)).values(values)).rowcount == 0:
        identity = {name: getattr(epoch, name) for name in Epoch.__dataclass_fields__}
        connection.execute(insert(table).values({**identity, **values}))


def write_alert(connection: Connection, alert: Alert, content: dict[str, Any], now: float) -> None:
    """Insert an alert that fires, or mark it as resolved; `content` is its published message."""
    table = tables.alerts
    if alert.state == "resolved":
        values = {"state": alert.state, "resolved": content, "resolved_at": now}
        connection.execute(update(table).where(table.c.alert_id == alert.alert_id).values(values))
        return
    row = {
        "alert_id": alert.alert_id,
        "state": alert.state,
        "site_id": alert.epoch.site_id,
        "model_sha256": alert.epoch.model_sha256,
        "detector_sha256": alert.epoch.detector_sha256,
        "raised": content,
        "raised_at": now,
    }
    connection.execute(insert(table).values(row))


def insert_dead_letter(connection: Connection, arrival: Arrival, error: QualityError) -> bool:
    """Note that a message was refused; False when that was noted before. Its bytes are not kept."""
    row = {**arrival.place, "error": type(error).__name__, "reason": str(error), "received_at": arrival.now}
    return connection.execute(_insert_if_missing(connection, tables.dead_letters).values(row)).rowcount == 1


def insert_parked(connection: Connection, arrival: Arrival, error: QualityError) -> bool:
    """Keep a message of a newer schema as it came; False when it was kept before."""
    message = arrival.stored.message
    row = {
        **arrival.place,
        # what nobody checked may hold NUL, which PostgreSQL takes in no text
        "message_key": message.key.replace("\0", ""),
        "headers": {name.replace("\0", ""): text.replace("\0", "") for name, text in message.headers.items()},
        "payload": message.value,
        "reason": str(error),
        "parked_at": arrival.now,
    }
    return connection.execute(_insert_if_missing(connection, tables.parked).values(row)).rowcount == 1


def read_parked(connection: Connection) -> list[StoredMessage]:
    """All parked messages in the order of the log."""
    table = tables.parked
    order = (table.c.topic, table.c.partition_number, table.c.message_offset, table.c.payload_sha256)
    return [
        StoredMessage(
            Message(row.topic, row.message_key, bytes(row.payload), row.headers),
            Position(row.topic, row.partition_number, row.message_offset),
        )
        for row in connection.execute(select(table).order_by(*order))
    ]


def delete_parked(connection: Connection, arrival: Arrival) -> bool:
    """Forget a parked message; False when it was not there."""
    table = tables.parked
    is_it = [table.c[name] == value for name, value in arrival.place.items()]
    return connection.execute(table.delete().where(*is_it)).rowcount == 1


def write_position(connection: Connection, position: Position, now: float) -> None:
    """Remember that everything up to and including this message was processed."""
    table = tables.positions
    values = {"next_offset": position.offset + 1, "updated_at": now}
    is_it = (table.c.topic == position.topic, table.c.partition_number == position.partition)
    if connection.execute(update(table).where(*is_it).values(values)).rowcount == 0:
        row = {"topic": position.topic, "partition_number": position.partition, **values}
        connection.execute(insert(table).values(row))


def read_next_offset(connection: Connection, topic: str, partition: int) -> int:
    """First offset that was not processed yet, 0 for a new partition."""
    table = tables.positions
    found = select(table.c.next_offset).where(table.c.topic == topic, table.c.partition_number == partition)
    return connection.scalar(found) or 0


def _is_epoch(epoch: Epoch) -> tuple[Any, ...]:
    table = tables.site_windows
    return (
        table.c.site_id == epoch.site_id,
        table.c.model_sha256 == epoch.model_sha256,
        table.c.detector_sha256 == epoch.detector_sha256,
    )


def _insert_if_missing(connection: Connection, table: Table) -> Insert:
    if connection.dialect.name == "postgresql":
        return postgresql_insert(table).on_conflict_do_nothing()
    return sqlite_insert(table).on_conflict_do_nothing()
