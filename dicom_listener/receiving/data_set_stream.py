"""Follows one data set through the P-DATA-TF PDUs that carry it (PS3.8 section 9.3.5 and annex E). Pure.

Pieces may begin and end anywhere: what a socket happens to hold is fed as it comes, so a PDU is never gathered.
"""

from collections.abc import Callable
from enum import Enum, auto

from dicom_listener.receiving.c_store_messages import P_DATA_TF, PDU_HEADER, PDV_HEADER

_COMMAND_BIT = 0b01
_LAST_BIT = 0b10


class StreamState(Enum):
    """How far a data set is."""

    MORE = auto()
    """More of it is to come."""
    COMPLETE = auto()
    """Its last fragment has passed, and ends its PDU."""
    INTERRUPTED = auto()
    """A PDU of another type follows, e.g. an A-ABORT; it was not taken."""
    VIOLATED = auto()
    """Bytes that no sender may send at this place; the association has lost its thread."""


class DataSetStream:
    """The fragments of one data set on one presentation context."""

    def __init__(self, context_id: int, *, pdu_left: int, maximum_pdu_bytes: int) -> None:
        """Begin behind the command, `pdu_left` bytes before the end of the command's own PDU."""
        self.state = StreamState.MORE
        self.n_pdus = 0
        """How many PDUs have begun."""
        self._context_id = context_id
        self._maximum = maximum_pdu_bytes
        self._pdu_left = pdu_left
        self.fragment_left = 0
        """How many bytes of the data set follow before the next header."""
        self._is_last = False

    def pass_by(self, n_bytes: int) -> None:
        """So many bytes of the fragment, at most `fragment_left`, were taken elsewhere."""
        self.fragment_left -= n_bytes

    def feed(self, view: memoryview, write: Callable[[memoryview], None]) -> int:
        """Take what can be taken from the front of `view`; each piece of the data set is given to `write`.

        Returns:
            How many bytes were taken; fewer than all when a header is not complete, or when the state is not MORE.
        """
        position, end = 0, len(view)
        while self.state is StreamState.MORE:
            left = self.fragment_left
            if left:
                if position == end:
                    break
                piece = view[position : position + left]
                write(piece)
                position += len(piece)
                self.fragment_left = left - len(piece)
            elif self._is_last:
                self.state = StreamState.COMPLETE if self._pdu_left == 0 else StreamState.VIOLATED
            else:
                size = self._begin_pdv(view, position) if self._pdu_left else self._begin_pdu(view, position)
                if size == 0:
                    break
                position += size
        return position

    def _begin_pdu(self, view: memoryview, position: int) -> int:
        if len(view) - position < PDU_HEADER.size:
            return 0
        pdu_type, length = PDU_HEADER.unpack_from(view, position)
        if pdu_type != P_DATA_TF:
            self.state = StreamState.INTERRUPTED
            return 0
        if not PDV_HEADER.size <= length <= self._maximum:
            self.state = StreamState.VIOLATED
        self._pdu_left = length
        self.n_pdus += 1
        return PDU_HEADER.size

    def _begin_pdv(self, view: memoryview, position: int) -> int:
        if self._pdu_left < PDV_HEADER.size:
            self.state = StreamState.VIOLATED
            return 0
        if len(view) - position < PDV_HEADER.size:
            return 0
        length, context_id, control = PDV_HEADER.unpack_from(view, position)
        if not 2 <= length <= self._pdu_left - 4 or context_id != self._context_id or control & _COMMAND_BIT:
            self.state = StreamState.VIOLATED
            return 0
        self._pdu_left -= length + 4
        self.fragment_left = length - 2
        self._is_last = bool(control & _LAST_BIT)
        return PDV_HEADER.size
