"""`ReceivedSeries`: the hand-over from the listener to inference, and the key that names a series on this host."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

KEY_LENGTH = 32


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One SOP instance that is durable in the spool, as it was received."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    path: Path
    """DICOM Part 10 file in the spool."""
    size_bytes: int
    """Length of the file."""


@dataclass(frozen=True, slots=True)
class ReceivedSeries:
    """A complete series: every instance is durable, and no instance is added to this version afterwards."""

    key: str
    """Name of the series on this host, see `series_key`; fit for a file name and for a log line."""
    version: int
    """1 for the first completion; a series that grew later is handed over again as the next version."""
    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[ReceivedInstance, ...]
    """Ordered by SOP Instance UID; the geometric order is the reader's business."""
    calling_ae_title: str
    completed_at: float
    """Unix time in seconds (UTC)."""


@lru_cache(maxsize=1024)  # asked for each instance
def series_key(study_instance_uid: str, series_instance_uid: str) -> str:
    """Derive the local name of a series: 32 hexadecimal digits of SHA-256 over both UIDs.

    The key stays on this host (spool, state, log). What leaves the site carries a hash keyed with the site's secret.
    """
    text = f"{study_instance_uid}\0{series_instance_uid}"
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@lru_cache(maxsize=1024)  # likewise
def study_hash(study_instance_uid: str) -> str:
    """Local name of a study, made like `series_key`; it stays on this host too."""
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:KEY_LENGTH]
