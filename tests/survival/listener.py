"""The process under attack: the real `segwatch listen`, watched from outside."""

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.intake import accounting
from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, Checksum, LaneFront, trailers
from dicom_listener.spool.journal.lanes import lane_paths
from dicom_listener.spool.journal.spool_journal import FOLDER
from dicom_listener.spool.part10 import read_file_meta, read_identifiers
from tests.acceptance.hosts import TRACEBACK, edit_settings
from tests.peers.cli import SegwatchCli
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import ServerProcess
from tests.peers.waiting import wait_until
from tests.survival.wire import PATIENT_NAME

LIBRARY_WARNING = "Warning: "
"""In what Python prints of a library's warnings, which quote values."""
INTAKES = ("journal", "receivers", "fast", "pynetdicom")
"""Our own way for plain C-STORE messages: the journal of processes, processes, threads; and pynetdicom's;
everything is run over all."""
IN_PROCESSES = ("journal", "receivers")
"""Those that have receivers."""
JOURNAL_BYTES = 128 * 1024 * 1024
JOURNAL_IS_MADE = "the journal of the spool has"
RECEIVERS = 2
ARTIM_SECONDS, IDLE_SECONDS = 2.0, 2.0
"""Short, so that what has to wait for them is over soon."""
START_SECONDS = 120.0


class AttackedListener:
    """`segwatch listen` over a folder of its own; what lies beside that folder's own files is a stray."""

    def __init__(self, folder: Path, intake: str, changes: Mapping[str, Any] | None = None) -> None:
        """Write settings by `segwatch init site`; keys that these settings do not have yet are left out."""
        self.port = free_ports()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.cli = SegwatchCli(folder)
        done = self.cli("init", "site", "--id", "clinic", folder / "site")
        assert done.returncode == 0, done.stderr
        self.settings = folder / "site" / "segwatch.toml"
        self.spool_folder = folder / "site" / "segwatch-data" / "spool"
        own = {
            "listener.host": LOOPBACK,
            "listener.port": self.port,
            "listener.artim_seconds": ARTIM_SECONDS,
            "listener.idle_seconds": IDLE_SECONDS,
            "listener.fast_intake": intake != "pynetdicom",
            "listener.receivers": RECEIVERS if intake in IN_PROCESSES else 0,
            "spool.journal_bytes": JOURNAL_BYTES if intake == "journal" else 0,
            "spool.high_watermark": 0.99,
            "spool.minimum_free_bytes": 0,
            **(changes or {}),
        }
        edit_settings(self.settings, own)
        self.intake = intake
        self.awaits_journal = intake == "journal"
        """Whether `start` waits until the journal is made: what comes before does not go there."""
        self.process: ServerProcess | None = None

    def set(self, key: str, value: object) -> None:
        """Change a setting (`section.key`); it counts from the next start."""
        edit_settings(self.settings, {key: value})

    @property
    def running(self) -> ServerProcess:
        """The process."""
        assert self.process is not None, "it was not started"
        return self.process

    def start(self, *, before: Sequence[str | Path] = (), environment: Mapping[str, str] | None = None) -> None:
        """Start and return when it is ready; `before` is a command that runs it, e.g. strace with its options."""
        command = [*before, self.cli.program, "listen", "-c", self.settings]
        self.process = ServerProcess(
            command, log=self.folder / "listen.log", environment={**os.environ, **(environment or {})}
        )
        self.process.start()
        self.process.wait_for_output('"ready": "listen"', timeout=START_SECONDS)
        if self.awaits_journal:
            self.process.wait_for_output(JOURNAL_IS_MADE, timeout=START_SECONDS)
            self.awaits_journal = False  # later its lanes are there

    def kill(self) -> None:
        """SIGKILL."""
        self.running.kill()

    def processes(self) -> list[int]:
        """Process ids of the listener, of what starts its receivers, and of those."""
        return accounting.processes(self.running.pid)

    def receivers(self) -> list[int]:
        """Process ids of its receivers: all but itself and its only child, which starts them."""
        return self.processes()[2:]

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self.running.stop(timeout=60)

    def close(self) -> None:
        """Stop it if it runs: for teardown."""
        if self.process is not None:
            self.process.close()

    def log(self) -> str:
        """What it printed over all its starts."""
        log = self.folder / "listen.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def memory_bytes(self, which: str = "VmRSS") -> int:
        """Memory of the process and its receivers: VmRSS now, VmHWM at its peak; what they share counts for each."""
        return 1024 * self._status(which)

    def forget_peak(self) -> None:
        """Let VmHWM begin again from what is used now (Linux)."""
        for pid in self.processes():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def threads(self) -> int:
        """How many threads it and its receivers have."""
        return self._status("Threads")

    def descriptors(self) -> int:
        """How many files and sockets it and its receivers have open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.processes())

    def wait_for_rest(self, threads: int, descriptors: int, *, timeout: float = 60) -> None:
        """Wait until it has no more threads and descriptors than these."""
        try:
            wait_until(
                lambda: self.threads() <= threads and self.descriptors() <= descriptors,
                f"the listener has at most {threads} threads and {descriptors} descriptors again",
                timeout=timeout,
            )
        except TimeoutError as error:
            error.add_note(f"it has {self.threads()} threads and {self.descriptors()} descriptors")
            raise

    def assert_sound(self) -> None:
        """It runs, printed no traceback, warning or name, left nothing half and nothing outside the spool."""
        assert self.running.is_running, self.log()[-4000:]
        for unwanted in (TRACEBACK, LIBRARY_WARNING, PATIENT_NAME):
            assert unwanted not in self.log(), self.log()[-4000:]
        incoming = self.spool_folder / ".incoming"
        wait_until_filed(self.spool_folder)
        wait_until(lambda: not any(incoming.iterdir()), "nothing half is left", timeout=30)
        assert strays(self.folder) == []

    def _status(self, name: str) -> int:
        """A field of /proc/PID/status, summed over the processes."""
        found = [
            int(line.split()[1])
            for pid in self.processes()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith(f"{name}:")
        ]
        if not found:
            raise KeyError(name)
        return sum(found)


@contextmanager
def attacked(folder: Path, intake: str, **changes: Any) -> Iterator[AttackedListener]:
    """Run a listener while the block runs: `attacked(folder, "fast", listener__idle_seconds=1.0)`."""
    listener = AttackedListener(folder, intake, {name.replace("__", "."): value for name, value in changes.items()})
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def remove(folder: Path) -> None:
    """Delete what a run left."""
    shutil.rmtree(folder, ignore_errors=True)


_LANE = re.compile(r"lane-\d{3}")
OWN_FILES = {"listen.log", "segwatch.toml", "site.key", "state.sqlite", "state.sqlite-wal", "state.sqlite-shm"}


def strays(folder: Path) -> list[str]:
    """Files below a listener's folder that neither it nor its spool has by those names."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name not in OWN_FILES and not _is_of_spool(path.relative_to(folder))
    )


