"""What `segwatch doctor` says about the metrics: whether they are served, and how the listener is."""

import errno
import http.client
import os

from dicom_listener.spool.claims import is_claimed
from segwatch.binding import ANOTHER_SEGWATCH, bind_error, reachable, refuse_address
from segwatch.errors import UsageError
from segwatch.metrics_endpoint import Health
from segwatch.settings import SiteSettings

TIMEOUT_S = 2.0
_OF_A_CLAIMED_SPOOL = {Health.READY, Health.REFUSING}
"""What a listener says only while it has its spool: before and after that it has none, and yet is ours."""


def check_metrics(settings: SiteSettings) -> str:
    """The port of the metrics is not wanted, ours, or free.

    Raises:
        UsageError: it is another program's or another Segwatch's, or the listener cannot take instances.
    """
    host, port = settings.metrics.host, settings.metrics.port
    if port is None:
        return "not served: metrics.port is not set"
    keys = "metrics.host", "metrics.port"
    told = _health(reachable(host), port)
    if told in _OF_A_CLAIMED_SPOOL and is_claimed(settings.site.data_dir / "spool") is False:
        taken = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        raise refuse_address(taken, host, port, keys, by=ANOTHER_SEGWATCH)
    if told is Health.READY:
        return f"the listener says on port {port} that it is ready"
    if told is not None:
        raise UsageError(f"the listener says on port {port} that it is {told}; its log says why")
    error = bind_error(host, port)
    if error is not None:
        raise refuse_address(error, host, port, keys) from error
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
