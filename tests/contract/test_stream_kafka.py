"""What only Kafka can do: be away and come back, refuse, hold topics with settings."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from qc.errors import StreamError
from qc.stream.kafka_admin import TopicSettings, check_broker, ensure_topics
from qc.stream.kafka_connection import KafkaConnection, wait_for_broker
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import Message
from qc.stream.topics import Subscription
from tests.contract.kafka_reading import Memory, collect, own_name
from tests.peers.kafka import KafkaBroker
from tests.peers.processes import PeerError
from tests.peers.waiting import wait_until


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back(kafka_broker: Callable[[], KafkaBroker]) -> None:
    broker, memory, topic = kafka_broker(), Memory(), own_name()
    connection = KafkaConnection(broker.bootstrap)
    sink = KafkaSink(connection, timeout_s=3)
    source = KafkaSource(connection, Subscription(names=(topic,)), memory, timeout_s=3, discover_s=0.5)
    for call in (lambda: sink.append([Message(topic, "k", b"0")]), lambda: list(source.poll(0.1)), source.lag):
        with pytest.raises(StreamError, match=r"no Kafka broker answers at .*check the address"):
            call()

    broker.start()
    sink.append([Message(topic, "k", b"1")])
    assert collect(source, memory, 1) == [b"1"]

    broker.kill()
    with pytest.raises(StreamError):
        sink.append([Message(topic, "k", b"2")])
    with pytest.raises(StreamError):
        source.lag()

    broker.start()
    sink.append([Message(topic, "k", b"3")])
    found = collect(source, memory, 1)
    # what an append that failed has left behind is unknown, what one returned from is there
    assert found in ([b"3"], [b"2", b"3"])
    sink.close()
    source.close()


@pytest.mark.slow
def test_an_append_outlasts_a_short_absence(kafka_broker: Callable[[], KafkaBroker]) -> None:
    broker, memory, topic = kafka_broker(), Memory(), own_name()
    broker.start()
    connection = KafkaConnection(broker.bootstrap)
    sink = KafkaSink(connection, timeout_s=60)
    sink.append([Message(topic, "k", b"1")])
    broker.kill()
    append = threading.Thread(target=sink.append, args=([Message(topic, "k", b"2")],))
    append.start()
    broker.start()
    append.join(60)
    assert not append.is_alive()
    source = KafkaSource(connection, Subscription(names=(topic,)), memory)
    assert collect(source, memory, 2) == [b"1", b"2"]
    source.close()
    sink.close()


def test_an_address_without_a_broker_is_refused_in_words_and_time(free_port: Callable[[], int]) -> None:
    connection = KafkaConnection(f"127.0.0.1:{free_port()}")
    with pytest.raises(StreamError, match="no Kafka broker answers"):
        wait_for_broker(connection, 0.1)
    with pytest.raises(StreamError, match="no Kafka broker answers"):
        check_broker(connection, 0.1)


@pytest.mark.parametrize(
    "servers", ["", "localhost", "localhost:", "localhost:kafka", ":9092", "localhost:0", "a:1,,b:2"]
)
def test_an_address_that_is_none_is_refused(servers: str) -> None:
    with pytest.raises(StreamError, match="host:port"):
        KafkaConnection(servers)


def test_secrets_do_not_show() -> None:
    connection = KafkaConnection(
        "a:1,[::1]:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="site-a",
        sasl_password="hush",  # noqa: S106 (the point of the test)
        ssl_password="hush",  # noqa: S106 (the point of the test)
    )
    assert "hush" not in repr(connection)
    assert connection.addresses == (("a", 1), ("::1", 2))
    with pytest.raises(StreamError, match="SASL_SSL needs"):
        KafkaConnection("a:1", security_protocol="SASL_SSL")


def test_a_key_file_that_is_missing_is_an_error_in_words(kafka_bootstrap: str, tmp_path: Path) -> None:
    connection = KafkaConnection(kafka_bootstrap, security_protocol="SSL", ssl_cafile=str(tmp_path / "none.pem"))
    with pytest.raises(StreamError, match=r"ssl_cafile: there is no file .*none\.pem"):
        KafkaSink(connection, timeout_s=2).append([Message(own_name(), "k", b"v")])


def test_a_broker_that_speaks_otherwise_leaves_no_thread_behind(kafka_bootstrap: str) -> None:
    connection = KafkaConnection(kafka_bootstrap, security_protocol="SSL")
    before = set(threading.enumerate())
    source = KafkaSource(connection, Subscription(names=("a",)), Memory(), timeout_s=1)
    with pytest.raises(StreamError, match=r"no Kafka client for"):
        list(source.poll(0.1))
    assert set(threading.enumerate()) <= before


def test_topics_are_made_once_and_checked(kafka_bootstrap: str) -> None:
    connection = KafkaConnection(kafka_bootstrap)
    one, two = own_name(), own_name()
    assert ensure_topics(connection, [one], TopicSettings(retention_days=2)) == (one,)
    assert ensure_topics(connection, [one, two]) == (two,)
    assert {one, two} <= set(check_broker(connection).topics)
    with pytest.raises(StreamError, match="has 1 partitions, 3 expected"):
        ensure_topics(connection, [one], TopicSettings(partitions=3))


def test_a_compacted_topic_is_refused(kafka_bootstrap: str) -> None:
    name = own_name()
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics({name: {"num_partitions": 1, "configs": {"cleanup.policy": "compact"}}})
    admin.close()
    with pytest.raises(StreamError, match="compacted"):
        ensure_topics(KafkaConnection(kafka_bootstrap), [name])


def test_a_message_that_is_too_large_is_refused_and_the_next_is_sent(kafka_bootstrap: str) -> None:
    sink = KafkaSink(KafkaConnection(kafka_bootstrap), timeout_s=20)
    topic = own_name()
    with pytest.raises(StreamError, match="MessageSizeTooLarge"):
        sink.append([Message(topic, "k", b"x" * 2_000_000)])
    sink.append([Message(topic, "k", b"small")])
    sink.close()


def test_the_committed_offset_follows_for_displays_of_lag(kafka_bootstrap: str) -> None:
    connection, topic, memory = KafkaConnection(kafka_bootstrap), own_name(), Memory()
    sink = KafkaSink(connection)
    sink.append([Message(topic, "k", b"1"), Message(topic, "k", b"2")])
    sink.close()
    source = KafkaSource(connection, Subscription(names=(topic,)), memory, group=topic)
    collect(source, memory, 2)
    source.close()
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    committed = admin.list_group_offsets([topic])
    admin.close()
    assert "offset=2" in str(committed)


@pytest.mark.slow
def test_a_site_cannot_write_as_another(kafka_home: Path, tmp_path: Path) -> None:
    broker = _broker_with_accounts(kafka_home, tmp_path)
    try:
        broker.start()
        admin, site = _account(broker, "admin"), _account(broker, "site-a")
        ensure_topics(admin, ["m.site-a", "m.site-b"])
        _allow_write(admin, "User:site-a", "m.site-a")
        sink = KafkaSink(site, timeout_s=10)
        # the broker takes up a new rule a moment after it confirmed it
        wait_until(lambda: _appends(sink, Message("m.site-a", "k", b"mine")), "site-a may write its own topic")
        with pytest.raises(StreamError, match="TopicAuthorizationFailed"):
            sink.append([Message("m.site-b", "k", b"not mine")])
        sink.close()
        with pytest.raises(StreamError):
            check_broker(_account(broker, "site-a", password="wrong"), 3)  # noqa: S106 (the point of the test)
    finally:
        broker.close()


def _appends(sink: KafkaSink, message: Message) -> bool:
    try:
        sink.append([message])
    except StreamError:
        return False
    return True


def _account(broker: KafkaBroker, name: str, *, password: str | None = None) -> KafkaConnection:
    return KafkaConnection(
        broker.bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username=name,
        sasl_password=password or f"{name}-secret",
    )


class _SecuredBroker(KafkaBroker):
    def _command(self) -> list[str | Path]:
        if not (self.home / "bin" / "kafka-single-node").exists():
            raise PeerError("no kafka-single-node")
        users = " ".join(f'user_{name}="{name}-secret"' for name in ("admin", "site-a"))
        return [
            *super()._command(),
            "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms=PLAIN",
            "sasl.mechanism.inter.broker.protocol=PLAIN",
            "super.users=User:admin;User:ANONYMOUS",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule "
            f'required username="admin" password="admin-secret" {users};',
        ]


def _broker_with_accounts(home: Path, folder: Path) -> KafkaBroker:
    try:
        return _SecuredBroker(home, folder / "secured")
    except PeerError:
        pytest.skip("the distribution has no kafka-single-node, which takes the settings of access rules")


def _allow_write(connection: KafkaConnection, principal: str, topic: str) -> None:
    admin = KafkaAdminClient(**{**connection.client_settings(), "bootstrap_servers": connection.bootstrap_servers})
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    admin.create_acls(
        [
            ACL(principal, "*", operation, ACLPermissionType.ALLOW, pattern)
            for operation in (ACLOperation.WRITE, ACLOperation.DESCRIBE)
        ]
    )
    admin.close()
