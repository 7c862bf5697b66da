"""GET /metrics and GET /healthz, and nothing else."""

import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from dicom_listener.spool.spool import Spool
from segwatch.errors import SettingsError
from segwatch.listener_watch import ListenerHealth
from segwatch.metrics_endpoint import MOST_CONNECTIONS, Health, MetricsEndpoint

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0
Answer = tuple[int, str, dict[str, str]]


@pytest.fixture
def health() -> list[Health]:
    """Its last entry is what the endpoint tells."""
    return [Health.READY]


@pytest.fixture
def endpoint(health: list[Health]) -> Iterator[MetricsEndpoint]:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    endpoint = MetricsEndpoint(LOOPBACK, 0, registry, lambda: health[-1])
    endpoint.start()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def ask(endpoint: MetricsEndpoint) -> Callable[..., Answer]:
    def ask(path: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection(LOOPBACK, endpoint.port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode(), dict(response.getheaders())
        finally:
            connection.close()

    return ask


def test_metrics_are_prometheus_text(ask: Callable[..., Answer]) -> None:
    status, body, headers = ask("/metrics?name[]=things_total")
    assert status == 200
    assert "things_total 3.0" in body
    assert "_created" not in body
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("told", "status"),
    [(Health.STARTING, 503), (Health.READY, 200), (Health.REFUSING, 503), (Health.STOPPING, 503), (Health.FAILED, 503)],
)
def test_health_is_a_word(told: Health, status: int, health: list[Health], ask: Callable[..., Answer]) -> None:
    health.append(told)
    assert ask("/healthz")[:2] == (status, f"{told}\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/etc/passwd", "/debug"])
def test_nothing_else_is_served_and_nothing_quoted(path: str, ask: Callable[..., Answer]) -> None:
    assert ask(path)[:2] == (404, "Not Found\n")


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "STRANGE"])
def test_only_get_is_answered(method: str, ask: Callable[..., Answer], capfd: pytest.CaptureFixture[str]) -> None:
    status, _, headers = ask("/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "bytes_sent", [b"", b"\x01\x00\x00\x00\x00\xff", b"GET\r\n\r\n", b"GET " + b"a" * 70_000, b"GET / HTTP/9.9\r\n\r\n"]
)
def test_what_is_no_http_is_closed_without_a_word_on_standard_error(
    bytes_sent: bytes, endpoint: MetricsEndpoint, ask: Callable[..., Answer], capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((LOOPBACK, endpoint.port)) as client:
        client.settimeout(PATIENCE)
        client.sendall(bytes_sent)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(1000):
                pass
        except ConnectionResetError:
            pass
    assert ask("/healthz")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_client_that_dribbles_is_cut(
    endpoint: MetricsEndpoint, ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwatch.metrics_endpoint.LONGEST_SECONDS", 0.3)
    with socket.create_connection((LOOPBACK, endpoint.port)) as client:
        client.settimeout(0.02)
        with pytest.raises((ConnectionError, EOFError)):
            while True:
                client.sendall(b"G")
                with suppress(TimeoutError):
                    if client.recv(1) == b"":
                        raise EOFError
    assert ask("/healthz")[0] == 200


def test_silent_clients_over_the_limit_are_closed(endpoint: MetricsEndpoint) -> None:
    silent = [socket.create_connection((LOOPBACK, endpoint.port)) for _ in range(MOST_CONNECTIONS)]
    with socket.create_connection((LOOPBACK, endpoint.port)) as ninth:
        ninth.settimeout(PATIENCE)
        assert ninth.recv(1) == b""
    for one in silent:
        one.close()


def test_a_port_in_use_is_a_sentence(endpoint: MetricsEndpoint) -> None:
    second = MetricsEndpoint(LOOPBACK, endpoint.port, CollectorRegistry(), lambda: Health.READY)
    with pytest.raises(SettingsError, match=r"cannot serve metrics on 127.0.0.1:\d+: .* choose another metrics.port"):
        second.start()
    second.stop()


def test_an_address_of_another_machine_is_a_sentence() -> None:
    endpoint = MetricsEndpoint("192.0.2.1", 9464, CollectorRegistry(), lambda: Health.READY)
    with pytest.raises(SettingsError, match=r"cannot serve metrics on 192.0.2.1:9464"):
        endpoint.start()


def test_it_stops_and_starts_again(endpoint: MetricsEndpoint) -> None:
    port = endpoint.port
    endpoint.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port))
    endpoint.start()


def test_a_full_disk_refuses_and_a_dead_thread_is_a_failure(tmp_path: Path) -> None:
    alive = True
    health = ListenerHealth(Spool(tmp_path / "spool", minimum_free_bytes=10**18), lambda: alive)
    assert health.now() is Health.STARTING
    health.phase = Health.READY
    assert health.now() is Health.REFUSING
    alive = False
    assert health.now() is Health.FAILED
    health.phase = Health.STOPPING
    assert health.now() is Health.STOPPING
