"""Makes the SQLAlchemy engine of a state or store URL: SQLite embedded, PostgreSQL for many hosts."""

from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, event, insert, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from segwatch.errors import SettingsError

SQLITE_PRAGMAS = (
    "busy_timeout=30000",  # milliseconds that a writer waits for another before it reports a locked database
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # what a person had forgotten must not linger in free pages
)
SCHEMA_VERSION = 1
"""Raised with every change of a table that old rows do not fit."""
SCHEMA_LOCK = 0x5E67A7C4
"""Key of PostgreSQL's advisory lock while tables are made."""

schema_metadata = MetaData()
schema_table = Table(
    "segwatch_schema", schema_metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)


def make_engine(url: str) -> Engine:
    """Make an engine whose transactions are durable when they are committed.

    SQLite runs in WAL mode with `synchronous=FULL`, and each transaction begins IMMEDIATE so that two writers
    queue instead of failing at commit (https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable).

    Raises:
        SettingsError: the URL is malformed or its driver is not installed.
    """
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        hint = "use sqlite:///FILE or postgresql+pg8000://USER@HOST/DATABASE (pip install 'segwatch[postgres]')"
        raise SettingsError(f"the database URL cannot be used ({type(error).__name__}); {hint}") from error
    if engine.dialect.name == "sqlite":
        _make_sqlite_durable(engine)
    return engine


def _make_sqlite_durable(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: SqliteConnection, _record: Any) -> None:  # noqa: ANN401 (SQLAlchemy's own record type is private)
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def erase_traces(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which holds copies of changed rows; PostgreSQL's own is for its operators."""
    if engine.dialect.name == "sqlite":
        connection = engine.raw_connection()  # SQLAlchemy's own would begin a transaction, which blocks the checkpoint
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def make_tables(engine: Engine, *metadatas: MetaData) -> None:
    """Make the tables that are missing, and check that those that are there were made by this layout's version.

    Processes that start at the same time wait for each other: SQLite by its write lock, PostgreSQL by an advisory one.

    Raises:
        SettingsError: the database does not answer, or holds the tables of another version.
    """
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})
            for metadata in (schema_metadata, *metadatas):
                metadata.create_all(connection)
            found = connection.execute(select(schema_table.c.version)).scalar_one_or_none()
            if found is None:
                connection.execute(insert(schema_table).values(version=SCHEMA_VERSION))
    except DBAPIError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise SettingsError(f"the database {where} does not answer ({type(error.orig).__name__})") from error
    if found not in (None, SCHEMA_VERSION):
        raise SettingsError(
            f"the database holds version {found} of the tables, this software uses version {SCHEMA_VERSION}; "
            "start the software that fits, or move the database away"
        )
