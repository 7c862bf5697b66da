"""DIMSE messages for pynetdicom: none is gathered in memory beyond a bound, and none ends a thread with a traceback."""

import logging
from io import BytesIO
from typing import Any, Protocol, cast

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_listener.errors import in_short
from dicom_listener.store_service import Reception, StoreAnswer
from dicom_listener.stored import StoreRequest

LOGGER = logging.getLogger(__name__)

MAXIMUM_MESSAGE_BYTES = 16 * 1024 * 1024
"""Longest message that stores nothing: a storage commitment request of 100,000 instances."""
MAXIMUM_WAITING = 16
"""Most requests that wait for their responses. No asynchronous operations window is ever negotiated (PS3.7 section
D.3.3.3), so an honest peer has one; each costs memory, and a file where it stores something."""
INVALID_PDU = "Evt19"
"""pynetdicom's name of the event (PS3.8 table 9-10) that ends an association with an A-ABORT by the provider."""


class Begin(Protocol):
    """Begins an instance, see `StoreService.begin`."""

    def __call__(self, request: StoreRequest, *, abstract_syntax: str) -> Reception:
        """Begin an instance on a presentation context with this abstract syntax."""


class SpooledDataSet(BytesIO):
    """The data set of a C-STORE request, which goes to the spool as it comes: there is nothing to be read here."""

    def __init__(self, reception: Reception) -> None:
        super().__init__()
        self._reception: Reception | None = reception

    @property
    def is_done(self) -> bool:
        """Whether it was finished or discarded."""
        return self._reception is None

    def write(self, data: Any) -> int:  # noqa: ANN401 (bytes-like, as in the base class)
        """Take a fragment."""
        if self._reception is not None:
            self._reception.write(data)
        return len(data)

    def finish(self) -> StoreAnswer:
        """Make the instance durable, see `Reception.finish`; once."""
        reception, self._reception = cast(Reception, self._reception), None
        return reception.finish()

    def discard(self) -> None:
        """Drop what came, unless it was finished."""
        if self._reception is not None:
            self._reception.discard()
            self._reception = None


class BoundedMessages(DIMSEServiceProvider):
    """pynetdicom's DIMSE provider; a message that is too long ends its association (A-P-ABORT)."""

    def __init__(self, association: Association, begin: Begin, maximum_instance_bytes: int) -> None:
        super().__init__(association)
        self._begin = begin
        self._maximum_instance_bytes = maximum_instance_bytes
        self._bytes = 0
        self._spooled: list[SpooledDataSet] = []

    def receive_primitive(self, primitive: Any) -> None:  # noqa: ANN401 (pynetdicom's P_DATA)
        """Take the fragments of a P-DATA."""
        data_set = self._spooled_data_set()
        maximum = MAXIMUM_MESSAGE_BYTES if data_set is None else self._maximum_instance_bytes
        self._bytes += sum(len(fragment) for _, fragment in primitive.presentation_data_value_list)
        if self._bytes > maximum:
            self._refuse(f"a message of more than {maximum} bytes")
            return
        if self.msg_queue.qsize() > MAXIMUM_WAITING:
            self._refuse(f"more than {MAXIMUM_WAITING} requests at once")
            return
        super().receive_primitive(primitive)
        if self.message is None:
            self._bytes = 0

    def _refuse(self, what: str) -> None:
        LOGGER.warning("%s ended an association", what)
        self.dul.event_queue.put(INVALID_PDU)

    def discard(self) -> None:
        """The association is over: drop data sets that were not finished."""
        for data_set in self._spooled:
            data_set.discard()
        self._spooled.clear()

    def _spooled_data_set(self) -> SpooledDataSet | None:
        """The data set that is arriving; its command has come, so from here on it goes to the spool."""
        message = self.message
        if not isinstance(message, C_STORE_RQ):
            return None
        if not isinstance(message.data_set, SpooledDataSet):
            context = self.assoc._accepted_cx.get(cast(int, message.context_id))
            if context is None:
                return None  # pynetdicom aborts once it has all of it
            request = store_request(self.assoc, message.command_set, str(context.transfer_syntax[0]))
            data_set = SpooledDataSet(self._begin(request, abstract_syntax=str(context.abstract_syntax)))
            data_set.write(cast(BytesIO, message.data_set).getvalue())
            message.data_set = data_set
            # those before are finished, unless their sender did not wait for the responses
            self._spooled = [*(one for one in self._spooled if not one.is_done), data_set]
        return message.data_set


def store_request(association: Association, command: object, transfer_syntax_uid: str) -> StoreRequest:
    """What is known of an instance by its association and by `command`, which has the two affected UIDs."""
    requested = cast(A_ASSOCIATE, association.requestor.primitive)
    return StoreRequest(
        sop_class_uid=str(getattr(command, "AffectedSOPClassUID", "")),
        sop_instance_uid=str(getattr(command, "AffectedSOPInstanceUID", "")),
        transfer_syntax_uid=transfer_syntax_uid,
        calling_ae_title=association.requestor.ae_title.strip(),
        called_ae_title=requested.called_ae_title.strip(),
    )


class SturdyStateMachine(StateMachine):
    """pynetdicom's state machine; what a PDU makes it raise ends the association instead of its thread."""

    def __init__(self, dul: DULServiceProvider) -> None:
        super().__init__(dul)
        self._has_failed = False

    def do_action(self, event: str) -> None:
        """Carry out the action of an event."""
        try:
            super().do_action(event)
        except Exception as error:  # noqa: BLE001 (whatever malformed items lead to)
            LOGGER.warning("what a peer sent ended its association: %s", in_short(error))
            if self._has_failed:
                self._give_up()
            else:
                self._has_failed = True
                self.dul.event_queue.put(INVALID_PDU)

    def _give_up(self) -> None:
        """Close without the state machine, which cannot."""
        association = self.dul.assoc
        self.dul.kill_dul()
        association._kill = True
        association.is_established = False
        if self.dul.socket is not None:
            self.dul.socket.close()
        evt.trigger(association, evt.EVT_CONN_CLOSE, {"address": ("", 0)})
