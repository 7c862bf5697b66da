"""Changes of the opt-out list: the file says what holds, the state keeps who changed it, when and why."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Column, Double, Engine, Integer, MetaData, String, Table, Text, insert, select

from dicom_listener import state
from dicom_listener.spool.heads import read_heads
from dicom_listener.spool.spool import Spool
from dicom_listener.state import SeriesRow
from segwatch.errors import UsageError
from segwatch.opt_out import OptOutEntry, OptOutKind, changing, entry_of, make_entry, read_entries, write_entries

LONGEST_PATIENT_ID = 64
"""Characters (PS3.5 6.2, VR LO)."""
_UID = re.compile(r"[0-9.]{1,64}")

metadata = MetaData()

opt_out_acts = Table(
    "opt_out_acts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("entry", String(64), nullable=False, index=True),
    Column("act", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("acted_at", Double, nullable=False),
)


class OptOutVerb(StrEnum):
    """What a person may do to an entry."""

    ADD = "add"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class OptOutAct:
    """One act of a person."""

    entry: OptOutEntry
    verb: OptOutVerb
    by: str
    reason: str
    at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class OptOutDesk:
    """Carries out what a person decides about the list. Identifiers pass through it and are kept nowhere."""

    path: Path
    secret: bytes
    engine: Engine
    spool: Spool

    def add(self, kind: OptOutKind, identifier: str, *, by: str, reason: str, now: float) -> tuple[OptOutEntry, bool]:
        """Add an entry; the list is made where there is none. Returns it, and whether it is new.

        Raises:
            UsageError: the identifier is none.
            SettingsError: the list cannot be read or written.
        """
        entry = self._entry(kind, identifier)
        with changing(self.path):
            entries = read_entries(self.path, self.secret) if self.path.exists() else frozenset()
            if entry in entries:
                return entry, False
            self._change(entries | {entry}, OptOutAct(entry, OptOutVerb.ADD, by, reason, now))
        return entry, True

    def remove(self, kind: OptOutKind, identifier: str, *, by: str, reason: str, now: float) -> OptOutEntry:
        """Remove an entry.

        Raises:
            UsageError: the identifier is none, or not on the list.
            SettingsError: the list cannot be read or written.
        """
        entry = self._entry(kind, identifier)
        with changing(self.path):
            entries = read_entries(self.path, self.secret)
            if entry not in entries:
                raise UsageError(f"this {kind.value} is not on the opt-out list")
            self._change(entries - {entry}, OptOutAct(entry, OptOutVerb.REMOVE, by, reason, now))
        return entry

    def test(self, kind: OptOutKind, identifier: str) -> tuple[OptOutEntry, bool]:
        """Whether an identifier is on the list. Raises `UsageError`, `SettingsError`."""
        entry = self._entry(kind, identifier)
        return entry, entry in self.entries()

    def entries(self) -> frozenset[OptOutEntry]:
        """What holds now. Raises `SettingsError`."""
        return read_entries(self.path, self.secret)

    def acts(self) -> list[OptOutAct]:
        """Every act, oldest first."""
        with self.engine.begin() as connection:
            rows = connection.execute(select(opt_out_acts).order_by(opt_out_acts.c.id)).all()
        return [
            OptOutAct(
                OptOutEntry(OptOutKind(row.kind), row.entry), OptOutVerb(row.act), row.by, row.reason, row.acted_at
            )
            for row in rows
        ]

    def series_here(self, entry: OptOutEntry) -> list[str]:
        """Keys of the series in the spool that fall under an entry. Raises `OSError` when it cannot be read."""
        with self.engine.begin() as connection:
            rows = [row for row in state.list_series(connection) if row.purged_at is None]
        return sorted({row.series_key for row in rows if self._falls_under(entry, row)})

    def _falls_under(self, entry: OptOutEntry, row: SeriesRow) -> bool:
        if entry.kind is OptOutKind.STUDY and row.study_instance_uid:
            return make_entry(self.secret, entry.kind, row.study_instance_uid) == entry
        first = next((self.spool.root / row.series_key).glob("*.dcm"), None)
        return first is not None and entry_of(frozenset({entry}), self.secret, read_heads([first])) is not None

    def _change(self, entries: frozenset[OptOutEntry], act: OptOutAct) -> None:
        with self.engine.begin() as connection:  # what is not kept is not done, and the other way round
            connection.execute(
                insert(opt_out_acts).values(
                    kind=act.entry.kind.value,
                    entry=act.entry.key,
                    act=act.verb.value,
                    by=act.by,
                    reason=act.reason,
                    acted_at=act.at,
                )
            )
            write_entries(self.path, self.secret, entries)

    def _entry(self, kind: OptOutKind, identifier: str) -> OptOutEntry:
        text = identifier.strip()
        if kind is OptOutKind.STUDY and not _UID.fullmatch(text):
            raise UsageError("this is no Study Instance UID: digits and dots, 64 at most")
        if not text or len(text) > LONGEST_PATIENT_ID or not text.isprintable():
            raise UsageError(f"this is no {kind.value} identifier: 1 to {LONGEST_PATIENT_ID} printable characters")
        return make_entry(self.secret, kind, text)
