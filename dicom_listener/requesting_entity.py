"""An AE that requests associations, for the listener and the reporter alike."""

import socket
import threading
from typing import Any

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from dicom_listener.errors import UnresolvedHostError
from dicom_listener.spool.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_SAY_SECONDS = 0.005
"""A sender waits for so long at most until the loop has said that it is paused."""


class LoopCheckpoint(threading.Event):
    """Really pauses the loop of an association while a message is sent.

    pynetdicom 3.0 takes a loop for paused that is about to go on. On a busy machine that loop then takes the answer for
    which the sender waits, and the sender gives the association up.
    """

    def __init__(self, association: Association) -> None:
        """In place of the association's own `_reactor_checkpoint`."""
        super().__init__()
        self._association = association
        self.set()

    def clear(self) -> None:
        """Pause the loop; it says by `_is_paused` when it is."""
        super().clear()
        self._association._is_paused = False  # what it said before may be over

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 (the loop waits without)
        """Wait until the loop may go on, and say so for as long as it may not."""
        while not super().wait(_SAY_SECONDS):
            self._association._is_paused = True
        return True


class RequestingEntity(AE):
    """Names this implementation, pauses its associations' loops, and closes what pynetdicom 3.0 leaves to the garbage
    collector when a connection is refused."""

    def __init__(self, ae_title: str, *, seconds: float) -> None:
        """`seconds` is how long is waited for the connection and for each answer.

        Raises:
            ValueError: the AE title is none.
        """
        super().__init__(ae_title)
        self.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._raw: list[socket.socket] = []
        self.acse_timeout = self.dimse_timeout = self.network_timeout = self.connection_timeout = seconds

    def associate(self, *arguments: Any, **more: Any) -> Association:  # noqa: ANN401 (passed through)
        """Request an association. Raises `UnresolvedHostError`: nothing was tried, for the host has no address."""
        try:
            association = super().associate(*arguments, **more)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "no name"
            raise UnresolvedHostError(f"{arguments[0]} does not resolve ({reason})") from error
        association._reactor_checkpoint = LoopCheckpoint(association)
        return association

    def _create_socket(self, *arguments: Any) -> AssociationSocket:  # noqa: ANN401 (passed through)
        made = super()._create_socket(*arguments)
        if made.socket is not None:
            self._raw.append(made.socket)
        return made

    def close_sockets(self) -> None:
        """Close every connection that was tried."""
        for raw in self._raw:
            raw.close()
