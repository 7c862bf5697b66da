"""The storage SCPs that are compared, each started as a person would start it."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.intake import accounting, bare_loop, durable_close, plain_handler
from benchmarks.intake.names import NO_JOURNAL, OURS
from dicom_listener.spool.spool import Spool
from segwatch.settings_text import site_toml
from tests.peers.dcmtk import Dcmtk
from tests.peers.orthanc import Orthanc
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import ServerProcess
from tests.peers.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]


class Contender(ABC):
    """One server over one fresh folder: started once, sent to, and ended."""

    ae_title: str
    port: int
    process: ServerProcess

    def start(self) -> None:
        """Start and wait until it listens."""
        self.process.start_and_wait_for_port(self.port)

    def settle(self) -> None:
        """Wait until everything is done that a sender does not wait for and that would be charged to nobody."""
        wait_until(lambda: accounting.running_children(self.process.pid) == 0, "the children ended", interval=0.01)

    @abstractmethod
    def end(self, least_bytes: int) -> frozenset[str]:
        """End the server; gives the SOP Instance UIDs that it stored, in files of at least so many bytes."""

    def close(self) -> None:
        """End whatever still runs."""
        self.process.close()


Maker = Callable[[Path], Contender]
"""Makes a server over an empty folder."""


class Storescp(Contender):
    """DCMTK's storescp, a process for each association, as it comes or with a preloaded library."""

    ae_title = "STORESCP"

    def __init__(self, folder: Path, dcmtk: Dcmtk, *, preloaded: Path | None = None) -> None:
        """Prepare; the folder exists and is empty."""
        self.port = free_ports()
        self._preloaded = preloaded
        self._store = folder / "store"
        self._store.mkdir()
        environment = dcmtk.environment | ({"LD_PRELOAD": str(preloaded)} if preloaded else {})
        options = ["--fork", "-pdu", "131072", "+B", "-aet", self.ae_title, "-od", str(self._store), str(self.port)]
        self.process = ServerProcess(
            [dcmtk.storescp, *options], log=folder / "log", environment=environment, directory=folder
        )

    def start(self) -> None:
        """Start, and see that it is the durable one if it has to be."""
        super().start()
        if self._preloaded is not None:
            durable_close.check_loaded(self.process.pid, self._preloaded)

    def end(self, least_bytes: int) -> frozenset[str]:
        """Its files are called CT.<SOP Instance UID>."""
        self.process.kill()
        return _whole_files(self._store, least_bytes, prefix="CT.")


class OrthancContender(Contender):
    """Orthanc with its own defaults, which make each file durable (SyncStorageArea)."""

    def __init__(self, folder: Path, dcmtk: Dcmtk) -> None:
        """Prepare; the folder exists and is empty. Orthanc is built on DCMTK and wants the same environment."""
        self._folder = folder
        self._orthanc = Orthanc(folder, environment=dcmtk.environment)
        self.ae_title, self.port = self._orthanc.ae_title, self._orthanc.dicom_port
        self.process = self._orthanc.process

    def start(self) -> None:
        """Start and wait for both ports."""
        self._orthanc.start()

    def end(self, least_bytes: int) -> frozenset[str]:
        """Orthanc tells what it has; it keeps each instance in one file."""
        found = frozenset(one.tags["SOPInstanceUID"] for one in self._orthanc.instances())
        self.process.kill()
        files = sum(path.is_file() and path.stat().st_size >= least_bytes for path in self._folder.rglob("*"))
        return found if files >= len(found) else frozenset()


class PlainHandler(Contender):
    """A plain pynetdicom handler in a process of its own."""

    ae_title = plain_handler.AE_TITLE

    def __init__(self, folder: Path) -> None:
        """Prepare; the folder exists and is empty."""
        self.port = free_ports()
        self._store = folder / "store"
        self._store.mkdir()
        command = [sys.executable, "-m", plain_handler.__name__, str(self.port), str(self._store)]
        self.process = ServerProcess(command, log=folder / "log", environment=_environment(), directory=REPOSITORY)

    def end(self, least_bytes: int) -> frozenset[str]:
        """Its files are called as their SOP Instance UIDs."""
        self.process.kill()
        return _whole_files(self._store, least_bytes)


