"""Nothing stands still for ever: not a member that returns, nor a client that hangs, nor one that nobody answers."""

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.cluster import ClusterMetadata
from kafka.coordinator.consumer import ConsumerCoordinator

from qc.errors import StreamError
from qc.stream.kafka_admin import check_broker
from qc.stream.kafka_connection import KafkaConnection, SecurityProtocol
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import SLICE_S, KafkaSource
from qc.stream.messages import Message
from qc.stream.topics import Subscription
from tests.contract.kafka_reading import Memory, collect, own_name


@pytest.mark.slow
def test_a_member_that_returns_reads_the_topics_that_appeared_meanwhile(kafka_bootstrap: str) -> None:
    # a static one would not: the broker gives it what it had before (KAFKA-12759)
    connection, memory, prefix = KafkaConnection(kafka_bootstrap), Memory(), own_name()
    subscription = Subscription(prefix=prefix)
    sink = KafkaSink(connection)
    sink.append([Message(prefix + ".old", "k", b"1")])
    source = KafkaSource(connection, subscription, memory, group=prefix, discover_s=0.5)
    assert collect(source, memory, 1) == [b"1"]
    source.close()

    sink.append([Message(prefix + ".new", "k", b"2")])
    source = KafkaSource(connection, subscription, memory, group=prefix, discover_s=0.5)
    assert collect(source, memory, 1) == [b"2"]
    sink.close()
    # and it leads the group, so it sees the partitions that appear from now on
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_partitions({prefix + ".old": 2})
    admin.close()
    sink = KafkaSink(connection)
    sink.append([Message(prefix + ".old", f"{number}", b"3") for number in range(20)])
    assert collect(source, memory, 20) == [b"3"] * 20
    assert (prefix + ".old", 1) in memory.offsets
    sink.close()
    source.close()


@pytest.mark.slow
def test_a_rejoin_that_outlasts_one_poll_is_taken_up_by_the_next(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    join = ConsumerCoordinator._do_join_and_sync_async

    async def join_slowly(self: Any) -> Any:
        assignment = await join(self)
        await self._net.sleep(1.5 * SLICE_S)
        return assignment

    monkeypatch.setattr(ConsumerCoordinator, "_do_join_and_sync_async", join_slowly)
    connection, memory, prefix = KafkaConnection(kafka_bootstrap), Memory(), own_name()
    sink = KafkaSink(connection)
    sink.append([Message(prefix + ".old", "k", b"1")])
    source = KafkaSource(connection, Subscription(prefix=prefix), memory, group=prefix, discover_s=0.5)
    assert collect(source, memory, 1) == [b"1"]
    sink.append([Message(prefix + ".new", "k", b"2")])
    assert collect(source, memory, 1) == [b"2"]
    source.close()
    sink.close()


def test_a_client_whose_refreshing_died_is_replaced(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # kafka-python's own `topics()` would wait for ever
    memory, topic = Memory(), own_name()
    sink = KafkaSink(KafkaConnection(kafka_bootstrap))
    sink.append([Message(topic, "k", b"1")])
    subscription = Subscription(names=(topic,))
    source = KafkaSource(KafkaConnection(kafka_bootstrap), subscription, memory, timeout_s=3, group=topic)
    assert source.lag() == 1
    with monkeypatch.context() as broken:
        broken.setattr(ClusterMetadata, "refresh_metadata", _fail)
        with pytest.raises(StreamError, match="KafkaTimeoutError"):
            source.lag()
    assert collect(source, memory, 1) == [b"1"]
    source.close()
    sink.close()


async def _fail(*_: object) -> None:
    raise RuntimeError("Transport closed for writes")


def test_a_member_of_a_log_without_topics_waits_for_them(kafka_bootstrap: str) -> None:
    memory, prefix = Memory(), own_name()
    source = KafkaSource(
        KafkaConnection(kafka_bootstrap),
        Subscription(prefix=prefix),
        memory,
        group=prefix,
        discover_s=0.5,
    )
    assert list(source.poll(2.0)) == []
    sink = KafkaSink(KafkaConnection(kafka_bootstrap))
    sink.append([Message(prefix + ".first", "k", b"1")])
    assert collect(source, memory, 1) == [b"1"]
    source.close()
    sink.close()


def _read(connection: KafkaConnection) -> None:
    list(KafkaSource(connection, Subscription(names=("a",)), Memory(), timeout_s=1).poll(0.1))


def _append(connection: KafkaConnection) -> None:
    KafkaSink(connection, timeout_s=1).append([Message("a", "k", b"v")])


def _check(connection: KafkaConnection) -> None:
    check_broker(connection, 1)


@pytest.mark.usefixtures("kafka_home")  # closes the sockets that kafka-python leaves
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
@pytest.mark.parametrize("act", [_read, _append, _check])
def test_a_server_that_never_answers_is_given_up(
    act: Callable[[KafkaConnection], None], protocol: SecurityProtocol
) -> None:
    raised: list[StreamError] = []

    def try_to() -> None:
        try:
            act(KafkaConnection(f"127.0.0.1:{server.getsockname()[1]}", security_protocol=protocol))
        except StreamError as error:
            raised.append(error)

    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = threading.Thread(target=try_to, daemon=True)
        attempt.start()
        attempt.join(20)
    assert "no Kafka client for" in str(raised[0])
