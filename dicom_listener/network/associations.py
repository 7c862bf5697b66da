"""The accept loop: lets in what opens a DICOM association, and sees every connection to its end.

pynetdicom makes an association, with two threads that wait for the whole ARTIM time, for whatever connects, and
counts it against the limit; so a load balancer's probes keep hospitals out (pynetdicom #669). It shakes hands for TLS
inside its accept loop, where one silent peer keeps everybody out. Here each connection has a thread of its own for
that, and becomes an association when its first bytes are those of an A-ASSOCIATE-RQ (PS3.8 section 9.3.2).
"""

import errno
import gc
import logging
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_listener.association_report import AssociationEnd, AssociationReport, ConnectionRefusal, Tally
from dicom_listener.errors import in_short
from dicom_listener.event_log import log_association
from dicom_listener.network.bounded_association import AssociationBounds, bound, unbind
from dicom_listener.network.bounded_socket import MAXIMUM_PDU_BYTES
from dicom_listener.network.doorkeeper import Doorkeeper
from dicom_listener.network.fast_intake import make_fast
from dicom_listener.network.fast_negotiation import SharedContexts
from dicom_listener.network.negotiation import Negotiation
from dicom_listener.network.open_connections import Connection, OpenConnections
from dicom_listener.network.refused_contexts import refused_contexts
from dicom_listener.network.tls import HandshakeError, shake_hands, wrap
from dicom_listener.network.wrong_protocol import SeldomTold, recognise
from dicom_listener.receiving.receivers import Receivers
from dicom_listener.rejections import Rejection, rejection
from dicom_listener.store_service import StoreService

LOGGER = logging.getLogger(__name__)

_A_ASSOCIATE_RQ = 0x01
_HEADER_BYTES = 6
"""PDU type, a reserved byte, and the length as four bytes, big endian."""
_TLS_APPLICATION_DATA = 0x17
"""Type of the TLS records in which a PDU comes (RFC 8446 section 5.1)."""


_TOLD_SECONDS = 30.0
"""How long an association's report waits for instances that have no file yet: a disk in trouble may take for ever."""
_COLLECT_SECONDS = 6.0
_OUT_OF_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ListenerRoom:
    """What the ports of a listener share."""

    connections: OpenConnections
    doorkeeper: Doorkeeper
    bounds: AssociationBounds
    service: StoreService
    """Receives instances."""
    is_fast: bool
    """Whether plain C-STORE requests are taken past pynetdicom."""
    receivers: Receivers | None
    """Who takes them; None: the association's own thread."""
    on_association_end: Callable[[AssociationReport], None]


