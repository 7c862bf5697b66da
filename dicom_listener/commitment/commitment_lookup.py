"""Which of the instances that a sender names are durable here: the spool's files are asked, no index.

An index would have to survive crashes, purges and late instances; the file names do. A file is named after its
instance, so a request costs a look at each series' folder, the latest first, and reading and syncing what is found:
half a second for what is not there among 1,000 series of 300 instances.
"""

import logging
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from dicom_listener.commitment.commitment import Reference
from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.files import disk_errors_in_words, sync_file, sync_folder
from dicom_listener.spool.part10 import read_file_meta, read_identifiers
from dicom_listener.spool.shelf import instance_path
from dicom_listener.spool.spool import Spool
from dicom_listener.spool.torn import refuse_torn

LOGGER = logging.getLogger(__name__)

_FEW = 10
"""Up to so many names are tried one by one; for more of them the folder is listed."""


def find_durable(
    spool: Spool, references: Collection[Reference], *, without: Collection[str] = ()
) -> dict[str, frozenset[str]]:
    """Look instances up; what is returned stays durable until its series is purged.

    An instance may be in several series, where a sender changed their UIDs; each file counts. Those that are kept
    apart because another content has their UID do not.

    Args:
        spool: where.
        references: which; the search ends when each is found.
        without: keys of series that do not count.

    Returns:
        SOP Class UIDs by SOP Instance UID; what is not there is not in it.

    Raises:
        SpoolError: the disk failed.
    """
    missing = {(reference.sop_class_uid, reference.sop_instance_uid) for reference in references}
    wanted = {instance_path(Path(), "", uid).name: uid for _, uid in missing}
    found: dict[str, frozenset[str]] = {}
    with disk_errors_in_words(spool.root):
        for folder in _latest_first(spool, without):
            here = [(uid, path, _sop_class(spool.root, path, uid)) for uid, path in _present(folder, wanted)]
            classes = {
                uid: sop_class for uid, path, sop_class in here if sop_class and _became_durable(sync_file, path)
            }
            if classes and _became_durable(sync_folder, folder):
                for uid, sop_class in classes.items():
                    found[uid] = found.get(uid, frozenset()) | {sop_class}
                    missing.discard((sop_class, uid))
            if not missing:
                break
        if found:
            sync_folder(spool.root)
    return found


def _latest_first(spool: Spool, without: Collection[str]) -> list[Path]:
    """Folders of the series, the one that grew last first: commitment is mostly asked for what was just sent."""
    folders: list[tuple[int, Path]] = []
    for key in spool.series_keys():
        with suppress(FileNotFoundError):  # purged meanwhile
            if key not in without:
                folders.append(((spool.root / key).stat().st_mtime_ns, spool.root / key))
    return [folder for _, folder in sorted(folders, reverse=True)]


def _present(folder: Path, wanted: dict[str, str]) -> list[tuple[str, Path]]:
    if len(wanted) <= _FEW:
        return [(uid, folder / name) for name, uid in wanted.items() if (folder / name).exists()]
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []  # purged meanwhile
    return [(wanted[name], folder / name) for name in names if name in wanted]


def _sop_class(root: Path, path: Path, sop_instance_uid: str) -> str | None:
    try:
        with path.open("rb") as file:
            refuse_torn(file, root)
            request = read_file_meta(file)
            identifiers = read_identifiers(file, request.transfer_syntax_uid)
    except FileNotFoundError:
        return None  # purged meanwhile
    except InvalidInstanceError as error:
        LOGGER.error("not committed, a damaged file of the spool: %s (%s)", path, error)
        return None
    return identifiers.sop_class_uid if identifiers.sop_instance_uid == sop_instance_uid else None


def _became_durable(sync: Callable[[Path], None], path: Path) -> bool:
    """Sync a file or folder: one that was linked a moment ago may not be yet; False when it was purged."""
    try:
        sync(path)
    except FileNotFoundError:
        return False
    return True
