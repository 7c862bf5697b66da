"""Keeps what holds identifiers from other users of the host, whatever the umask."""

import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER_MODE = 0o750
FILE_MODE = 0o640


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it, that only its owner and group can read; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(FOLDER_MODE)  # mkdir's own mode is cut by the umask


def make_private_database(path: Path) -> None:
    """Make an SQLite file that others cannot read, or take that from them; its -wal and -shm get the file's mode.

    Raises:
        OSError: it cannot be made.
    """
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        path.chmod(FILE_MODE)
    for one in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        _tighten(one)


def _tighten(path: Path) -> None:
    try:
        mode = path.stat().st_mode & 0o777
        if path.is_file() and mode & ~FILE_MODE:
            path.chmod(mode & FILE_MODE)
    except FileNotFoundError:
        return
    except OSError as error:  # another user's: it can be used all the same
        logger.warning("others can read %s, and that cannot be changed: %s; chmod 640 it", path, error.strerror)
