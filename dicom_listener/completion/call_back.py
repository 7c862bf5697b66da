"""Associations that the listener requests itself, to tell a peer something."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom_listener.errors import CallBackError, UnresolvedHostError
from dicom_listener.peers import Peer
from dicom_listener.requesting_entity import RequestingEntity


def callable_peer(peers: Sequence[Peer], ae_title: str) -> Peer | None:
    """The peer of this AE title that can be called back; None when the settings say of none where it listens."""
    fit = (peer for peer in peers if peer.ae_title == ae_title and peer.host is not None and peer.port is not None)
    return next(fit, None)


@contextmanager
def called_back(
    peer: Peer, context: PresentationContext, *, calling_ae_title: str, roles: Sequence[Any] = (), seconds: float
) -> Iterator[Association]:
    """Open an association to a peer and release it afterwards; the context was accepted.

    Args:
        peer: who, and where it listens.
        context: the one presentation context that is proposed.
        calling_ae_title: own AE title.
        roles: SCP/SCU Role Selection items (PS3.7 section D.3.3.4).
        seconds: wait for the connection and for each answer.

    Raises:
        CallBackError: the peer is unreachable, rejects the association or the context.
    """
    if peer.host is None or peer.port is None:
        raise CallBackError(f"{peer.ae_title} cannot be called back: set host and port of its [[listener.peers]]")
    try:
        entity = RequestingEntity(calling_ae_title, seconds=seconds)
    except ValueError:  # the peer called us by a name that is none
        raise CallBackError("the AE title by which the sender called cannot be used to call it back") from None
    connected = threading.Event()
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=[context],
            ae_title=peer.ae_title,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, lambda _event: connected.set())],
        )
    except UnresolvedHostError as error:
        raise CallBackError(
            f"{peer.ae_title}@{peer.host}:{peer.port} is unreachable: {error}; check host of its [[listener.peers]], "
            "and this machine's name service"
        ) from error
    try:
        if not association.is_established:
            raise CallBackError(_why_not(association, peer, connected=connected.is_set()))
        yield association
    finally:
        if association.is_established:
            association.release()
        entity.close_sockets()


def _why_not(association: Association, peer: Peer, *, connected: bool) -> str:
    where = f"{peer.ae_title}@{peer.host}:{peer.port}"
    if not connected:
        return f"{where} is unreachable; check host and port of its [[listener.peers]], and whether it runs"
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"{where} rejected the association ({answer.result_str}; {answer.reason_str})"
    if association.rejected_contexts and not association.accepted_contexts:
        return f"{where} does not accept the service that is proposed"
    return f"{where} took the connection and ended it; is it a DICOM node?"
