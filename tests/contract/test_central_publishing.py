"""Several centrals over one PostgreSQL store publish one after the other."""

from collections.abc import Callable, Sequence

import pytest

from qc.central import outbox, tables
from qc.errors import StreamError
from qc.stream.messages import Message
from segwatch.database import make_engine


class Log:
    """Takes messages, and lets something happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.messages: list[Message] = []
        self._meanwhile = meanwhile

    def append(self, messages: Sequence[Message]) -> None:
        self._meanwhile()
        self.messages.extend(messages)

    def close(self) -> None: ...


def test_a_central_leaves_to_another_what_that_is_publishing(postgres_url: str) -> None:
    engine, others = make_engine(postgres_url), make_engine(postgres_url)
    tables.create_tables(engine)
    told = [Message("alerts", "site", b"%d" % number) for number in range(outbox.BATCH + 1)]
    with engine.begin() as connection:
        outbox.queue(connection, told, 0.0)
    counts: list[int] = []

    def fail() -> None:
        raise StreamError("away")

    # one that fails gives way too
    with pytest.raises(StreamError):
        outbox.drain(engine, Log(fail))
    theirs = Log(lambda: None)
    ours = Log(lambda: counts.append(outbox.drain(others, theirs)))
    assert outbox.drain(engine, ours) == len(told)
    assert (ours.messages, theirs.messages, counts) == (told, [], [0, 0])
    with engine.begin() as connection:
        outbox.queue(connection, told[:1], 0.0)
    assert outbox.drain(others, theirs) == 1
    engine.dispose()
    others.dispose()
