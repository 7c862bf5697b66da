"""What a connection has brought and nobody has taken yet."""

from collections.abc import Callable, Sequence

from dicom_listener.receiving.c_store_messages import HEADERS_BYTES

BUFFER_BYTES = 64 * 1024
"""Larger ones were measured slower, they do not stay in the processor's cache."""
_LONG_ROOM = BUFFER_BYTES // 2
"""From here on it is worth a read of its own that nothing behind it is copied."""
_NOTHING = memoryview(b"")


class ReceiveBuffer:
    """One reused piece of memory, made when something comes; for one thread at a time."""

    def __init__(self) -> None:
        self._memory: memoryview | None = None
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._end - self._start

    @property
    def view(self) -> memoryview:
        """What was received and not taken; valid until the next call."""
        return _NOTHING if self._memory is None else self._memory[self._start : self._end]

    def consume(self, n_bytes: int) -> None:
        """Take bytes from the front."""
        self._start += n_bytes

    def drop(self) -> None:
        """Forget what was received and not taken."""
        self._start = self._end = 0

    def put_back(self, data: bytes) -> None:
        """Put in what another buffer of this kind held; this one is empty."""
        self.drop()
        memory = self._take_memory()
        memory[: len(data)] = data
        self._end = len(data)

    def fill(self, receive_into: Callable[[Sequence[memoryview]], int], room: memoryview | None = None) -> int | None:
        """Receive what there is.

        Args:
            receive_into: reads into views, filling one after the other, and returns how much; raises BlockingIOError
                when there is nothing yet, and another OSError when the connection broke.
            room: what comes first is put there, if nothing is buffered.

        Returns:
            The number of bytes, those in `room` included; 0 when the peer closed or the connection broke; None when
            nothing is there yet.
        """
        memory = self._take_memory()
        if self._start:
            rest = self._end - self._start
            if rest:
                memory[:rest] = memory[self._start : self._end]
            self._start, self._end = 0, rest
        n_beside = 0
        if room is None:
            views = [memory[self._end :]]
        else:
            n_beside = len(room)
            # behind a long fragment only what tells where the next belongs, so that it need not be copied from here
            limit = self._end + HEADERS_BYTES if n_beside >= _LONG_ROOM else BUFFER_BYTES
            views = [room, memory[self._end : limit]]
        try:
            count = receive_into(views)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        if count > n_beside:
            self._end += count - n_beside
        return count

    def _take_memory(self) -> memoryview:
        if self._memory is None:
            self._memory = memoryview(bytearray(BUFFER_BYTES))
        return self._memory
