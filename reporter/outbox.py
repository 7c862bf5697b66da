"""The durable outbox: what was built is kept until its destination confirmed it.

Every function works inside the caller's transaction; `now` is Unix time in seconds. Separate processes may drain the
same outbox: an item under way is leased, so that a second process leaves it alone while the first is alive.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from qc.stream.messages import Message
from reporter.errors import UnknownRecordError
from reporter.message_payload import encode_message
from reporter.outbox_table import ItemKind, ItemState, OutboxItem, Run, item_of, metadata, outbox_table

__all__ = [
    "ItemKind", "ItemState", "OutboxItem", "Run", "add_instance", "add_message", "all_done", "extend_leases",
    "find_by_event_id", "find_by_series", "lease_due", "mark_done", "mark_failed", "metadata", "next_due_at",
    "release", "remove", "retry_now", "withdraw_instances", "withdraw_open",
]  # fmt: skip

ERROR_LENGTH = 500
"""Characters of `last_error` that are kept."""


def add_instance(connection: Connection, run: Run, destination: str, path: Path, *, now: float) -> OutboxItem:
    """Queue a DICOM file for a destination; the same run again returns the item that is there."""
    return _add(connection, _key(ItemKind.DICOM, run, destination), {"path": str(path)}, now=now)


def add_message(
    connection: Connection, run: Run, destination: str, event_id: str, message: Message, *, now: float
) -> OutboxItem:
    """Queue a record for the message log; the same run again returns the item that is there, bytes unchanged."""
    values: dict[str, str | bytes] = {"event_id": event_id, "payload": encode_message(message)}
    return _add(connection, _key(ItemKind.RECORD, run, destination), values, now=now)


def _key(kind: ItemKind, run: Run, destination: str) -> dict[str, str | int]:
    return {
        "kind": kind.value,
        "destination": destination,
        "series_key": run.series_key,
        "series_version": run.series_version,
        "generation": run.generation,
    }


def _add(
    connection: Connection, key: Mapping[str, str | int], values: Mapping[str, str | bytes], *, now: float
) -> OutboxItem:
    found = _find(connection, key)
    if found is not None:
        return found
    row = {**key, **values, "state": ItemState.WAITING.value, "attempts": 0, "next_attempt_at": now, "created_at": now}
    try:
        with connection.begin_nested():  # another process may add the same item between the look and the insert
            connection.execute(insert(outbox_table).values(**row))
    except IntegrityError:
        pass
    added = _find(connection, key)
    if added is None:  # only a deletion in between explains it
        raise RuntimeError("an outbox item vanished while it was added")
    return added


def _find(connection: Connection, key: Mapping[str, str | int]) -> OutboxItem | None:
    matches = and_(*(outbox_table.c[name] == value for name, value in key.items()))
    row = connection.execute(select(outbox_table).where(matches)).mappings().one_or_none()
    return None if row is None else item_of(dict(row))


def lease_due(
    connection: Connection, kind: ItemKind, destination: str, owner: str, *, now: float, seconds: float, limit: int
) -> list[OutboxItem]:
    """Take up to `limit` due items of one destination, oldest first, that nobody alive holds.

    Args:
        owner: who takes them; unique among processes.
        seconds: after this long the items are free again, for the case that the owner dies.
    """
    due = (
        select(outbox_table)
        .where(outbox_table.c.kind == kind.value, outbox_table.c.destination == destination, _open(), _free(now))
        .where(outbox_table.c.next_attempt_at <= now)
        .order_by(outbox_table.c.created_at, outbox_table.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    items = [item_of(dict(row)) for row in connection.execute(due).mappings()]
    if items:
        connection.execute(
            update(outbox_table)
            .where(outbox_table.c.id.in_([item.id for item in items]))
            .values(lease_owner=owner, lease_until=now + seconds)
        )
    return items


def extend_leases(connection: Connection, items: Sequence[int], owner: str, *, until: float) -> None:
    """Keep items that are still under way."""
    held = and_(outbox_table.c.id.in_(list(items)), outbox_table.c.lease_owner == owner)
    connection.execute(update(outbox_table).where(held).values(lease_until=until))


def release(connection: Connection, owner: str) -> None:
    """Free everything that `owner` holds, e.g. what a process of the same name left behind when it died."""
    held = outbox_table.c.lease_owner == owner
    connection.execute(update(outbox_table).where(held).values(lease_owner=None, lease_until=None))


def next_due_at(connection: Connection, kind: ItemKind, destination: str) -> float | None:
    """When the next item of a destination can be taken, as far as known now; None when nothing is open."""
    lease, attempt = outbox_table.c.lease_until, outbox_table.c.next_attempt_at
    free_at = case((lease > attempt, lease), else_=attempt)
    earliest: float | None = connection.execute(
        select(func.min(free_at)).where(
            outbox_table.c.kind == kind.value, outbox_table.c.destination == destination, _open()
        )
    ).scalar_one()
    return earliest


def mark_done(connection: Connection, item_id: int, *, now: float) -> None:
    """The destination confirmed the item. Whoever holds the lease: what arrived has arrived."""
    connection.execute(
        update(outbox_table)
        .where(outbox_table.c.id == item_id, _open())
        .values(
            state=ItemState.DONE.value,
            attempts=outbox_table.c.attempts + 1,
            done_at=now,
            last_error=None,
            lease_owner=None,
            lease_until=None,
        )
    )


def mark_failed(
    connection: Connection, item: OutboxItem, owner: str, error: str, *, next_attempt_at: float, blocked: bool = False
) -> None:
    """A try failed; the item stays open. Nothing happens when another owner has taken the item meanwhile.

    Args:
        error: one sentence without patient data.
        blocked: the destination refused it, so that only a person can change the outcome.
    """
    connection.execute(
        update(outbox_table)
        .where(outbox_table.c.id == item.id, outbox_table.c.lease_owner == owner, _open())
        .values(
            state=(ItemState.BLOCKED if blocked else ItemState.WAITING).value,
            attempts=outbox_table.c.attempts + 1,
            next_attempt_at=next_attempt_at,
            last_error=error[:ERROR_LENGTH],
            lease_owner=None,
            lease_until=None,
        )
    )


def retry_now(connection: Connection, *, now: float, series_key: str | None = None) -> int:
    """Make open items of a series, or of all, due at once by a person's wish; returns how many."""
    chosen = _open() if series_key is None else and_(_open(), outbox_table.c.series_key == series_key)
    return connection.execute(update(outbox_table).where(chosen).values(next_attempt_at=now)).rowcount


