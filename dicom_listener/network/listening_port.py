"""`ListeningPort`: a bound TCP port with the thread of its accept loop."""

import threading
from collections.abc import Callable
from socketserver import BaseServer

from pynetdicom import AE
from pynetdicom.association import Association

from dicom_listener.bind_errors import cure
from dicom_listener.errors import PortError
from dicom_listener.network.associations import ListenerServer


class ListenerAE(AE):
    """pynetdicom's application entity, whose associations are counted elsewhere (`doorkeeper`)."""

    @property
    def active_associations(self) -> list[Association]:
        """None: pynetdicom would look through every thread of the process for them, at each A-ASSOCIATE-RQ."""
        return []


class ListeningPort:
    """Bound from the beginning, served from `start` to `stop`."""

    def __init__(self, make_server: Callable[[tuple[str, int]], ListenerServer], host: str, port: int) -> None:
        """Bind a port.

        Raises:
            PortError: it cannot be bound.
        """
        try:
            self._server = make_server((host, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PortError(f"cannot listen on {host or 'every address'}:{port}: {reason}; {cure(error)}") from error
        self._thread: threading.Thread | None = None

    @property
    def number(self) -> int:
        """TCP port."""
        return int(self._server.server_address[1])

    @property
    def speaks_tls(self) -> bool:
        """Whether it speaks TLS, and nothing else."""
        return self._server.tls is not None

    @property
    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="dicom-accept", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, and free the port; what was accepted runs on."""
        if self._thread is not None:
            BaseServer.shutdown(self._server)  # pynetdicom's own expects to have been started by its AE
            self._thread.join()
        self._server.server_close()
