"""What doctor says about the port of the metrics."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dicom_listener.spool.spool import Spool
from segwatch.errors import UsageError
from segwatch.metrics_check import check_metrics
from segwatch.metrics_endpoint import Health, MetricsEndpoint
from segwatch.settings import SiteSettings

LOOPBACK = "127.0.0.1"
MakeSettings = Callable[[int | None], SiteSettings]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Of a listener that runs."""
    spool = Spool(tmp_path / "spool")
    spool.claim()
    yield spool
    spool.release()


@pytest.fixture
def settings(tmp_path: Path) -> MakeSettings:
    """A function that makes the settings of a site that serves metrics on a port."""

    def make(port: int | None) -> SiteSettings:
        return SiteSettings.model_validate({"site": {"id": "x", "data_dir": tmp_path}, "metrics": {"port": port}})

    return make


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


def test_not_wanted_is_no_fault(settings: MakeSettings) -> None:
    assert check_metrics(settings(None)) == "not served: metrics.port is not set"


def test_a_free_port_is_free(settings: MakeSettings, free_port: Callable[[], int]) -> None:
    port = free_port()
    assert check_metrics(settings(port)) == f"port {port} is free"


@pytest.mark.usefixtures("spool")
def test_a_listener_that_is_ready(settings: MakeSettings, served: Callable[[Health], int]) -> None:
    assert check_metrics(settings(served(Health.READY))).endswith("that it is ready")


@pytest.mark.usefixtures("spool")
def test_a_listener_that_refuses(settings: MakeSettings, served: Callable[[Health], int]) -> None:
    with pytest.raises(UsageError, match="that it is refusing; its log says why"):
        check_metrics(settings(served(Health.REFUSING)))


def test_another_programs_port(settings: MakeSettings) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        other.settimeout(20)
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=re.escape(f"{LOOPBACK}:{port}: ")):
            _ = check_metrics(settings(port))


@pytest.mark.parametrize("health", [Health.READY, Health.REFUSING])
def test_another_segwatchs_port(settings: MakeSettings, served: Callable[[Health], int], health: Health) -> None:
    with pytest.raises(UsageError, match=r"by another Segwatch .*choose another metrics\.port"):
        check_metrics(settings(served(health)))


def test_a_listener_that_starts_has_no_spool_yet(settings: MakeSettings, served: Callable[[Health], int]) -> None:
    with pytest.raises(UsageError, match="that it is starting"):
        check_metrics(settings(served(Health.STARTING)))
