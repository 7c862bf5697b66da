"""Gives every run the same pages of the page cache to write to: ones that the machine already has.

The host of a virtual machine may take back memory that the guest has free (free page reporting of virtio-balloon).
Whoever writes to such a page first then waits for the host to give it again: 1.4 ms for an instance of 0.5 MB where 0.1
is usual, more than its fdatasync takes. Which server meets cold pages is chance, and decides its figure. So, right
before the first sender starts, as much as the run will write is written elsewhere, and the pages are freed again: they
are what the kernel hands out next, and the host takes back only what was free for some seconds.
"""

import os
from pathlib import Path

NOTE = (
    "Warm pages: right before the senders of each run started, a file as large as all that they would send was "
    "written, synced, and its pages freed. Where a host takes back free memory (free page reporting), the first write "
    "to a page takes ten times as long as later ones, and chance decided which server paid for it."
)
_BLOCK = os.urandom(1024 * 1024)
"""Noise: what a disk could compress, or recognise as written before, would not do."""
_MORE = 1.25
"""Beside what is sent a run writes logs and directories, and its processes and sockets want memory of their own."""


class WarmPages:
    """A file that is written over before each run; one, for deleting files slows the creation of others."""

    def __init__(self, path: Path) -> None:
        """`path` is a file of its own on the file system to which the runs write; it is made when it is needed."""
        self._path = path

    @staticmethod
    def file_bytes(run_bytes: int) -> int:
        """How long the file becomes for a run that writes so many bytes."""
        return -(-int(run_bytes * _MORE) // len(_BLOCK)) * len(_BLOCK)

    def prepare(self, run_bytes: int) -> None:
        """Write, sync and free as many pages as a run needs that writes so many bytes."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            for _ in range(self.file_bytes(run_bytes) // len(_BLOCK)):
                os.write(descriptor, _BLOCK)
            os.fdatasync(descriptor)  # only pages that are written back can be freed
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
