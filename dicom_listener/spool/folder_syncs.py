"""Makes names durable in threads of its own, so that whoever asks can sync the file in the meantime."""

import threading
import weakref
from pathlib import Path
from queue import SimpleQueue

from dicom_listener.spool.files import sync_name


class FolderSync:
    """The folder of a file that is being synced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends = threading.Lock()
        self._ends.acquire()
        self._error: OSError | None = None

    def run(self) -> None:
        """Sync it; in the thread that does so."""
        try:
            sync_name(self._path)
        except OSError as error:
            self._error = error
        finally:
            self._ends.release()

    def wait(self) -> None:
        """Wait until it is done; once. Raises `OSError`: the disk failed, or the name is gone."""
        self._ends.acquire()
        if self._error is not None:
            raise self._error


class FolderSyncs:
    """A few threads that sync folders; for any number of threads.

    A `ThreadPoolExecutor` does the same with a condition and a future for each folder, which was measured to cost a
    sender a tenth of its time.
    """

    def __init__(self, at_once: int) -> None:
        """At most `at_once` folders are synced at the same time; further ones wait for their turn."""
        self._wanted: SimpleQueue[FolderSync | None] = SimpleQueue()
        self._at_once = at_once
        self._n_threads = 0
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Start all threads now; otherwise each is started when a folder comes."""
        while self._n_threads < self._at_once:
            self._start_thread()

    def begin(self, path: Path) -> FolderSync:
        """Begin to sync the folder of a file; `wait` for what it returns."""
        if self._n_threads < self._at_once:
            self._start_thread()
        wanted = FolderSync(path)
        self._wanted.put(wanted)
        return wanted

    def _start_thread(self) -> None:
        with self._lock:
            if self._n_threads < self._at_once:
                self._n_threads += 1
                # it knows the queue alone, and ends when nobody can put anything there any more
                threading.Thread(target=_sync, args=(self._wanted,), name="spool-sync", daemon=True).start()
                weakref.finalize(self, self._wanted.put, None)


def _sync(wanted: SimpleQueue[FolderSync | None]) -> None:
    while (one := wanted.get()) is not None:
        one.run()
