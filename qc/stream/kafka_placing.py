"""Where to go on reading in a partition that the group gave to us."""

import logging
from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition

from qc.stream.messages import StartingPoints

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The offset to read from, and whether the group had processed more than the reader knows of."""

    offset: int
    group_was_ahead: bool


def find_place(consumer: KafkaConsumer, partition: TopicPartition, start: StartingPoints, timeout_ms: int) -> Place:
    """Ask the starting points, and tell where they do not fit what the broker has; the reader decides.

    Raises:
        KafkaError: no answer within the time, or refused.
    """
    # asked for first: what is committed was stored before, so it is ahead of another store alone
    committed = consumer.committed(partition, timeout_ms=timeout_ms) or 0
    wanted = start.next_offset(partition.topic, partition.partition)
    first = consumer.beginning_offsets([partition], timeout_ms)[partition]
    end = consumer.end_offsets([partition], timeout_ms)[partition]
    if wanted < first:
        _log.error("%s: offsets %d to %d were deleted by Kafka unread", partition.topic, wanted, first - 1)
    if wanted > end:
        _log.warning("%s ends before what was read of it: it was replaced, so it is read anew", partition.topic)
    return Place(wanted if first <= wanted <= end else first, wanted < min(committed, end))


def tell_of_another_store(group: str, topics: list[str]) -> None:
    """Warn that the group processed what this reader does not know of, which two stores in one group lead to."""
    _log.warning(
        "the consumer group %s has read further than this store knows in %s; they are read on from where this store "
        "is. That is so after the store was replaced. If another central runs with a store of its own, each of the "
        "two gets a part of the sites: give one of them another stream.kafka.group",
        group,
        ", ".join(topics),
    )
