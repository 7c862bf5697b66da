"""The accept loop: lets in what opens a DICOM association, and sees every connection to its end.

pynetdicom makes an association, with two threads that wait for the whole ARTIM time, for whatever connects, and
counts it against the limit; so a load balancer's probes keep hospitals out (pynetdicom #669). Here a connection
becomes an association when its first bytes are those of an A-ASSOCIATE-RQ (PS3.8 section 9.3.2).
"""

import logging
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from dicom_listener.association_report import (
    AssociationEnd,
    AssociationReport,
    ConnectionRefusal,
    Connections,
    Tally,
)
from dicom_listener.bounded_association import MAXIMUM_PDU_BYTES, AssociationBounds, bound
from dicom_listener.errors import in_short
from dicom_listener.event_log import log_association
from dicom_listener.fast_intake import make_fast
from dicom_listener.rejections import Rejection, rejection
from dicom_listener.store_service import StoreService

LOGGER = logging.getLogger(__name__)

_A_ASSOCIATE_RQ = 0x01
_HEADER_BYTES = 6
"""PDU type, a reserved byte, and the length as four bytes, big endian."""


class ListenerServer(ThreadedAssociationServer):
    """pynetdicom's server with a bounded number of connections and no traceback on standard error."""

    request_queue_size = 128
    daemon_threads = True
    block_on_close = False
    """Closing must not wait for connections: `abort_all` ends them afterwards."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (pynetdicom's arguments)
        self.first_pdu_seconds = 30.0
        self.bounds = AssociationBounds()
        self.fast_service: StoreService | None = None
        """Receives plain C-STORE requests past pynetdicom; None leaves all to it."""
        self.maximum_connections = 100
        self.on_association_end: Callable[[AssociationReport], None] = _tell_nobody
        self._connections: set[socket.socket] = set()
        self._tallies: dict[Association, Tally] = {}
        self._refused: Counter[ConnectionRefusal] = Counter()
        self._changed = threading.Condition()
        super().__init__(*args, **kwargs)

    def verify_request(self, request: Any, _address: object) -> bool:  # noqa: ANN401 (a socket, for TCP servers)
        """Called by the accept loop: a connection over the limit is closed at once."""
        with self._changed:
            if len(self._connections) >= self.maximum_connections:
                self._refused[ConnectionRefusal.LIMIT] += 1
                return False
            self._connections.add(request)
            return True

    def handle_error(self, _request: object, _address: object) -> None:
        """Called by socketserver for what a handler raised; its own version prints a traceback."""
        error = sys.exc_info()[1]
        LOGGER.error("a connection ended with an error: %s", "unknown" if error is None else in_short(error))

    def refuse(self, why: ConnectionRefusal) -> None:
        """Note that a connection is closed before it became an association."""
        with self._changed:
            self._refused[why] += 1

    def connections(self) -> Connections:
        """What is connected now."""
        with self._changed:
            return Connections(len(self._connections), len(self._tallies), dict(self._refused))

    def begin(self, association: Association) -> Tally:
        """Note that an association runs."""
        tally = Tally(time.monotonic())
        with self._changed:
            self._tallies[association] = tally
        return tally

    def end(self, connection: socket.socket, association: Association | None) -> None:
        """Note that a connection ended, and the association on it if there was one."""
        with self._changed:
            self._connections.discard(connection)
            if association is not None:
                self._tallies.pop(association, None)
            self._changed.notify_all()

    def tally(self, association: Association) -> Tally:
        """The tally of an association that runs."""
        with self._changed:
            return self._tallies.get(association) or Tally(time.monotonic())

    def abort_all(self, seconds: float) -> bool:
        """Abort what runs and wait until every connection ended; False when some did not within the time.

        Peers get half the time to take note of the abort; then their connections are cut.
        """
        with self._changed:
            for association in self._tallies:
                if association.is_established:
                    association.abort(block=False)
            if self._tallies:
                self._changed.wait_for(lambda: not any(one.is_established for one in self._tallies), seconds / 2)
            for connection in self._connections:
                with suppress(OSError):  # closed by the peer meanwhile
                    connection.shutdown(socket.SHUT_RDWR)
            return self._changed.wait_for(lambda: not self._connections, seconds / 2)


class ConnectionHandler(RequestHandler):
    """Serves one connection from its first byte to its last, in a thread of its own."""

    def handle(self) -> None:
        """Called by socketserver."""
        server = cast(ListenerServer, self.server)
        association: Association | None = None
        try:
            if not _opens_association(self.request, server.first_pdu_seconds):
                server.refuse(ConnectionRefusal.NO_ASSOCIATION)
                LOGGER.debug("connection closed: it opened no DICOM association")
                return
            # pynetdicom reads without a limit of time otherwise, and half a PDU would hold its threads for ever
            self.request.settimeout(server.bounds.idle_seconds)
            association = self._create_association()
            tally = server.begin(association)
            if server.fast_service is not None:
                make_fast(association, server.fast_service, tally, server.bounds)
            bound(association, self.request, server.bounds)
            association.bind(evt.EVT_CONN_CLOSE, _end_waiting)
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
            report = _report(association, tally, self.client_address[0])
            log_association(report)
            server.on_association_end(report)
        finally:
            server.shutdown_request(self.request)
            server.end(self.request, association)


def _opens_association(connection: socket.socket, seconds: float) -> bool:
    """Look at the first bytes without taking them."""
    connection.settimeout(seconds)
    try:
        header = connection.recv(_HEADER_BYTES, socket.MSG_PEEK)
    except OSError:  # reset, or silent for too long
        return False
    if not header or header[0] != _A_ASSOCIATE_RQ:
        return False
    return len(header) < _HEADER_BYTES or int.from_bytes(header[2:]) <= MAXIMUM_PDU_BYTES


def _end_waiting(event: evt.Event) -> None:
    """End the wait for an A-ASSOCIATE-RQ that cannot come any more; pynetdicom would wait for the ARTIM time."""
    if event.assoc.requestor.primitive is None:
        nothing: Any = None  # what a wait that timed out gives
        event.assoc.dul.to_user_queue.put(nothing)


def _tell_nobody(_report: AssociationReport) -> None:
    return


def _report(association: Association, tally: Tally, address: str) -> AssociationReport:
    end = AssociationEnd.ABORTED
    if association.is_rejected:
        end = AssociationEnd.REJECTED
    elif association.is_released:
        end = AssociationEnd.RELEASED
    requested = association.requestor.primitive
    return AssociationReport(
        end=end,
        calling_ae_title=association.requestor.ae_title.strip(),
        called_ae_title="" if requested is None else requested.called_ae_title.strip(),
        address=address,
        seconds=time.monotonic() - tally.began,
        bytes=tally.bytes,
        counts=dict(tally.counts),
        series_keys=frozenset(tally.series_keys),
        statuses=dict(tally.statuses),
        rejection=_rejection(association),
    )


def _rejection(association: Association) -> Rejection | None:
    """What the peer was told: pynetdicom leaves the A-ASSOCIATE-RJ that it sent with the acceptor."""
    answer: Any = association.acceptor.primitive
    if not association.is_rejected or answer is None:
        return None
    return rejection(answer.result, answer.result_source, answer.diagnostic)
