"""One run: a fresh server, senders that start together; how long until their last answer, and until all was done."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.intake import accounting
from benchmarks.intake.contenders import Contender, Maker
from benchmarks.intake.source import INSTANCE_BYTES, Series
from benchmarks.intake.warm_pages import WarmPages
from tests.peers.dcmtk import Dcmtk
from tests.peers.ports import LOOPBACK

LEAST_BYTES = INSTANCE_BYTES
"""A file of an instance that is whole holds its pixels at least."""
SENDER_TIMEOUT_S = 300


@dataclass(frozen=True)
class Run:
    """What one run took; everything arrived, or there would be none."""

    seconds: float
    """From the start of the first sender to the end of the last, which has its last answer."""
    settled_seconds: float
    """From the same start until the server has nothing left to do, see `Contender.settle`."""
    bytes: int
    cpu_seconds: float
    """Of the server and its children, until it has nothing left to do."""
    idle_bytes: int
    """Memory of the server before the senders came."""
    peak_bytes: int


class LostInstancesError(RuntimeError):
    """A server answered every sender, and does not have what they sent."""


def run(make: Maker, folder: Path, dcmtk: Dcmtk, series: Sequence[Series], pages: WarmPages) -> Run:
    """Send each series by a storescu of its own, all at once, to a server over `folder`, which must not exist yet.

    Raises:
        LostInstancesError: not every instance arrived.
        RuntimeError: a sender failed.
    """
    folder.mkdir(parents=True)
    os.sync()  # what the run before left to be written is not this one's
    contender = make(folder)
    try:
        contender.start()
        dcmtk.echo(port=contender.port, called=contender.ae_title).check_returncode()
        contender.settle()
        sent_bytes = sum(one.bytes for one in series)
        pages.prepare(sent_bytes)
        pid = contender.process.pid
        before = accounting.cpu_seconds(pid)
        with accounting.PeakMemory(pid) as memory:
            seconds = _send(contender, folder, dcmtk, series)
            answered_at = time.perf_counter()
            contender.settle()
            settled_seconds = seconds + time.perf_counter() - answered_at
        cpu_seconds = accounting.cpu_seconds(pid) - before
        arrived = contender.end(LEAST_BYTES)
    finally:
        contender.close()
    missing = frozenset[str]().union(*(one.uids for one in series)) - arrived
    if missing:
        raise LostInstancesError(f"{contender.ae_title} does not have {len(missing)} of the instances")
    return Run(seconds, settled_seconds, sent_bytes, cpu_seconds, memory.idle, memory.peak)


def _send(contender: Contender, folder: Path, dcmtk: Dcmtk, series: Sequence[Series]) -> float:
    command = [
        str(dcmtk.storescu),
        "+sd",
        "-aet",
        "BENCHMARK",
        "-aec",
        contender.ae_title,
        LOOPBACK,
        str(contender.port),
    ]
    logs = [folder / f"sender-{number}.log" for number in range(len(series))]
    senders: list[subprocess.Popen[bytes]] = []
    start = time.perf_counter()
    for one, log in zip(series, logs, strict=True):
        with log.open("wb") as output:
            senders.append(
                subprocess.Popen([*command, str(one.folder)], env=dcmtk.environment, stdout=output, stderr=output)
            )
    with _time_limit(senders):
        statuses = [sender.wait() for sender in senders]
        seconds = time.perf_counter() - start
    for status, log in zip(statuses, logs, strict=True):
        # storescu ends well when an instance was refused, and says so
        if status != 0 or b"E: " in log.read_bytes():
            raise RuntimeError(f"storescu to {contender.ae_title} failed: {log.read_text(errors='replace')[-500:]}")
    return seconds


@contextmanager
def _time_limit(senders: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Kill senders that take too long; Python's own wait with a limit looks every 50 ms only, which would be seen."""

    def kill() -> None:
        for sender in senders:
            sender.kill()

    timer = threading.Timer(SENDER_TIMEOUT_S, kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def delete(folder: Path) -> None:
    """Remove a folder of runs and let the disk finish with it; never between runs that are compared."""
    shutil.rmtree(folder, ignore_errors=True)
    os.sync()
