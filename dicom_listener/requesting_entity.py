"""An AE that requests associations, for the listener and the reporter alike."""

import socket
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import AssociationSocket


class RequestingEntity(AE):
    """Closes what pynetdicom 3.0 leaves to the garbage collector when a connection is refused."""

    def __init__(self, ae_title: str, *, seconds: float) -> None:
        """`seconds` is how long is waited for the connection and for each answer.

        Raises:
            ValueError: the AE title is none.
        """
        super().__init__(ae_title)
        self._raw: list[socket.socket] = []
        self.acse_timeout = self.dimse_timeout = self.network_timeout = self.connection_timeout = seconds

    def _create_socket(self, *arguments: Any) -> AssociationSocket:  # noqa: ANN401 (passed through)
        made = super()._create_socket(*arguments)
        if made.socket is not None:
            self._raw.append(made.socket)
        return made

    def close_sockets(self) -> None:
        """Close every connection that was tried."""
        for raw in self._raw:
            raw.close()
