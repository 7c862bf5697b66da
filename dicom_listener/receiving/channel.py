"""The connection between the listener and one of its receivers: whole messages, and descriptors with them."""

import array
import socket
from contextlib import suppress
from typing import Self

from dicom_listener.receiving.messages import Message, decode, encode

_LONGEST_MESSAGE = 160 * 1024
"""128 presentation contexts and a full receive buffer are 90 kB."""


class Channel:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over one of a pair of sockets, see `pair`."""
        self._socket = connection
        self._memory = bytearray(_LONGEST_MESSAGE)

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two ends that are connected."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def of_descriptor(cls, descriptor: int) -> Self:
        """The end that another process made."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """Descriptor of this end."""
        return self._socket.fileno()

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send a message, and a copy of a descriptor with it; waits for room.

        Raises:
            OSError: the other end is gone.
        """
        data = encode(message)
        if descriptor is None:
            self._socket.send(data)
        else:
            socket.send_fds(self._socket, [data], [descriptor])

    def receive(self) -> tuple[Message, int | None] | None:
        """Wait for a message and the descriptor that came with it; None when the other end is gone."""
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into([self._memory], socket.CMSG_SPACE(4))
        except OSError:
            return None
        if size == 0:
            return None
        descriptors = array.array("i", b"".join(data for _, _, data in ancillary))
        message = decode(bytes(memoryview(self._memory)[:size]))
        return message, descriptors[0] if descriptors else None

    def shut(self) -> None:
        """Let both ends find the other gone."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; nobody uses it any more."""
        self._socket.close()
