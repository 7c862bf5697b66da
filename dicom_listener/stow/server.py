"""The STOW-RS server: uvicorn in a thread of its own, over the spool of the listener."""

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import Callable

import uvicorn

from dicom_listener.bind_errors import cure
from dicom_listener.errors import PortError, in_short
from dicom_listener.store_service import StoreService
from dicom_listener.stow.app import StowApp
from dicom_listener.stow.connections import BoundedListener, BoundedProtocol
from dicom_listener.stow.event_loop import HandshakeBoundLoop
from dicom_listener.stow.gate import Gate
from dicom_listener.stow.report import StowConnections, StowReport, log_stow
from dicom_listener.stow.settings import StowSettings, is_loopback
from dicom_listener.stow.tls import make_context
from dicom_listener.stow.tokens import TokenFile

LOGGER = logging.getLogger(__name__)

SERVER_NAME = "Segwatch"
"""In the Server header of answers."""
_BACKLOG = 128
_HEAD_BYTES = 16 * 1024
"""Longest request head."""
_KEEP_ALIVE_SECONDS = 15
_STOP_SECONDS = 5
"""How long requests that run may go on at a stop."""
_START_SECONDS = 30.0


class _Uvicorn(uvicorn.Server):
    """Tells when it serves, leaves signals to the process, and bounds TLS handshakes."""

    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self.serving = threading.Event()
        self._handshake_seconds = handshake_seconds

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        with asyncio.Runner(loop_factory=lambda: HandshakeBoundLoop(self._handshake_seconds)) as runner:
            runner.run(self.serve(sockets))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class StowServer:
    """A STOW-RS origin server over a store service."""

    def __init__(
        self,
        service: StoreService,
        settings: StowSettings,
        *,
        ae_title: str,
        on_request_end: Callable[[StowReport], None] | None = None,
    ) -> None:
        """Make a server that does nothing before `start`.

        Args:
            service: where instances are made durable.
            settings: where it listens, whom it lets in, limits.
            ae_title: own AE title, the receiving one of what is pushed.
            on_request_end: told what happened on each request, from the server's thread.

        Raises:
            StowSettingsError: the settings or the tokens cannot be used.
            TlsError: certificate, key or trusted certificates cannot be used.
        """
        settings.check()
        self._settings = settings
        self._context = make_context(settings)
        self._observe = on_request_end
        gate = Gate(TokenFile(settings.tokens_file) if settings.tokens_file else None)
        self._app = StowApp(service, settings, ae_title=ae_title, gate=gate, on_request_end=self._request_ended)
        self._listener: BoundedListener | None = None
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port on which it listens, or would listen."""
        return self._settings.port if self._listener is None else int(self._listener.getsockname()[1])

    def connections(self) -> StowConnections:
        """What is connected now; nothing before `start` and after `stop`."""
        return StowConnections(0, {}) if self._listener is None else self._listener.counts()

    @property
    def is_serving(self) -> bool:
        """Whether its thread runs that answers requests."""
        return self._thread is not None and self._thread.is_alive()

    def check_address(self) -> None:
        """See whether the address can be bound. Raises `PortError`."""
        self._bind().close()

    def start(self) -> None:
        """Bind the port and serve in a thread of its own.

        Raises:
            PortError: the address cannot be bound.
        """
        listener = self._bind()
        server = _Uvicorn(self._config(listener), self._settings.limits.handshake_seconds)
        self._listener, self._server = listener, server
        self._thread = threading.Thread(target=self._run, args=(server, listener), name="stow-server", daemon=True)
        self._thread.start()
        if not server.serving.wait(_START_SECONDS):
            self.stop()
            raise PortError(f"the STOW-RS server did not begin to serve on port {self._settings.port}")
        LOGGER.info("STOW-RS: port=%d tls=%s", self.port, "yes" if self._context else "no")
        if self._context is None and not is_loopback(self._settings.host):
            LOGGER.warning("STOW-RS without TLS: tokens and images cross the network in the clear")

    def stop(self) -> None:
        """Close the port; requests that run may end, those that take longer are cut off: what is durable stays."""
        if self._server is None or self._thread is None or self._listener is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self._app.close()
        self._server = self._thread = self._listener = None

    def _run(self, server: _Uvicorn, listener: BoundedListener) -> None:
        try:
            server.run([listener])
        except (Exception, SystemExit) as error:  # noqa: BLE001 (a thread that died in silence would be missed by nobody)
            LOGGER.critical("STOW-RS: the server ended: %s", in_short(error))

    def _bind(self) -> BoundedListener:
        host, port = self._settings.host, self._settings.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            listener = BoundedListener(family)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((host, port))
                listener.listen(_BACKLOG)
                listener.setblocking(False)
            except OSError:
                listener.close()
                raise
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            hint = cure(error, host="listener.stow.host", port="listener.stow.port")
            raise PortError(f"cannot listen on {host}:{port} for STOW-RS: {reason}; {hint}") from error
        listener.maximum_connections = self._settings.limits.maximum_connections
        listener.maximum_connections_per_address = self._settings.limits.maximum_connections_per_address
        return listener

    def _config(self, listener: BoundedListener) -> uvicorn.Config:
        protocol = type(
            "Protocol",
            (BoundedProtocol,),
            {"head_seconds": self._settings.limits.idle_seconds, "listener": listener},
        )

        context = self._context

        def given(_config: uvicorn.Config, _default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
            assert context is not None  # noqa: S101 (only handed over when there is one)
            return context

        return uvicorn.Config(
            self._app,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            # its access log would hold paths, and so UIDs; `log_stow` writes a line for each request
            access_log=False,
            log_config=None,
            # what a client claims of its address is not believed
            proxy_headers=False,
            server_header=False,
            headers=[("Server", SERVER_NAME)],
            backlog=_BACKLOG,
            timeout_keep_alive=max(1, min(_KEEP_ALIVE_SECONDS, int(self._settings.limits.idle_seconds))),
            timeout_graceful_shutdown=_STOP_SECONDS,
            h11_max_incomplete_event_size=_HEAD_BYTES,
            ssl_context_factory=given if context is not None else None,
        )

    def _request_ended(self, report: StowReport) -> None:
        log_stow(report)
        if self._observe is not None:
            self._observe(report)
