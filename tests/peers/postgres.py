"""A temporary PostgreSQL cluster on loopback."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pg8000.native

from tests.peers.missing import missing_peer
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import PeerError, ServerProcess
from tests.peers.waiting import wait_until

_USER = "segwatch"


class PostgresCluster:
    """One server over one new data folder; databases are made and dropped on it by name."""

    def __init__(self) -> None:
        """Create the cluster; the server is not started yet."""
        programs = find_postgres()
        self._is_ready = programs / "pg_isready"
        self.port = free_ports()
        # not below pytest's own folders: those are closed to the system user that the server runs as
        self._folder = Path(tempfile.mkdtemp(prefix="segwatch-postgres-"))
        data = self._folder / "data"
        try:
            system_user = _hand_over(self._folder)
            create: list[str | Path] = [
                programs / "initdb",
                "-D",
                data,
                "-U",
                _USER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ]
            done = subprocess.run(
                [*system_user, *create], capture_output=True, text=True, check=False, timeout=120, cwd=self._folder
            )
            if done.returncode != 0:
                raise PeerError(f"initdb failed:\n{done.stdout}{done.stderr}")
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        serve: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            "-h",
            LOOPBACK,
            "-p",
            str(self.port),
            "-k",
            self._folder,
        ]
        self._server = ServerProcess(
            [*system_user, *serve, "-c", "fsync=off", "-c", "max_connections=200"],
            log=self._folder.with_suffix(".log"),
            directory=self._folder,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown; on SIGTERM it waits for its clients
        )

    def start(self) -> None:
        """Start and return when queries are answered."""
        self._server.start_and_wait_for_port(self.port)
        # it listens before it has started up, and refuses queries until then
        ask: list[str | Path] = [self._is_ready, "-q", "-h", LOOPBACK, "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ask, check=False, timeout=30).returncode == 0, "PostgreSQL answers")

    def create_database(self, name: str) -> str:
        """Create an empty database; returns its SQLAlchemy URL."""
        self._administer(f"CREATE DATABASE {name}")
        return f"postgresql+pg8000://{_USER}@{LOOPBACK}:{self.port}/{name}"

    def drop_database(self, name: str) -> None:
        """Drop a database even when a test left connections to it."""
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and remove every trace of it."""
        self._server.close()
        self._server.log.unlink(missing_ok=True)
        shutil.rmtree(self._folder)

    def _administer(self, statement: str) -> None:
        connection = pg8000.native.Connection(_USER, host=LOOPBACK, port=self.port, database="postgres", timeout=30)
        try:
            connection.run(statement)
        finally:
            connection.close()


def find_postgres() -> Path:
    """Find the folder of initdb and postgres (Debian keeps them out of PATH), or end the test."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    for initdb in sorted(debian, key=lambda path: int(path.parts[-3]), reverse=True):
        return initdb.parent
    found = shutil.which("initdb")
    if found is None:
        missing_peer("PostgreSQL", "no initdb found (Debian package postgresql)")
    return Path(found).parent


def _hand_over(folder: Path) -> list[str]:
    """Give the folder to a system user when we are root, whom PostgreSQL refuses; returns its commands' prefix."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        missing_peer("PostgreSQL", "tests run as root need setpriv (util-linux) to run it as another user")
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
    return missing_peer("PostgreSQL", "refuses root, and there is neither a user postgres nor nobody")
