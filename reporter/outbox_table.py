"""The rows of the outbox and what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

outbox_table = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("series_key", String(64), nullable=False),
    Column("series_version", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("event_id", String(64)),
    Column("payload", LargeBinary),
    Column("path", Text),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("lease_owner", String(128)),
    Column("lease_until", Double),
    Column("last_error", Text),
    Column("created_at", Double, nullable=False),
    Column("done_at", Double),
    UniqueConstraint("kind", "destination", "series_key", "series_version", "generation", name="outbox_one_per_run"),
    Index("outbox_due", "state", "next_attempt_at"),
    Index("outbox_series", "series_key", "series_version"),
    Index("outbox_event", "event_id"),
)


class ItemKind(StrEnum):
    """What leaves the site, and how."""

    DICOM = "dicom"
    """A DICOM file, by C-STORE."""
    RECORD = "record"
    """A quality record, to the message log."""


class ItemState(StrEnum):
    """Only `DONE` is final."""

    WAITING = "waiting"
    DONE = "done"
    """The destination confirmed it."""
    BLOCKED = "blocked"
    """The destination refuses it; it is still tried, after the longest back-off, and shown."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run over one version of a series; each run has at most one item per kind and destination."""

    series_key: str
    series_version: int
    generation: int
    """0 for the first run; each reprocessing by a person raises it by one."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """Something that must reach one destination."""

    id: int
    kind: ItemKind
    destination: str
    """Name in the settings."""
    run: Run
    event_id: str | None
    """Of a record: what an alert quotes."""
    payload: bytes | None
    """Of a record: the message as it is sent at each try, see `reporter.message_payload`."""
    path: Path | None
    """Of a DICOM result: the file."""
    state: ItemState
    attempts: int
    """Tries that have ended."""
    next_attempt_at: float
    """Unix time in seconds, like all times here."""
    last_error: str | None
    """One sentence without patient data."""
    created_at: float
    done_at: float | None


def item_of(row: Mapping[str, Any]) -> OutboxItem:
    """Make the record of a row."""
    return OutboxItem(
        id=row["id"],
        kind=ItemKind(row["kind"]),
        destination=row["destination"],
        run=Run(row["series_key"], row["series_version"], row["generation"]),
        event_id=row["event_id"],
        payload=None if row["payload"] is None else bytes(row["payload"]),
        path=None if row["path"] is None else Path(row["path"]),
        state=ItemState(row["state"]),
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
        created_at=row["created_at"],
        done_at=row["done_at"],
    )
