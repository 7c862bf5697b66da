"""What kafka-python 3.0 can do but gives no public name to; the contract tests tell when a release changes it."""

import time
from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector


class _Manager(KafkaConnectionManager):  # type: ignore[misc] # kafka-python has no types
    """Makes the connections, each within its time: the original waits for ever for a TLS handshake."""

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:  # noqa: ANN401 (as above)
        making = self.call_soon(super()._build_transport, node, timeout_at)
        remaining = None if timeout_at is None else max(0.0, timeout_at - time.monotonic()) * 1000
        # one that comes too late is freed when the client is closed
        return await self.wait_for(making, remaining)


def make_network(**settings: Any) -> KafkaNetClient:  # noqa: ANN401 (passed through)
    """Make what carries a client's connections; for its setting `kafka_client`."""
    net = NetworkSelector(**settings)
    return KafkaNetClient(net, _Manager(net, **settings), **settings)


def join_again(consumer: KafkaConsumer) -> None:
    """Make the consumer join its group once more at the next `poll`, as the member that it is by now."""
    consumer._coordinator.request_rejoin()


def find_partitions(consumer: KafkaConsumer, wanted: Callable[[str], bool], timeout_ms: int) -> list[TopicPartition]:
    """Ask the broker for all topics and return the partitions of those wanted.

    `KafkaConsumer.topics` asks the same without a time limit, and waits for ever once the task that refreshes the
    metadata has died of anything but a `KafkaError`. The consumer must be subscribed to a pattern.

    Raises:
        KafkaTimeoutError: no answer within the time.
    """
    cluster = consumer._cluster
    # what is under way may have been asked before the caller's latest message
    for _ in range(2 if cluster.metadata_refresh_in_progress else 1):
        consumer._net.run(consumer._manager.wait_for, cluster.request_update(), timeout_ms)
    topics = [topic for topic in cluster.topics() if wanted(topic)]
    return [TopicPartition(topic, number) for topic in topics for number in cluster.partitions_for_topic(topic) or ()]
