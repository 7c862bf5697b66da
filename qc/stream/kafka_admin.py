"""Topics as Segwatch needs them, and whether a broker answers."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from qc.errors import StreamError
from qc.stream.kafka_client import milliseconds, open_client, translated
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.topics import check_topic

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How missing topics are made. One partition keeps a site's records in order; compaction would lose history."""

    retention_days: float = 365.0
    """How long the broker keeps messages; a central host can rebuild its store from no more than that."""
    replication: int = -1
    """Copies; -1 takes the broker's default. 3 in production, with `min.insync.replicas` 2."""
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What a broker told about itself."""

    brokers: int
    topics: tuple[str, ...]
    """That these credentials may see, sorted."""


def ensure_topics(
    connection: KafkaConnection,
    names: Sequence[str],
    settings: TopicSettings | None = None,
    *,
    timeout_s: float = 30.0,
) -> tuple[str, ...]:
    """Create the topics that are missing and check the others; returns the names of those created.

    Raises:
        StreamError: the broker does not answer or refuses, or a topic that exists is compacted or has another number
            of partitions.
    """
    settings = settings or TopicSettings()
    wanted = [check_topic(name) for name in names]
    with _admin(connection, timeout_s) as admin, translated("topics cannot be created"):
        existing = {topic["name"]: topic for topic in admin.describe_topics()}
        missing = [name for name in wanted if name not in existing]
        if missing:
            admin.create_topics(
                {name: _creation(settings) for name in missing}, timeout_ms=milliseconds(timeout_s), raise_errors=False
            )
            # whoever made one of them at the same time made it as well
            admin.wait_for_topics(missing, timeout_ms=milliseconds(timeout_s))
        for name in wanted:
            if name in existing:
                _check_existing(admin, existing[name], settings)
    return tuple(missing)


def check_broker(connection: KafkaConnection, timeout_s: float = 5.0) -> BrokerReport:
    """Ask the cluster for its brokers and topics. Raises `StreamError`."""
    with _admin(connection, timeout_s) as admin, translated("the Kafka broker does not answer"):
        return BrokerReport(len(admin.describe_cluster()["brokers"]), tuple(sorted(admin.list_topics())))


@contextlib.contextmanager
def _admin(connection: KafkaConnection, timeout_s: float) -> Iterator[KafkaAdminClient]:
    admin = open_client(KafkaAdminClient, connection, timeout_s, request_timeout_ms=milliseconds(timeout_s))
    try:
        yield admin
    finally:
        admin.close()


def _creation(settings: TopicSettings) -> dict[str, Any]:
    return {
        "num_partitions": settings.partitions,
        "replication_factor": settings.replication,
        "configs": {"cleanup.policy": "delete", "retention.ms": str(round(settings.retention_days * DAY_MS))},
    }


def _check_existing(admin: KafkaAdminClient, topic: Mapping[str, Any], settings: TopicSettings) -> None:
    name, count = topic["name"], len(topic["partitions"])
    if count != settings.partitions:
        raise StreamError(
            f"the topic {name} has {count} partitions, {settings.partitions} expected: with more, records lose order"
        )
    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    found = admin.describe_configs([resource], config_filter="all")["topic"][name]
    if "compact" in str(found.get("cleanup.policy", {}).get("value")):
        raise StreamError(f"the topic {name} is compacted, which would lose records: set cleanup.policy=delete")
