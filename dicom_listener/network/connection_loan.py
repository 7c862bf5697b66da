"""The connection of an association, while a receiver has it."""

import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto

from dicom_listener.network.bounded_socket import BoundedSocket
from dicom_listener.receiving.handed_over import HandedOver
from dicom_listener.receiving.messages import GivenBack

Lend = Callable[[socket.socket, bytes, Callable[[], None]], HandedOver | None]
"""Hands a connection, with what it has brought, to a receiver if there is one; the last is called when it is back."""


class Urgency(Enum):
    """How urgently a connection is wanted back."""

    NONE = auto()
    BETWEEN_DATA_SETS = auto()
    """Behind the data set that is on its way."""
    AT_ONCE = auto()
    """A data set that is on its way is dropped."""


class ConnectionLoan:
    """Gives one connection away and gets it back; for the thread that reads and sends."""

    def __init__(self, lend: Lend | None, on_return: Callable[[], None]) -> None:
        """`lend` is None where there are no receivers; `on_return` is called from another thread."""
        self._lend = lend
        self._on_return = on_return
        self._handed_over: HandedOver | None = None

    @property
    def is_possible(self) -> bool:
        """Whether there may be a receiver."""
        return self._lend is not None

    @property
    def is_out(self) -> bool:
        """Whether a receiver has the connection."""
        return self._handed_over is not None

    def give(self, connection: BoundedSocket) -> bool:
        """Let a receiver take what follows; False when none can."""
        if self._lend is None or connection.socket is None or isinstance(connection.socket, ssl.SSLSocket):
            return False  # what TLS holds is in this process's memory
        self._handed_over = self._lend(connection.socket, bytes(connection.buffer.view), self._on_return)
        if self._handed_over is not None:
            connection.buffer.drop()
        return self._handed_over is not None

    def wait_for_return(self, urgency: Callable[[], Urgency], wait: Callable[[], None]) -> GivenBack | None:
        """Wait until the connection is ours; None when it was all the time.

        Args:
            urgency: how urgently it is wanted; asked after each `wait`.
            wait: returns when that may have changed, or `on_return` was called.
        """
        if self._handed_over is None:
            return None
        while (given_back := self._handed_over.returned) is None:
            wanted = urgency()
            if wanted is not Urgency.NONE:
                self._handed_over.recall(at_once=wanted is Urgency.AT_ONCE)
            wait()
        self._handed_over = None
        return given_back