class BareLoop(Contender):
    """What a durable file for each instance cannot do without, in Python; a process for each association."""

    ae_title = bare_loop.AE_TITLE

    def __init__(self, folder: Path) -> None:
        """Prepare; the folder exists and is empty."""
        self.port = free_ports()
        self._store = folder / "store"
        self._store.mkdir()
        command = [sys.executable, "-m", bare_loop.__name__, str(self.port), str(self._store)]
        self.process = ServerProcess(command, log=folder / "log", environment=_environment(), directory=REPOSITORY)

    def end(self, least_bytes: int) -> frozenset[str]:
        """Its files are called as their SOP Instance UIDs."""
        self.process.kill()
        return _whole_files(self._store, least_bytes)


class Segwatch(Contender):
    """`segwatch listen` over a settings file."""

    ae_title = "SEGWATCH"

    def __init__(self, folder: Path, changes: Mapping[str, object] | None = None) -> None:
        """Prepare; `changes` are settings (`section.key`) apart from those that every run needs."""
        self.port = free_ports()
        (folder / "site.key").write_text("0" * 64)
        needed = {
            "site.data_dir": "data",
            "listener.host": LOOPBACK,
            "listener.port": self.port,
            # a disk that others fill must not end the run
            "spool.high_watermark": 0.999,
            "spool.minimum_free_bytes": 100_000_000,
        }
        settings = folder / "segwatch.toml"
        settings.write_text(site_toml("benchmark", {**needed, **(changes or {})}), encoding="utf-8")
        self.spool = folder / "data" / "spool"
        self._has_journal = (changes or {}).get(_JOURNAL_SETTING) != 0
        command = [str(Path(sys.executable).parent / "segwatch"), "listen", "-c", str(settings)]
        self.process = ServerProcess(command, log=folder / "log", environment=_environment(), directory=folder)

    def start(self) -> None:
        """Start and wait until it is ready: its port answers before all of its threads and its journal are there."""
        self.process.start()
        self.process.wait_for_output('"ready": "listen"')
        if self._has_journal:
            self.process.wait_for_output("the journal of the spool has")

    def settle(self) -> None:
        """Wait until every instance has a file of its own; its receivers stay."""
        journal = Spool(self.spool).journal
        wait_until(lambda: journal.is_filed, "all instances have files", timeout=_FILED_SECONDS, interval=0.05)

    def end(self, least_bytes: int) -> frozenset[str]:
        """What a spool that is opened after a kill finds: acknowledged is not enough."""
        self.process.kill()
        spool = Spool(self.spool, high_watermark=0.999)
        spool.recover()
        found = (one.instance for key in spool.series_keys() for one in spool.load(key))
        return frozenset(one.sop_instance_uid for one in found if one.size_bytes >= least_bytes)


_JOURNAL_SETTING = "spool.journal_bytes"
_FILED_SECONDS = 300.0
"""How long what is in a journal that is full may take to get its files."""

FAST_INTAKE_SETTINGS: Mapping[str, Mapping[str, object]] = {
    OURS: {},
    NO_JOURNAL: {_JOURNAL_SETTING: 0},
    "segwatch, threads": {_JOURNAL_SETTING: 0, "listener.receivers": 0},
    "segwatch, slow path": {_JOURNAL_SETTING: 0, "listener.fast_intake": False},
}
"""The variants of us by name."""
VARIANTS_NOTE = (
    "`segwatch` is as it comes: receivers append what they take to the journal, which was written before the run, one "
    "sync for each instance, and give each a file of its own once the burst is over. `no journal` "
    "(`spool.journal_bytes = 0`): receivers give each a file at once, with two syncs. `threads` "
    "(`listener.receivers = 0`, no journal): threads of the listener do that. `slow path` "
    "(`listener.fast_intake = false`, no journal): pynetdicom receives."
)


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SEGWATCH_")}
    paths = [str(REPOSITORY), *filter(None, [ours.get("PYTHONPATH")])]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths)}


def _whole_files(folder: Path, least_bytes: int, *, prefix: str = "") -> frozenset[str]:
    whole = (path for path in folder.iterdir() if path.stat().st_size >= least_bytes)
    return frozenset(path.name.removeprefix(prefix) for path in whole)
