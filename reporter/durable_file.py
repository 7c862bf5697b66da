"""Writing a file so that it is whole or absent, and stays after a power cut."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write to a temporary neighbour, flush it to the disk, rename it and flush the directory.

    Args:
        path: replaced if it exists; its directory is made.
        write: puts the content into the open file.

    Raises:
        OSError: the disk is full or the directory cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False) as file:
        temporary = Path(file.name)
        try:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
