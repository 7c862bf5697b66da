"""Messages of central on their way to the log: written with what they tell about, published after it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select

from qc.central.tables import outbox
from qc.stream.messages import Message, Sink

BATCH = 200


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
    `ce_id`. No transaction is open while the log is asked.

    Raises:
        StreamError: the log does not take them; they stay.
    """
    published = 0
    while batch := _oldest(engine):
        sink.append([queued.message for queued in batch])
        with engine.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.message_number.in_([queued.number for queued in batch])))
        published += len(batch)
    return published


def _oldest(engine: Engine) -> list[Queued]:
    with engine.begin() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.message_number).limit(BATCH)).all()
    return [
        Queued(row.message_number, Message(row.topic, row.message_key, bytes(row.payload), row.headers)) for row in rows
    ]
