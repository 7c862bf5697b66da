"""The rows of the listener: series that were received, and which instances a completed version consists of.

The files of the spool are the truth about what was received; these tables follow them. Every function works inside
the caller's transaction, on SQLite and PostgreSQL alike.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, case, delete, insert, select, update

from dicom_listener.ending import Ending
from dicom_listener.errors import UnknownSeriesError
from dicom_listener.series import ReceivedInstance, ReceivedSeries
from dicom_listener.series_rows import SeriesProgress, SeriesRow, SeriesState
from dicom_listener.spool.shelf import instance_path
from dicom_listener.state_tables import metadata as metadata  # noqa: PLC0414 (re-exported for those who create them)
from dicom_listener.state_tables import received_instances, received_series, series_endings

__all__ = [
    "SeriesProgress", "SeriesRow", "SeriesState", "complete", "count_extra", "find_by_prefix", "known_uids", "latest",
    "list_series", "load_series", "mark_accepted", "mark_forgotten", "mark_purged", "mark_rejected", "member_uids",
    "metadata", "save_progress",
]  # fmt: skip


_IS_ITS_ENDING = (series_endings.c.series_key == received_series.c.series_key) & (
    series_endings.c.version == received_series.c.version
)
_ROWS = select(received_series, series_endings.c.ended_by, series_endings.c.expected).outerjoin(
    series_endings, _IS_ITS_ENDING
)
"""Every row, with what ended the wait for more; made once, as it takes longer to make than to run."""


def save_progress(connection: Connection, progress: SeriesProgress) -> bool:
    """Insert or update the row of a version that is being received.

    Returns False, and changes nothing, when the version is complete or a person had it forgotten. One that a person
    rejected goes on: what belongs to it shall be known when the rejection is taken back. With the first row of a
    further version the instances that lay beside earlier ones belong to it.
    """
    values = {name: getattr(progress, name) for name in SeriesProgress.__slots__}
    row = _one(connection, progress.series_key, progress.version)
    if row is None:
        connection.execute(insert(received_series).values(**values, n_late=0, state=SeriesState.RECEIVING.value))
        _carry_over(connection, progress.series_key, progress.version)
    elif row.completed_at is None and row.state is not SeriesState.FORGOTTEN:
        _change(connection, progress.series_key, progress.version, **values)
    else:
        return False
    return True


def complete(
    connection: Connection,
    series: ReceivedSeries,
    progress: SeriesProgress,
    *,
    ended_by: Ending | None = None,
    expected: int | None = None,
) -> bool:
    """Write that a version is complete, which instances it consists of, and what ended the wait for more.

    Returns False when it is not to be handed over: a person decided on this version meanwhile.
    """
    if not save_progress(connection, progress):
        return False
    row = _one(connection, series.key, series.version)
    is_rejected = row is not None and row.state is SeriesState.REJECTED
    state = SeriesState.REJECTED if is_rejected else SeriesState.COMPLETE
    _change(connection, series.key, series.version, state=state.value, completed_at=series.completed_at)
    if ended_by is not None:
        values = {"series_key": series.key, "version": series.version, "ended_by": ended_by.value}
        connection.execute(insert(series_endings).values(**values, expected=expected))
    rows = [
        {
            "series_key": series.key,
            "version": series.version,
            "sop_instance_uid": instance.sop_instance_uid,
            "sop_class_uid": instance.sop_class_uid,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "size_bytes": instance.size_bytes,
        }
        for instance in series.instances
    ]
    connection.execute(insert(received_instances), rows)
    return not is_rejected


def load_series(connection: Connection, spool_root: Path, key: str, version: int) -> ReceivedSeries:
    """Load a complete version; its files are not looked at.

    Raises:
        UnknownSeriesError: there is no such version, it is not complete, or its files are purged.
    """
    row = _one(connection, key, version)
    if row is None:
        raise UnknownSeriesError(f"series {key} version {version} is not known here")
    if row.purged_at is not None or row.state is SeriesState.FORGOTTEN:
        raise UnknownSeriesError(f"the images of series {key} version {version} are purged; send the series again")
    if row.completed_at is None:
        raise UnknownSeriesError(f"series {key} version {version} is not complete")
    table = received_instances.c
    query = (
        select(table.sop_instance_uid, table.sop_class_uid, table.transfer_syntax_uid, table.size_bytes)
        .where(table.series_key == key, table.version == version)
        .order_by(table.sop_instance_uid)
    )
    instances = (
        ReceivedInstance(
            sop_instance_uid=uid,
            sop_class_uid=sop_class,
            transfer_syntax_uid=transfer_syntax,
            study_instance_uid=row.study_instance_uid,
            series_instance_uid=row.series_instance_uid,
            path=instance_path(spool_root, key, uid),
            size_bytes=size,
        )
        for uid, sop_class, transfer_syntax, size in connection.execute(query)
    )
    return ReceivedSeries(
        key=key,
        version=version,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        # a database's collation may order digits and dots otherwise than Python
        instances=tuple(sorted(instances, key=lambda instance: instance.sop_instance_uid)),
        calling_ae_title=row.calling_ae_title,
        completed_at=row.completed_at,
    )


def member_uids(connection: Connection, key: str, version: int) -> frozenset[str]:
    """SOP Instance UIDs of a complete version; empty for one that is being received."""
    table = received_instances.c
    query = select(table.sop_instance_uid).where(table.series_key == key, table.version == version)
    return frozenset(connection.execute(query).scalars())


def known_uids(connection: Connection, key: str) -> frozenset[str]:
    """SOP Instance UIDs of every complete version of a series."""
    table = received_instances.c
    query = select(table.sop_instance_uid).where(table.series_key == key)
    return frozenset(connection.execute(query).scalars())


def latest(connection: Connection, key: str, *, lock: bool = False) -> SeriesRow | None:
    """The newest version of a series, or None; `lock` lets nobody else change its row before the transaction ends."""
    table = received_series.c
    query = _ROWS.where(table.series_key == key).order_by(table.version.desc()).limit(1)
    # SQLite's dialect leaves the clause out: its writing transactions exclude each other anyway
    query = query.with_for_update(of=received_series) if lock else query
    return _row(connection.execute(query).mappings().first())


def find_by_prefix(connection: Connection, key_prefix: str) -> SeriesRow:
    """The newest version of the one series whose key begins with `key_prefix`.

    Raises:
        UnknownSeriesError: no series or several begin so.
    """
    table = received_series.c
    query = select(table.series_key).distinct().where(table.series_key.startswith(key_prefix, autoescape=True)).limit(2)
    keys = list(connection.execute(query).scalars()) if key_prefix else []
    if len(keys) != 1:
        how_many = "several series begin" if keys else "no series begins"
        raise UnknownSeriesError(f"{how_many} with {key_prefix!r}; `segwatch status` lists the keys")
    row = latest(connection, keys[0])
    assert row is not None  # noqa: S101 (its key was just read in the same transaction)
    return row


def list_series(connection: Connection, states: Collection[SeriesState] | None = None) -> list[SeriesRow]:
    """Every version of every series in one of `states` (None: in any), oldest first."""
    table = received_series.c
    query = _ROWS.order_by(table.first_at, table.series_key, table.version)
    if states is not None:
        query = query.where(table.state.in_([state.value for state in states]))
    return [row for found in connection.execute(query).mappings() if (row := _row(found))]


def count_extra(
    connection: Connection, key: str, version: int, *, n_late: int, n_conflicts: int, last_at: float
) -> None:
    """Set how many instances lie beside a complete version."""
    _change(connection, key, version, n_late=n_late, n_conflicts=n_conflicts, last_at=last_at)


def mark_rejected(connection: Connection, key: str, version: int, *, by: str, why: str, now: float) -> None:
    """A person took a version out: it is not processed any more, its files stay until they are purged.

    Raises:
        UnknownSeriesError: there is no such version.
    """
    _decide(connection, key, version, SeriesState.REJECTED, by=by, why=why, now=now)


def mark_accepted(connection: Connection, key: str, version: int) -> None:
    """A person took a rejection back; a version in another state stays as it is."""
    table = received_series.c
    query = update(received_series).where(
        table.series_key == key, table.version == version, table.state == SeriesState.REJECTED.value
    )
    state = case((table.completed_at.is_(None), SeriesState.RECEIVING.value), else_=SeriesState.COMPLETE.value)
    connection.execute(query.values(state=state, decided_at=None, decided_by=None, decided_why=None))


def mark_forgotten(connection: Connection, key: str, version: int, *, by: str, why: str, now: float) -> None:
    """A person had a version forgotten: its UIDs are erased here. Its files are purged by `Spool.purge`.

    Raises:
        UnknownSeriesError: there is no such version.
    """
    _decide(connection, key, version, SeriesState.FORGOTTEN, by=by, why=why, now=now)
    _change(connection, key, version, study_instance_uid="", series_instance_uid="")
    table = received_instances.c
    connection.execute(delete(received_instances).where(table.series_key == key, table.version == version))


def mark_purged(connection: Connection, key: str, *, now: float) -> None:
    """Write that the files of every version of a series are gone; call it after `Spool.purge`, never before.

    An instance that comes afterwards begins the next version.
    """
    table = received_series.c
    connection.execute(
        update(received_series).where(table.series_key == key, table.purged_at.is_(None)).values(purged_at=now)
    )


def _carry_over(connection: Connection, key: str, version: int) -> None:
    """What lay beside the versions before is in this one, or beside it."""
    table = received_series.c
    older = update(received_series).where(table.series_key == key, table.version < version)
    connection.execute(older.values(n_late=0, n_conflicts=0))


def _decide(
    connection: Connection, key: str, version: int, state: SeriesState, *, by: str, why: str, now: float
) -> None:
    if not _change(connection, key, version, state=state.value, decided_by=by, decided_why=why, decided_at=now):
        raise UnknownSeriesError(f"series {key} version {version} is not known here")


def _change(connection: Connection, key: str, version_number: int, **values: Any) -> bool:  # noqa: ANN401 (column values)
    table = received_series.c
    query = update(received_series).where(table.series_key == key, table.version == version_number).values(**values)
    return connection.execute(query).rowcount == 1


def _one(connection: Connection, key: str, version: int) -> SeriesRow | None:
    table = received_series.c
    query = _ROWS.where(table.series_key == key, table.version == version)
    return _row(connection.execute(query).mappings().first())


def _row(found: Any) -> SeriesRow | None:  # noqa: ANN401 (SQLAlchemy's RowMapping maps to any type)
    if found is None:
        return None
    ended_by = None if found["ended_by"] is None else Ending(found["ended_by"])
    return SeriesRow(**{**found, "state": SeriesState(found["state"]), "ended_by": ended_by})
