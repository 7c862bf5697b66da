"""What a consumer group gives to this member, noted on kafka-python's thread and taken up on the reader's."""

import contextlib
import queue
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from qc.stream.kafka_private import join_again


@dataclass(frozen=True, slots=True)
class Change:
    """Partitions that became ours, or that are ours no longer."""

    assigned: bool
    partitions: frozenset[TopicPartition]


class Assignments(ConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Listens to the group, and sees to it that a join that is due is not forgotten.

    It runs on kafka-python's thread, where waiting for a database would stop the heartbeats: it only takes note.

    A rejoin after a change of the topics that one `poll` began and did not see the end of is never ended, because
    kafka-python 3.0.12 derives its need from what has changed since the last request to join. The member then stays
    without partitions and heartbeats for ever. So every rejoin that begins is asked for expressly.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        """Listen for this consumer."""
        self._consumer = consumer
        self._changes: queue.SimpleQueue[Change] = queue.SimpleQueue()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Take note; a rejoin has begun."""
        join_again(self._consumer)
        self._changes.put(Change(assigned=False, partitions=frozenset(revoked)))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take note, and keep Kafka from fetching from wherever it thinks we were."""
        self._consumer.pause(*assigned)
        self._changes.put(Change(assigned=True, partitions=frozenset(assigned)))

    def changes(self) -> Iterator[Change]:
        """Yield what was noted since the last call."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._changes.get_nowait()