class ListenerServer(ThreadedAssociationServer):
    """pynetdicom's server of one port, with a bounded number of connections and no traceback on standard error."""

    request_queue_size = 1024
    """A burst waits in the system's queue; one that overflows makes every peer wait for a second or three (TCP)."""
    daemon_threads = True
    block_on_close = False
    """Closing must not wait for connections: `OpenConnections.abort_all` ends them afterwards."""

    def __init__(self, *args: Any, room: ListenerRoom, tls: ssl.SSLContext | None = None, **kwargs: Any) -> None:  # noqa: ANN401 (pynetdicom's arguments)
        """`room` is shared with other ports; a port with a context of `tls` speaks nothing else."""
        self.room = room
        self.tls = tls
        self.has_garbage = False
        """Whether an association has ended: a cycle of objects, with threads and sockets in it."""
        self._collect_at = 0.0
        self._seldom, self._telling = SeldomTold(), threading.Lock()
        self._exhausted = SeldomTold()
        self._rejections = SeldomTold()
        super().__init__(*args, **kwargs)
        if room.is_fast:
            self.contexts = SharedContexts(self.contexts)

    def get_request(self) -> tuple[Any, Any]:
        """Called by the accept loop, which takes an OSError for a connection that is gone again and goes on."""
        try:
            return cast(tuple[Any, Any], super().get_request())
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                self._pause_accepting(error)
            raise

    def _pause_accepting(self, error: OSError) -> None:
        # the connection stays in the system's queue, so the loop would try again at once, and again
        if self._exhausted.is_due("", time.monotonic()):
            LOGGER.error("connections have to wait: %s; raise LimitNOFILE (systemd) or ulimit -n", error.strerror)
        time.sleep(_PAUSE_SECONDS)

    def verify_request(self, request: Any, address: Any) -> bool:  # noqa: ANN401 (a socket and its address)
        """Called by the accept loop: where there is no room, the connection is closed at once."""
        return self.room.connections.add(request, address[0])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (a socket and its address)
        """Called by the accept loop: start the connection's thread."""
        try:
            super().process_request(request, client_address)
        except BaseException:  # there are no more threads
            self.room.connections.end(self.room.connections.of(request))
            raise

    def service_actions(self) -> None:
        """Called by the accept loop several times a second."""
        # pynetdicom's own collects garbage every few seconds, associations or not, and everything waits for that
        if self.has_garbage and time.monotonic() >= self._collect_at:
            self.has_garbage = False
            self._collect_at = time.monotonic() + _COLLECT_SECONDS
            gc.collect()
        self.room.connections.cut_overdue()

    def tell_wrong_protocol(self, first: bytes, address: str) -> None:
        """Say so where TLS or HTTP is spoken to a port without TLS; for any thread."""
        spoken = recognise(first) if self.tls is None else None
        if spoken is None:
            return
        with self._telling:
            is_due = self._seldom.is_due(address, time.monotonic())
        if is_due:
            LOGGER.warning("connection closed: address=%s: %s", address, spoken.value)

    def is_rejection_due(self, report: AssociationReport) -> bool:
        """Whether a rejection is told loudly: once a minute for an address and a reason; for any thread."""
        if report.rejection is None:
            return False
        with self._telling:
            return self._rejections.is_due(f"{report.address} {report.rejection.reason}", time.monotonic())

    def handle_error(self, _request: object, _address: object) -> None:
        """Called by socketserver for what a handler raised; its own version prints a traceback."""
        error = sys.exc_info()[1]
        LOGGER.error("a connection ended with an error: %s", "unknown" if error is None else in_short(error))


class ConnectionHandler(RequestHandler):
    """Serves one connection from its first byte to its last, in a thread of its own."""

    def handle(self) -> None:
        """Called by socketserver."""
        server = cast(ListenerServer, self.server)
        room = server.room
        connection = room.connections.of(self.request)
        try:
            why_not = self._greet(connection, server)
            if why_not is not None:
                room.connections.refuse(connection, why_not)
                return
            association = self._associate(connection, room)
            assert connection.tally is not None  # noqa: S101 (made with the association)
            if room.receivers is not None:
                room.receivers.wait_until_told(connection.tally, _TOLD_SECONDS)
            report = _report(association, connection.tally, connection)
            log_association(report, is_due=server.is_rejection_due(report))
            room.on_association_end(report)
        finally:
            server.shutdown_request(self.request)
            room.connections.end(connection)
            server.has_garbage = True

    def _associate(self, connection: Connection, room: ListenerRoom) -> Association:
        """Make an association and see it to its end; afterwards it is in nobody's way."""
        association: Association | None = None
        try:
            association = self._make_association(connection, room)
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
            return association
        finally:
            if association is not None:
                unbind(association)
                room.doorkeeper.leave(association)
            self.server.shutdown_request(self.request)
            room.connections.association_over(connection)

    def _greet(self, connection: Connection, server: ListenerServer) -> ConnectionRefusal | None:
        """See the connection to the first byte of its A-ASSOCIATE-RQ, or say why it does not come to that."""
        connections = server.room.connections
        if server.tls is not None:
            try:
                self.request = connection.socket = wrap(server.tls, self.request)
                shake_hands(self.request, connections.seconds_left(connection))
            except HandshakeError as error:
                level = logging.WARNING if error.is_telling else logging.DEBUG
                LOGGER.log(level, "TLS refused: address=%s: %s", connection.address, error)
                return ConnectionRefusal.TLS
        first = _first_bytes(self.request, connections.seconds_left(connection))
        if not _opens_association(self.request, first):
            server.tell_wrong_protocol(first, connection.address)
            LOGGER.debug("connection closed: it opened no DICOM association")
            return ConnectionRefusal.NO_ASSOCIATION
        return None

    def _make_association(self, connection: Connection, room: ListenerRoom) -> Association:
        # pynetdicom reads without a limit of time otherwise, and half a PDU would hold its threads for ever
        self.request.settimeout(room.bounds.idle_seconds)
        association = self._create_association()
        tally = room.connections.begin(connection, association)
        if room.is_fast:
            make_fast(association, room.service, tally, room.bounds, room.receivers)
        bound(association, self.request, partial(room.service.begin, tally=tally), room.bounds)
        association.bind(evt.EVT_CONN_CLOSE, _end_waiting)
        Negotiation(association, connection, room.connections, room.doorkeeper)
        return association


