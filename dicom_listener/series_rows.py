"""The records of the listener's rows: how far a version of a series is, and what becomes of further instances."""

from dataclasses import dataclass
from enum import StrEnum

from dicom_listener.ending import Ending


class SeriesState(StrEnum):
    """How far a version of a series is for the listener; whether its files are purged is said by `purged_at`."""

    RECEIVING = "receiving"
    COMPLETE = "complete"
    REJECTED = "rejected_by_person"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One version of one series as `status` shows it."""

    series_key: str
    version: int
    study_instance_uid: str
    """Empty once the series is forgotten."""
    series_instance_uid: str
    """Empty once the series is forgotten."""
    calling_ae_title: str
    """Who sent its first instance."""
    state: SeriesState
    n_instances: int
    n_late: int
    """Instances that came after this version was complete and a person had rejected it; they belong to no version."""
    n_conflicts: int
    """Instances that are kept apart because another content has their SOP Instance UID."""
    bytes: int
    first_at: float
    """When its first instance came, Unix time in seconds, as all times here."""
    last_at: float
    completed_at: float | None
    purged_at: float | None
    """When its files were removed."""
    decided_at: float | None
    """When a person rejected it or had it forgotten."""
    decided_by: str | None
    decided_why: str | None
    ended_by: Ending | None = None
    """What ended the wait for further instances; None while it lasts, and for versions of before this was kept."""
    expected: int | None = None
    """How many instances it was said to have when it was complete; None when nobody said."""


@dataclass(frozen=True, slots=True)
class SeriesProgress:
    """What is known of a series while it is being received."""

    series_key: str
    version: int
    study_instance_uid: str
    series_instance_uid: str
    calling_ae_title: str
    n_instances: int
    n_conflicts: int
    bytes: int
    first_at: float
    last_at: float


class Standing(StrEnum):
    """What becomes of an instance that comes for a series now."""

    OPEN = "open"
    """It goes into the version that is being received."""
    CLOSED = "closed"
    """The version was handed over; what comes is late and makes the next one."""
    DECIDED = "decided"
    """A person took the version out; what comes waits for a person too."""


def standing(row: SeriesRow | None) -> tuple[int, Standing]:
    """Derive from the newest row of a series which version counts now, and what becomes of further instances."""
    if row is None:
        return 1, Standing.OPEN
    if row.purged_at is not None:
        return row.version + 1, Standing.OPEN
    if row.state is SeriesState.FORGOTTEN:
        return row.version, Standing.DECIDED
    if row.completed_at is None:  # also when a person rejected it meanwhile: it goes on, and is not handed over
        return row.version, Standing.OPEN
    return row.version, Standing.DECIDED if row.state is SeriesState.REJECTED else Standing.CLOSED


def takes(row: SeriesRow | None, version: int) -> bool:
    """Whether `version` is, or may become, the one that is being received, given the newest row of its series."""
    return standing(row) in ((version, Standing.OPEN), (version - 1, Standing.CLOSED))
