"""Which of the instances that a sender names are durable here: the spool's files are asked, no index.

An index would have to survive crashes, purges and late instances; the file names do. A file is named after its
instance, so a request costs a look at each series' folder and reading the heads of what is found.
"""

import logging
import os
from collections.abc import Collection
from pathlib import Path

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.files import disk_errors_in_words, sync_folder
from dicom_listener.part10 import read_file_meta, read_identifiers
from dicom_listener.shelf import instance_path
from dicom_listener.spool import Spool

LOGGER = logging.getLogger(__name__)

_FEW = 50
"""Up to so many names are tried one by one; for more of them the folder is listed."""


def find_durable(
    spool: Spool, sop_instance_uids: Collection[str], *, without: Collection[str] = ()
) -> dict[str, frozenset[str]]:
    """Look instances up; what is returned stays durable until its series is purged.

    An instance may be in several series, where a sender changed their UIDs; each file counts. Those that are kept
    apart because another content has their UID do not.

    Args:
        spool: where.
        sop_instance_uids: which.
        without: keys of series that do not count.

    Returns:
        SOP Class UIDs by SOP Instance UID; what is not there is not in it.

    Raises:
        SpoolError: the disk failed.
    """
    wanted = {instance_path(Path(), "", uid).name: uid for uid in sop_instance_uids}
    found: dict[str, frozenset[str]] = {}
    with disk_errors_in_words(spool.root):
        keys = [key for key in spool.series_keys() if key not in without]
        for folder in (spool.root / key for key in keys):
            classes = {uid: sop_class for uid, path in _present(folder, wanted) if (sop_class := _sop_class(path, uid))}
            if classes and _is_durable(folder):
                for uid, sop_class in classes.items():
                    found[uid] = found.get(uid, frozenset()) | {sop_class}
        if found:
            sync_folder(spool.root)
    return found


def _present(folder: Path, wanted: dict[str, str]) -> list[tuple[str, Path]]:
    if len(wanted) <= _FEW:
        return [(uid, folder / name) for name, uid in wanted.items() if (folder / name).exists()]
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []  # purged meanwhile
    return [(wanted[name], folder / name) for name in names if name in wanted]


def _sop_class(path: Path, sop_instance_uid: str) -> str | None:
    try:
        with path.open("rb") as file:
            request = read_file_meta(file)
            identifiers = read_identifiers(file, request.transfer_syntax_uid)
    except FileNotFoundError:
        return None  # purged meanwhile
    except InvalidInstanceError as error:
        LOGGER.error("not committed, a damaged file of the spool: %s (%s)", path, error)
        return None
    return identifiers.sop_class_uid if identifiers.sop_instance_uid == sop_instance_uid else None


def _is_durable(folder: Path) -> bool:
    """Make the names in it durable: one that was linked a moment ago may not be yet; False when it was purged."""
    try:
        sync_folder(folder)
    except FileNotFoundError:
        return False
    return True
