"""What a test leaves behind must not fail another one; tests/conftest.py takes these hooks of pytest in.

Python warns of a socket or file that nobody closed when it collects it, and here a warning is an error of whatever
test runs at that moment. So the error can be another test's than the one whose fault it is:

- A test that failed: its frames, kept with the exception for the report, hold what it did not get to close.
- kafka-python, which leaves the socket of a connection that failed to the garbage collector.
"""

import gc
import sys
import warnings
from collections.abc import Generator
from typing import Any

import pytest

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test failed."""
    report = yield
    item.stash[_FAILED] = report.failed or item.stash.get(_FAILED, False)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Collect what a failed test has left behind, without a word: it was reported already."""
    result = yield
    if item.stash.get(_FAILED, False):
        for kept in ("last_type", "last_value", "last_traceback", "last_exc"):
            if hasattr(sys, kept):
                delattr(sys, kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


def make_kafka_close_failed_sockets() -> None:
    """Make kafka-python (seen in 3.0.12) close the socket of a connection that failed; to be called once."""
    from kafka.net.inet import KafkaNetSocket  # noqa: PLC0415 (takes a second, and most tests need no Kafka)
    from kafka.net.transport import KafkaSSLTransport  # noqa: PLC0415 (as above)

    connect, shake_hands = KafkaNetSocket.sock_connect, KafkaSSLTransport.handshake

    async def connect_or_close(self: Any, net: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await connect(self, net, sock, *args, **kwargs)
        except BaseException:
            sock.close()
            raise

    async def shake_hands_or_close(self: Any) -> None:
        try:
            await shake_hands(self)
        except BaseException:
            self.abort()
            raise

    KafkaNetSocket.sock_connect = connect_or_close
    KafkaSSLTransport.handshake = shake_hands_or_close
