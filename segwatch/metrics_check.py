"""What `segwatch doctor` says about the metrics: whether they are served, and how the listener is."""

import http.client
import socket

from segwatch.errors import UsageError
from segwatch.metrics_endpoint import Health
from segwatch.settings import SiteSettings

TIMEOUT_S = 2.0


def check_metrics(settings: SiteSettings) -> str:
    """The port of the metrics is not wanted, ours, or free.

    Raises:
        UsageError: it is another program's, or the listener cannot take instances.
    """
    host, port = settings.metrics.host, settings.metrics.port
    if port is None:
        return "not served: metrics.port is not set"
    told = _health(host, port)
    if told is Health.READY:
        return f"the listener says on port {port} that it is ready"
    if told is not None:
        raise UsageError(f"the listener says on port {port} that it is {told}; its log says why")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UsageError(f"{host}:{port}: {reason}; choose another metrics.port or metrics.host") from error
    return f"port {port} is free"


def _health(host: str, port: int) -> Health | None:
    """What a listener answers; None where there is none."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return Health(connection.getresponse().read(100).decode(errors="replace").strip())
    except (OSError, http.client.HTTPException, ValueError):  # nobody, no HTTP, or another program's word
        return None
    finally:
        connection.close()
