"""A connection while a receiver has it."""

import os
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from dicom_listener.receiving.receive_buffer import ReceiveBuffer


class HeldConnection:
    """One connection while this process has it."""

    def __init__(self, descriptor: int, received: bytes, idle_seconds: float) -> None:
        """Take over the descriptor; at most `idle_seconds` are waited for each PDU."""
        self.buffer = ReceiveBuffer()
        self.buffer.put_back(received)
        self._socket = socket.socket(fileno=descriptor)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._idle_seconds = self._idle_left = idle_seconds
        self._is_wanted = self._is_wanted_at_once = False

    @property
    def is_idle(self) -> bool:
        """Whether the peer was silent for too long."""
        return self._idle_left <= 0

    def may_go_on(self, *, is_between: bool) -> bool:
        """Whether it stays here; `is_between` two data sets it may leave."""
        return not (self.is_idle or self._is_wanted_at_once or (self._is_wanted and is_between))

    def on_progress(self) -> None:
        """The peer made progress."""
        self._idle_left = self._idle_seconds

    def fill(self, room: memoryview | None = None) -> int | None:
        """Receive into `room` and the buffer what there is, see `ReceiveBuffer.fill`."""
        return self.buffer.fill(self._receive_into, room)

    def _receive_into(self, views: Sequence[memoryview]) -> int:
        # the listener made it non-blocking, and Python's recv_into would poll it before each read
        return os.readv(self._socket.fileno(), views)

    def wait(self) -> None:
        """Wait until something can be read, it is wanted, or the peer was silent for too long."""
        self._poll(select.POLLIN)

    def send(self, answer: bytes) -> None:
        """Send a PDU. A connection that takes none is found broken when it is read next."""
        view = memoryview(answer)
        with suppress(BrokenPipeError, ConnectionError):
            while view and not self.is_idle and not self._is_wanted_at_once:
                try:
                    view = view[self._socket.send(view) :]
                except BlockingIOError:
                    self._poll(select.POLLOUT)

    def _poll(self, what: int) -> None:
        poll = select.poll()
        poll.register(self._socket, what)
        poll.register(self._wake, select.POLLIN)
        began = time.monotonic()
        poll.poll(self._idle_left * 1000)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        # only this counts: the peer is not idle while we store what it sent, e.g. on a slow disk
        self._idle_left -= time.monotonic() - began

    def recall(self, *, at_once: bool) -> None:
        """Give it back, from another thread."""
        self._is_wanted = True
        self._is_wanted_at_once = self._is_wanted_at_once or at_once
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close the descriptors; the connection stays open, for the listener has one too."""
        self._socket.close()
        os.close(self._wake)
