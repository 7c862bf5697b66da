"""Reads Kafka topics from positions that the reader keeps; Kafka's own committed offsets decide nothing."""

import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.errors import KafkaError

from qc.errors import StreamError
from qc.stream.kafka_assignments import Assignments, Change
from qc.stream.kafka_client import milliseconds, open_client, translated
from qc.stream.kafka_connection import KafkaConnection, wait_for_broker
from qc.stream.kafka_placing import Place, find_place, tell_of_another_store
from qc.stream.kafka_private import find_partitions
from qc.stream.messages import Message, Position, StartingPoints, StoredMessage
from qc.stream.topics import Subscription

GROUP = "segwatch-central"
ASSIGNOR = StickyPartitionAssignor
"""Shares topics of one partition out evenly. Range gives the first member everything; roundrobin (seen in kafka-python
3.0.12) raises KeyError when a topic is so new that not every member knows it."""
SLICE_S = 0.25
"""Longest single wait inside kafka-python: a partition assigned during it stands still until it ends."""
SESSION_S = 10.0
"""A member that crashed holds its partitions back for so long (Kafka's default of 45 s suits larger groups).

Static membership (KIP-345) would save a member that returns this wait. But two of one name throw each other out, and a
broker gives one that returns what it had before, without the topics that appeared meanwhile (KAFKA-12759)."""
CONTACT_CHECK_S = 10.0
"""After so long a silence the broker is asked for the ends of the topics: kafka-python hides that it is gone."""
STAND_STILL_S = 60.0
"""A connection over which nothing comes for so long, though it should, is given up: whatever hangs, it ends."""


