"""What people did to series: kept with who, when and why, and never changed afterwards."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Column, Connection, Double, Integer, MetaData, String, Table, Text, insert, select

metadata = MetaData()

acts_table = Table(
    "acts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_key", String(64), nullable=False, index=True),
    Column("act", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("acted_at", Double, nullable=False),
)


class ActKind(StrEnum):
    """What a person may do to a series."""

    REPROCESS = "reprocess"
    REJECT = "reject"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Act:
    """One act of a person."""

    series_key: str
    kind: ActKind
    by: str
    reason: str
    at: float
    """Unix time in seconds."""


def keep_act(connection: Connection, act: Act) -> None:
    """Add an act to the log of acts, in the transaction that carries it out."""
    connection.execute(
        insert(acts_table).values(
            series_key=act.series_key, act=act.kind.value, by=act.by, reason=act.reason, acted_at=act.at
        )
    )


def find_acts(connection: Connection, series_key: str | None = None) -> list[Act]:
    """Acts on one series or on all, oldest first."""
    query = select(acts_table).order_by(acts_table.c.id)
    if series_key is not None:
        query = query.where(acts_table.c.series_key == series_key)
    rows = connection.execute(query)
    return [Act(row.series_key, ActKind(row.act), row.by, row.reason, row.acted_at) for row in rows]
