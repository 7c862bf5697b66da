"""The connection between the listener and one of its receivers: whole messages, and descriptors with them.

It has two lines. On one goes what is waited for; it wakes its reader. On the other go instances that are durable. They
stay there for a moment and are read together: to wake a thread costs more than to read a message, and nobody waits.
"""

import array
import select
import socket
from collections import deque
from contextlib import suppress
from typing import Self

from dicom_listener.receiving.messages import Message, Ping, Stored, decode, encode

_LONGEST_MESSAGE = 160 * 1024
"""128 presentation contexts and a full receive buffer are 90 kB."""
_GATHER_MS = 40
"""How long an instance waits for others."""
_GATHERED_BYTES = 1 << 20
"""Room that is asked for them. The kernel gives 416 kB where nobody changed net.core.wmem_max, and that is 300
instances; who finds no room waits for it."""


class Channel:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, waking: socket.socket, gathered: socket.socket) -> None:
        """Take over one of a pair of sockets for each line, see `pair`."""
        self._waking = waking
        self._gathered = gathered
        self._memory = bytearray(_LONGEST_MESSAGE)
        self._came: deque[tuple[Message, int | None]] = deque()
        self._has_ended = False
        self._either, self._wakes = select.poll(), select.poll()
        for line in (waking, gathered):
            self._either.register(line, select.POLLIN)
        self._wakes.register(waking, select.POLLIN)

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two ends that are connected."""
        waking, gathered = (socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2))
        for line in gathered:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _GATHERED_BYTES)
        return cls(waking[0], gathered[0]), cls(waking[1], gathered[1])

    @classmethod
    def of_descriptors(cls, waking: int, gathered: int) -> Self:
        """The end that another process made, from its `descriptors`."""
        return cls(socket.socket(fileno=waking), socket.socket(fileno=gathered))

    @property
    def descriptors(self) -> tuple[int, int]:
        """Of this end."""
        return self._waking.fileno(), self._gathered.fileno()

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send a message, and a copy of a descriptor with it; waits for room.

        Raises:
            OSError: the other end is gone.
        """
        data = encode(message)
        if descriptor is not None:
            socket.send_fds(self._waking, [data], [descriptor])
        elif isinstance(message, Stored):
            self._gathered.send(data)
        else:
            self._waking.send(data)

    def ping(self) -> None:
        """Send a `Ping` if there is room; who does not read what is there would not answer either.

        Raises:
            OSError: the other end is gone.
        """
        with suppress(BlockingIOError):
            self._waking.send(encode(Ping()), socket.MSG_DONTWAIT)

    def wait(self, seconds: float) -> bool:
        """Wait until `receive` would not wait; False when there was nothing for so long."""
        return bool(self._came) or self._has_ended or bool(self._either.poll(seconds * 1000))

    def receive(self) -> tuple[Message, int | None] | None:
        """Wait for a message and the descriptor that came with it; None when the other end is gone.

        What a thread sent comes in its order, but an instance may come before what was sent ahead of it.
        """
        while not self._came:
            if self._has_ended:
                return None
            self._either.poll()
            self._wakes.poll(_GATHER_MS)
            waking = self._read_waking()  # first: the instances that were sent before it are on the other line by now
            self._read_gathered()
            if waking is not None:
                self._came.append(waking)
        return self._came.popleft()

    def _read_waking(self) -> tuple[Message, int | None] | None:
        """The next message of this line; None when there is none."""
        try:
            size, ancillary, _, _ = self._waking.recvmsg_into([self._memory], socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            size, ancillary = 0, []
        if size == 0:
            self._has_ended = True
            return None
        descriptors = array.array("i", b"".join(data for _, _, data in ancillary))
        return self._decode(size), descriptors[0] if descriptors else None

    def _read_gathered(self) -> None:
        """Every message of the other line."""
        with suppress(OSError):  # there is no more
            while size := self._gathered.recv_into(self._memory, 0, socket.MSG_DONTWAIT):
                self._came.append((self._decode(size), None))

    def _decode(self, size: int) -> Message:
        return decode(bytes(memoryview(self._memory)[:size]))

    def shut(self) -> None:
        """Let both ends find the other gone."""
        for line in (self._gathered, self._waking):  # in this order: whoever finds the channel ended has every instance
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; nobody uses it any more."""
        self._waking.close()
        self._gathered.close()
