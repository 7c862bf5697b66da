"""What a server costs: processor time, memory, threads and descriptors of it and its children, from /proc (proc(5))."""

import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SAMPLE_S = 0.05
_GONE = (FileNotFoundError, ProcessLookupError)
"""How a process that ended meanwhile shows."""


def check_supported() -> None:
    """End the program with a sentence where the kernel does not tell what is counted here."""
    if not Path("/proc/thread-self/children").exists():
        sys.exit("this needs Linux with /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")


def processes(pid: int) -> list[int]:
    """The process and its descendants; those that ended and were not waited for are included."""
    found = [pid]
    for task in _tasks(pid):
        with suppress(*_GONE):
            children = (task / "children").read_text().split()
            found += [below for child in children for below in processes(int(child))]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of the process and all its children so far, seconds, user and system."""
    ticks = 0
    for one in processes(pid):
        with suppress(*_GONE):
            # utime, stime, and cutime, cstime of the children that were waited for
            ticks += sum(map(int, _stat(one)[11:15]))
    return ticks / _TICKS_PER_SECOND


def running_children(pid: int) -> int:
    """Children that have not ended."""
    count = 0
    for one in processes(pid)[1:]:
        with suppress(*_GONE):
            count += _stat(one)[0] != "Z"
    return count


def resident_bytes(pid: int) -> int:
    """Memory in use by the process and its children (VmRSS)."""
    return sum(_memory(one, "VmRSS") for one in processes(pid))


def private_bytes(pid: int) -> int:
    """Memory of one process that is not files in the page cache (RssAnon)."""
    return _memory(pid, "RssAnon")


def threads(pid: int) -> int:
    """Threads of the process."""
    return len(_tasks(pid))


def descriptors(pid: int) -> int:
    """Open descriptors of the process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass
class PeakMemory:
    """The most memory in use while the block runs, bytes.

    The peak of the process itself is the kernel's, so nothing short is missed; that of its children is sampled.
    """

    pid: int
    idle: int = 0
    """In use when the block began."""
    peak: int = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "PeakMemory":
        """Begin to watch."""
        with suppress(OSError):  # kernels without it count from the start of the process: never too little
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        self.idle = self.peak = resident_bytes(self.pid)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Take the last look."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self.peak = max(self.peak, resident_bytes(self.pid), _memory(self.pid, "VmHWM"))

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE_S):
            self.peak = max(self.peak, resident_bytes(self.pid))


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except _GONE:
        return []


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _memory(pid: int, name: str) -> int:
    with suppress(*_GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
