"""Reading from a log to the end, as the tests of this folder need it."""

import uuid

from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import Position


class Memory:
    """Starting points that remember what was read."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[str, int], int] = {}

    def next_offset(self, topic: str, partition: int) -> int:
        return self.offsets.get((topic, partition), 0)

    def remember(self, position: Position) -> None:
        self.offsets[position.topic, position.partition] = position.offset + 1


def own_name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


def collect(source: KafkaSource, memory: Memory, count: int) -> list[bytes]:
    found: list[bytes] = []
    for _ in range(60):
        for stored in source.poll(1.0):
            found.append(stored.message.value)
            memory.remember(stored.position)
            source.processed(stored.position)
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} messages")
