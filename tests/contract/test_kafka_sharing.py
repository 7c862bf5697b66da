"""Members of one consumer group share the topics out; what one leaves, another takes over where the store says."""

import collections
import contextlib
import logging
import threading
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import Message
from qc.stream.topics import Subscription
from tests.contract.kafka_reading import Memory, collect, own_name
from tests.peers.waiting import wait_until

pytestmark = pytest.mark.slow

TOPICS = 6
LEFT_AFTER = 700
"""Fewer than half of the topics hold, so that a member that leaves leaves something."""


class Member(threading.Thread):
    """Reads as a central does, into a memory that it shares with others: the message first, then its position."""

    def __init__(self, source: KafkaSource, memory: Memory, read: list[tuple[str, str, bytes]]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._memory = memory
        self._read = read
        self._remaining = float("inf")
        self._stop_now = threading.Event()

    def run(self) -> None:
        while not self._stop_now.is_set():
            for stored in self._source.poll(0.2):
                self._read.append((self.name, stored.message.topic, stored.message.value))
                self._memory.remember(stored.position)
                self._source.processed(stored.position)
                self._remaining -= 1
                if self._remaining <= 0:
                    self._stop_now.set()
                    break
        self._source.close()

    def leave_after(self, count: int) -> None:
        """Leave the group once so many more messages were read, amid what was fetched."""
        self._remaining = count

    def leave(self) -> None:
        """Leave the group, and wait for it."""
        self._stop_now.set()
        self.join(60)
        assert not self.is_alive()


class Group:
    """Its members share one memory; `read` says who read what, in the order of reading."""

    def __init__(self, bootstrap: str) -> None:
        self.name = own_name()
        self.read: list[tuple[str, str, bytes]] = []
        self._connection = KafkaConnection(bootstrap)
        self._memory = Memory()
        self._sink = KafkaSink(self._connection)
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        self._members: list[Member] = []
        self._sent: collections.Counter[str] = collections.Counter()

    def join(self) -> Member:
        """Add a member."""
        subscription = Subscription(prefix=self.name)
        source = KafkaSource(self._connection, subscription, self._memory, group=self.name, discover_s=0.5)
        member = Member(source, self._memory, self.read)
        self._members.append(member)
        member.start()
        return member

    def append(self, topic: str, count: int) -> None:
        """Append the next messages to a topic, which is made if need be."""
        topic = f"{self.name}.{topic}"
        first = self._sent[topic]
        self._sink.append([Message(topic, "k", b"%d" % number) for number in range(first, first + count)])
        self._sent[topic] += count

    def shares(self) -> list[int]:
        """How many topics each member has by what the broker knows, sorted."""
        try:
            members = self._admin.describe_groups([self.name])[self.name]["members"]
        except KafkaError:  # the first group of a broker has to wait for its coordinator
            return []
        return sorted(
            sum(
                len(topic["partitions"]) for topic in (member["member_assignment"] or {}).get("assigned_partitions", ())
            )
            for member in members
        )

    def wait_for_shares(self, *expected: int) -> None:
        """Wait until the topics are shared out like this."""
        wait_until(lambda: self.shares() == list(expected), f"the shares are {expected}", timeout=60)

    def wait_for_all(self) -> None:
        """Wait until all that was appended was read."""
        wait_until(lambda: len(set(self.read)) >= self._sent.total(), "all is read", timeout=60)

    def values(self, topic: str) -> list[int]:
        """What was read of a topic, by whomever."""
        return [int(value) for _, name, value in self.read if name == topic]

    def check(self) -> None:
        """Each message of each topic was read once and in order, whoever it was."""
        for topic, count in self._sent.items():
            assert self.values(topic) == list(range(count)), topic

    def readers(self) -> dict[str, set[str]]:
        """The topics by the member that read of them last."""
        last = {topic: name for name, topic, _ in self.read}
        return {member.name: {t for t, name in last.items() if name == member.name} for member in self._members}

    def close(self) -> None:
        """End all."""
        for member in self._members:
            member.leave()
        self._sink.close()
        self._admin.close()


@pytest.fixture
def group(kafka_bootstrap: str) -> Iterator[Group]:
    with contextlib.closing(Group(kafka_bootstrap)) as made:
        yield made


def test_two_members_share_topics_of_one_partition_and_take_over_from_each_other(group: Group) -> None:
    names = [f"site-{number}" for number in range(TOPICS)]

    def append(count: int) -> None:
        for name in names:
            group.append(name, count)

    append(20)
    staying = group.join()
    group.wait_for_shares(TOPICS)
    # the older one leads the group, and leaves amid its reading
    for _ in range(2):
        leaving, staying = staying, group.join()
        group.wait_for_shares(TOPICS // 2, TOPICS // 2)
        append(20)
        group.wait_for_all()
        shares = group.readers()
        assert len(shares[leaving.name]) == len(shares[staying.name]) == TOPICS // 2

        leaving.leave_after(LEFT_AFTER)
        append(500)
        group.wait_for_all()
        assert not leaving.is_alive()
        append(1)
        group.wait_for_all()
        assert len(group.readers()[staying.name]) == TOPICS
    group.check()


def test_a_new_topic_is_found_whoever_leads(group: Group) -> None:
    group.append("old", 1)
    first = group.join()
    group.wait_for_shares(1)
    group.join()
    group.wait_for_shares(0, 1)
    group.append("new-1", 1)
    group.wait_for_shares(1, 1)
    first.leave()
    group.append("new-2", 1)
    group.wait_for_shares(3)
    group.join()
    group.wait_for_shares(1, 2)
    for name in ("new-3", "new-4"):
        group.append(name, 1)
    group.wait_for_shares(2, 3)
    group.wait_for_all()
    group.check()


def test_two_stores_in_one_group_are_told_of(kafka_bootstrap: str, caplog: pytest.LogCaptureFixture) -> None:
    connection, topic = KafkaConnection(kafka_bootstrap), own_name()
    sink = KafkaSink(connection)
    sink.append([Message(topic, "k", b"%d" % number) for number in range(3)])
    sink.close()

    def read(memory: Memory, count: int) -> None:
        source = KafkaSource(connection, Subscription(names=(topic,)), memory, group=topic)
        assert len(collect(source, memory, count)) == count
        source.close()

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name.startswith("qc.")]

    with caplog.at_level(logging.WARNING, "qc"):
        ours = Memory()
        read(ours, 3)
        source = KafkaSource(connection, Subscription(names=(topic,)), ours, group=topic)
        assert list(source.poll(3.0)) == []
        source.close()
        assert told() == []
        read(Memory(), 3)
    (warning,) = told()
    assert topic in warning
    assert "stream.kafka.group" in warning