def _first_bytes(connection: socket.socket, seconds: float) -> bytes:
    """Look at the first bytes without taking them; nothing when there are none."""
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        poll.poll(seconds * 1000)
        connection.settimeout(0)  # it is there, or too late
        # not SSLSocket's own recv, which knows no flags
        return socket.socket.recv(connection, _HEADER_BYTES, socket.MSG_PEEK)
    except (OSError, ValueError):  # reset, silent for too long, or closed here
        return b""


def _opens_association(connection: socket.socket, header: bytes) -> bool:
    """Whether an association begins so; of TLS these are bytes of a record, which cannot be looked into."""
    if isinstance(connection, ssl.SSLSocket):
        return header[:1] == bytes([_TLS_APPLICATION_DATA])
    if not header or header[0] != _A_ASSOCIATE_RQ:
        return False
    return len(header) < _HEADER_BYTES or int.from_bytes(header[2:]) <= MAXIMUM_PDU_BYTES


def _end_waiting(event: evt.Event) -> None:
    """End the wait for an A-ASSOCIATE-RQ that cannot come any more; pynetdicom would wait for the ARTIM time."""
    if event.assoc.requestor.primitive is None:
        nothing: Any = None  # what a wait that timed out gives
        event.assoc.dul.to_user_queue.put(nothing)


def _report(association: Association, tally: Tally, connection: Connection) -> AssociationReport:
    end = AssociationEnd.ABORTED
    if association.is_rejected:
        end = AssociationEnd.REJECTED
    elif association.is_released:
        end = AssociationEnd.RELEASED
    requested = association.requestor.primitive
    n_refused, refused_classes = refused_contexts(association)
    return AssociationReport(
        end=end,
        calling_ae_title=association.requestor.ae_title.strip(),
        called_ae_title="" if requested is None else requested.called_ae_title.strip(),
        address=connection.address,
        seconds=connection.lasted,
        bytes=tally.bytes,
        counts=dict(tally.counts),
        series_keys=frozenset(tally.series_keys),
        statuses=dict(tally.statuses),
        resent_keys=frozenset(tally.series_keys - tally.grown_keys),
        is_encrypted=isinstance(connection.socket, ssl.SSLSocket),
        refused_contexts=n_refused,
        refused_classes=refused_classes,
        rejection=_rejection(association),
        comment=connection.comment,
    )


def _rejection(association: Association) -> Rejection | None:
    """What the peer was told: pynetdicom leaves the A-ASSOCIATE-RJ that it sent with the acceptor."""
    answer: Any = association.acceptor.primitive
    if not association.is_rejected or answer is None:
        return None
    return rejection(answer.result, answer.result_source, answer.diagnostic)
