"""Takes plain C-STORE requests, command and data set, off the front of a stream of bytes; leaves everything else.

Knows neither sockets nor threads nor pynetdicom: it is given what has arrived, and says what to answer.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from dicom_listener.association_report import Tally
from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.receiving.c_store_messages import (
    COMMAND_AND_LAST,
    HEADERS_BYTES,
    P_DATA_TF,
    PDU_HEADER,
    PDV_HEADER,
    CStoreRequest,
    decode_c_store_request,
    encode_c_store_response,
)
from dicom_listener.receiving.data_set_stream import DataSetStream, StreamState
from dicom_listener.spool.drafts import Draft
from dicom_listener.store_service import Reception, StoreService
from dicom_listener.stored import StoreRequest

LOGGER = logging.getLogger(__name__)

_LONGEST_COMMAND = 4096
"""A C-STORE-RQ has about 150 bytes."""


_LEAST_ROOM = 4096
"""Less is copied faster than it is received apart."""


class Next(Enum):
    """What is to be done with the bytes that were not taken."""

    GO_ON = auto()
    """Offer them again: a message has ended."""
    WAIT = auto()
    """Offer them again when more have come."""
    NOT_PLAIN = auto()
    """They are something else, beginning with a PDU: someone else's."""
    HAND_OVER = auto()
    """They are a plain C-STORE request, and those are taken elsewhere."""
    VIOLATION = auto()
    """Nothing can be made of them; end the association."""


class Turn(NamedTuple):
    """What became of the bytes that were offered; a tuple, as there is one for each piece that arrives."""

    taken: int
    next: Next
    answer: bytes = b""
    """PDU to be sent to the peer."""
    is_progress: bool = False
    """Whether a PDU has begun, or was answered; bytes that dribble are none."""


@dataclass(frozen=True, slots=True)
class StorePeer:
    """Between whom instances are stored, and on which presentation contexts."""

    calling_ae_title: str
    called_ae_title: str
    contexts: Callable[[int], AcceptedContext | None]
    """By presentation context ID; None for one that was not accepted."""


@dataclass(slots=True)
class _Arriving:
    request: CStoreRequest
    context_id: int
    stream: DataSetStream
    reception: Reception
    bytes: int = 0


class PlainStores:
    """The C-STORE requests of one association, one after the other."""

    def __init__(
        self,
        service: StoreService,
        peer: StorePeer,
        tally: Tally,
        *,
        maximum_pdu_bytes: int,
        maximum_instance_bytes: int,
    ) -> None:
        self._service = service
        self._peer = peer
        self._tally = tally
        self._maximum_pdu_bytes = maximum_pdu_bytes
        self._maximum_instance_bytes = maximum_instance_bytes
        self._arriving: _Arriving | None = None
        self.hands_over = False
        """Whether requests are found and left, for somebody else to take."""
        self._draft: Draft | None = None
        self._answered: Reception | None = None

    @property
    def is_between(self) -> bool:
        """Whether no data set is on its way."""
        return self._arriving is None

    def take(self, view: memoryview) -> Turn:
        """Take what can be taken of `view`, which begins where the turn before ended."""
        if self._arriving is None:
            return self._begin(view)
        return self._continue(self._arriving, view)

    def room(self) -> memoryview | None:
        """Where bytes that come next may be put at once, if there is such a place; `advance` then says how many."""
        arriving = self._arriving
        if arriving is None or (left := arriving.stream.fragment_left) < _LEAST_ROOM:
            return None
        return arriving.reception.room(left)

    def advance(self, n_bytes: int) -> None:
        """So many bytes were put into `room`."""
        arriving = self._arriving
        assert arriving is not None  # noqa: S101 (there was room)
        arriving.stream.pass_by(n_bytes)
        arriving.bytes += n_bytes
        arriving.reception.advance(n_bytes)

    def discard(self) -> None:
        """Drop a data set that has not ended: the association broke off."""
        if self._arriving is not None:
            self._arriving.reception.discard()
            self._arriving = None

    def prepare(self) -> None:
        """Tidy up behind an instance and make ready for the next, to be called when the answer is sent."""
        self._tidy()
        if self._draft is None:
            self._draft = self._service.prepare()

    def _tidy(self) -> None:
        if self._answered is not None:
            self._answered.discard()
            self._answered = None

    def close(self) -> None:
        """The association is over."""
        self.discard()
        self._tidy()
        if self._draft is not None:
            self._draft.close()
            self._draft = None

    def _begin(self, view: memoryview) -> Turn:
        if len(view) < HEADERS_BYTES:
            return Turn(0, Next.WAIT if not view or view[0] == P_DATA_TF else Next.NOT_PLAIN)
        pdu_type, pdu_length = PDU_HEADER.unpack_from(view)
        pdv_length, context_id, control = PDV_HEADER.unpack_from(view, PDU_HEADER.size)
        end = HEADERS_BYTES + pdv_length - 2
        pdu_left = pdu_length - 4 - pdv_length
        is_command = pdu_type == P_DATA_TF and control & COMMAND_AND_LAST == COMMAND_AND_LAST
        if not is_command or not 2 < pdv_length <= _LONGEST_COMMAND or not 0 <= pdu_left <= self._maximum_pdu_bytes:
            return Turn(0, Next.NOT_PLAIN)
        if len(view) < end:
            return Turn(0, Next.WAIT)
        context = self._peer.contexts(context_id)
        request = decode_c_store_request(bytes(view[HEADERS_BYTES:end]))
        if context is None or request is None:
            return Turn(0, Next.NOT_PLAIN)
        if self.hands_over:
            return Turn(0, Next.HAND_OVER)
        stream = DataSetStream(context_id, pdu_left=pdu_left, maximum_pdu_bytes=self._maximum_pdu_bytes)
        self._arriving = _Arriving(request, context_id, stream, self._receive(request, context))
        return Turn(end, Next.GO_ON)

    def _receive(self, request: CStoreRequest, context: AcceptedContext) -> Reception:
        draft, self._draft = self._draft, None
        return self._service.begin(
            StoreRequest(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=context.transfer_syntax_uid,
                calling_ae_title=self._peer.calling_ae_title,
                called_ae_title=self._peer.called_ae_title,
            ),
            self._tally,
            abstract_syntax=context.sop_class_uid,
            draft=draft,
        )

    def _continue(self, arriving: _Arriving, view: memoryview) -> Turn:
        stream = arriving.stream
        n_pdus = stream.n_pdus
        taken = stream.feed(view, arriving.reception.write)
        arriving.bytes += taken
        is_too_long = arriving.bytes > self._maximum_instance_bytes
        if is_too_long:
            LOGGER.warning("a data set of more than %d bytes ended its association", self._maximum_instance_bytes)
        elif stream.state is StreamState.COMPLETE:
            answer = arriving.reception.settle()
            self._arriving, self._answered = None, arriving.reception
            response = encode_c_store_response(arriving.request, arriving.context_id, answer.status, answer.comment)
            return Turn(taken, Next.GO_ON, response, is_progress=True)
        elif stream.state is StreamState.MORE:
            return Turn(taken, Next.WAIT, is_progress=stream.n_pdus != n_pdus)
        self.discard()
        is_interrupted = stream.state is StreamState.INTERRUPTED and not is_too_long
        return Turn(taken, Next.NOT_PLAIN if is_interrupted else Next.VIOLATION)
