"""Where the listener departs from pynetdicom to be fast; `fast_intake = false` leaves it out.

Four things, and why:

- pynetdicom's two reactors sleep a millisecond in each turn, which is most of what an instance costs it. Here the
  network's reactor waits for the socket, and the association's for something to have happened. Both loops stay
  pynetdicom's own: what they call in each turn is made to wait.
- The data set of a plain C-STORE goes from one reused buffer to the spool's file and is answered in the same thread.
  pynetdicom copies each PDU several times, gathers the data set, and hands it from thread to thread.
- Where there are receivers (`dicom_listener.receiving`), one of them does that, in a process of its own: threads of one
  process wait for each other. It gets the connection as soon as a plain C-STORE request comes, and gives it back when
  something else does.
- Everything else, in whatever order it comes, is left in the buffer for pynetdicom's own reading and state machine.
  Its state does not change while data sets arrive (PS3.8 table 9-10: Sta6, Evt10, DT-2), so it misses nothing.

It relies on internals of pynetdicom; tests/unit/dicom_listener/test_pynetdicom_internals.py fails when they change.
"""

import logging
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, A_P_ABORT
from pynetdicom.timer import Timer

from dicom_listener.association_report import Tally
from dicom_listener.errors import in_short
from dicom_listener.network.bounded_association import AssociationBounds
from dicom_listener.network.bounded_messages import INVALID_PDU
from dicom_listener.network.bounded_socket import CLOSING, MAXIMUM_PDU_BYTES, BoundedSocket, MonotonicTimer
from dicom_listener.network.connection_loan import ConnectionLoan, Lend, Urgency
from dicom_listener.network.fast_negotiation import RefusedContext, Sifted, sift
from dicom_listener.network.waking import ActivityGate, WakingQueue
from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.receiving.handed_over import HandedOver, Watch
from dicom_listener.receiving.messages import HandOver, Return
from dicom_listener.receiving.plain_store import PlainStores, StorePeer
from dicom_listener.receiving.receivers import Receivers
from dicom_listener.receiving.store_loop import LoopEnd, take_stores
from dicom_listener.store_service import StoreService

LOGGER = logging.getLogger(__name__)

_ESTABLISHED = "Sta6"
_A_ASSOCIATE_RQ = 0x01
_UNTIL_SOMETHING_HAPPENS = 3600.0
_TIMER_GRAIN = 0.001
"""Timers expire when less than nothing is left, so a wait ends a little later."""
_ABORTS = (A_ABORT, A_P_ABORT)


