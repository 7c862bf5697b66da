"""A site and a central host as an administrator sets them up: `segwatch init`, an editor, and the command line."""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from dicom_listener.spool.spool import Spool
from inference.sql_queue import SqlJobQueue
from segwatch.database import make_engine
from segwatch.settings import SiteSettings, load_settings
from segwatch.status import SiteStatus, site_status
from tests.peers.cli import SegwatchCli
from tests.peers.orthanc import Orthanc
from tests.peers.ports import free_ports
from tests.peers.processes import PeerError, ServerProcess
from tests.peers.waiting import wait_until

START_TIMEOUT_S = 240.0
"""Until a listener is there, its imports on a busy machine included."""
SERIES_TIMEOUT_S = 300.0
"""Until a small phantom has gone one stage further on a busy machine."""
TRACEBACK = "Traceback (most recent call last)"


def edit_settings(path: Path, changes: Mapping[str, Any], destinations: Sequence[Mapping[str, Any]] = ()) -> None:
    """Set keys (`section.key`) of a settings file that `segwatch init` wrote, as a person does in an editor."""
    left, section = dict(changes), ""
    lines = path.read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        if head := re.fullmatch(r"\[([a-z.]+)\]", line):
            section = head[1]
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            name = f"{section}.{key[1]}"
            if name in left:
                lines[index] = f"{key[1]} = {json.dumps(left.pop(name))}"
    if left:
        raise KeyError(f"{path} has no line for {', '.join(left)}")
    for destination in destinations:
        lines += ["[[destinations]]", *(f"{key} = {json.dumps(value)}" for key, value in destination.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Host:
    """One `segwatch` host: its settings file, and the process that runs it."""

    command: str

    def __init__(self, cli: SegwatchCli, settings: Path, command: str = "", *options: str) -> None:
        """Run `command`, by default the host's own, by `cli` over a settings file that exists."""
        self.cli = cli
        self.settings = settings
        self.command = command or self.command
        self._options = options
        self._processes: list[ServerProcess] = []
        self._leader = 0

    @property
    def process(self) -> ServerProcess:
        """The process that was started last."""
        return self._processes[-1]

    def launch(self, environment: Mapping[str, str] | None = None) -> ServerProcess:
        """Start it in the background and return at once."""
        self._processes.append(
            self.cli.start(self.command, "-c", self.settings, *self._options, environment=environment)
        )
        self._leader = self.process.pid
        return self.process

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self.process.stop(timeout=60)

    def kill(self) -> None:
        """SIGKILL to all its processes; returns once none of them holds a port or a lock any more."""
        if self.process.is_running:
            self.process.kill()
        wait_until(lambda: not self.members(), "all its processes are gone")

    def log(self) -> str:
        """Everything that its processes printed, over all starts."""
        return "\n".join(process.output() for process in self._processes)

    def members(self) -> dict[int, str]:
        """The processes of the group that was started last, and their command lines, from /proc."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                if os.getpgid(int(entry.name)) == self._leader and not _is_dead(entry):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        return found

    def wait(self, condition: Callable[[], bool], what: str, *, timeout: float = SERIES_TIMEOUT_S) -> None:
        """Wait until something is true while the host runs; what it logged last is in the error otherwise."""

        def is_true() -> bool:
            if condition():
                return True
            if not self.process.is_running:
                raise PeerError(f"{self.command} ended while the test waited until {what}")
            return False

        try:
            wait_until(is_true, what, timeout=timeout, interval=0.1)
        except (TimeoutError, PeerError) as error:
            error.add_note(self.log()[-4000:])
            raise

    def wait_for_log(self, text: str, *, timeout: float = SERIES_TIMEOUT_S) -> None:
        """Wait until the process that runs now has logged something."""
        self.wait(lambda: text in self.process.output(), f"it logs {text!r}", timeout=timeout)


def _is_dead(entry: Path) -> bool:
    """Whether nobody but its parent, which has to wait for it, needs a process in /proc any more. Raises OSError.

    One that was killed keeps its ports until the last of its threads is back from the disk, though it has no command
    line any more.
    """
    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
    return state in {"Z", "X"} and len(list((entry / "task").iterdir())) == 1


class Site(Host):
    """A hospital's site."""

    command = "site"

    def __init__(
        self,
        cli: SegwatchCli,
        site_id: str,
        changes: Mapping[str, Any] | None = None,
        destinations: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write settings by `segwatch init site` and edit them; nothing runs yet."""
        self.site_id = site_id
        self.port = free_ports()
        self.folder = cli.folder / site_id
        done = cli("init", "site", "--id", site_id, self.folder)
        assert done.returncode == 0, done.stderr
        super().__init__(cli, self.folder / "segwatch.toml")
        own = {
            "listener.host": "127.0.0.1",
            "listener.port": self.port,
            "listener.quiet_seconds": 2.0,
            "routing.study_quiet_seconds": 2.5,
            # the tests' machine may be fuller than a hospital's
            "spool.high_watermark": 0.99,
            "spool.minimum_free_bytes": 10_000_000,
            # enough for a test, and soon written
            "spool.journal_bytes": 67_108_864,
        }
        edit_settings(self.settings, {**own, **(changes or {})}, destinations)

    @property
    def topic(self) -> str:
        """Where its records go."""
        return f"segwatch.metrics.v1.{self.site_id}"

    @property
    def state_file(self) -> Path:
        """Its SQLite state."""
        return self.folder / "segwatch-data" / "state.sqlite"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Run `segwatch site` and return when all its parts are ready."""
        self.launch(environment).wait_for_port(self.port, timeout=START_TIMEOUT_S)
        for ready in ("work-1 ready", "delivering to"):
            self.wait_for_log(ready, timeout=START_TIMEOUT_S)

    def status(self) -> dict[str, Any]:
        """`segwatch status --json`."""
        done = self.cli("status", "-c", self.settings, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def peek(self) -> SiteStatus:
        """What `status` shows, without the seconds that a new process takes: for waiting."""
        settings = load_settings(self.settings, SiteSettings)
        usage = Spool(settings.site.data_dir / "spool").usage()
        engine = make_engine(settings.state_url)
        try:
            with engine.begin() as connection:
                return site_status(connection, SqlJobQueue(), usage)
        finally:
            engine.dispose()

    def wait_for_state(self, state: str, count: int = 1, *, timeout: float = SERIES_TIMEOUT_S) -> None:
        """Wait until so many series are in a state of `status`."""
        self.wait(
            lambda: self.peek().counts.get(state, 0) == count,
            f"{count} series of {self.site_id} are {state}",
            timeout=timeout,
        )

    @contextmanager
    def locked_state(self) -> Iterator[None]:
        """Let nobody write the state while the block runs: whoever wants to note an outcome has to wait."""
        with closing(sqlite3.connect(self.state_file, timeout=60, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read its state."""
        return read_sqlite(self.state_file, sql, *values)


class Central(Host):
    """Central operations."""

    command = "central"

    def __init__(self, cli: SegwatchCli, changes: Mapping[str, Any], name: str = "operations") -> None:
        """Write settings by `segwatch init central` and edit them; nothing runs yet."""
        folder = cli.folder / name
        done = cli("init", "central", folder)
        assert done.returncode == 0, done.stderr
        super().__init__(cli, folder / "central.toml")
        edit_settings(self.settings, changes)
        self.store_file = folder / "central.sqlite"

    def start(self) -> None:
        """Run `segwatch central` and return when it consumes."""
        self.launch()
        self.wait_for_log('"ready": "central"', timeout=START_TIMEOUT_S)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Read its store."""
        return read_sqlite(self.store_file, sql, *values)

    def wait_for_messages(self, topic: str, count: int) -> None:
        """Wait until it has processed so many messages of a topic, and published what follows from them."""

        def is_done() -> bool:
            read = self.query("SELECT sum(next_offset) FROM central_positions WHERE topic = ?", topic)
            return (read[0][0] or 0) >= count and self.query("SELECT count(*) FROM central_outbox") == [(0,)]

        self.wait(is_done, f"central has processed {count} messages of {topic}")


def destination_of(orthanc: Orthanc) -> dict[str, Any]:
    """A PACS as a site's settings name it."""
    return {"name": "pacs", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}


def read_sqlite(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Rows of a SQLite file that another process writes."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return list(connection.execute(sql, values))


def is_one_sentence(text: str) -> bool:
    """Whether standard error holds an answer to a person: one line, and no traceback."""
    return text.startswith("segwatch: ") and len(text.strip().splitlines()) == 1 and TRACEBACK not in text
