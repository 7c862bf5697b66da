"""Appends to Kafka; what `append` returned from is on all in-sync replicas."""

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from qc.errors import StreamError
from qc.stream.kafka_client import milliseconds, open_client, translated
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.messages import Message
from qc.stream.topics import check_topic


class KafkaSink:
    """Appends to Kafka; may be shared by threads. The broker may be down when it is made."""

    def __init__(self, connection: KafkaConnection, *, timeout_s: float = 30.0) -> None:
        """Connect at the first `append`.

        Args:
            connection: the cluster.
            timeout_s: bound for finding the broker, and again for the delivery of one `append`, in seconds.
        """
        self._connection = connection
        self._timeout_s = timeout_s
        self._producer: KafkaProducer | None = None
        self._closed = False
        self._lock = threading.Lock()

    def append(self, messages: Sequence[Message]) -> None:
        """Append in order and return when every message is acknowledged by all in-sync replicas.

        Raises:
            StreamError: not within the time, or refused; then none, some or all are there, and the next call makes a
                new producer, so that nothing of this call can arrive after something of the next.
        """
        encoded = [_encode(message) for message in messages]
        with self._lock:
            if self._closed:
                raise StreamError("the Kafka sink was closed")
            if not encoded:
                return
            if self._producer is None:
                self._producer = self._connect()
            topics = ", ".join(sorted({message.topic for message in messages}))
            where = self._connection.bootstrap_servers
            try:
                # a topic that is missing, or that we may not see, shows as a time-out alone
                with translated(f"Kafka at {where} did not confirm messages for {topics} (is the topic there?)"):
                    self._deliver(self._producer, encoded)
            except StreamError:
                self._discard()
                raise

    def close(self) -> None:
        """Release the connection; everything that `append` returned from is delivered already."""
        with self._lock:
            self._closed = True
            self._discard()

    def _connect(self) -> KafkaProducer:
        return open_client(
            KafkaProducer,
            self._connection,
            self._timeout_s,
            acks="all",
            # explicit, because a conflicting setting then raises instead of switching it off in silence
            enable_idempotence=True,
            delivery_timeout_ms=milliseconds(self._timeout_s),
            request_timeout_ms=milliseconds(self._timeout_s / 2),
            max_block_ms=milliseconds(self._timeout_s),
        )

    def _deliver(self, producer: KafkaProducer, encoded: Sequence[dict[str, Any]]) -> None:
        futures = [producer.send(**fields) for fields in encoded]
        # every future ends by itself at the delivery timeout; the second is for the thread that tells
        deadline = time.monotonic() + self._timeout_s + 1
        for future in futures:
            future.get(timeout=max(0.0, deadline - time.monotonic()))

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # its flush complains about messages that were given up already
            with contextlib.suppress(KafkaError):
                producer.close(timeout=1)


def _encode(message: Message) -> dict[str, Any]:
    try:
        return {
            "topic": check_topic(message.topic),
            "key": message.key.encode(),
            "value": message.value,
            "headers": [(name, text.encode()) for name, text in message.headers.items()],
        }
    except UnicodeEncodeError as error:
        raise StreamError(f"a message for {message.topic} has a key or header that is no UTF-8 text") from error
