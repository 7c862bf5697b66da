"""Which results were made: kept beyond their files, so that a later version can name the one that it replaces."""

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, delete, insert, select, update

from dicom_listener.series import KEY_LENGTH

metadata = MetaData()

made_results = Table(
    "made_results",
    metadata,
    Column("series_key", String(KEY_LENGTH), primary_key=True),
    Column("series_version", Integer, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("series_instance_uid", String(64), nullable=False),
)


def keep_result(
    connection: Connection, series_key: str, series_version: int, generation: int, series_instance_uid: str
) -> None:
    """Keep the Series Instance UID of a SEG, in the transaction that queues it for its destinations."""
    run = {"series_key": series_key, "series_version": series_version, "generation": generation}
    same = [made_results.c[name] == value for name, value in run.items()]
    if not connection.execute(
        update(made_results).where(*same).values(series_instance_uid=series_instance_uid)
    ).rowcount:
        connection.execute(insert(made_results).values(**run, series_instance_uid=series_instance_uid))


def newest_result_before(connection: Connection, series_key: str, series_version: int) -> str | None:
    """Series Instance UID of the newest SEG of an earlier version, or None."""
    table = made_results.c
    query = (
        select(table.series_instance_uid)
        .where(table.series_key == series_key, table.series_version < series_version)
        .order_by(table.series_version.desc(), table.generation.desc())
        .limit(1)
    )
    found: str | None = connection.execute(query).scalar()
    return found


def drop_results(connection: Connection, series_key: str, series_version: int | None = None) -> None:
    """Remove what is known of the results of one version of a series, or of all: nobody ever got them, or shall."""
    where = [made_results.c.series_key == series_key]
    if series_version is not None:
        where.append(made_results.c.series_version == series_version)
    connection.execute(delete(made_results).where(*where))
