"""Replaying a topic into an empty store gives the same verdicts and alerts, however the sites interleave."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from qc.central import store, tables
from qc.central.processing import Outcome, process
from qc.central.store import Arrival
from qc.stream.messages import Message, Position, StoredMessage
from segwatch.database import make_engine
from tests.unit.qc_central.samples import BAD, GOOD, judge, message, rows

SITES = ("site-a", "site-b", "site-c")


def empty_store() -> Engine:
    engine = make_engine("sqlite://")
    tables.create_tables(engine)
    return engine


def consume(engine: Engine, log: Sequence[StoredMessage], *, now: float = 0.0) -> list[Outcome]:
    outcomes = []
    for stored in log:
        with engine.begin() as connection:
            outcomes.append(process(connection, Arrival(stored, now), judge()))
            store.write_position(connection, stored.position, now)
    return outcomes


def conclusions(engine: Engine) -> dict[str, Any]:
    """All that central says, without the times at which it said it."""
    with engine.begin() as connection:
        found: dict[str, Any] = {
            table.name: [{k: v for k, v in row.items() if not k.endswith("_at")} for row in rows(connection, table)]
            for table in (tables.records, tables.verdicts, tables.site_windows, tables.alerts, tables.dead_letters)
        }
        queued = rows(connection, tables.outbox)
    found["outbox"] = sorted((row["topic"], row["message_key"], row["payload"], str(row["headers"])) for row in queued)
    # one site's messages keep their order
    found["order"] = [[row["payload"] for row in queued if row["message_key"] == site] for site in SITES]
    return found


@st.composite
def topics(draw: st.DrawFn) -> dict[str, list[Message]]:
    """Per site a run of cases that get worse and better, with copies and what is no record in between."""
    found = {}
    for site in SITES:
        runs = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 10)), max_size=4))
        smoothness = [BAD if bad else GOOD for bad, length in runs for _ in range(length)]
        messages = [message(site, number, value) for number, value in enumerate(smoothness)]
        for index in draw(st.lists(st.integers(0, len(messages) - 1), max_size=4)) if messages else []:
            messages.insert(draw(st.integers(index, len(messages))), messages[index])
        if draw(st.booleans()):
            messages.append(Message(message(site, 0).topic, "k", b"no record", {}))
        found[site] = messages
    return found


def interleave(data: st.DataObject, messages: dict[str, list[Message]]) -> list[StoredMessage]:
    turns = [site for site in SITES for _ in messages[site]]
    order = data.draw(st.permutations(turns))
    taken = dict.fromkeys(SITES, 0)
    log = []
    for site in order:
        one = messages[site][taken[site]]
        log.append(StoredMessage(one, Position(one.topic, 0, taken[site])))
        taken[site] += 1
    return log


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_replay_reproduces_everything(data: st.DataObject) -> None:
    messages = data.draw(topics())
    first, second, third = empty_store(), empty_store(), empty_store()
    log = interleave(data, messages)
    consume(first, log, now=1.0)
    consume(second, interleave(data, messages), now=2.0)
    # a consumer that crashed and lost some offsets reads part of the log again
    again = data.draw(st.integers(0, len(log)))
    consume(third, log[:again])
    back = data.draw(st.integers(0, again))
    repeated = consume(third, log[back:])
    assert set(repeated[: again - back]) <= {Outcome.COPY, Outcome.REFUSED}
    expected = conclusions(first)
    assert conclusions(second) == expected
    assert conclusions(third) == expected
    for engine in (first, second, third):
        engine.dispose()
