"""What doctor says about the port of the metrics."""

import re
import socket
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

from segwatch.errors import UsageError
from segwatch.metrics_check import check_metrics
from segwatch.metrics_endpoint import Health, MetricsEndpoint
from segwatch.settings import SiteSettings

LOOPBACK = "127.0.0.1"


def settings(port: int | None) -> SiteSettings:
    return SiteSettings.model_validate({"site": {"id": "x"}, "metrics": {"port": port}})


@pytest.fixture
def served() -> Iterator[Callable[[Health], int]]:
    """A function that serves a health; gives the port."""
    made: list[MetricsEndpoint] = []

    def serve(health: Health) -> int:
        made.append(MetricsEndpoint(LOOPBACK, 0, CollectorRegistry(), lambda: health))
        made[-1].start()
        return made[-1].port

    yield serve
    for one in made:
        one.stop()


def test_not_wanted_is_no_fault() -> None:
    assert check_metrics(settings(None)) == "not served: metrics.port is not set"


def test_a_free_port_is_free(free_port: Callable[[], int]) -> None:
    port = free_port()
    assert check_metrics(settings(port)) == f"port {port} is free"


def test_a_listener_that_is_ready(served: Callable[[Health], int]) -> None:
    assert check_metrics(settings(served(Health.READY))).endswith("that it is ready")


def test_a_listener_that_refuses(served: Callable[[Health], int]) -> None:
    with pytest.raises(UsageError, match="that it is refusing; its log says why"):
        check_metrics(settings(served(Health.REFUSING)))


def test_another_programs_port() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        other.settimeout(20)
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=re.escape(f"{LOOPBACK}:{port}: ")):
            _ = check_metrics(settings(port))
