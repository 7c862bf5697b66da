"""The books of the intake: which series are open, written into the state. For one thread, with the time passed in."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.completion import Arrival, CompletionRule, SeriesCompletion
from dicom_listener.event_log import log_conflict, log_late, log_series
from dicom_listener.series import ReceivedSeries
from dicom_listener.series_report import SeriesReport
from dicom_listener.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """The series that are being received at one moment."""

    count: int
    oldest_at: float | None
    """When the first instance of the one that waits longest came, Unix time in seconds; None when there is none."""


class IntakeEventKind(StrEnum):
    """What the intake tells its observer."""

    COMPLETE = "complete"
    LATE = "late"
    CONFLICT = "conflict"
    POSTPONED = "postponed"
    """A complete series could not be handed over; it is tried again."""


@dataclass(frozen=True, slots=True)
class IntakeEvent:
    """Something happened to a series; told after it was committed."""

    kind: IntakeEventKind
    series_key: str
    version: int
    series: SeriesReport | None = None
    """With COMPLETE."""


@dataclass(slots=True)
class _Stamps:
    """Wall-clock times and the sender of a series, for its row."""

    calling_ae_title: str
    first_at: float
    last_at: float


@dataclass(slots=True)
class Books:
    """Decides what each stored instance is, and hands complete series over in one transaction.

    `now` is seconds of a clock that cannot jump; `clock` gives Unix time for the rows.
    """

    spool: Spool
    engine: Engine
    rule: CompletionRule
    on_complete: Callable[[Connection, ReceivedSeries], None]
    """Called inside the transaction that makes the series complete."""
    tell: Callable[[IntakeEvent], None]
    clock: Callable[[], float]
    completion: SeriesCompletion = field(init=False)
    _stamps: dict[str, _Stamps] = field(default_factory=dict)
    _conflicts: dict[str, set[Path]] = field(default_factory=dict)
    _unsaved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.completion = SeriesCompletion(self.rule)

    def recover(self, *, now: float) -> None:
        """Take up what the spool holds: open series wait their quiet time again, as their sender may come back.

        Raises:
            SpoolError: the spool cannot be read.
            sqlalchemy.exc.SQLAlchemyError: the state cannot be read.
        """
        removed = self.spool.recover()
        keys = self.spool.series_keys()
        for key in keys:
            self._introduce(key, now=now)
        with self.engine.begin() as connection:
            for row in state.list_series(connection, [state.SeriesState.RECEIVING]):
                if row.series_key not in keys:  # its folder was removed by hand
                    state.mark_purged(connection, row.series_key, now=self.clock())
        self.save()
        LOGGER.info("spool recovered: %d series, %d unfinished pieces removed", len(keys), removed)

    def absorb(self, stored: StoredInstance, *, now: float) -> None:
        """Take one stored instance.

        Raises:
            SpoolError: the spool cannot be read.
            sqlalchemy.exc.SQLAlchemyError: the state cannot be read; the same instance may be given again.
        """
        key = stored.series_key
        is_followed_complete = self.completion.knows(key) and not self.completion.is_receiving(key)
        if is_followed_complete and stored.outcome is StoreOutcome.STORED and self._is_outdated(key):
            self._drop(key)
        if not self.completion.knows(key):
            self._introduce(key, now=now)
        self._stamps[key].last_at = self.clock()
        if stored.outcome is StoreOutcome.CONFLICT:
            self._take_conflict(stored, now=now)
        elif self.completion.add(key, stored.instance, now=now) is Arrival.LATE:
            log_late(key, self.completion.version(key))
            self._unsaved.add(key)
            self._tell(IntakeEventKind.LATE, key)
        else:
            self._unsaved.add(key)

    def complete(self, key: str, *, now: float) -> None:
        """Hand over a series that is due, in one transaction with whatever `on_complete` writes.

        Raises:
            Exception: whatever `on_complete` or the database raises; nothing is changed then.
        """
        series = self._received(key)
        if not series.instances:
            LOGGER.warning("series was purged while it was received: series=%s", key)
            self._drop(key)
            return
        with self.engine.begin() as connection:
            handed_over = state.complete(connection, series, self._progress(key, series))
            if handed_over:
                self.on_complete(connection, series)
        self.completion.complete(key, frozenset(instance.sop_instance_uid for instance in series.instances), now=now)
        self._unsaved.discard(key)
        if handed_over:
            report = SeriesReport(
                key=key,
                version=series.version,
                calling_ae_title=series.calling_ae_title,
                instances=len(series.instances),
                conflicts=len(self._conflicts.get(key, ())),
                bytes=sum(instance.size_bytes for instance in series.instances),
                seconds=max(0.0, series.completed_at - self._stamps[key].first_at),
            )
            log_series(report)
            self.tell(IntakeEvent(IntakeEventKind.COMPLETE, key, series.version, report))

    def postpone(self, key: str, *, until: float) -> None:
        """Try the hand-over of a series again later."""
        self.completion.postpone(key, until=until)
        self._tell(IntakeEventKind.POSTPONED, key)

    def save(self) -> None:
        """Write the progress of every series that changed since, in one transaction.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the state cannot be written; the same is tried at the next call.
        """
        if not self._unsaved:
            return
        with self.engine.begin() as connection:
            for key in self._unsaved:
                if self.completion.is_receiving(key):
                    state.save_progress(connection, self._progress(key, self._received(key)))
                else:
                    state.count_extra(
                        connection,
                        key,
                        self.completion.version(key),
                        n_late=len(self.completion.late(key)),
                        n_conflicts=len(self._conflicts.get(key, ())),
                        last_at=self._stamps[key].last_at,
                    )
        self._unsaved.clear()

    def tidy(self, *, now: float) -> None:
        """Give back the memory of completed series for which nothing came for a while."""
        if self._unsaved:
            return
        self.completion.forget_idle(now)
        for key in [key for key in self._stamps if not self.completion.knows(key)]:
            self._drop(key)

    def open_series(self) -> OpenSeries:
        """What is being received."""
        times = [stamps.first_at for key, stamps in self._stamps.items() if self.completion.is_receiving(key)]
        return OpenSeries(len(times), min(times, default=None))

    def has_unsaved(self) -> bool:
        """Whether `save` has something to do."""
        return bool(self._unsaved)

    def _introduce(self, key: str, *, now: float) -> None:
        with self.engine.begin() as connection:
            row = state.latest(connection, key)
            members = state.member_uids(connection, key, row.version) if row else frozenset()
        is_new = row is None or row.purged_at is not None
        found = self.spool.load(key, without=() if is_new else members)
        conflicts = set(self.spool.conflicts(key))
        wall = self.clock()
        if row is None or row.purged_at is not None:
            self.completion.begin(key, row.version + 1 if row else 1, now=now)
            self._stamps[key] = _Stamps(found[0].calling_ae_title if found else "", wall, wall)
        else:
            if row.state is state.SeriesState.RECEIVING:
                self.completion.begin(key, row.version, now=now)
            else:
                self.completion.resume_complete(key, row.version, members, now=now)
            self._stamps[key] = _Stamps(row.calling_ae_title, row.first_at, row.last_at)
        self._conflicts[key] = conflicts
        for stored in found:
            self.completion.add(key, stored.instance, now=now)
            self._unsaved.add(key)

    def _is_outdated(self, key: str) -> bool:
        """Whether another process purged the series meanwhile, or made its late instances the next version."""
        with self.engine.begin() as connection:
            row = state.latest(connection, key)
        return row is not None and (row.purged_at is not None or row.version != self.completion.version(key))

    def _take_conflict(self, stored: StoredInstance, *, now: float) -> None:
        key = stored.series_key
        self.completion.touch(key, now=now)
        self._conflicts.setdefault(key, set()).add(stored.instance.path)
        self._unsaved.add(key)
        log_conflict(key, self.completion.version(key))
        self._tell(IntakeEventKind.CONFLICT, key)

    def _received(self, key: str) -> ReceivedSeries:
        instances = tuple(instance for instance in self.completion.instances(key) if instance.path.exists())
        return ReceivedSeries(
            key=key,
            version=self.completion.version(key),
            study_instance_uid=instances[0].study_instance_uid if instances else "",
            series_instance_uid=instances[0].series_instance_uid if instances else "",
            instances=instances,
            calling_ae_title=self._stamps[key].calling_ae_title,
            completed_at=self.clock(),
        )

    def _progress(self, key: str, series: ReceivedSeries) -> state.SeriesProgress:
        stamps = self._stamps[key]
        return state.SeriesProgress(
            series_key=key,
            version=series.version,
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=series.series_instance_uid,
            calling_ae_title=series.calling_ae_title,
            n_instances=len(series.instances),
            n_conflicts=len(self._conflicts.get(key, ())),
            bytes=sum(instance.size_bytes for instance in series.instances),
            first_at=stamps.first_at,
            last_at=stamps.last_at,
        )

    def _drop(self, key: str) -> None:
        self.completion.forget(key)
        self._stamps.pop(key, None)
        self._conflicts.pop(key, None)
        self._unsaved.discard(key)

    def _tell(self, kind: IntakeEventKind, key: str) -> None:
        self.tell(IntakeEvent(kind, key, self.completion.version(key)))