class FastProvider(DULServiceProvider):
    """pynetdicom's upper layer provider, which waits for events and takes plain C-STORE requests itself."""

    def __init__(self, association: Association, make_stores: Callable[[], PlainStores], lend: Lend | None) -> None:
        """`make_stores` is called once the association is established; `lend` gives its connection to a receiver."""
        super().__init__(association)
        self.gate = ActivityGate(self._seconds_until_idle)
        self._loan = ConnectionLoan(lend, self._wake)
        self.to_provider_queue = WakingQueue(self._wake)
        self._run_loop_delay = 0  # the wait is in `_process_recv_primitive`
        self._wakers: tuple[socket.socket, socket.socket] | None = None
        self._make_stores = make_stores
        self._stores: PlainStores | None = None
        self._sifted: Sifted | None = None
        self.taken_out: tuple[RefusedContext, ...] = ()
        """Presentation contexts that were refused without pynetdicom, once the association is accepted."""
        self._is_taking = False
        self._was_quiet = False
        """Whether the last turn changed nothing that the association's loop could see."""

    @property
    def _connection(self) -> BoundedSocket:
        return cast(BoundedSocket, self.socket)

    def run_reactor(self) -> None:
        """Run until the association ended."""
        self._wakers = socket.socketpair()
        for end in self._wakers:
            end.setblocking(False)
        try:
            super().run_reactor()
        finally:
            if self._stores is not None:
                self._stores.close()
            self.gate.end()
            for end in self._wakers:
                end.close()

    def idle_timer_expired(self) -> bool:
        """Whether the peer was idle for too long; while we store what it sent, e.g. on a slow disk, it is not."""
        if self._is_taking or self._loan.is_out:
            return False
        return bool(super().idle_timer_expired())

    def _seconds_until_idle(self) -> float:
        # a receiver that has the connection looks at that itself
        return _UNTIL_SOMETHING_HAPPENS if self._loan.is_out else _seconds_left(self._idle_timer)

    def kill_dul(self) -> None:
        """End the reactor."""
        super().kill_dul()
        self._wake()

    def stop_dul(self) -> bool:
        """End the reactor if the association is over, and wait for it; False when it is not over."""
        if self.state_machine.current_state == "Sta1":
            self.kill_dul()
        return bool(super().stop_dul())

    def _wake(self) -> None:
        if self._wakers is not None:
            with suppress(OSError):  # full, so it will wake; or closed, so it has ended
                self._wakers[1].send(b"\0")

    def _process_recv_primitive(self) -> bool:
        """Called first in each turn of the reactor: wait here, where pynetdicom sleeps."""
        if not self._was_quiet:
            self.gate.notify()
        self._was_quiet = False
        self._wait_for_return()
        if self._has_nothing_to_do():
            self._wait()
        return bool(super()._process_recv_primitive())

    def _wait(self) -> None:
        """Wait until the peer sent something, there is something to send, or a timer expired."""
        if self._wakers is not None:
            self._connection.wait(self._wakers[0], _seconds_left(self.artim_timer))
            with suppress(OSError):  # nothing to be read
                self._wakers[0].recv(4096)

    def _has_nothing_to_do(self) -> bool:
        return (
            not self._kill_thread
            and self.state_machine.current_state != CLOSING  # there pynetdicom closes once nothing more can be read
            and self.event_queue.empty()
            and self.to_provider_queue.empty()
            and not self._connection.buffer
        )

    def _decode_pdu(self, bytestream: bytearray) -> Any:  # noqa: ANN401 (pynetdicom ships no types)
        """Decode a PDU; an A-ASSOCIATE-RQ without what is not offered."""
        if bytestream[0] != _A_ASSOCIATE_RQ:
            return super()._decode_pdu(bytestream)
        offered = {str(one.abstract_syntax).encode() for one in self.assoc.acceptor.supported_contexts}
        self._sifted = sift(bytes(bytestream), offered)
        return super()._decode_pdu(bytearray(self._sifted.request))

    def _send(self, pdu: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        """Encode and send a PDU."""
        if isinstance(pdu, A_ASSOCIATE_AC) and self._sifted is not None:
            self._sifted.complete(pdu)
            self.taken_out = self._sifted.refused
        super()._send(pdu)

    def _is_transport_event(self) -> bool:
        """Called in each turn of the reactor when nothing is to be sent: read what the peer sent."""
        is_between_messages = self.assoc.dimse.message is None and self.assoc.dimse.msg_queue.empty()
        if self.state_machine.current_state == _ESTABLISHED and is_between_messages and self._is_open:
            if self._take_plain_stores():
                self._was_quiet = True
                return False
        elif self._stores is not None:
            self._stores.discard()
        return bool(super()._is_transport_event())

    @property
    def _is_open(self) -> bool:
        # not `is_established`: its thread sets that a little after the A-ASSOCIATE-AC, and a quick peer sends meanwhile
        return not (self.assoc.is_aborted or self.assoc.is_released or self.assoc._kill)

    def _take_plain_stores(self) -> bool:
        """Take what are plain C-STORE requests; False when what follows, if anything, is pynetdicom's."""
        stores = self._stores = self._stores or self._make_stores()
        stores.hands_over = self._loan.is_possible
        end = self._take(stores)
        if end is LoopEnd.HAND_OVER:
            if self._loan.give(self._connection):
                return True
            stores.hands_over = False
            end = self._take(stores)
        if end is LoopEnd.VIOLATION:
            self._end_for_violation()
        return end in {LoopEnd.STOPPED, LoopEnd.VIOLATION}

    def _take(self, stores: PlainStores) -> LoopEnd:
        self._is_taking = True
        try:
            return take_stores(
                self._connection,
                stores,
                may_go_on=self._may_go_on,
                wait=self._wait_while_not_taking,
                on_progress=self._idle_timer.restart,
            )
        except Exception as error:  # pynetdicom ends the association, and says why where nobody reads it
            LOGGER.error("an association is given up: %s", in_short(error))
            raise
        finally:
            self._is_taking = False

    def _may_go_on(self) -> bool:
        return not self._kill_thread and self.to_provider_queue.empty() and self.event_queue.empty()

    def _wait_while_not_taking(self) -> None:
        self._is_taking = False
        self._wait()
        self._is_taking = True

    def _end_for_violation(self) -> None:
        self._connection.buffer.drop()
        self.event_queue.put(INVALID_PDU)

    def _wait_for_return(self) -> None:
        """While a receiver has the connection nothing is read or sent here; whoever wants to, gets it back first."""
        given_back = self._loan.wait_for_return(self._urgency, self._wait_for_waking)
        if given_back is None:
            return
        self._connection.buffer.put_back(given_back.received)
        if given_back.why is Return.VIOLATION:
            self._end_for_violation()
        elif given_back.why is Return.LOST:
            self._connection.shut()  # what the peer sent last may be half stored: it has to send it again
        if given_back.why is not Return.IDLE:  # then the timer has expired meanwhile
            self._idle_timer.restart()
        self.gate.notify()

    def _urgency(self) -> Urgency:
        """How urgently the connection is wanted by those who want to send something."""
        with self.to_provider_queue.mutex:
            wanted = list(self.to_provider_queue.queue)
        if self._kill_thread or not self.event_queue.empty() or any(isinstance(one, _ABORTS) for one in wanted):
            return Urgency.AT_ONCE
        return Urgency.BETWEEN_DATA_SETS if wanted else Urgency.NONE

    def _wait_for_waking(self) -> None:
        assert self._wakers is not None  # noqa: S101 (the reactor runs)
        poll = select.poll()
        poll.register(self._wakers[0], select.POLLIN)
        poll.poll()
        with suppress(OSError):
            self._wakers[0].recv(4096)


def _seconds_left(timer: Timer) -> float:
    return cast(MonotonicTimer, timer).seconds_left(_UNTIL_SOMETHING_HAPPENS) + _TIMER_GRAIN


def make_fast(
    association: Association,
    service: StoreService,
    tally: Tally,
    bounds: AssociationBounds,
    receivers: Receivers | None = None,
) -> None:
    """Give an association that was not started yet the fast provider; its socket is to be set afterwards."""

    def peer() -> StorePeer:
        requested = cast(A_ASSOCIATE, association.requestor.primitive)
        return StorePeer(
            calling_ae_title=association.requestor.ae_title.strip(),
            called_ae_title=requested.called_ae_title.strip(),
            contexts=lambda context_id: _accepted(association, context_id),
        )

    def make_stores() -> PlainStores:
        return PlainStores(
            service,
            peer(),
            tally,
            maximum_pdu_bytes=MAXIMUM_PDU_BYTES,
            maximum_instance_bytes=bounds.maximum_instance_bytes,
        )

    def hand_over(connection: socket.socket, received: bytes, on_return: Callable[[], None]) -> HandedOver | None:
        assert receivers is not None  # noqa: S101 (not called otherwise)
        who = peer()
        found = {context_id: who.contexts(context_id) for context_id in association._accepted_cx}
        contexts = {context_id: context for context_id, context in found.items() if context is not None}
        message = HandOver(0, who.calling_ae_title, who.called_ae_title, contexts, received)
        watch = Watch(on_return, on_heard=association.dul._idle_timer.restart)
        return receivers.hand_over(connection, message, tally, watch)

    association.dul = FastProvider(association, make_stores, None if receivers is None else hand_over)
    association._reactor_checkpoint = association.dul.gate


def _accepted(association: Association, context_id: int) -> AcceptedContext | None:
    context = association._accepted_cx.get(context_id)
    if context is None or not context.as_scp:
        return None
    return AcceptedContext(str(context.abstract_syntax), str(context.transfer_syntax[0]))
