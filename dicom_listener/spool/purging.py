"""How a series leaves the spool, while instances of it may arrive: none that was acknowledged goes with it unseen."""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

from dicom_listener.series import KEY_LENGTH
from dicom_listener.spool.files import is_same_content, sync_folder
from dicom_listener.spool.shelf import instance_path, put_beside

_UNCHECKED = ".unchecked"
"""Ends the name of a series that was taken away and not looked at since: `recover` puts it back."""


class Purging:
    """Takes series away, in one step each: nobody sees half a series."""

    def __init__(self, root: Path, folder: Path, forget_folder: Callable[[str], None]) -> None:
        """`folder` is where series go first; `forget_folder` is told the key of one whose folder is gone."""
        self._root = root
        self._folder = folder
        self._forget_folder = forget_folder

    def purge(self, key: str, *, only: Collection[str] | None) -> bool:
        """See `Spool.purge`. Raises OSError: the disk failed."""
        series = self._root / key
        known = None if only is None else frozenset(instance_path(self._root, key, uid).name for uid in only)
        if known is not None and _has_others(series, known):
            return False
        away = self._folder / f"{key}-{uuid.uuid4().hex}{'' if known is None else _UNCHECKED}"
        try:
            series.rename(away)
        except FileNotFoundError:
            return True
        self._forget_folder(key)
        if known is not None:
            # again, for one may have come since; now none can any more: its name would not be found, see `sync_name`
            if _has_others(away, known):
                self._put_back(away)
                return False
            try:
                away = away.rename(away.with_suffix(""))
            except FileNotFoundError:
                return False  # put back by a listener that started just now
        sync_folder(self._root)
        shutil.rmtree(away)
        return True

    def recover(self) -> int:
        """Bring what a crash left half purged to an end, or put it back. Returns how many. Raises OSError."""
        folders = list(self._folder.iterdir())
        for away in folders:
            if away.suffix == _UNCHECKED:
                self._put_back(away)
            else:
                shutil.rmtree(away, ignore_errors=True)
        return len(folders)

    def _put_back(self, away: Path) -> None:
        series = self._root / away.name[:KEY_LENGTH]
        try:
            away.rename(series)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            _merge(away, series)  # an instance has made the folder anew
            shutil.rmtree(away)
        sync_folder(self._root)


def _has_others(series: Path, known: Collection[str]) -> bool:
    return any(path.name not in known for path in series.glob("*.dcm"))


def _merge(away: Path, series: Path) -> None:
    """Name every file of one folder in the other too, durably; none takes the place of another."""
    folders = {series}
    for path in sorted(away.rglob("*.dcm")):
        target = series / path.relative_to(away)
        target.parent.mkdir(mode=0o750, exist_ok=True)
        try:
            os.link(path, target)
        except FileExistsError:
            with path.open("rb") as one, target.open("rb") as other:
                is_same = is_same_content(one, other)
            if not is_same:
                target = put_beside(path, target)
        folders.add(target.parent)
    for folder in sorted(folders, reverse=True):
        sync_folder(folder)
