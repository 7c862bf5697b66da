"""The storage SCP: what a peer may ask of the listener, and what it is answered.

Success is answered only for an instance that is durable. Nothing that a peer sends ends the listener: what cannot be
stored gets a status, what is no DICOM is closed.
"""

import datetime as dt
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import _config, build_context, evt

from dicom_listener.association_report import AssociationReport, Connections, Tally
from dicom_listener.errors import SpoolError
from dicom_listener.network.associations import ConnectionHandler, ListenerRoom, ListenerServer
from dicom_listener.network.bounded_association import AssociationBounds
from dicom_listener.network.bounded_messages import SpooledDataSet, store_request
from dicom_listener.network.bounded_socket import MAXIMUM_PDU_BYTES
from dicom_listener.network.descriptor_limit import allow_descriptors, needed_descriptors
from dicom_listener.network.dimse_services import DimseService
from dicom_listener.network.doorkeeper import Doorkeeper
from dicom_listener.network.listening_port import ListenerAE, ListeningPort
from dicom_listener.network.open_connections import OpenConnections
from dicom_listener.network.scp_settings import ScpSettings as ScpSettings  # noqa: PLC0414 (named here by all who use both)
from dicom_listener.network.tls import make_context
from dicom_listener.network.tls_files import validity
from dicom_listener.network.transfer_syntaxes import UNCOMPRESSED
from dicom_listener.receiving.malloc_arenas import limit_malloc_arenas
from dicom_listener.receiving.messages import ReceiverSettings
from dicom_listener.receiving.receivers import Receivers
from dicom_listener.spool.journal.keeper import JournalKeeper
from dicom_listener.spool.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import SUCCESS, StoreService
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)

_VERIFICATION = "1.2.840.10008.1.1"
_FILE_SECONDS = 10.0
"""How long `file_all` waits."""


