"""Making a client of kafka-python, and where its exceptions end."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from qc.errors import StreamError
from qc.stream.kafka_connection import KafkaConnection, wait_for_broker
from qc.stream.kafka_private import make_network


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what kafka-python raises into a `StreamError` that says what was tried."""
    try:
        yield
    except (KafkaError, OSError) as error:
        # KafkaError already names its class; a file of keys that is missing arrives as OSError
        raise StreamError(f"{what}: {error}") from error
    except (ValueError, TypeError, AssertionError, RuntimeError) as error:
        # its way to refuse settings, and a client that was closed underneath or whose own thread has died
        raise StreamError(f"{what}: {type(error).__name__}: {error}") from error


def open_client(make: Callable[..., Any], connection: KafkaConnection, timeout_s: float, **settings: Any) -> Any:  # noqa: ANN401 (kafka-python has no types)
    """Wait for the broker, then make a client; one that cannot be made leaves no thread behind.

    Raises:
        StreamError: nobody answers within the time, or the broker refuses us.
    """
    connection.check_files()
    wait_for_broker(connection, timeout_s)
    networks: list[KafkaNetClient] = []

    def keep(**kwargs: Any) -> KafkaNetClient:  # noqa: ANN401 (passed through)
        networks.append(make_network(**kwargs))
        return networks[-1]

    with translated(f"no Kafka client for {connection.bootstrap_servers}"):
        try:
            return make(
                **connection.client_settings(),
                bootstrap_timeout_ms=milliseconds(timeout_s),
                kafka_client=keep,
                **settings,
            )
        except BaseException:
            for network in networks:
                network.close()
            raise


def milliseconds(seconds: float) -> int:
    """Kafka's settings count in whole milliseconds, at least 1."""
    return max(1, round(seconds * 1000))
