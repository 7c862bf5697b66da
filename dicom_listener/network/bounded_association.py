"""Puts bounds on a pynetdicom association, whichever way its instances take.

pynetdicom reads as many bytes as a PDU announces, waits for each of them anew, gathers a message in memory for as long
as its fragments come, lets malformed items end a thread, and measures its timers by a clock that may be set.
"""

import socket
from dataclasses import dataclass

from pynetdicom.association import Association

from dicom_listener.network.bounded_messages import Begin, BoundedMessages, SturdyStateMachine
from dicom_listener.network.bounded_socket import BoundedSocket, MonotonicTimer


@dataclass(frozen=True, slots=True)
class AssociationBounds:
    """The limits of one association."""

    idle_seconds: float = 60.0
    """A PDU must be whole this long after its first byte, and the next one begin."""
    maximum_instance_bytes: int = 2**30
    """Longest data set that is received."""


def bound(association: Association, connection: socket.socket, begin: Begin, bounds: AssociationBounds) -> None:
    """Bound an association that was not started yet; its provider is the final one. `begin` begins an instance."""
    dul = association.dul
    dul.state_machine = SturdyStateMachine(dul)
    dul.artim_timer = MonotonicTimer(association.acse_timeout)
    dul._idle_timer = MonotonicTimer(association.network_timeout)
    association.dimse = BoundedMessages(association, begin, bounds.maximum_instance_bytes)
    dul.event_queue.queue.clear()  # each socket queues the event of a new connection, and this is the second
    dul.socket = BoundedSocket(association, connection, bounds.idle_seconds)


def unbind(association: Association) -> None:
    """The association is over: drop what it had begun to store."""
    if isinstance(association.dimse, BoundedMessages):
        association.dimse.discard()
