"""Has an A-ASSOCIATE-RQ judged before pynetdicom negotiates it, and rejects it with the right reason.

pynetdicom rejects for AE titles and its own limit alone; it looks neither at the application context nor at the peer's
address, and takes the bits of the protocol version for a number. Here all of it is decided in one place, `admission`.
"""

import logging
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_listener.errors import in_short
from dicom_listener.network.admission import AssociationRequest, Refusal, Refused
from dicom_listener.network.doorkeeper import Doorkeeper
from dicom_listener.network.open_connections import Connection, OpenConnections

LOGGER = logging.getLogger(__name__)

_INVALID_PDU_PARAMETER = 0x06
"""Reason of an A-ABORT by the provider (PS3.8 table 9-26)."""


class Negotiation:
    """Waits for the A-ASSOCIATE-RQ of one association."""

    def __init__(
        self, association: Association, connection: Connection, connections: OpenConnections, doorkeeper: Doorkeeper
    ) -> None:
        """Bind to an association that was not started yet, in its final form, on `connection` of `connections`.

        The doorkeeper counts it from when it is let in until it leaves.
        """
        self._association = association
        self._connection = connection
        self._connections = connections
        self._doorkeeper = doorkeeper
        self._protocol_version = 0
        self._is_malformed = False
        association.bind(evt.EVT_PDU_RECV, self._on_pdu)
        association.bind(evt.EVT_REQUESTED, self._on_requested)

    def _on_pdu(self, event: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        """Take note of the protocol version, which pynetdicom's own check (AE-6) gets wrong, and let it pass there."""
        self._association.unbind(evt.EVT_PDU_RECV, self._on_pdu)
        if not isinstance(event.pdu, A_ASSOCIATE_RQ):
            return
        self._protocol_version = event.pdu.protocol_version
        event.pdu.protocol_version = 0x0001
        try:
            asked = event.pdu.to_primitive().presentation_context_definition_list
            # each is obligatory (PS3.8 table 9-13); pynetdicom negotiates without looking, and its thread would end
            self._is_malformed = not all(context.abstract_syntax and context.transfer_syntax for context in asked)
        except Exception:  # noqa: BLE001 (pynetdicom raises many kinds here, in AE-6 they would end its thread)
            self._is_malformed = True
            event.pdu.variable_items = []

    def _on_requested(self, event: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        """Judge the request; pynetdicom goes on to negotiate presentation contexts when nothing was answered here."""
        association = event.assoc
        try:
            self._connections.opened(self._connection)
            self._answer(association)
        except Exception as error:  # noqa: BLE001 (pynetdicom would swallow it, and let everybody in)
            LOGGER.error("an association was ended because its request could not be answered: %s", in_short(error))
            association.is_aborted = True
            self._connection.cut()

    def _answer(self, association: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        requested = association.requestor.primitive
        if self._is_malformed or not isinstance(requested, A_ASSOCIATE):
            association.acse.send_ap_abort(_INVALID_PDU_PARAMETER)
            association.is_aborted = True
            association.kill()
            return
        found = self._judge(association, requested)
        if found is not None:
            self._connections.turned_away(self._connection)
            self._connection.comment = found.comment
            association.acse.send_reject(*found.refusal.value)
            association.kill()

    def _judge(self, association: Any, requested: A_ASSOCIATE) -> Refused | None:  # noqa: ANN401 (pynetdicom ships no types)
        try:
            association.requestor.ae_title = requested.calling_ae_title
            request = AssociationRequest(
                calling_ae_title=requested.calling_ae_title.strip(),
                called_ae_title=requested.called_ae_title.strip(),
                address=self._connection.address,
                application_context_name=str(requested.application_context_name or ""),
                protocol_version=self._protocol_version,
            )
            return self._doorkeeper.admit(association, request)
        except Exception as error:  # noqa: BLE001 (whom we cannot judge we do not let in)
            LOGGER.error("an association was rejected because judging it failed: %s", in_short(error))
            return Refused(Refusal.UNDECIDED, "a failure of ours")
