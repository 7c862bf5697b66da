"""How a consumer group shares out the sites' topics: kafka-python's assignor, in the cases that centrals meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from qc.stream.kafka_source import ASSIGNOR

MEMBERS = st.sets(st.sampled_from("abcd"), min_size=1)
TOPICS = st.sets(st.integers(0, 30).map("site-{}".format))


class Cluster:
    """The topics of a broker, of one partition each."""

    def __init__(self, topics: set[str]) -> None:
        self._topics = topics

    def topics(self) -> set[str]:
        return self._topics

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self._topics else None


@dataclass
class Member:
    member_id: str
    metadata: Any
    group_instance_id: str | None = None


class Group:
    """Members that come and go; each remembers what it had."""

    def __init__(self) -> None:
        self._assignors: dict[str, Any] = {}
        self._generation = 0

    def share(self, topics: set[str], members: Mapping[str, set[str]]) -> dict[str, set[TopicPartition]]:
        """Share out; each member is given with the topics that it knows."""
        self._generation += 1
        self._assignors = {name: self._assignors.get(name) or ASSIGNOR() for name in members}
        joined = [
            Member(name, ConsumerProtocolSubscription.decode(self._assignors[name].metadata(known).encode()))
            for name, known in members.items()
        ]
        shares = ASSIGNOR().assign(Cluster(topics), joined)
        for name, share in shares.items():
            self._assignors[name].on_assignment(share, self._generation)
        return {name: set(share.partitions()) for name, share in shares.items()}


@given(st.lists(st.tuples(TOPICS, MEMBERS), min_size=1, max_size=5))
def test_each_topic_has_one_reader_and_nobody_has_two_more_than_another(
    rounds: list[tuple[set[str], set[str]]],
) -> None:
    group = Group()
    for topics, members in rounds:
        shares = group.share(topics, dict.fromkeys(members, topics))
        assert sorted(p for share in shares.values() for p in share) == sorted(TopicPartition(t, 0) for t in topics)
        sizes = [len(shares[name]) for name in members]
        assert max(sizes) - min(sizes) <= 1


@given(
    st.lists(st.tuples(TOPICS, st.dictionaries(st.sampled_from("abcd"), TOPICS, min_size=1)), min_size=1, max_size=5)
)
def test_a_topic_that_not_every_member_knows_yet_goes_to_one_that_does(
    rounds: list[tuple[set[str], dict[str, set[str]]]],
) -> None:
    group = Group()
    for topics, members in rounds:
        shares = group.share(topics, members)
        known = set[str]().union(*members.values()) & topics
        assert sorted(p for share in shares.values() for p in share) == sorted(TopicPartition(t, 0) for t in known)
        for name, share in shares.items():
            assert {partition.topic for partition in share} <= members[name]
