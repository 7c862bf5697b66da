"""Takes plain C-STORE requests off one connection for as long as nothing else comes."""

from collections.abc import Callable
from enum import StrEnum, auto
from typing import Protocol

from dicom_listener.receiving.plain_store import Next, PlainStores
from dicom_listener.receiving.receive_buffer import ReceiveBuffer


class Wire(Protocol):
    """The connection of one association, with what it has brought."""

    @property
    def buffer(self) -> ReceiveBuffer:
        """What was received and not taken."""

    def fill(self, room: memoryview | None = None) -> int | None:
        """Receive into `room` and the buffer what there is, see `ReceiveBuffer.fill`."""

    def send(self, answer: bytes) -> None:
        """Send a PDU."""


class LoopEnd(StrEnum):
    """Why the loop ended."""

    NOT_PLAIN = auto()
    """What is buffered begins with a PDU that is something else."""
    HAND_OVER = auto()
    """What is buffered begins with a plain C-STORE request, which was not to be taken here."""
    VIOLATION = auto()
    """What is buffered is no DICOM any more."""
    CLOSED = auto()
    """The peer closed, or the connection broke."""
    STOPPED = auto()
    """`may_go_on` said no."""


def take_stores(
    wire: Wire,
    stores: PlainStores,
    *,
    may_go_on: Callable[[], bool],
    wait: Callable[[], None],
    on_progress: Callable[[], None],
) -> LoopEnd:
    """Take and answer requests until something ends it.

    Args:
        wire: the connection.
        stores: of its association.
        may_go_on: asked between any two steps.
        wait: returns when there may be something to read, or `may_go_on` may have changed.
        on_progress: told when a PDU has begun or was answered; bytes that dribble are none.
    """
    buffer = wire.buffer
    while may_go_on():
        turn = stores.take(buffer.view)
        buffer.consume(turn.taken)
        if turn.answer:
            wire.send(turn.answer)
            stores.prepare()
        if turn.is_progress:
            on_progress()
        if turn.next is Next.WAIT:
            room = None if buffer else stores.room()
            received = wire.fill(room)
            if received == 0:
                stores.discard()
                return LoopEnd.CLOSED
            if received is None:
                wait()  # here, not by the caller: each of its turns costs as much as a fragment
            elif room is not None:
                stores.advance(min(received, len(room)))
        elif turn.next is not Next.GO_ON:
            return _ENDS[turn.next]
    return LoopEnd.STOPPED


_ENDS = {
    Next.NOT_PLAIN: LoopEnd.NOT_PLAIN,
    Next.HAND_OVER: LoopEnd.HAND_OVER,
    Next.VIOLATION: LoopEnd.VIOLATION,
}
