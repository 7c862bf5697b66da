"""What lies in the topics of a broker, bytes and headers; Kafka's own console consumer is in `tests.peers.kafka`."""

from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from tests.peers.kafka import KafkaBroker


@dataclass(frozen=True)
class Event:
    """One message as it lies in the broker."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def id(self) -> str:
        """The CloudEvents id."""
        return dict(self.headers)["ce_id"].decode()


def read_topic(broker: KafkaBroker, topic: str) -> list[Event]:
    """Every message of a topic's one partition, in order; none when there is no such topic."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, request_timeout_ms=60_000)
    try:
        if topic not in consumer.topics():
            return []
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = consumer.end_offsets([partition])[partition]
        found: list[Event] = []
        while consumer.position(partition) < end:
            for record in consumer.poll(timeout_ms=1000).get(partition, ()):
                found.append(Event(record.key or b"", record.value, tuple(record.headers)))
        return found
    finally:
        consumer.close(autocommit=False)


def raw_logs(broker: KafkaBroker) -> dict[Path, bytes]:
    """The log segments of every topic as they lie on the broker's disk."""
    return {path: path.read_bytes() for path in sorted(broker.folder.rglob("segwatch.*/*.log"))}
