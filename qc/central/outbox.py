"""Messages of central on their way to the log: written with what they tell about, published after it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select

from qc.central.tables import outbox
from qc.stream.messages import Message, Sink

BATCH = 200
PUBLISHING = 0x7365677761746368
"""Key of PostgreSQL's advisory lock: 'segwatch' in ASCII."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A message and its number in the outbox."""

    number: int
    message: Message


def queue(connection: Connection, messages: Sequence[Message], now: float) -> None:
    """Queue messages in order, inside the caller's transaction."""
    for message in messages:
        connection.execute(
            insert(outbox).values(
                topic=message.topic,
                message_key=message.key,
                headers=dict(message.headers),
                payload=message.value,
                queued_at=now,
            )
        )


def waiting(connection: Connection) -> int:
    """How many messages were not published yet."""
    return connection.scalar(select(func.count()).select_from(outbox)) or 0


def drain(engine: Engine, sink: Sink) -> int:
    """Publish everything that waits, oldest first; returns how many.

    A message leaves the outbox after the log confirmed it. A crash in between publishes it once more with the same
    `ce_id`. No transaction is open while the log is asked. Where several centrals share a store, one publishes at a
    time and the others leave it to that one: else a late copy of an alert's beginning could come after its end.

    Raises:
        StreamError: the log does not take them; they stay.
    """
    published = 0
    with _publishing(engine) as is_ours:
        while is_ours and (batch := _oldest(engine)):
            sink.append([queued.message for queued in batch])
            numbers = [queued.number for queued in batch]
            with engine.begin() as connection:
                connection.execute(delete(outbox).where(outbox.c.message_number.in_(numbers)))
            published += len(batch)
    return published


@contextlib.contextmanager
def _publishing(engine: Engine) -> Iterator[bool]:
    """Whether it is ours to publish; a process that dies meanwhile gives it back with its connection."""
    if engine.dialect.name != "postgresql":  # SQLite is for one central
        yield True
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        is_ours = bool(connection.scalar(select(func.pg_try_advisory_lock(PUBLISHING))))
        try:
            yield is_ours
        finally:
            if is_ours:
                connection.execute(select(func.pg_advisory_unlock(PUBLISHING)))


def _oldest(engine: Engine) -> list[Queued]:
    with engine.begin() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.message_number).limit(BATCH)).all()
    return [
        Queued(row.message_number, Message(row.topic, row.message_key, bytes(row.payload), row.headers)) for row in rows
    ]
