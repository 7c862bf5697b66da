"""Storage SOP classes by their names in PS3.6 table A-1."""

import re
from difflib import get_close_matches

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # public, but not marked as exported

_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")
_NOT_SENT = "MediaStorageDirectoryStorage"
"""A DICOMDIR; it has no C-STORE."""

STORAGE_CLASSES = {
    keyword: uid
    for uid, (_name, kind, _info, _retired, keyword) in UID_dictionary.items()
    if kind == "SOP Class"
    and re.search("Storage(ForPresentation|ForProcessing|Trial|Retired)?$", keyword)
    and keyword != _NOT_SENT
}
"""SOP Class UIDs by keyword, e.g. CTImageStorage; retired ones included."""


def sop_class_uid(name: str) -> str:
    """The UID of a storage SOP class, by its keyword or by the UID itself, which may be a private one.

    Raises:
        ValueError: there is none of that name; the text has the nearest.
    """
    if name in STORAGE_CLASSES:
        return STORAGE_CLASSES[name]
    if _UID.fullmatch(name) and len(name) <= 64:
        return name
    nearest = get_close_matches(name.replace(" ", ""), STORAGE_CLASSES, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else "PS3.6 table A-1 has their names"
    raise ValueError(f"{name!r} is no storage SOP class; {hint}")