class StorageScp:
    """A C-ECHO and C-STORE service class provider over a spool."""

    def __init__(
        self,
        spool: Spool,
        *,
        ae_title: str,
        host: str,
        port: int,
        on_stored: Callable[[StoredInstance], None],
        on_association_end: Callable[[AssociationReport], None] | None = None,
        settings: ScpSettings | None = None,
        services: Sequence[DimseService] = (),
    ) -> None:
        """Make a provider that does nothing before `start`.

        Args:
            spool: where instances are made durable.
            ae_title: own AE title, 1 to 16 characters.
            host: address to listen on; "" or 0.0.0.0 for every interface.
            port: TCP port; 0 lets the system choose one.
            on_stored: told of each durable instance before its sender, from the association's thread.
            on_association_end: told what happened on each association, from its thread.
            settings: negotiation and limits.
            services: what is offered beside storage and verification.
        """
        self._ae_title = ae_title
        self._address = (host, port)
        self._service = StoreService(spool, on_stored)
        self._on_association_end = on_association_end
        self._settings = settings or ScpSettings()
        self._services = tuple(services)
        self._connections: OpenConnections | None = None
        self._receivers: Receivers | None = None
        self._keeper: JournalKeeper | None = None
        self._ports: list[ListeningPort] = []

    @property
    def port(self) -> int:
        """The TCP port on which the provider listens, or would listen; that of TLS where it speaks nothing else."""
        only_tls = self._settings.serves_only_tls
        wanted = self._settings.tls_port if only_tls else self._address[1]
        return next((port.number for port in self._ports if port.speaks_tls == only_tls), wanted)

    @property
    def tls_port(self) -> int | None:
        """The TCP port on which the provider listens, or would listen, for TLS; None where it speaks none."""
        wanted = self._settings.tls_port if self._settings.tls else None
        return next((port.number for port in self._ports if port.speaks_tls), wanted)

    @property
    def is_serving(self) -> bool:
        """Whether associations are accepted."""
        return bool(self._ports) and all(port.is_serving for port in self._ports)

    def connections(self) -> Connections:
        """What is connected now; nothing before `start` and after `stop`."""
        if self._connections is None:
            return Connections(0, 0, {})
        receivers = 0 if self._receivers is None else len(self._receivers.process_ids)
        return replace(self._connections.counts(), receivers=receivers)

    def start(self) -> None:
        """Bind the ports and serve in threads of its own.

        Raises:
            ReceiverError: the processes that receive do not start.
            PortError: an address cannot be bound.
            TlsError: certificate, key or trusted certificates cannot be used.
        """
        # its handlers spell out every PDU and data set for a log that must not have them, and cost time
        _config.LOG_HANDLER_LEVEL = "none"
        limit_malloc_arenas()
        self._allow_descriptors()
        self._service.spool.warm_up()  # a port takes connections from the moment that it is bound
        settings, (host, plain_port) = self._settings, self._address
        room = self._make_room()
        wanted: list[tuple[int, ssl.SSLContext | None]] = []
        if not settings.serves_only_tls:
            wanted.append((plain_port, None))
        if settings.tls is not None:
            wanted.append((settings.tls_port, make_context(settings.tls)))
        with ExitStack() as bound:
            keeper = self._keep_journal(room.receivers)
            if keeper is not None:
                bound.callback(keeper.stop)
            if room.receivers is not None:
                room.receivers.start()
                bound.callback(room.receivers.stop)
            ports: list[ListeningPort] = []
            for number, tls in wanted:
                ports.append(ListeningPort(partial(self._make_server, room, tls), host, number))
                bound.callback(ports[-1].stop)
            bound.pop_all()
        self._connections, self._ports, self._receivers = room.connections, ports, room.receivers
        self._keeper = keeper
        if settings.tls is not None:
            found = validity(settings.tls.certificate, settings.tls.key, dt.datetime.now(dt.UTC))
            level = logging.ERROR if found.is_bad else logging.WARNING if found.is_worrying else logging.INFO
            LOGGER.log(level, "TLS: %s", found.text)
        for port in ports:
            port.start()
            titles = ",".join(dict.fromkeys((self._ae_title, *settings.further_ae_titles)))
            LOGGER.info(
                "listening: ae_title=%s port=%d tls=%s", titles, port.number, "yes" if port.speaks_tls else "no"
            )

    def stop(self) -> None:
        """Close the ports and abort what runs; a sender that got no answer sends its instance again."""
        if self._connections is None:
            return
        for port in self._ports:
            port.stop()
        if not self._connections.abort_all(self._settings.stop_seconds):
            LOGGER.warning("some associations did not end within %g s", self._settings.stop_seconds)
        if self._receivers is not None:
            if not self._receivers.file_all(_FILE_SECONDS):
                LOGGER.warning("received instances stay in the journal of the spool until the next start")
            self._receivers.stop()
        if self._keeper is not None:
            self._keeper.stop()
        self._connections, self._ports, self._receivers = None, [], None

    def _allow_descriptors(self) -> None:
        needed = needed_descriptors(self._settings.maximum_associations)
        allowed = allow_descriptors(needed)
        if allowed is not None:
            LOGGER.warning(
                "this process may open %d files and sockets, and %d associations may need %d: raise its limit "
                "(LimitNOFILE of systemd, ulimit -n) or lower listener.maximum_associations",
                allowed,
                self._settings.maximum_associations,
                needed,
            )

    def _make_room(self) -> ListenerRoom:
        settings = self._settings
        return ListenerRoom(
            connections=OpenConnections(2 * settings.maximum_associations, settings.first_pdu_seconds),
            doorkeeper=Doorkeeper(settings.admission_rules(self._ae_title)),
            bounds=AssociationBounds(settings.idle_seconds, settings.maximum_instance_bytes),
            service=self._service,
            is_fast=settings.fast_intake,
            receivers=self._make_receivers(),
            on_association_end=self._on_association_end or _tell_nobody,
        )

    def _make_receivers(self) -> Receivers | None:
        settings, spool = self._settings, self._service.spool
        if settings.receivers == 0 or not settings.fast_intake:
            return None
        told = ReceiverSettings(
            root=spool.root.absolute(),
            high_watermark=spool.high_watermark,
            minimum_free_bytes=spool.minimum_free_bytes,
            maximum_pdu_bytes=MAXIMUM_PDU_BYTES,
            maximum_instance_bytes=settings.maximum_instance_bytes,
            idle_seconds=settings.idle_seconds,
            log_level=logging.getLogger("dicom_listener").getEffectiveLevel(),
            journal_seconds=settings.journal_seconds if settings.journal_bytes else 0.0,
        )
        return Receivers(told, settings.receivers, note=self._service.note, tidy_up=self._tidy_up)

    def _keep_journal(self, receivers: Receivers | None) -> JournalKeeper | None:
        """Begin to keep the journal; without receivers that of an earlier run is taken away."""
        n_bytes, spool = self._settings.journal_bytes if receivers is not None else 0, self._service.spool
        if n_bytes == 0 and not spool.journal.exists:
            return None
        keeper = spool.journal.keep(n_bytes, self._on_recovered)
        keeper.start()
        return keeper

    def _on_recovered(self, stored: StoredInstance) -> None:
        self._service.note(stored, Tally(time.monotonic()))

    def _tidy_up(self, process_id: int) -> None:
        """A receiver has ended by itself."""
        self._service.spool.remove_drafts_of(process_id)
        if self._keeper is not None:
            self._service.spool.journal.recover(self._on_recovered)

    def file_all(self) -> None:
        """Give every instance that was acknowledged until now its file in the spool.

        Raises:
            SpoolError: some have none; they are in the journal, and it is tried again. All others have theirs, unless
                the disk failed altogether.
        """
        is_all = self._receivers is None or self._receivers.file_all(_FILE_SECONDS)
        if self._keeper is not None:  # a receiver may have ended just now
            self._service.spool.journal.recover(self._on_recovered)
        if not is_all:
            raise SpoolError(f"instances wait in the journal of the spool {self._service.spool.root}")

    def _make_server(self, room: ListenerRoom, tls: ssl.SSLContext | None, address: tuple[str, int]) -> ListenerServer:
        settings = self._settings
        ae = ListenerAE(self._ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = settings.maximum_pdu_bytes
        ae.acse_timeout = settings.first_pdu_seconds
        ae.network_timeout = settings.idle_seconds
        contexts = [build_context(sop_class, list(settings.transfer_syntaxes)) for sop_class in settings.sop_classes]
        contexts.append(build_context(_VERIFICATION, list(UNCOMPRESSED)))
        contexts += [context for service in self._services for context in service.contexts]
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_c_store), (evt.EVT_C_ECHO, _on_c_echo)]
        handlers += [handler for service in self._services for handler in service.handlers]
        server = ae.make_server(
            address,
            contexts=contexts,
            evt_handlers=handlers,
            server_class=ListenerServer,
            request_handler=ConnectionHandler,
            room=room,
            tls=tls,
        )
        assert isinstance(server, ListenerServer)  # noqa: S101 (make_server returns an object of server_class)
        return server

    def _on_c_store(self, event: Any) -> int | Dataset:  # noqa: ANN401 (pynetdicom ships no types)
        connections, request, context = self._connections, event.request, event.context
        assert connections is not None  # noqa: S101 (it serves this association)
        if isinstance(request.DataSet, SpooledDataSet):
            answer = request.DataSet.finish()
        else:  # so short that it came with its command
            parameters = store_request(event.assoc, request, str(context.transfer_syntax))
            tally = connections.tally(event.assoc)
            reception = self._service.begin(parameters, tally, abstract_syntax=str(context.abstract_syntax))
            reception.write(request.DataSet.getbuffer())
            answer = reception.finish()
        if answer.status == SUCCESS:
            return SUCCESS
        failure = Dataset()
        failure.Status, failure.ErrorComment = answer.status, answer.comment
        return failure


def _on_c_echo(_event: object) -> int:
    return SUCCESS


def _tell_nobody(_report: AssociationReport) -> None:
    return
