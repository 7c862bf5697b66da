"""The errors of the listener room, drawn once.

ListenerError
├── SpoolError          the spool cannot hold an instance: DIMSE status 0110
│   └── SpoolFullError      over the watermark or out of disk: DIMSE status A700
├── InvalidInstanceError    a data set without the identifiers that storage needs: DIMSE status A900
│   └── UnreadableInstanceError     a data set that cannot be parsed up to its identifiers: DIMSE status C000
├── CommitmentError         a storage commitment request that cannot be taken
│   ├── InvalidCommitmentError      malformed: DIMSE status 0115
│   ├── CommitmentConflictError     its Transaction UID stands for other instances: DIMSE status 0115
│   └── CommitmentLimitError        too many instances, or too many requests that wait: DIMSE status 0213
├── CallBackError       a peer cannot be called back, or does not take what it is told
├── UnresolvedHostError the host of a peer has no address
├── RoutingError        it cannot be decided now whether a series is taken
├── PortError           the listener cannot bind its address and port
├── ReceiverError       the processes that receive instances cannot be started
├── StowSettingsError   the STOW-RS server cannot be run with these settings
├── RequestRefusedError a DICOMweb request is answered with an HTTP error
├── TlsError            the certificate, key or trusted certificates of a port cannot be used
└── UnknownSeriesError  a command names a series that the state does not hold
"""

import traceback
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path


class ListenerError(Exception):
    """Base of every error that dicom_listener raises on purpose; its text is fit for a user."""


class SpoolError(ListenerError):
    """The spool cannot hold an instance (DIMSE status 0110, Processing Failure)."""


class SpoolFullError(SpoolError):
    """The spool is over its watermark or the disk is full (DIMSE status A700, Out of Resources)."""


class InvalidInstanceError(ListenerError):
    """A data set lacks identifiers or contradicts its C-STORE request (DIMSE status A900)."""


class UnreadableInstanceError(InvalidInstanceError):
    """A data set cannot be parsed as far as its identifiers (DIMSE status C000, Cannot Understand)."""


class CommitmentError(ListenerError):
    """A storage commitment request cannot be taken."""


class InvalidCommitmentError(CommitmentError):
    """A storage commitment request is malformed (DIMSE status 0115, Invalid Argument Value)."""


class CommitmentConflictError(CommitmentError):
    """A Transaction UID is used again for other instances (DIMSE status 0115, Invalid Argument Value)."""


class CommitmentLimitError(CommitmentError):
    """Too many instances in a request, or too many requests wait (DIMSE status 0213, Resource Limitation)."""


class CallBackError(ListenerError):
    """A peer cannot be called back, or does not take what it is told."""


class UnresolvedHostError(ListenerError):
    """The name of a host that an association is requested from has no address."""


class RoutingError(ListenerError):
    """It cannot be decided now whether a series is taken; it is tried again."""


class PortError(ListenerError):
    """The listener cannot bind its address and port."""


class ReceiverError(ListenerError):
    """The processes that receive instances cannot be started."""


class StowSettingsError(ListenerError):
    """The STOW-RS server cannot be run with these settings, tokens or certificates."""


class RequestRefusedError(ListenerError):
    """A DICOMweb request is answered with an HTTP error; its text is fit for the client."""

    def __init__(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = dict(headers or {})


class TlsError(ListenerError):
    """The certificate, key or trusted certificates of a port cannot be used."""


class UnknownSeriesError(ListenerError):
    """A command names a series that the state does not hold."""


def in_short(error: BaseException) -> str:
    """Say for a log line what failed and where, without texts that may quote identifiers.

    Our own errors are worded for users and given in full. Of others only the type is told, with that of what a
    database error wraps, and where it was raised.
    """
    if isinstance(error, ListenerError):
        return str(error)
    wrapped = getattr(error, "orig", None)
    name = type(error).__name__ if wrapped is None else f"{type(error).__name__} ({type(wrapped).__name__})"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else name
