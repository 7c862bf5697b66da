"""What uvicorn does not bound by itself: how many connections are open, and how long one may be silent.

Two small subclasses over public seams: the listening socket that asyncio accepts from, and the protocol class that
uvicorn takes as its `http` option.
"""

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom_listener.stow.app import CERTIFICATE_NAME
from dicom_listener.stow.gate import common_name
from dicom_listener.stow.report import StowConnectionRefusal, StowConnections

_ENDING = 16
"""How many connections may be on their way out before further ones wait in the queue of the system."""


class _Connection(socket.socket):
    """An accepted socket that gives its place back when it is closed."""

    listener: "BoundedListener | None" = None
    number = -1
    """Its descriptor, which a closed socket does not know any more."""
    address = ""
    """Of its peer."""

    def close(self) -> None:
        listener, self.listener = self.listener, None
        super().close()
        if listener is not None:
            listener.release(self)


class BoundedListener(socket.socket):
    """A listening socket with a limit of open connections, and one for each address.

    Counted from the accept on, so a connection that dawdles in its TLS handshake counts as well. One too many takes
    the place of the one that has been idle for longest, of its own address where that has too many, so those who hold
    connections and ask nothing keep nobody out; when every such connection is busy with a request, it is closed as it
    comes. Used by one event loop.
    """

    maximum_connections = 64
    maximum_connections_per_address = 32

    def __init__(self, family: int = socket.AF_INET) -> None:
        # asyncio sets TCP_NODELAY where the protocol is named; without it every answer waits 40 ms
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._open: dict[int, _Connection] = {}
        self._idle: dict[int, None] = {}
        """Descriptors, the one that has been idle for longest first."""
        self._ending: set[int] = set()
        """Descriptors of those that were told to end and are not closed yet."""
        self._of_address: Counter[str] = Counter()
        """How many of an address are open and not ending; none is at 0."""
        self._refused: Counter[StowConnectionRefusal] = Counter()

    def counts(self) -> StowConnections:
        """What is open now, and what was closed for too many; from any thread."""
        return StowConnections(len(self._open), {why: self._refused[why] for why in StowConnectionRefusal})

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Raises `BlockingIOError` when none waits, or it was closed as one too many."""
        if len(self._ending) >= _ENDING:
            raise BlockingIOError  # in a burst: first let those close that made room
        descriptor, address = self._accept()  # type: ignore[attr-defined] # (of the C base class; typeshed leaves it out)
        connection = _Connection(self.family, self.type, self.proto, fileno=descriptor)
        if not self._has_room(address[0]):
            connection.close()
            raise BlockingIOError
        connection.listener, connection.number, connection.address = self, descriptor, address[0]
        self._open[descriptor] = connection
        self._of_address[connection.address] += 1
        self._idle[descriptor] = None
        return connection, address

    def release(self, connection: _Connection) -> None:
        """A connection was closed."""
        if self._open.get(connection.number) is connection:
            del self._open[connection.number]
            self._idle.pop(connection.number, None)
            if connection.number in self._ending:
                self._ending.remove(connection.number)
            else:
                self._one_less(connection.address)

    def note(self, descriptor: int, *, busy: bool) -> None:
        """A connection is busy with a request, or is not."""
        if busy:
            self._idle.pop(descriptor, None)
        elif descriptor in self._open and descriptor not in self._ending:
            self._idle.setdefault(descriptor)

    def _has_room(self, address: str) -> bool:
        """Whether a connection of that address may stay; another may have to go for it."""
        if self._of_address[address] >= self.maximum_connections_per_address:
            self._refused[StowConnectionRefusal.ADDRESS_LIMIT] += 1
            return self._end_an_idle_one(address)
        if not self._of_address[address]:
            del self._of_address[address]
        if len(self._open) - len(self._ending) >= self.maximum_connections:
            self._refused[StowConnectionRefusal.LIMIT] += 1
            return self._end_an_idle_one()
        return True

    def _one_less(self, address: str) -> None:
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def _end_an_idle_one(self, address: str | None = None) -> bool:
        those = (one for one in self._idle if address is None or self._open[one].address == address)
        descriptor = next(those, None)
        if descriptor is None:
            return False
        del self._idle[descriptor]
        self._ending.add(descriptor)
        self._one_less(self._open[descriptor].address)
        with suppress(OSError):  # its other side is gone already
            self._open[descriptor].shutdown(socket.SHUT_RDWR)  # its transport sees the end and closes it
        return True


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with two limits more.

    A connection is closed when it has sent no whole request head for `head_seconds`, and when a request that was
    answered before its body had ended goes on for `head_seconds` more, and when the client does not read its answer
    for so long. It also hands over the name in the client's certificate.
    """

    head_seconds = 60.0
    listener: BoundedListener | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (uvicorn's arguments)
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._writing_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # (as in uvicorn)
        """A connection is there, its TLS handshake done."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert() if tls is not None else None
        if certificate:
            self.app_state = {**self.app_state, CERTIFICATE_NAME: common_name(certificate)}
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer was written."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._set_timer(False)
        super().connection_lost(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client does not read what was written."""
        super().pause_writing()
        self._writing_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None
        super().resume_writing()

    def _watch(self) -> None:
        descriptor = self.transport.get_extra_info("socket").fileno()
        if self.listener is not None and descriptor >= 0:
            # refused requests are answered already, whatever of their bodies is still to come
            self.listener.note(descriptor, busy=self.conn.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY))
        # between requests uvicorn's own keep-alive timer runs, until the first byte of the next
        head_is_due = self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None
        is_answered = self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
        body_is_due = self.conn.their_state is h11.SEND_BODY and is_answered
        self._set_timer(head_is_due or body_is_due)

    def _set_timer(self, wanted: bool) -> None:
        if wanted and self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self.transport.abort)
        elif not wanted and self._timer is not None:
            self._timer.cancel()
            self._timer = None
