"""The central consumer over a real Kafka: killed at random points, and with a broker that goes away."""

import json
import random
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qc.central.processing import Outcome
from qc.stream.kafka_admin import ensure_topics
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import StoredMessage
from qc.stream.topics import ALERTS, DEAD_LETTERS, VERDICTS, Subscription, metrics_topic
from tests.integration.central_process import make_consumer
from tests.peers.kafka import KafkaBroker
from tests.peers.processes import ServerProcess
from tests.peers.waiting import wait_until
from tests.unit.qc_central.samples import BAD, GOOD, message

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SITES = ("site-a", "site-b", "site-c")
CASES = 150
KILLS = 5


@pytest.fixture
def broker(kafka_broker: Callable[[], KafkaBroker]) -> KafkaBroker:
    """A broker of this test's own, because central reads every site's topic."""
    broker = kafka_broker()
    broker.start()
    ensure_topics(KafkaConnection(broker.bootstrap), [VERDICTS, ALERTS, DEAD_LETTERS, *map(metrics_topic, SITES)])
    return broker


class FromStart:
    def next_offset(self, _topic: str, _partition: int) -> int:
        return 0


def read_all(bootstrap: str, topic: str) -> list[StoredMessage]:
    source = KafkaSource(KafkaConnection(bootstrap), Subscription(names=(topic,)), FromStart(), group=f"read-{topic}")
    found: list[StoredMessage] = []
    while source.lag() > 0:
        found.extend(source.poll(1.0))
    source.close()
    return found


def scalar(path: Path, query: str) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # before the tables were made
            return 0


def send_declines(bootstrap: str) -> None:
    sink = KafkaSink(KafkaConnection(bootstrap))
    for number in range(CASES):
        bad = 40 <= number < 60 or number >= 120
        for site in SITES:
            one = message(site, number, BAD if bad and site != "site-c" else GOOD)
            sink.append([one, one] if number % 10 == 0 else [one])
    sink.close()


def test_a_consumer_that_is_killed_at_any_point_counts_each_record_once(broker: KafkaBroker, tmp_path: Path) -> None:
    store, chance = tmp_path / "central.sqlite", random.Random(20261123)  # noqa: S311 (not a secret)
    send_declines(broker.bootstrap)
    command = [sys.executable, "-m", "tests.integration.central_process", broker.bootstrap, f"sqlite:///{store}", "g"]
    process = ServerProcess(command, log=tmp_path / "central.log", directory=ROOT)
    try:
        for rows in sorted(chance.sample(range(1, len(SITES) * CASES), KILLS)):
            process.start()
            wait_until(
                lambda rows=rows: scalar(store, "SELECT count(*) FROM central_records") >= rows,  # type: ignore[misc] # bound now
                f"central has {rows} records\n{process.output()[-2000:]}",
                timeout=90,
            )
            process.kill()
        process.start()
        wait_until(
            lambda: (
                scalar(store, "SELECT count(*) FROM central_records") == len(SITES) * CASES
                and scalar(store, "SELECT sum(next_offset) FROM central_positions") == len(SITES) * CASES * 11 // 10
                and scalar(store, "SELECT count(*) FROM central_outbox") == 0
            ),
            "central is done",
            timeout=90,
        )
    finally:
        process.close()
    assert scalar(store, "SELECT count(*) FROM central_verdicts") == len(SITES) * CASES
    assert scalar(store, "SELECT count(*) FROM central_dead_letters") == 0

    verdicts = read_all(broker.bootstrap, VERDICTS)
    by_event: dict[str, set[bytes]] = {}
    for stored in verdicts:
        by_event.setdefault(json.loads(stored.message.value)["event_id"], set()).add(stored.message.value)
    assert len(by_event) == len(SITES) * CASES
    assert {len(copies) for copies in by_event.values()} == {1}

    # a replay into an empty store says the same
    replayed = make_consumer(broker.bootstrap, f"sqlite:///{tmp_path / 'replay.sqlite'}", "replay")
    assert replayed.consume_available().outcomes[Outcome.JUDGED] == len(SITES) * CASES
    replayed.close()
    again = read_all(broker.bootstrap, VERDICTS)[len(verdicts) :]
    assert {stored.message.value for stored in again} == {stored.message.value for stored in verdicts}
    alerts = read_all(broker.bootstrap, ALERTS)
    for site in ("site-a", "site-b"):
        states = {json.loads(s.message.value)["alert_id"]: s.message.value for s in alerts if s.message.key == site}
        assert len(states) == 2
    assert not [stored for stored in alerts if stored.message.key == "site-c"]
    # first run and replay published the same messages under the same ids
    distinct = {(stored.message.headers["ce_id"], stored.message.value) for stored in alerts}
    assert len(distinct) == len({event for event, _ in distinct}) == 6


def test_a_broker_that_restarts_interrupts_but_loses_nothing(broker: KafkaBroker, tmp_path: Path) -> None:
    store, stop = tmp_path / "central.sqlite", threading.Event()
    consumer = make_consumer(broker.bootstrap, f"sqlite:///{store}", "g")
    running = threading.Thread(target=consumer.run, args=(stop,))
    running.start()

    def has(rows: int) -> None:
        wait_until(
            lambda: (
                scalar(store, "SELECT count(*) FROM central_verdicts") == rows
                and scalar(store, "SELECT count(*) FROM central_outbox") == 0
            ),
            f"central has published {rows} verdicts",
            timeout=90,
        )

    sink = KafkaSink(KafkaConnection(broker.bootstrap))
    try:
        sink.append([message("site-a", number) for number in range(20)])
        has(20)
        broker.kill()
        broker.start()
        sink.append([message("site-a", number) for number in range(20, 40)])
        # a site that is new
        sink.append([message("site-new", 1)])
        has(41)
    finally:
        sink.close()
        stop.set()
        running.join(60)
        consumer.close()
    assert not running.is_alive()
    events = [json.loads(stored.message.value)["event_id"] for stored in read_all(broker.bootstrap, VERDICTS)]
    assert len(set(events)) == 41
