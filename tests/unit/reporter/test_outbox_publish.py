"""Records leave the outbox byte for byte."""

from sqlalchemy import Engine

from qc.stream.messages import Message
from reporter import outbox
from reporter.outbox import Run
from reporter.publish import Publisher
from tests.unit.reporter.outbox_room import KEY, POLICY, Clock, FakeSender, FakeSink, items, make, queue, states


def record(engine: Engine, version: int) -> Message:
    message = Message("segwatch.metrics.v1.a", "k", b"%d" % version, {"ce_id": f"e{version}"})
    with engine.begin() as connection:
        outbox.add_message(connection, Run(KEY, version, 0), "stream", f"e{version}", message, now=1000.0)
    return message


def test_records_reach_the_log_byte_for_byte_and_in_order(engine: Engine, clock: Clock) -> None:
    messages = [record(engine, version) for version in range(1, 6)]
    sink = FakeSink()
    Publisher(engine, "stream", sink, policy=POLICY, clock=clock).drain_once(clock.now)
    assert sink.appended == messages
    assert set(states(engine).values()) == {"done"}


def test_a_log_that_is_away_loses_nothing(engine: Engine, clock: Clock) -> None:
    messages = [record(engine, version) for version in range(1, 6)]
    sink = FakeSink()
    sink.away = True
    publisher = Publisher(engine, "stream", sink, policy=POLICY, clock=clock)
    publisher.drain_once(clock.now)
    assert items(engine)[1].last_error == "the log does not answer"
    sink.away = False
    clock.now += 1000
    publisher.drain_once(clock.now)
    assert sorted(message.value for message in sink.appended) == [message.value for message in messages]


def test_a_payload_that_cannot_be_read_is_blocked(engine: Engine, clock: Clock) -> None:
    record(engine, 1)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET payload = x'00'")
    record(engine, 2)
    Publisher(engine, "stream", FakeSink(), policy=POLICY, clock=clock).drain_once(clock.now)
    assert states(engine) == {1: "blocked", 2: "done"}


def test_delivery_and_publishing_leave_each_others_items_alone(
    engine: Engine, sender: FakeSender, clock: Clock
) -> None:
    queue(engine, 1)
    record(engine, 2)
    make(engine, sender, clock).drain_once(clock.now)
    assert states(engine) == {1: "done", 2: "waiting"}
