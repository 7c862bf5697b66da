"""The DICOM files of a folder, by series, and those that cannot be used with the reason."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.spool.heads import read_head
from dicom_listener.spool.instance_head import InstanceHead
from inference.errors import NoInstancesError

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_UID = re.compile(r"[0-9.]{1,64}")


class Unusable(StrEnum):
    """Why a file tells nothing about any series, as a person reads it."""

    UNREADABLE = "cannot be read"
    NOT_REGULAR = "no regular file"
    NOT_DICOM = "no DICOM Part 10 file"
    DIRECTORY = "a DICOMDIR, which lists images and holds none"
    WITHOUT_UIDS = "no UID can be read that says what it is; the listener refuses it (A900 or C000)"
    COPY = "names the same instance as an earlier file"


_NO_INSTANCES = frozenset((Unusable.NOT_REGULAR, Unusable.NOT_DICOM, Unusable.DIRECTORY))


@dataclass(frozen=True, slots=True)
class UnusableFile:
    """A file that tells nothing about any series."""

    name: str
    """Its path within the folder, in printable characters."""
    why: Unusable
    detail: str = ""
    """What the system says of a file that cannot be read; which UIDs are missing; which file came first."""


@dataclass(slots=True)
class GroupedFiles:
    """One series: a head of each of its instances, as in the spool."""

    heads: dict[str, InstanceHead] = field(default_factory=dict)
    """By SOP Instance UID."""
    files: dict[str, str] = field(default_factory=dict)
    """Path of each within the folder, in printable characters, by SOP Instance UID."""
    first_file: str = ""
    """Path of the first of them within the folder, in printable characters."""


@dataclass(slots=True)
class FolderFiles:
    """Everything in a folder."""

    series: dict[tuple[str, str], GroupedFiles] = field(default_factory=lambda: defaultdict(GroupedFiles))
    """By Study and Series Instance UID, in the order of their paths."""
    unusable: list[UnusableFile] = field(default_factory=list)


def read_folder(directory: Path) -> FolderFiles:
    """Read the head of every file below a folder.

    Raises:
        NoInstancesError: there is no such folder, or no DICOM in it.
    """
    if not directory.is_dir():
        what = "is a file; name its folder" if directory.exists() else "does not exist"
        raise NoInstancesError(f"{directory} {what}")
    found = FolderFiles()
    for path in sorted(_paths(directory, found)):
        _take(path, directory, found)
    if not found.series and all(file.why in _NO_INSTANCES for file in found.unusable):
        raise NoInstancesError(f"{directory} holds no DICOM instance (files in DICOM Part 10 format are looked for)")
    return found


def _paths(directory: Path, found: FolderFiles) -> Iterator[Path]:
    """The paths of all files; a folder that cannot be listed is noted."""

    def note(error: OSError) -> None:
        found.unusable.append(_unreadable(Path(error.filename), directory, error))

    for folder, _, names in os.walk(directory, onerror=note):
        yield from (Path(folder, name) for name in names)


def _take(path: Path, directory: Path, found: FolderFiles) -> None:
    name = _name(path, directory)
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            found.unusable.append(UnusableFile(name, Unusable.NOT_REGULAR))
            return
        head = read_head(path)
    except UnreadableInstanceError:
        found.unusable.append(UnusableFile(name, Unusable.NOT_DICOM))
        return
    except OSError as error:
        found.unusable.append(_unreadable(path, directory, error))
        return
    if head.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        found.unusable.append(UnusableFile(name, Unusable.DIRECTORY))
    elif missing := _missing(head):
        found.unusable.append(UnusableFile(name, Unusable.WITHOUT_UIDS, f"missing or no UID: {', '.join(missing)}"))
    else:
        group = found.series[head.study_instance_uid, head.series_instance_uid]
        group.first_file = group.first_file or name
        earlier = group.files.setdefault(head.sop_instance_uid, name)
        if group.heads.setdefault(head.sop_instance_uid, head) is not head:
            found.unusable.append(UnusableFile(name, Unusable.COPY, f"the same as in {earlier}"))


def _missing(head: InstanceHead) -> list[str]:
    uids = {
        "SOP Class UID": head.sop_class_uid,
        "SOP Instance UID": head.sop_instance_uid,
        "Study Instance UID": head.study_instance_uid,
        "Series Instance UID": head.series_instance_uid,
    }
    return [name for name, uid in uids.items() if not _UID.fullmatch(uid)]


def _unreadable(path: Path, directory: Path, error: OSError) -> UnusableFile:
    return UnusableFile(_name(path, directory), Unusable.UNREADABLE, error.strerror or type(error).__name__)


def _name(path: Path, directory: Path) -> str:
    """The path within the folder; what a terminal would take for a command is left out."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(path.relative_to(directory)))
