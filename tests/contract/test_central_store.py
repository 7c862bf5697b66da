"""The central consumer over its store, once on SQLite and once on PostgreSQL, with the embedded journal as the log."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from qc.central import outbox, store, tables
from qc.central.consumer import CentralConsumer, StoredPositions
from qc.central.processing import Judge, Outcome, replay_parked
from qc.central.store import Arrival
from qc.errors import FeatureMismatchError, StoreError, StreamError
from qc.record import record_message
from qc.stream.journal import JournalSink, JournalSource
from qc.stream.messages import Message, Position, Sink, StoredMessage
from qc.stream.topics import ALERTS, ALL_METRICS, DEAD_LETTERS, VERDICTS, Subscription
from segwatch.database import make_engine
from tests.unit.qc_central.samples import BAD, GOOD, decline, detector, judge, message, record, rows

NOW = 1_800_000_000.0


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    tables.create_tables(engine)
    yield engine
    engine.dispose()


class FailingSink:
    """A log that is away."""

    def append(self, messages: Sequence[Message]) -> None:
        raise StreamError(f"the log is away, {len(messages)} messages wait")

    def close(self) -> None:
        pass


class Central:
    """A consumer over a journal; each instance is what a restarted process would be."""

    def __init__(self, engine: Engine, folder: Path, *, sink: Sink | None = None, by: Judge | None = None) -> None:
        self.source = JournalSource(folder, ALL_METRICS, StoredPositions(engine))
        self.consumer = CentralConsumer(
            source=self.source,
            sink=sink or JournalSink(folder),
            engine=engine,
            judge=by or judge(),
            clock=lambda: NOW,
        )


class NoStart:
    def next_offset(self, _topic: str, _partition: int) -> int:
        return 0


def published(folder: Path, topic: str) -> list[dict[str, Any]]:
    source = JournalSource(folder, Subscription(names=(topic,)), NoStart())
    return [json.loads(stored.message.value) for stored in source.poll(0)]


def test_a_decline_gives_verdicts_and_one_alert(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append(decline("site-a", 20, 6))
    summary = Central(engine, tmp_path).consumer.consume_available()
    assert summary.outcomes == {Outcome.JUDGED: 26}
    assert summary.published == 27
    verdicts, alerts = published(tmp_path, VERDICTS), published(tmp_path, ALERTS)
    assert [verdict["low_quality"] for verdict in verdicts] == [False] * 20 + [True] * 6
    (alert,) = alerts
    assert (alert["state"], alert["site_id"], alert["baseline"]["flagged"]) == ("firing", "site-a", 0)
    with engine.begin() as connection:
        assert len(rows(connection, tables.records)) == 26
        (row,) = rows(connection, tables.alerts)
        assert row["raised"] == alert
        assert outbox.waiting(connection) == 0


def test_a_recovery_resolves_the_alert_and_a_second_decline_is_a_second_alert(engine: Engine, tmp_path: Path) -> None:
    smoothness = [GOOD] * 20 + [BAD] * 6 + [GOOD] * 12 + [BAD] * 6
    JournalSink(tmp_path).append([message("site-a", number, value) for number, value in enumerate(smoothness)])
    Central(engine, tmp_path).consumer.consume_available()
    alerts = published(tmp_path, ALERTS)
    assert [alert["state"] for alert in alerts] == ["firing", "resolved", "firing"]
    assert alerts[0]["alert_id"] == alerts[1]["alert_id"] != alerts[2]["alert_id"]
    with engine.begin() as connection:
        assert sorted(row["state"] for row in rows(connection, tables.alerts)) == ["firing", "resolved"]


def test_copies_change_nothing(engine: Engine, tmp_path: Path) -> None:
    sink = JournalSink(tmp_path)
    sink.append([message("site-a", 1), message("site-a", 1), message("site-a", 2)])
    assert Central(engine, tmp_path).consumer.consume_available().outcomes == {Outcome.JUDGED: 2, Outcome.COPY: 1}
    sink.append([message("site-a", 2)])
    assert Central(engine, tmp_path).consumer.consume_available().outcomes == {Outcome.COPY: 1}
    with engine.begin() as connection:
        assert len(rows(connection, tables.verdicts)) == 2
    assert len(published(tmp_path, VERDICTS)) == 2


def test_other_bytes_under_a_known_event_id_are_refused(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append([message("site-a", 1, GOOD), message("site-a", 1, BAD)])
    summary = Central(engine, tmp_path).consumer.consume_available()
    assert summary.outcomes == {Outcome.JUDGED: 1, Outcome.REFUSED: 1}
    (letter,) = published(tmp_path, DEAD_LETTERS)
    assert (letter["error"], letter["offset"]) == ("EventConflictError", 1)
    with engine.begin() as connection:
        assert rows(connection, tables.records)[0]["metrics"]["smoothness"] == GOOD


@pytest.mark.parametrize("value", [b"", b"DOE^JANE", b"\x00\xff", b'{"patient_name":"DOE^JANE"}'])
def test_what_is_no_record_becomes_a_dead_letter_without_its_bytes(
    engine: Engine, tmp_path: Path, value: bytes
) -> None:
    good = message("site-a", 1)
    JournalSink(tmp_path).append([Message(good.topic, "DOE^JANE\0", value, good.headers), good])
    summary = Central(engine, tmp_path).consumer.consume_available()
    assert summary.outcomes == {Outcome.JUDGED: 1, Outcome.REFUSED: 1}
    (letter,) = published(tmp_path, DEAD_LETTERS)
    assert letter["error"] == "DecodeError"
    assert "DOE" not in json.dumps(letter)
    with engine.begin() as connection:
        (row,) = rows(connection, tables.dead_letters)
    assert "DOE" not in str(row)


def test_a_record_under_another_sites_topic_is_refused(engine: Engine, tmp_path: Path) -> None:
    mine = message("site-a", 1)
    JournalSink(tmp_path).append([Message(mine.topic.replace("site-a", "site-b"), mine.key, mine.value, mine.headers)])
    assert Central(engine, tmp_path).consumer.consume_available().outcomes == {Outcome.REFUSED: 1}


def newer(site: str, number: int) -> Message:
    """A record of the next schema version."""
    current = message(site, number)
    content = json.loads(current.value) | {"schema_version": 2, "surprise": "\0"}
    headers = {**current.headers, "ce_type": current.headers["ce_type"][:-1] + "2", "x": "\0"}
    return Message(current.topic, current.key + "\0", json.dumps(content).encode(), headers)


def test_a_newer_record_is_parked_as_it_came_and_stays_parked_until_it_is_known(engine: Engine, tmp_path: Path) -> None:
    parked = newer("site-a", 1)
    JournalSink(tmp_path).append([parked, parked, message("site-a", 2)])
    summary = Central(engine, tmp_path).consumer.consume_available()
    assert summary.outcomes == {Outcome.PARKED: 2, Outcome.JUDGED: 1}
    assert replay_parked(engine, judge(), NOW) == {Outcome.PARKED: 2}
    with engine.begin() as connection:
        assert [row["payload"] for row in rows(connection, tables.parked)] == [parked.value] * 2
    assert published(tmp_path, DEAD_LETTERS) == []


def test_a_parked_record_that_is_known_by_now_is_processed_once(engine: Engine) -> None:
    known = message("site-a", 1)
    arrival = Arrival(StoredMessage(known, Position(known.topic, 0, 0)), NOW)
    with engine.begin() as connection:
        store.insert_parked(connection, arrival, StreamError("as if this software had been older"))
    assert replay_parked(engine, judge(), NOW) == {Outcome.JUDGED: 1}
    assert replay_parked(engine, judge(), NOW) == {}
    with engine.begin() as connection:
        assert len(rows(connection, tables.verdicts)) == 1
        assert outbox.waiting(connection) == 1


def test_a_log_that_takes_nothing_keeps_the_news_for_the_next_start(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append(decline("site-a", 20, 6))
    first = Central(engine, tmp_path, sink=FailingSink())
    with pytest.raises(StreamError, match="away"):
        first.consumer.consume_available()
    with engine.begin() as connection:
        assert outbox.waiting(connection) == 27
    assert Central(engine, tmp_path).consumer.consume_available().published == 27
    assert len(published(tmp_path, VERDICTS)) == 26
    assert len(published(tmp_path, ALERTS)) == 1


def test_a_store_that_fails_loses_no_message_and_refuses_none(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append([message("site-a", number) for number in range(3)])
    central = Central(engine, tmp_path)
    central.consumer.prepare()
    failing = True

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if failing and "INSERT INTO central_verdicts" in statement:
            raise OperationalError("INSERT", {}, Exception("the disk is full"))

    event.listen(engine, "before_cursor_execute", fail)
    for _ in range(2):
        with pytest.raises(StoreError, match="central store does not answer"):
            central.consumer.consume_available()
    with engine.begin() as connection:
        assert rows(connection, tables.records) == []
        assert rows(connection, tables.positions) == []
    failing = False
    assert central.consumer.consume_available().outcomes == {Outcome.JUDGED: 3}
    with engine.begin() as connection:
        assert len(rows(connection, tables.verdicts)) == 3
        assert rows(connection, tables.dead_letters) == []


def test_a_running_consumer_waits_for_the_store_and_ends_when_told(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append([message("site-a", 1)])
    central = Central(engine, tmp_path)
    stop, failed = threading.Event(), threading.Event()

    def fail_once(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not failed.is_set() and "INSERT INTO central_records" in statement:
            failed.set()
            raise OperationalError("INSERT", {}, Exception("gone"))

    def stop_at_verdict(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "DELETE FROM central_outbox" in statement:
            stop.set()

    event.listen(engine, "before_cursor_execute", fail_once)
    event.listen(engine, "before_cursor_execute", stop_at_verdict)
    assert central.consumer.run(stop).outcomes == {Outcome.JUDGED: 1}
    assert failed.is_set()


def test_a_run_that_may_end_when_idle_ends(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append(decline("site-a", 3, 0))
    assert Central(engine, tmp_path).consumer.run(threading.Event(), idle_exit=True).published == 3


def test_the_order_of_sites_does_not_matter_and_each_model_has_its_own_baseline(engine: Engine, tmp_path: Path) -> None:
    other = record("site-a", 1).model.model_copy(update={"sha256": "cd" * 32, "version": "2.0"})
    messages = decline("site-a", 20, 6) + decline("site-b", 20, 0)
    messages += [record_message(record("site-a", 100 + number, BAD, model=other)) for number in range(10)]
    JournalSink(tmp_path).append(messages)
    Central(engine, tmp_path).consumer.consume_available()
    (alert,) = published(tmp_path, ALERTS)
    assert alert["model"]["version"] == "1.0"
    with engine.begin() as connection:
        assert len(rows(connection, tables.site_windows)) == 3


def test_a_detector_of_other_metrics_is_named_at_the_start(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append([message("site-a", 1)])
    Central(engine, tmp_path).consumer.consume_available()
    with engine.begin() as connection:
        connection.execute(text("UPDATE central_records SET metric_set_name = 'another-set'"))
    with pytest.raises(FeatureMismatchError, match=r"lesion-core 1, but all stored records are of another-set 1"):
        Central(engine, tmp_path).consumer.consume_available()


def test_a_store_that_cannot_be_opened_is_an_error_in_words(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'missing' / 'central.sqlite'}")
    with pytest.raises(StoreError, match="cannot be opened"):
        Central(engine, tmp_path).consumer.consume_available()
    with pytest.raises(StoreError, match="does not answer"):
        StoredPositions(engine).next_offset("t", 0)


def test_windows_come_back_bit_by_bit(engine: Engine, tmp_path: Path) -> None:
    JournalSink(tmp_path).append([message("site-a", number, 0.1 + number / 3e5) for number in range(9)])
    Central(engine, tmp_path, by=Judge(detector(), judge().rule)).consumer.consume_available()
    with engine.begin() as connection:
        (row,) = rows(connection, tables.site_windows)
        stored = row["window"]["recent"][0]["metrics"]["smoothness"]
    assert stored == 0.1 + 8 / 3e5