class KafkaSource:
    """Reads Kafka as a member of a consumer group; one thread uses it. The broker may be down when it is made.

    Where a partition is read from is asked of `StartingPoints` whenever Kafka assigns it: at the start, after
    a broken connection, and when a topic or another consumer appears. Messages may then come a second time, if the
    reader did not store how far it was.
    """

    def __init__(
        self,
        connection: KafkaConnection,
        subscription: Subscription,
        start: StartingPoints,
        *,
        group: str = GROUP,
        timeout_s: float = 30.0,
        discover_s: float = 30.0,
    ) -> None:
        """Connect at the first `poll` or `lag`.

        Args:
            connection: the cluster.
            subscription: topics to read; new ones of the prefix are found within `discover_s`.
            start: where to begin in each partition.
            group: consumer group; its members share the partitions, and must share the starting points too.
            timeout_s: bound for finding the broker and for its answers, in seconds.
            discover_s: how often topics are looked up, in seconds.
        """
        self._connection = connection
        self._subscription = subscription
        self._start = start
        self._timeout_s = timeout_s
        self._group = group
        self._discover_s = discover_s
        self._consumer: KafkaConsumer | None = None
        self._assignments: Assignments | None = None
        self._buffer: collections.deque[StoredMessage] = collections.deque()
        self._unplaced: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._processed: dict[TopicPartition, int] = {}
        self._contact = 0.0
        self._stood_s = 0.0
        self._is_member = False
        self._closed = False

    def poll(self, timeout_s: float) -> Iterator[StoredMessage]:
        """Yield what was fetched, waiting up to the timeout for the first; a call that is left early loses nothing.

        Raises:
            StreamError: nobody answers, or the broker refuses. The connection is given up; the next call makes a new
                one and begins at the starting points.
        """
        with self._giving_up():
            if not self._buffer:
                self._fill(time.monotonic() + timeout_s)
        while self._buffer:
            stored = self._buffer.popleft()
            position = stored.position
            self._next[TopicPartition(position.topic, position.partition)] = position.offset + 1
            yield stored

    def lag(self) -> int:
        """Messages in the matching topics, also those of other members, that were not yielded yet."""
        with self._giving_up():
            ends = self._ends(self._connected())
        return sum(max(0, end - self._begin(partition)) for partition, end in ends.items())

    def processed(self, position: Position) -> None:
        """Commit to Kafka at the next `poll` or `close`; nothing depends on it."""
        self._processed[TopicPartition(position.topic, position.partition)] = position.offset + 1

    def close(self) -> None:
        """Leave the group and release the connection."""
        self._closed = True
        if self._consumer is not None:
            with contextlib.suppress(KafkaError, RuntimeError):
                self._consumer.commit(self._commits(), timeout_ms=milliseconds(min(2.0, self._timeout_s)))
        self._discard()

    def _connected(self) -> KafkaConsumer:
        if self._closed:
            raise StreamError("the Kafka source was closed")
        if self._consumer is None:
            self._consumer = open_client(
                KafkaConsumer,
                self._connection,
                self._timeout_s,
                enable_auto_commit=False,
                # only for an offset that the broker deleted since it was sought; `find_place` tells of such cases
                auto_offset_reset="earliest",
                session_timeout_ms=milliseconds(SESSION_S),
                metadata_max_age_ms=milliseconds(self._discover_s),
                request_timeout_ms=milliseconds(max(self._timeout_s, 1.0)),
                group_id=self._group,
                partition_assignment_strategy=(ASSIGNOR,),
            )
            self._assignments = Assignments(self._consumer)
            self._consumer.subscribe(pattern=self._subscription.pattern, listener=self._assignments)
            self._contact = time.monotonic()
        return self._consumer

    def _ends(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        # says at once and in words that nobody listens
        wait_for_broker(self._connection, self._timeout_s)
        bound = milliseconds(self._timeout_s)
        partitions = find_partitions(consumer, self._subscription.matches, bound)
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions, bound) if partitions else {}
        self._contact = time.monotonic()
        return ends

    def _fill(self, deadline: float) -> None:
        consumer = self._connected()
        if commits := self._commits():
            consumer.commit_async(commits)
        began = time.monotonic()
        while not self._buffer:
            remaining = deadline - time.monotonic()
            fetched = consumer.poll(timeout_ms=milliseconds(min(SLICE_S, max(remaining, 0.0))))
            for records in fetched.values():
                self._contact = time.monotonic()
                self._buffer.extend(_stored(record) for record in records)
            self._follow_assignments(consumer)
            if remaining <= 0:
                break
        # time between two polls is the reader's
        self._stood_s = 0.0 if self._buffer else self._stood_s + time.monotonic() - began
        if time.monotonic() - self._contact > CONTACT_CHECK_S:
            self._check_progress(consumer)

    def _check_progress(self, consumer: KafkaConsumer) -> None:
        ends, bound = self._ends(consumer), milliseconds(self._timeout_s)
        behind = [p.topic for p in consumer.assignment() if consumer.position(p, bound) < ends.get(p, 0)]
        if self._is_member and not behind:
            self._stood_s = 0.0
        elif self._stood_s > STAND_STILL_S:
            what = f"hands out nothing of {', '.join(sorted(behind))}" if behind else "assigns no partitions"
            raise StreamError(f"Kafka at {self._connection.bootstrap_servers} {what} for {self._stood_s:.0f} s")

    def _follow_assignments(self, consumer: KafkaConsumer) -> None:
        for change in self._assignments.changes() if self._assignments is not None else ():
            self._follow(change)
        ahead = [p.topic for p in sorted(self._unplaced) if self._place(consumer, p).group_was_ahead]
        if ahead:
            tell_of_another_store(self._group, ahead)

    def _follow(self, change: Change) -> None:
        self._stood_s = 0.0
        self._is_member = change.assigned
        # fetched under the old assignment: another member may be reading them now
        self._buffer = collections.deque(
            stored
            for stored in self._buffer
            if TopicPartition(stored.position.topic, stored.position.partition) not in change.partitions
        )
        for partition in change.partitions:
            self._next.pop(partition, None)
            self._processed.pop(partition, None)
        self._unplaced = self._unplaced | change.partitions if change.assigned else self._unplaced - change.partitions

    def _place(self, consumer: KafkaConsumer, partition: TopicPartition) -> Place:
        place = find_place(consumer, partition, self._start, milliseconds(self._timeout_s))
        if partition in consumer.assignment():
            consumer.seek(partition, place.offset)
            consumer.resume(partition)
            self._next[partition] = place.offset
        self._unplaced.discard(partition)
        return place

    def _begin(self, partition: TopicPartition) -> int:
        known = self._next.get(partition)
        return known if known is not None else self._start.next_offset(partition.topic, partition.partition)

    def _commits(self) -> dict[TopicPartition, OffsetAndMetadata]:
        commits = {partition: OffsetAndMetadata(offset) for partition, offset in self._processed.items()}
        self._processed.clear()
        return commits

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            with translated(f"Kafka at {self._connection.bootstrap_servers} cannot be read"):
                yield
        except StreamError:
            self._discard()
            raise

    def _discard(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._buffer.clear()
        self._unplaced.clear()
        self._next.clear()
        self._processed.clear()
        self._stood_s, self._is_member = 0.0, False
        if consumer is not None:
            # RuntimeError: its own thread has died
            with contextlib.suppress(KafkaError, OSError, RuntimeError):
                consumer.close(autocommit=False, timeout_ms=milliseconds(min(2.0, self._timeout_s)))


def _stored(record: Any) -> StoredMessage:  # noqa: ANN401 (kafka-python has no types)
    key, value = record.key or b"", record.value or b""
    # whatever a stranger wrote must reach the dead letters instead of stopping the reader here
    headers = {name: (text or b"").decode(errors="replace") for name, text in record.headers or ()}
    message = Message(record.topic, key.decode(errors="replace"), value, headers)
    return StoredMessage(message, Position(record.topic, record.partition, record.offset))
