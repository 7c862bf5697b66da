"""The opt-out list: patients and studies that are never segmented, as hashes keyed with the site's secret.

The file holds no identifier and can be copied to every host of the site. Its first entry tells which secret it was
made with: under another secret no entry would ever fit, so such a list is refused rather than ignored.
"""

import fcntl
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from dicom_listener.errors import RoutingError
from dicom_listener.routing.routing import Reason
from dicom_listener.spool.instance_head import InstanceHead
from qc.pseudonyms import opt_out_key, secret_check
from reporter.durable_file import write_durably
from segwatch.errors import SettingsError

REASON = "opted_out"
_LINE = re.compile(r"(patient|study|secret) ([0-9a-f]{16}|[0-9a-f]{64})")
_HEAD = (
    "# Segwatch: patients and studies that are not segmented, as hashes keyed with the site's secret.\n"
    "# Kept by `segwatch optout`; who added what and why is kept in the site's state.\n"
)


OptOutCheck = Callable[[Sequence[InstanceHead]], Reason | None]
"""Says why a series must not be segmented. Raises `RoutingError` when the list cannot be read."""


class OptOutKind(StrEnum):
    """What an entry stands for."""

    PATIENT = "patient"
    """A Patient ID (0010,0020), whoever issued it."""
    STUDY = "study"
    """A Study Instance UID."""


@dataclass(frozen=True, slots=True, order=True)
class OptOutEntry:
    """One patient or study."""

    kind: OptOutKind
    key: str
    """64 hexadecimal digits."""


def make_entry(secret: bytes, kind: OptOutKind, identifier: str) -> OptOutEntry:
    """Hash an identifier as it stands in DICOM; spaces around it do not count."""
    return OptOutEntry(kind, opt_out_key(secret, kind.value, unicodedata.normalize("NFC", identifier.strip(" \0"))))


def read_entries(path: Path, secret: bytes) -> frozenset[OptOutEntry]:
    """Read the list.

    Raises:
        SettingsError: the file is missing or cannot be read, a line is no entry, or another secret made it.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        hint = "`segwatch optout add` makes it; make an empty file where nobody opted out yet"
        raise SettingsError(f"routing.opt_out_file: {path}: no such file; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SettingsError(f"routing.opt_out_file: {path}: {reason}") from error
    entries: set[OptOutEntry] = set()
    made_with: str | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None or (match[1] == "secret") != (len(match[2]) == 16):
            raise SettingsError(
                f"routing.opt_out_file: {path}: line {number} is no entry; `segwatch optout` writes them"
            )
        if match[1] == "secret":
            made_with = match[2]
        else:
            entries.add(OptOutEntry(OptOutKind(match[1]), match[2]))
    if entries and made_with != secret_check(secret):
        hint = "its entries fit no patient now. Put the secret back, or make the list anew"
        raise SettingsError(f"routing.opt_out_file: {path} was made with another site secret: {hint}")
    return frozenset(entries)


def write_entries(path: Path, secret: bytes, entries: frozenset[OptOutEntry]) -> None:
    """Replace the list durably, in one step. Raises `SettingsError` when it cannot be written."""
    lines = [f"secret {secret_check(secret)}", *(f"{entry.kind.value} {entry.key}" for entry in sorted(entries))]
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o640

    def write(file: IO[bytes]) -> None:
        os.fchmod(file.fileno(), mode)
        file.write((_HEAD + "\n".join(lines) + "\n").encode("ascii"))

    try:
        write_durably(path, write)
    except OSError as error:
        raise SettingsError(f"routing.opt_out_file: {path} cannot be written: {error.strerror}") from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Let nobody else change the list while the block runs. Raises `SettingsError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise SettingsError(f"routing.opt_out_file: {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def entry_of(entries: frozenset[OptOutEntry], secret: bytes, heads: Sequence[InstanceHead]) -> OptOutEntry | None:
    """The entry under which one of the instances falls, or None."""
    found = {(OptOutKind.PATIENT, head.patient_id) for head in heads if head.patient_id}
    found |= {(OptOutKind.STUDY, head.study_instance_uid) for head in heads if head.study_instance_uid}
    mine = {make_entry(secret, kind, identifier) for kind, identifier in found}
    return min(mine & entries, default=None)


def opt_out_check(path: Path | None, secret: Callable[[], bytes]) -> OptOutCheck:
    """Make the check of the router: it reads the list each time, so that an entry holds as soon as it is written.

    Raises:
        SettingsError: there is a list, and it cannot be used now.
    """
    if path is None:
        return lambda _heads: None
    key = secret()
    read_entries(path, key)

    def check(heads: Sequence[InstanceHead]) -> Reason | None:
        try:
            entry = entry_of(read_entries(path, key), key, heads)
        except SettingsError as error:
            raise RoutingError(str(error)) from error
        if entry is None:
            return None
        return Reason(REASON, f"its {entry.kind.value} is on the opt-out list (entry {entry.key[:12]})")

    return check
