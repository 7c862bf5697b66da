"""The errors of the listener room, drawn once.

ListenerError
├── SpoolError          the spool cannot hold an instance
│   ├── SpoolFullError      over the watermark or out of disk: DIMSE status A700
│   └── SpoolConflictError  another content is already stored under this SOP Instance UID
├── InvalidInstanceError    a data set without the identifiers that storage needs: DIMSE status A900
├── PortError           the listener cannot bind its port
└── UnknownSeriesError  a command names a series that the state does not hold
"""


class ListenerError(Exception):
    """Base of every error that dicom_listener raises on purpose; its text is fit for a user."""


class SpoolError(ListenerError):
    """The spool cannot hold an instance."""


class SpoolFullError(SpoolError):
    """The spool is over its watermark or the disk is full (DIMSE status A700, Out of Resources)."""


class SpoolConflictError(SpoolError):
    """Another content is already stored under the same SOP Instance UID."""


class InvalidInstanceError(ListenerError):
    """A data set lacks the identifiers that storage needs (DIMSE status A900)."""


class PortError(ListenerError):
    """The listener cannot bind its address and port."""


class UnknownSeriesError(ListenerError):
    """A command names a series that the state does not hold."""
