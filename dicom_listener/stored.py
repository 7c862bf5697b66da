"""The records between the wire and the intake: what a C-STORE request says, and what became of its instance."""

from dataclasses import dataclass
from enum import StrEnum

from dicom_listener.series import ReceivedInstance


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What is known about an instance before its data set is read (PS3.7 section 9.1.1.1, PS3.8 section 7.1.1)."""

    sop_class_uid: str
    """Affected SOP Class UID of the C-STORE request."""
    sop_instance_uid: str
    """Affected SOP Instance UID of the C-STORE request."""
    transfer_syntax_uid: str
    """As negotiated for the presentation context of the request."""
    calling_ae_title: str
    """Who sent it, without padding; empty when unknown."""
    called_ae_title: str = ""
    """Whom the sender called, without padding."""
    study_instance_uid: str | None = None
    """The study to which it must belong, where the sender named one (STOW-RS); None: any."""


class StoreOutcome(StrEnum):
    """What became of a received instance; it is durable in every case."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    """The same data set was here already: sent again after an abort or a lost answer."""
    CONFLICT = "conflict"
    """Another data set is stored under this SOP Instance UID; this one is kept apart and belongs to no series."""


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """An instance that the spool holds durably: only now may the sender be told Success."""

    instance: ReceivedInstance
    series_key: str
    """See `dicom_listener.series.series_key`."""
    calling_ae_title: str
    outcome: StoreOutcome
