"""A socket and a timer for pynetdicom: what a peer announces and how long it takes is bounded, and no clock jumps."""

import logging
import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress

from pynetdicom.association import Association
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationSocket

from dicom_listener.receiving.receive_buffer import BUFFER_BYTES, ReceiveBuffer

LOGGER = logging.getLogger(__name__)

_CONNECTION_CLOSED = "Evt17"
"""pynetdicom's name of the event (PS3.8 table 9-10)."""

MAXIMUM_PDU_BYTES = 1024 * 1024
"""Longest PDU that is read, whatever was announced; 128 presentation contexts with all syntaxes make 200 kB."""
_LONGEST_DRAIN = 4 * 1024 * 1024
CLOSING = "Sta13"
"""pynetdicom's name of the state in which nothing but the end of the connection is waited for (PS3.8 table 9-5)."""


class MonotonicTimer(Timer):
    """pynetdicom's timer by a clock that cannot be set."""

    @property
    def remaining(self) -> float:
        """Seconds until it expires; negative afterwards."""
        if self._timeout is None:
            return 1.0
        if self._start_time is None:
            return float(self._timeout)
        until = time.monotonic() if self._end_time is None else self._end_time
        return float(self._timeout - (until - self._start_time))

    def seconds_left(self, otherwise: float) -> float:
        """Seconds until it expires, 0 or more; `otherwise` when it does not run."""
        is_running = self._timeout is not None and self._start_time is not None and self._end_time is None
        return max(self.remaining, 0.0) if is_running else otherwise

    def start(self) -> None:
        """Start from now."""
        self._start_time = time.monotonic()
        self._end_time = None

    def stop(self) -> None:
        """Stop; it does not expire any more."""
        self._end_time = time.monotonic()


class BoundedSocket(AssociationSocket):
    """pynetdicom's socket with a receive buffer, and with a bound on what one read may take in bytes and in time."""

    def __init__(self, association: Association, connection: socket.socket, idle_seconds: float) -> None:
        super().__init__(association, client_socket=connection)
        self._idle_seconds = idle_seconds
        self.buffer = ReceiveBuffer()
        """What was received and not taken yet."""

    @property
    def ready(self) -> bool:
        """Whether something can be read at once."""
        return len(self.buffer) > 0 or self._is_readable()

    def _is_readable(self) -> bool:
        """As pynetdicom's own, which fails for descriptors of 1024 and more because it uses select()."""
        if self.socket is None or not self._is_connected:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return True
        poll = select.poll()
        try:
            poll.register(self.socket, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            self.event_queue.put(_CONNECTION_CLOSED)
            return False

    def fill(self, room: memoryview | None = None) -> int | None:
        """Receive into `room` and the buffer what there is, see `ReceiveBuffer.fill`."""
        return self.buffer.fill(self._receive_into, room)

    def _receive_into(self, views: Sequence[memoryview]) -> int:
        if self.socket is None:
            return 0
        if isinstance(self.socket, ssl.SSLSocket):
            if not self._is_readable():  # what TLS has decrypted already, or the socket holds
                raise BlockingIOError
            try:
                return self.socket.recv_into(views[0])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise BlockingIOError from None
        # a socket with a time-out is non-blocking underneath, and Python's recv_into would poll it before each read
        return os.readv(self.socket.fileno(), views)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read that many bytes; fewer when the peer closes, as pynetdicom expects.

        Raises:
            OSError: more is announced than is ever read.
            TimeoutError: they did not come within the idle time.
        """
        if nr_bytes > MAXIMUM_PDU_BYTES:
            LOGGER.warning("a peer announced a PDU of %d bytes, more than %d", nr_bytes, MAXIMUM_PDU_BYTES)
            raise OSError("the announced PDU is too long")
        if self.assoc.dul.state_machine.current_state == CLOSING:
            self._drain()
            return bytearray()
        deadline = time.monotonic() + self._idle_seconds
        data = bytearray(self.buffer.view[:nr_bytes])
        self.buffer.consume(len(data))
        while len(data) < nr_bytes:
            left = deadline - time.monotonic()
            if self.socket is None or left <= 0:
                raise TimeoutError("the PDU did not come within the idle time")
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(nr_bytes - len(data))
            finally:
                self.socket.settimeout(self._idle_seconds)
            if not piece:
                break
            data += piece
        return data

    def _drain(self) -> None:
        """Throw away what the peer still sends: closing before it is read would cut off the A-ABORT sent before."""
        for _ in range(_LONGEST_DRAIN // BUFFER_BYTES):
            self.buffer.drop()
            if not self.fill():
                break
        self.buffer.drop()

    def shut(self) -> None:
        """Break the connection; whoever reads next finds it closed."""
        if self.socket is not None:
            with suppress(OSError):  # closed by the peer meanwhile
                self.socket.shutdown(socket.SHUT_RDWR)

    def wait(self, wake: socket.socket, seconds: float) -> None:
        """Wait until something can be read here, or `wake` says that there is something to do."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        if self.socket is not None and self.socket.fileno() >= 0:
            poll.register(self.socket, select.POLLIN)
        poll.poll(max(seconds, 0) * 1000)
