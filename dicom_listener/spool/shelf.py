"""How a whole instance gets its final name in the spool, durably and without ever replacing another."""

import hashlib
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dicom_listener.errors import InvalidInstanceError, SpoolError
from dicom_listener.series import ReceivedInstance, series_key
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.files import PIECE, has_hole, is_same_content, sync_file, sync_folder
from dicom_listener.spool.folder_syncs import FolderSync, FolderSyncs
from dicom_listener.spool.identifiers import Identifiers
from dicom_listener.spool.incoming import Slot, Whole
from dicom_listener.spool.part10 import read_file_meta
from dicom_listener.stored import StoredInstance, StoreOutcome

LOGGER = logging.getLogger(__name__)

CONFLICTS = "conflicts"
"""Folder below that of a series, for instances whose UID is taken by another content."""
_SYNCS_AT_ONCE = 8
"""Folders that are synced at the same time, each beside a file; further ones wait for their turn."""
_ATTEMPTS = 5
"""How often an instance is filed when its folder is purged by another process at the same moment."""


def instance_path(root: Path, key: str, sop_instance_uid: str) -> Path:
    """Where the spool below `root` keeps an instance."""
    name = hashlib.sha256(sop_instance_uid.encode()).hexdigest()
    return Path(f"{root}{os.sep}{key}{os.sep}{name}.dcm")  # as text: paths joined one by one were seen in measurements


class Shelf:
    """Files whole instances below `root`; safe for several threads and processes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._durable_folders: set[str] = set()
        self._folders_lock = threading.Lock()
        self._syncs = FolderSyncs(_SYNCS_AT_ONCE)

    def warm_up(self) -> None:
        """Start the threads that sync folders, so that no sender waits for it, and their number does not change."""
        self._syncs.warm_up()

    def slot(self, identifiers: Identifiers) -> Slot:
        """Tell where an instance belongs; nothing is made yet, for it may never be whole."""
        key = series_key(identifiers.study_instance_uid, identifiers.series_instance_uid)
        return Slot(identifiers, key, instance_path(self._root, key, identifiers.sop_instance_uid))

    def place(self, whole: Whole[Draft]) -> StoredInstance:
        """Give the instance its name; the name is durable when this returns.

        Raises:
            OSError: the disk failed.
            SpoolError: the series is purged again and again at the same time.
        """
        identifiers, key = whole.slot.identifiers, whole.slot.series_key
        for _ in range(_ATTEMPTS):
            try:
                self._make_durable_folder(key)
                path, outcome = self._name(whole)
                self._make_durable(whole, path, outcome)
                break
            except FileNotFoundError:
                self.forget_folder(key)  # purged meanwhile: file it into a new folder
        else:
            raise SpoolError(f"series {key} was purged again and again while an instance of it arrived")
        instance = ReceivedInstance(
            sop_instance_uid=identifiers.sop_instance_uid,
            sop_class_uid=identifiers.sop_class_uid,
            transfer_syntax_uid=whole.request.transfer_syntax_uid,
            study_instance_uid=identifiers.study_instance_uid,
            series_instance_uid=identifiers.series_instance_uid,
            path=path,
            size_bytes=whole.draft.size,
        )
        return StoredInstance(instance, key, whole.request.calling_ae_title, outcome)

    def forget_folder(self, key: str) -> None:
        """The folder of the series is gone."""
        with self._folders_lock:
            self._durable_folders.discard(key)

    def _make_durable_folder(self, key: str) -> None:
        with self._folders_lock:
            if key in self._durable_folders:
                return
            (self._root / key).mkdir(mode=0o750, exist_ok=True)
            sync_folder(self._root)
            self._durable_folders.add(key)

    def _make_durable(self, whole: Whole[Draft], path: Path, outcome: StoreOutcome) -> None:
        """Make content and name durable, both at the same time: one after the other costs a sender twice the wait.

        Where the file system has a journal, what it tells of the content (size, place on the disk) enters that when the
        content is written. This comes first: otherwise the folder's sync commits the journal without it, and the
        content's has to commit it once more, which makes a sender wait twice as long.
        """
        folder: FolderSync | None = None
        try:
            if outcome is not StoreOutcome.DUPLICATE:
                whole.draft.finish_writeback()
            folder = self._syncs.begin(path)
            if outcome is not StoreOutcome.DUPLICATE:
                whole.draft.sync()
            if outcome is not StoreOutcome.STORED:  # the one that was here before may not be durable yet
                sync_file(path)
        except OSError:
            if folder is not None:
                with suppress(OSError):  # first: a name that is taken off would not be found, and this error forgotten
                    folder.wait()
            if outcome is StoreOutcome.STORED:
                # the kernel takes for written what it could not write: a second try must not find this file
                _take_off(path)
            raise
        folder.wait()

    def _name(self, whole: Whole[Draft]) -> tuple[Path, StoreOutcome]:
        path = whole.slot.path
        try:
            whole.draft.link_to(path)
        except FileExistsError:
            return _settle(whole, path)
        return path, StoreOutcome.STORED


def _settle(whole: Whole[Draft], path: Path) -> tuple[Path, StoreOutcome]:
    """Decide what a second instance under a stored UID is; their File Meta may differ, it says who sent them."""
    with whole.draft.path.open("rb") as new, path.open("rb") as old:
        new.seek(whole.data_set_offset)
        try:
            stored = read_file_meta(old)
        except InvalidInstanceError:
            LOGGER.error("replaced a damaged file of the spool: %s", path)
            whole.draft.replace(path)
            return path, StoreOutcome.STORED
        old_offset, same_syntax = old.tell(), stored.transfer_syntax_uid == whole.request.transfer_syntax_uid
        if same_syntax and is_same_content(new, old):
            return path, StoreOutcome.DUPLICATE
        if has_hole(old) and not has_hole(new):
            # name and content become durable at the same time: when the power fails between, zeros stand for a part
            apart = _put_apart(path, path, _content_hash(old, old_offset, stored.transfer_syntax_uid))
            sync_folder(apart.parent)
            LOGGER.error("replaced a torn file of the spool, which is kept beside it: %s", path)
            whole.draft.replace(path)
            return path, StoreOutcome.STORED
        suffix = _content_hash(new, whole.data_set_offset, whole.request.transfer_syntax_uid)
    return _put_apart(whole.draft.path, path, suffix), StoreOutcome.CONFLICT


def _take_off(path: Path) -> None:
    """Take the name from a file that could not be made durable; kept apart, for another sender may count on it."""
    with suppress(OSError):
        LOGGER.error("could not be written, and is kept apart: %s", _put_apart(path, path, "not-durable"))
    path.unlink(missing_ok=True)


def put_beside(source: Path, path: Path) -> Path:
    """Keep a file of the spool as one that is not the instance of `path`. Returns its new name, not yet durable."""
    with source.open("rb") as file:
        return _put_apart(source, path, _content_hash(file, 0, ""))


def _put_apart(source: Path, path: Path, suffix: str) -> Path:
    """Name a file as one that is not the instance of `path`; durable when its folder is."""
    folder = path.parent / CONFLICTS
    folder.mkdir(mode=0o750, exist_ok=True)
    sync_folder(path.parent)
    apart = folder / f"{path.stem}-{suffix}.dcm"
    with suppress(FileExistsError):  # the same conflict again
        os.link(source, apart)
    return apart


def _content_hash(file: BinaryIO, data_set_offset: int, transfer_syntax_uid: str) -> str:
    digest = hashlib.sha256(transfer_syntax_uid.encode())
    file.seek(data_set_offset)
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()[:16]
