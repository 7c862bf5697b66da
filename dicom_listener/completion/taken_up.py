"""What spool and state know of one series: read when something comes for a series that is not followed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from dicom_listener import state
from dicom_listener.series_rows import SeriesRow, Standing, standing
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome


@dataclass(frozen=True, slots=True)
class TakenUp:
    """Where a series stands, with what its files add to its rows."""

    version: int
    """The version that counts now."""
    standing: Standing
    """CLOSED only while every instance is a member: late ones reopen the series."""
    reopened: bool
    """Whether late instances begin this version now."""
    members: frozenset[str]
    """SOP Instance UIDs of a version that is not open."""
    found: tuple[StoredInstance, ...]
    """Instances of an open version, all that are not told next; of another one those that are no members."""
    conflicts: frozenset[Path]
    """Files that are kept apart because another content has their SOP Instance UID."""
    row: SeriesRow | None
    """The row of this version; None when it has none yet."""


def take_up(engine: Engine, spool: Spool, key: str, *, coming: frozenset[str] = frozenset()) -> TakenUp:
    """Read what is known of a series.

    Args:
        engine: of the state.
        spool: where its instances are.
        key: the series.
        coming: SOP Instance UIDs that are told next; their files need not be read where everything is found anyway.

    Raises:
        SpoolError: the spool cannot be read.
        sqlalchemy.exc.SQLAlchemyError: the state cannot be read.
    """
    with engine.begin() as connection:
        row = state.latest(connection, key)
        members = state.member_uids(connection, key, row.version) if row else frozenset()
    version, stands = standing(row)
    found = spool.load(key, without=coming if stands is Standing.OPEN else members)
    reopened = stands is Standing.CLOSED and bool(found)
    if reopened:
        version, stands = version + 1, Standing.OPEN
        found = spool.load(key)
    return TakenUp(
        version=version,
        standing=stands,
        reopened=reopened,
        members=frozenset() if stands is Standing.OPEN else members,
        found=found,
        conflicts=frozenset(spool.conflicts(key)),
        row=row if row is not None and row.version == version else None,
    )


def uids_after(stored: StoredInstance, coming: Iterable[object]) -> frozenset[str]:
    """SOP Instance UIDs of its series that are told next, without its own; a conflicting instance does not count."""
    others = (one for one in coming if isinstance(one, StoredInstance) and one.series_key == stored.series_key)
    told = frozenset(one.instance.sop_instance_uid for one in others if one.outcome is not StoreOutcome.CONFLICT)
    return told - {stored.instance.sop_instance_uid}
