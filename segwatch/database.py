"""Makes the SQLAlchemy engine of a state or store URL: SQLite embedded, PostgreSQL for many hosts."""

from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from segwatch.errors import SettingsError

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another before SQLite reports a locked database."""


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
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
