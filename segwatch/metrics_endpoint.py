"""Serves the metrics and the health of one process by HTTP: GET /metrics and GET /healthz, nothing else.

It knows nothing of what is measured: any process of Segwatch can hand it a registry and a function that tells its
health.
"""

import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, disable_created_metrics, generate_latest

from dicom_listener.bind_errors import cure
from segwatch.errors import SettingsError

LOGGER = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"


class Health(StrEnum):
    """What /healthz answers: `ready` with status 200, anything else with 503."""

    STARTING = "starting"
    READY = "ready"
    REFUSING = "refusing"
    """It runs, and can take nothing now."""
    STOPPING = "stopping"
    FAILED = "failed"
    """A part of it died: start it again."""


class MetricsEndpoint:
    """A small HTTP server in threads of its own."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        """Make a server that does nothing before `start`; `health` is called from its threads."""
        self._address = (host, port)
        self._registry = registry
        self._health = health
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port on which it listens, or would listen."""
        return self._address[1] if self._server is None else int(self._server.server_address[1])

    def start(self) -> None:
        """Bind the port and serve.

        Raises:
            SettingsError: the address cannot be bound.
        """
        # when each counter began doubles what is told, and nobody asks for it
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library left it without types
        host, port = self._address
        try:
            self._server = _Server(self._address, self._registry, self._health)
        except OSError as error:
            hint = cure(error, host="metrics.host", port="metrics.port")
            raise SettingsError(f"cannot serve metrics on {host}:{port}: {error.strerror}; {hint}") from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )
        self._thread.start()
        LOGGER.info("metrics: http://%s:%d/metrics", f"[{host}]" if ":" in host else host, self.port)

    def stop(self) -> None:
        """Close the port."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None


MOST_CONNECTIONS = 8
"""Served at once; Prometheus needs one."""
LONGEST_SECONDS = 10.0
"""A connection is cut after this long, however slowly its client dribbles."""


class _Server(socketserver.ThreadingTCPServer):
    # not http.server's own, which asks the name service for this host's name before it serves
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        self.registry = registry
        self.health = health
        self._began: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, _address: object) -> bool:  # noqa: ANN401 (a socket, for TCP servers)
        """Called by the accept loop: a connection over the limit is closed at once."""
        with self._lock:
            if len(self._began) >= MOST_CONNECTIONS:
                return False
            self._began[request] = time.monotonic()
            return True

    def service_actions(self) -> None:
        """Called by the accept loop at each of its turns: cut what takes too long."""
        with self._lock:
            for connection, began in self._began.items():
                if time.monotonic() - began > LONGEST_SECONDS:
                    with suppress(OSError):  # closed by the client meanwhile
                        connection.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 (a socket, for TCP servers)
        """Called by socketserver when a connection ends."""
        with self._lock:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, _request: object, _address: object) -> None:
        """Called by socketserver for what a handler raised; its own version prints a traceback."""
        LOGGER.debug("a connection to the metrics ended with an error: %s", type(sys.exc_info()[1]).__name__)


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    """A client that says nothing for this long is closed, seconds."""
    server_version = "segwatch"
    sys_version = ""

    def do_GET(self) -> None:
        server = cast(_Server, self.server)
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(server.registry), CONTENT_TYPE_PLAIN_0_0_4)
            case "/healthz":
                health = server.health()
                status = HTTPStatus.OK if health is Health.READY else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, f"{health}\n".encode())
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 (http.server's texts quote the request)
        """Answer an error without a word of the request."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.close_connection = True
        self._answer(status, f"{status.phrase}\n".encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a scrape every few seconds is no event, and a request line may hold anything."""

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = _TEXT) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(body)