def _is_of_spool(path: Path) -> bool:
    *above, name = path.parts
    if above[:3] != ["site", "segwatch-data", "spool"]:
        return False
    if name == ".lock" or above[3:] == [".incoming"] or (above[3:] == [FOLDER] and _LANE.fullmatch(name)):
        return True
    stem = name.removesuffix(".dcm")
    is_hex = set(stem) <= set("0123456789abcdef-") and name != stem
    return is_hex and len(above) in {4, 5} and len(above[3]) == 32 and above[4:] in ([], ["conflicts"])


def wait_until_filed(spool: Path) -> None:
    """Return when whatever is in the journal, if there is one, has a file. Raises TimeoutError when it gets none."""
    wait_until(lambda: all(map(Lane.says_clean, lane_paths(spool / FOLDER))), "the journal is filed", timeout=30)


def in_lanes(spool: Path) -> set[str]:
    """SHA-256 of the data sets that are whole in the journal and have no file yet, as the disk has them."""
    found: set[str] = set()
    for path in lane_paths(spool / FOLDER):
        with path.open("rb") as file:
            front = LaneFront.newest(file.read(FIRST_BYTE))
            assert front is not None, f"{path.name} says nothing"
            for trailer in trailers(partial(_read_at, file.fileno()), front):
                content = _read_at(file.fileno(), trailer.start, trailer.size)
                checksum = Checksum()
                checksum.update(content)
                if checksum.value == trailer.checksum:
                    found.add(hashlib.sha256(content[trailer.data_set_offset :]).hexdigest())
    return found


def _read_at(descriptor: int, offset: int, n_bytes: int) -> bytes:
    return os.pread(descriptor, n_bytes, offset)


def stored_data_sets(spool: Path) -> Iterator[tuple[str, str]]:
    """Name (hash of the SOP Instance UID) and SHA-256 of the data set, of each file, conflicting ones included."""
    for path in spool.rglob("*.dcm"):
        yield path.stem.partition("-")[0], hashlib.sha256(data_set_of(path)).hexdigest()


def data_set_of(path: Path) -> bytes:
    """What follows the File Meta Information of a file."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM", f"{path.name} is no DICOM file"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def unidentified(spool: Path) -> list[str]:
    """Files whose identifiers cannot be read again, with the reason: a restart would leave them out."""
    found = []
    for path in spool.rglob("*.dcm"):
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom says what it thinks of mutated values
            try:
                request = read_file_meta(file)
                identifiers = read_identifiers(file, request.transfer_syntax_uid)
            except InvalidInstanceError as error:
                found.append(f"{path}: {error}")
                continue
        if identifiers.sop_instance_uid != request.sop_instance_uid:
            found.append(f"{path}: File Meta Information and data set differ")
    return found


def missing_ones(spool: Path, acknowledged: Mapping[str, bytes]) -> list[str]:
    """SOP Instance UIDs of acknowledged data sets that are not in the spool bit by bit, under their names.

    What is in the journal is given time to get there; a listener has to run for that.
    """
    wait_until_filed(spool)
    found = set(stored_data_sets(spool))
    return [uid for uid, data_set in acknowledged.items() if fingerprint(uid, data_set) not in found]


def fingerprint(uid: str, data_set: bytes) -> tuple[str, str]:
    """What `stored_data_sets` gives for an instance."""
    return hashlib.sha256(uid.encode()).hexdigest(), hashlib.sha256(data_set).hexdigest()