def find_by_event_id(connection: Connection, event_id: str) -> OutboxItem:
    """The record of an event id, from which its series is known.

    Raises:
        UnknownRecordError: no record of this id was made here, or it was forgotten.
    """
    row = connection.execute(select(outbox_table).where(outbox_table.c.event_id == event_id)).mappings().first()
    if row is None:
        raise UnknownRecordError(f"no record {event_id} was made at this site, or its series was forgotten")
    return item_of(dict(row))


def find_by_series(connection: Connection, series_key: str) -> list[OutboxItem]:
    """All items of a series, oldest first."""
    rows = connection.execute(
        select(outbox_table).where(outbox_table.c.series_key == series_key).order_by(outbox_table.c.id)
    )
    return [item_of(dict(row)) for row in rows.mappings()]


def all_done(connection: Connection, series_key: str, series_version: int) -> bool:
    """Whether every result of a series version is confirmed; False while there is none at all."""
    states = connection.execute(
        select(outbox_table.c.state).where(
            outbox_table.c.series_key == series_key, outbox_table.c.series_version == series_version
        )
    ).scalars()
    found = list(states)
    return bool(found) and all(state == ItemState.DONE.value for state in found)


def withdraw_open(connection: Connection, series_key: str) -> int:
    """Take back what a series has not had confirmed, by a person's wish; returns how many.

    An item that is under way at this moment may still arrive.
    """
    mine = and_(outbox_table.c.series_key == series_key, _open())
    return connection.execute(delete(outbox_table).where(mine)).rowcount


def withdraw_instances(connection: Connection, series_key: str, *, before_version: int) -> frozenset[int]:
    """Take back the DICOM files of earlier versions that are not confirmed; returns of which versions there were some.

    An item that is under way at this moment may still arrive.
    """
    table = outbox_table.c
    old = and_(
        table.series_key == series_key, table.series_version < before_version, table.kind == ItemKind.DICOM.value
    )
    query = delete(outbox_table).where(old, _open()).returning(table.series_version)
    return frozenset(connection.execute(query).scalars())


def remove(connection: Connection, series_key: str) -> int:
    """Forget every item of a series, sent or not; returns how many."""
    return connection.execute(delete(outbox_table).where(outbox_table.c.series_key == series_key)).rowcount


def _open() -> ColumnElement[bool]:
    return outbox_table.c.state != ItemState.DONE.value


def _free(now: float) -> ColumnElement[bool]:
    return or_(outbox_table.c.lease_until.is_(None), outbox_table.c.lease_until <= now)
