"""One suite for every message log: the embedded journal and Apache Kafka."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from qc.errors import StreamError
from qc.stream.journal import JournalSink, JournalSource
from qc.stream.kafka_admin import ensure_topics
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import Message, Position, Sink, Source, StoredMessage
from qc.stream.topics import Subscription
from tests.contract.kafka_reading import Memory, own_name


class Log(Protocol):
    """One kind of message log, with topics of its own for each test."""

    prefix: str

    def sink(self) -> Sink: ...

    def source(self, subscription: Subscription, start: Memory) -> Source: ...

    def make_topic(self, name: str) -> None: ...


class Journal:
    def __init__(self, folder: Path, made: ExitStack) -> None:
        self.prefix = "test.v1."
        self._folder = folder
        self._made = made

    def sink(self) -> Sink:
        sink = JournalSink(self._folder)
        self._made.callback(sink.close)
        return sink

    def source(self, subscription: Subscription, start: Memory) -> Source:
        source = JournalSource(self._folder, subscription, start)
        self._made.callback(source.close)
        return source

    def make_topic(self, name: str) -> None:
        """A topic of the journal begins with its first message."""


class Kafka:
    def __init__(self, bootstrap: str, made: ExitStack) -> None:
        self.prefix = f"{own_name()}.v1."
        self._connection = KafkaConnection(bootstrap)
        self._made = made

    def sink(self) -> Sink:
        sink = KafkaSink(self._connection, timeout_s=20)
        self._made.callback(sink.close)
        return sink

    def source(self, subscription: Subscription, start: Memory) -> Source:
        source = KafkaSource(self._connection, subscription, start, group=f"{self.prefix}group", discover_s=0.5)
        self._made.callback(source.close)
        return source

    def make_topic(self, name: str) -> None:
        ensure_topics(self._connection, [name])


@pytest.fixture(params=["journal", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    with ExitStack() as made:
        if request.param == "journal":
            yield Journal(tmp_path / "journal", made)
        else:
            yield Kafka(request.getfixturevalue("kafka_bootstrap"), made)


def message(log: Log, text: str, *, topic: str = "a") -> Message:
    return Message(log.prefix + topic, key=f"key-{text}", value=text.encode(), headers={"ce_id": text})


def read(source: Source, memory: Memory, count: int, *, timeout: float = 30) -> list[StoredMessage]:
    """Read exactly `count` messages."""
    deadline = time.monotonic() + timeout
    found: list[StoredMessage] = []
    while len(found) < count and time.monotonic() < deadline:
        for stored in source.poll(1.0):
            found.append(stored)
            memory.remember(stored.position)
            source.processed(stored.position)
            if len(found) == count:
                return found
    raise AssertionError(f"{len(found)} of {count} messages within {timeout} s")


def texts(stored: list[StoredMessage]) -> list[str]:
    return [one.message.value.decode() for one in stored]


def test_messages_come_back_whole_and_in_order(log: Log) -> None:
    sent = [message(log, f"{number}") for number in range(50)]
    sink = log.sink()
    sink.append(sent[:20])
    sink.append(sent[20:])
    found = read(log.source(Subscription(names=(log.prefix + "a",)), Memory()), Memory(), 50)
    assert [one.message for one in found] == sent
    assert [one.position for one in found] == [Position(log.prefix + "a", 0, offset) for offset in range(50)]


@pytest.mark.parametrize("value", [b"", b"\x00\xff\xfe\n\r\n", "Grüße\u2028 \n{}".encode(), bytes(range(256)) * 300])
def test_every_value_survives(log: Log, value: bytes) -> None:
    sent = Message(log.prefix + "a", key="Schlüssel\n", value=value, headers={"name": "Wärme\n", "empty": ""})
    log.sink().append([sent])
    (found,) = read(log.source(Subscription(prefix=log.prefix), Memory()), Memory(), 1)
    assert found.message == sent


def test_an_empty_append_is_no_message(log: Log) -> None:
    sink = log.sink()
    sink.append([])
    sink.append([message(log, "one")])
    source = log.source(Subscription(prefix=log.prefix), Memory())
    assert texts(read(source, Memory(), 1)) == ["one"]
    assert source.lag() == 0


def test_reading_goes_on_where_the_reader_was(log: Log) -> None:
    log.sink().append([message(log, f"{number}") for number in range(10)])
    memory = Memory()
    first = log.source(Subscription(prefix=log.prefix), memory)
    assert texts(read(first, memory, 4)) == ["0", "1", "2", "3"]
    first.close()
    second = log.source(Subscription(prefix=log.prefix), memory)
    assert texts(read(second, memory, 6)) == ["4", "5", "6", "7", "8", "9"]


def test_a_poll_that_is_left_early_loses_nothing(log: Log) -> None:
    log.sink().append([message(log, f"{number}") for number in range(10)])
    memory = Memory()
    source = log.source(Subscription(prefix=log.prefix), memory)
    assert [texts(read(source, memory, 1)) for _ in range(10)] == [[str(number)] for number in range(10)]


def test_a_topic_that_appears_later_is_found(log: Log) -> None:
    sink, memory = log.sink(), Memory()
    sink.append([message(log, "old", topic="a"), Message("other.v1.a", "k", b"not ours")])
    source = log.source(Subscription(prefix=log.prefix), memory)
    assert texts(read(source, memory, 1)) == ["old"]
    log.make_topic(log.prefix + "b")
    sink.append([message(log, "new", topic="b")])
    sink.append([message(log, "more", topic="a")])
    assert sorted(texts(read(source, memory, 2))) == ["more", "new"]


def test_two_sinks_at_once_mix_but_keep_each_order(log: Log) -> None:
    log.make_topic(log.prefix + "a")

    def write(name: str) -> None:
        sink = log.sink()
        for number in range(30):
            sink.append([message(log, f"{name}{number}"), message(log, f"{name}{number}+")])

    writers = [threading.Thread(target=write, args=(name,)) for name in "xy"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = texts(read(log.source(Subscription(prefix=log.prefix), Memory()), Memory(), 120))
    for name in "xy":
        expected = [f"{name}{number}{mark}" for number in range(30) for mark in ("", "+")]
        assert [text for text in found if text.startswith(name)] == expected


def test_lag_counts_what_was_not_yielded(log: Log) -> None:
    sink, memory = log.sink(), Memory()
    sink.append([message(log, f"{number}") for number in range(5)])
    memory.offsets[log.prefix + "a", 0] = 2
    source = log.source(Subscription(prefix=log.prefix), memory)
    assert source.lag() == 3
    read(source, memory, 1)
    assert source.lag() == 2
    sink.append([message(log, "more")])
    assert source.lag() == 3
    read(source, memory, 3)
    assert source.lag() == 0


def test_nothing_there_is_no_message_after_the_timeout(log: Log) -> None:
    log.make_topic(log.prefix + "a")
    source = log.source(Subscription(prefix=log.prefix), Memory())
    begun = time.monotonic()
    assert list(source.poll(0.5)) == []
    assert time.monotonic() - begun < 20


def test_a_log_that_was_replaced_is_read_from_its_start(log: Log) -> None:
    log.sink().append([message(log, "first")])
    memory = Memory()
    memory.offsets[log.prefix + "a", 0] = 7
    assert texts(read(log.source(Subscription(prefix=log.prefix), memory), memory, 1)) == ["first"]


def test_after_close_there_is_an_error_in_words(log: Log) -> None:
    sink, source = log.sink(), log.source(Subscription(prefix=log.prefix), Memory())
    sink.append([message(log, "one")])
    sink.close()
    source.close()
    calls: list[Callable[[], object]] = [
        lambda: sink.append([message(log, "two")]),
        lambda: list(source.poll(0.1)),
        source.lag,
    ]
    for call in calls:
        with pytest.raises(StreamError, match="closed"):
            call()
    sink.close()
    source.close()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "ä", "x" * 250])
def test_a_topic_that_kafka_would_refuse_is_refused(log: Log, name: str) -> None:
    with pytest.raises(StreamError, match="topic name"):
        log.sink().append([Message(name, "k", b"v")])


def test_a_key_that_is_no_text_is_refused(log: Log) -> None:
    with pytest.raises(StreamError, match="UTF-8"):
        log.sink().append([Message(log.prefix + "a", "\ud800", b"v")])
