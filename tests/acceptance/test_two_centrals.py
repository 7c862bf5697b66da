"""Two `segwatch central` on one machine, with one store and one consumer group, share the sites."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from sqlalchemy import Engine, text

from qc.detector import encode_detector
from qc.stream.kafka_admin import ensure_topics
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.topics import ALERTS, VERDICTS, metrics_topic
from segwatch.database import make_engine
from tests.acceptance.hosts import TRACEBACK, Central
from tests.acceptance.topics import read_topic
from tests.peers.kafka import KafkaBroker
from tests.peers.waiting import wait_until
from tests.unit.qc_central.samples import BAD, GOOD, detector, message

pytestmark = pytest.mark.slow

SITES = [f"site-{letter}" for letter in "abcdef"]
FIRST, THEN = 20, 150
GROUP = "segwatch-pair"
RULE = {"alerts.window": 6, "alerts.window_minimum": 4, "alerts.baseline": 12, "alerts.baseline_minimum": 8}


@pytest.fixture
def store(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url)
    yield engine
    engine.dispose()


def publish(broker: KafkaBroker, first: int, count: int) -> None:
    """The next cases of each site; they are bad now and then, and at the end."""
    with closing(KafkaSink(KafkaConnection(broker.bootstrap))) as sink:
        for site in SITES:
            numbers = range(first, first + count)
            sink.append([message(site, n, BAD if n % 40 > 30 or n > FIRST + THEN - 10 else GOOD) for n in numbers])


def shares(broker: KafkaBroker) -> list[int]:
    """How many topics each central has, by what the broker knows."""
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        try:
            members = admin.describe_groups([GROUP])[GROUP]["members"]
        except KafkaError:  # no coordinator yet
            return []
    return [len((member["member_assignment"] or {}).get("assigned_partitions", ())) for member in members]


def count(store: Engine, sql: str) -> int:
    with store.begin() as connection:
        return int(connection.scalar(text(sql)) or 0)


def test_what_one_of_them_leaves_the_other_takes_over(
    own_broker: KafkaBroker, make_central: Callable[..., Central], store: Engine, tmp_path: Path
) -> None:
    (tmp_path / "detector.json").write_bytes(encode_detector(detector()))
    settings = {
        "store.url": store.url.render_as_string(hide_password=False),
        "stream.kind": "kafka",
        "stream.kafka.bootstrap_servers": own_broker.bootstrap,
        "stream.kafka.group": GROUP,
        "detector.file": str(tmp_path / "detector.json"),
        **RULE,
    }
    ensure_topics(KafkaConnection(own_broker.bootstrap), [metrics_topic(site) for site in SITES])
    publish(own_broker, 0, FIRST)
    killed, staying = make_central(settings, "one"), make_central(settings, "two")
    killed.start()
    staying.start()
    wait_until(lambda: shares(own_broker) == [3, 3], "each has three sites", timeout=60)

    publish(own_broker, FIRST, THEN)
    read = "SELECT count(*) FROM central_records"
    wait_until(lambda: count(store, read) > len(SITES) * (FIRST + THEN // 4), "a part was read", timeout=60)
    killed.kill()
    total = len(SITES) * (FIRST + THEN)
    wait_until(
        lambda: (
            count(store, "SELECT sum(next_offset) FROM central_positions") == total
            and count(store, "SELECT count(*) FROM central_outbox") == 0
        ),
        "all was read and published",
        timeout=120,
    )
    assert count(store, read) == count(store, "SELECT count(*) FROM central_verdicts") == total
    assert count(store, "SELECT count(*) FROM central_dead_letters") == 0
    assert staying.stop() == 0
    for central in (killed, staying):
        assert TRACEBACK not in central.log()
        assert "Fenced" not in central.log()
        assert "stream.kafka.group" not in central.log()

    published = {json.loads(event.value)["event_id"] for event in read_topic(own_broker, VERDICTS)}
    assert len(published) == total
    for site in SITES:
        states: dict[str, list[str]] = {}
        for alert in (json.loads(event.value) for event in read_topic(own_broker, ALERTS)):
            if alert["site_id"] == site:
                states.setdefault(alert["alert_id"], []).append(alert["state"])
        assert states
        # a copy may follow after the kill, but no beginning after its end
        assert all(sorted(told) == told for told in states.values())
