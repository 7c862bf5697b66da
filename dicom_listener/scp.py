"""The storage SCP: what a peer may ask of the listener, and what it is answered.

Success is answered only for an instance that is durable. Nothing that a peer sends ends the listener: what cannot be
stored gets a status, what is no DICOM is closed.
"""

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)
from pynetdicom import AE, _config, build_context, evt

from dicom_listener.association_report import AssociationReport, Connections
from dicom_listener.associations import ConnectionHandler, ListenerServer
from dicom_listener.bounded_association import AssociationBounds
from dicom_listener.dimse_services import DimseService
from dicom_listener.errors import InvalidInstanceError, PortError
from dicom_listener.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_listener.spool import Spool
from dicom_listener.store_service import SUCCESS, StoreService
from dicom_listener.stored import StoredInstance, StoreRequest
from dicom_listener.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES, UNCOMPRESSED

LOGGER = logging.getLogger(__name__)

_VERIFICATION = "1.2.840.10008.1.1"


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """How the SCP negotiates, and its limits."""

    sop_classes: tuple[str, ...] = (
        CTImageStorage,
        # cannot be segmented, but a named rejection later tells more than a refused presentation context
        EnhancedCTImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
    )
    """Storage SOP classes that are accepted. Others of a study (secondary captures, dose reports) are refused by
    presentation context, which lets a sender skip them; accepting what is never used would keep it for nothing."""
    transfer_syntaxes: tuple[str, ...] = STORAGE_TRANSFER_SYNTAXES
    """In order of preference where a sender offers several for one presentation context."""
    require_called_ae_title: bool = False
    """Refuse associations that call another AE title."""
    allowed_calling_ae_titles: tuple[str, ...] = ()
    """Refuse associations of others; empty: everybody may send."""
    maximum_associations: int = 50
    """Further ones are rejected (local limit exceeded); twice as many connections may be open."""
    maximum_pdu_bytes: int = 128 * 1024
    """Largest PDU that we announce; small ones cost time for each."""
    first_pdu_seconds: float = 30.0
    """A connection that opens no association for this long is closed (the ARTIM timer, PS3.8 section 9.1.5)."""
    idle_seconds: float = 60.0
    """An association that is silent, or busy with one PDU, for this long is aborted."""
    maximum_instance_bytes: int = 2**30
    """An association that sends a longer data set is aborted."""
    fast_intake: bool = True
    """Take plain C-STORE requests past pynetdicom, see `dicom_listener.fast_intake`."""
    stop_seconds: float = 10.0
    """How long `stop` waits for aborted associations to end."""


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
        self._server: ListenerServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port on which the provider listens, or would listen."""
        return self._address[1] if self._server is None else int(self._server.server_address[1])

    @property
    def is_serving(self) -> bool:
        """Whether associations are accepted."""
        return self._thread is not None and self._thread.is_alive()

    def connections(self) -> Connections:
        """What is connected now; nothing before `start` and after `stop`."""
        return Connections(0, 0, {}) if self._server is None else self._server.connections()

    def start(self) -> None:
        """Bind the port and serve in threads of its own.

        Raises:
            PortError: the address cannot be bound.
        """
        # its handlers spell out every PDU and data set for a log that must not have them, and cost time
        _config.LOG_HANDLER_LEVEL = "none"
        host, port = self._address
        try:
            server = self._make_server()
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            hint = "choose another port or stop the program that uses it" if port else "check the address"
            if isinstance(error, socket.gaierror):
                hint = "the host must be an address of this machine"
            raise PortError(f"cannot listen on {host or 'every address'}:{port}: {reason}; {hint}") from error
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dicom-accept", daemon=True
        )
        self._thread.start()
        LOGGER.info("listening: ae_title=%s port=%d", self._ae_title, self.port)

    def stop(self) -> None:
        """Close the port and abort what runs; a sender that got no answer sends its instance again."""
        if self._server is None or self._thread is None:
            return
        BaseServer.shutdown(self._server)  # pynetdicom's own expects to have been started by its AE
        self._thread.join()
        self._server.server_close()
        if not self._server.abort_all(self._settings.stop_seconds):
            LOGGER.warning("some associations did not end within %g s", self._settings.stop_seconds)
        self._server = self._thread = None

    def _make_server(self) -> ListenerServer:
        settings = self._settings
        ae = AE(self._ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.maximum_pdu_size = settings.maximum_pdu_bytes
        ae.maximum_associations = settings.maximum_associations
        ae.require_called_aet = settings.require_called_ae_title
        ae.require_calling_aet = list(settings.allowed_calling_ae_titles)
        ae.acse_timeout = settings.first_pdu_seconds
        ae.network_timeout = settings.idle_seconds
        contexts = [build_context(sop_class, list(settings.transfer_syntaxes)) for sop_class in settings.sop_classes]
        contexts.append(build_context(_VERIFICATION, list(UNCOMPRESSED)))
        contexts += [context for service in self._services for context in service.contexts]
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_c_store), (evt.EVT_C_ECHO, _on_c_echo)]
        handlers += [handler for service in self._services for handler in service.handlers]
        server = ae.make_server(
            self._address,
            contexts=contexts,
            evt_handlers=handlers,
            server_class=ListenerServer,
            request_handler=ConnectionHandler,
        )
        assert isinstance(server, ListenerServer)  # noqa: S101 (make_server returns an object of server_class)
        server.first_pdu_seconds = settings.first_pdu_seconds
        server.bounds = AssociationBounds(settings.idle_seconds, settings.maximum_instance_bytes)
        server.fast_service = self._service if settings.fast_intake else None
        server.maximum_connections = 2 * settings.maximum_associations
        if self._on_association_end is not None:
            server.on_association_end = self._on_association_end
        return server

    def _on_c_store(self, event: Any) -> int | Dataset:  # noqa: ANN401 (pynetdicom ships no types)
        server, request = self._server, event.request
        assert server is not None  # noqa: S101 (it serves this association)
        parameters = StoreRequest(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae_title=event.assoc.requestor.ae_title.strip(),
            called_ae_title=event.assoc.requestor.primitive.called_ae_title.strip(),
        )
        reception = self._service.begin(parameters, server.tally(event.assoc))
        if parameters.sop_class_uid != event.context.abstract_syntax:
            reception.refuse(InvalidInstanceError("SOP Class UID of request and presentation context differ"))
        reception.write(request.DataSet.getbuffer())
        answer = reception.finish()
        if answer.status == SUCCESS:
            return SUCCESS
        failure = Dataset()
        failure.Status, failure.ErrorComment = answer.status, answer.comment
        return failure


def _on_c_echo(_event: object) -> int:
    return SUCCESS
