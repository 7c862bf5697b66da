"""The books of the intake: which series are open, written into the state. For one thread, with the time passed in."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.completion.completion import Arrival, SeriesCompletion
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.early_evidence import SlicePlaces, claimed_count
from dicom_listener.completion.followed import Followed, follow, progress_of, received, report_of
from dicom_listener.completion.intake_events import CountAnswer, CountQuestion, IntakeEvent, IntakeEventKind, OpenSeries
from dicom_listener.completion.taken_up import TakenUp, take_up, uids_after
from dicom_listener.event_log import log_conflict, log_late, log_reopened, log_series
from dicom_listener.series import ReceivedSeries
from dicom_listener.series_rows import SeriesState, Standing, standing, takes
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome

__all__ = ["Books", "IntakeEvent", "IntakeEventKind", "OpenSeries"]

LOGGER = logging.getLogger(__name__)


def _nobody_is_asked(_ae_title: str) -> bool:
    return False


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
    may_ask: Callable[[str], bool] = _nobody_is_asked
    """Whether the sender of this AE title can be asked how many instances a series has."""
    completion: SeriesCompletion = field(init=False)
    _places: SlicePlaces = field(default_factory=SlicePlaces)
    _followed: dict[str, Followed] = field(default_factory=dict)
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
            self._follow_anew(key, now=now)
        with self.engine.begin() as connection:
            for row in state.list_series(connection, [SeriesState.RECEIVING]):
                if row.series_key not in keys:  # its folder was removed by hand
                    state.mark_purged(connection, row.series_key, now=self.clock())
        self.save(now=now)
        LOGGER.info("spool recovered: %d series, %d unfinished pieces removed", len(keys), removed)

    def absorb(self, stored: StoredInstance, *, now: float, coming: Iterable[object] = ()) -> None:
        """Take one stored instance.

        Args:
            stored: the instance.
            now: the time.
            coming: among others the stored instances that are absorbed next, whatever happens: their files are not
                read when the series is followed from now on.

        Raises:
            SpoolError: the spool cannot be read.
            sqlalchemy.exc.SQLAlchemyError: the state cannot be read; the same instance may be given again.
        """
        key, is_conflict = stored.series_key, stored.outcome is StoreOutcome.CONFLICT
        if not self.completion.is_receiving(key):  # otherwise it is followed as it stands
            # one that was not here is no member, whatever we remember: housekeeping has purged the series meanwhile
            was_here = stored.outcome is StoreOutcome.DUPLICATE
            is_known = was_here and self.completion.is_member(key, stored.instance.sop_instance_uid)
            if not self.completion.knows(key) or (not is_known and self._must_follow_anew(key)):
                self._follow_anew(key, now=now, coming=uids_after(stored, coming))
        if is_conflict:
            self._take_conflict(stored, now=now)
            return
        arrival = self.completion.add(key, stored.instance, now=now)
        if self.completion.is_receiving(key):
            self._followed[key].last_at = self.clock()
            self._unsaved.add(key)
        elif arrival is Arrival.LATE:
            log_late(key, self.completion.version(key))
            self._unsaved.add(key)
            self._tell(IntakeEventKind.LATE, key)

    def association_ended(self, report: AssociationReport, *, now: float) -> None:
        """Take note that a sender is done: by setting, that ends the wait for a stack without a gap.

        Only a release says so. After an abort the sender is likely to come back with the rest.
        """
        minimum = self.rule.closed_minimum_slices
        if minimum is None or report.end is not AssociationEnd.RELEASED:
            return
        for key in sorted(report.series_keys):
            if self.completion.is_receiving(key):
                instances = self.completion.instances(key)
                if len(instances) >= minimum and self._places.are_closed(key, instances, minimum):
                    self.completion.close(key, now=now)

    def questions(self, *, now: float) -> list[CountQuestion]:
        """What senders are to be asked now; each question is given once."""
        return [self._question(key) for key in self.completion.to_ask(now)]

    def take_answer(self, answer: CountAnswer) -> None:
        """Take what a sender answered; nothing happens when the version is complete meanwhile."""
        self.completion.answer(answer.series_key, answer.version, answer.count)

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
        ending, expected = self.completion.ending(key), self.completion.expected(key)
        handed_over = False
        with self.engine.begin() as connection:
            still_open = takes(state.latest(connection, key, lock=True), series.version)
            if still_open:
                progress = progress_of(series, self._followed[key])
                handed_over = state.complete(connection, series, progress, ended_by=ending, expected=expected)
            if handed_over:
                self.on_complete(connection, series)
        if not still_open:
            self._follow_anew(key, now=now)
            return
        self.completion.complete(key, frozenset(instance.sop_instance_uid for instance in series.instances), now=now)
        self._unsaved.discard(key)
        self._places.forget(key)
        if handed_over:
            report = report_of(series, self._followed[key], ending, expected)
            log_series(report)
            self.tell(IntakeEvent(IntakeEventKind.COMPLETE, key, series.version, report))

    def postpone(self, key: str, *, until: float) -> None:
        """Try the hand-over of a series again later."""
        self.completion.postpone(key, until=until)
        self._tell(IntakeEventKind.POSTPONED, key)

    def save(self, *, now: float) -> None:
        """Write the progress of every series that changed since, in one transaction.

        Raises:
            SpoolError: the spool cannot be read.
            sqlalchemy.exc.SQLAlchemyError: the state cannot be written; the same is tried at the next call.
        """
        if not self._unsaved:
            return
        with self.engine.begin() as connection:
            outdated = [key for key in sorted(self._unsaved) if not self._write(connection, key)]
        self._unsaved.intersection_update(outdated)
        for key in outdated:  # another process decided otherwise meanwhile
            self._follow_anew(key, now=now)

    def tidy(self, *, now: float) -> None:
        """Give back the memory of completed series for which nothing came for a while."""
        if self._unsaved:
            return
        self.completion.forget_idle(now)
        for key in [key for key in self._followed if not self.completion.knows(key)]:
            self._drop(key)

    def open_series(self) -> OpenSeries:
        """What is being received."""
        times = [series.first_at for key, series in self._followed.items() if self.completion.is_receiving(key)]
        return OpenSeries(len(times), min(times, default=None))

    def has_unsaved(self) -> bool:
        """Whether `save` has something to do."""
        return bool(self._unsaved)

    def _must_follow_anew(self, key: str) -> bool:
        """Whether what came for a complete series makes a new version, or other processes did something to it."""
        with self.engine.begin() as connection:
            row = state.latest(connection, key)
        return standing(row) != (self.completion.version(key), Standing.DECIDED)

    def _follow_anew(self, key: str, *, now: float, coming: frozenset[str] = frozenset()) -> None:
        taken = take_up(self.engine, self.spool, key, coming=coming)  # first: when it fails, nothing is changed
        self._drop(key)
        self._followed[key] = follow(taken, wall=self.clock())
        if taken.standing is Standing.OPEN:
            self._begin(key, taken, now=now)
        else:
            self.completion.resume_complete(key, taken.version, taken.members, now=now)
        for stored in taken.found:
            self.completion.add(key, stored.instance, now=now)
            self._unsaved.add(key)

    def _begin(self, key: str, taken: TakenUp, *, now: float) -> None:
        self.completion.begin(key, taken.version, now=now, asks=self.may_ask(self._followed[key].calling_ae_title))
        if taken.reopened:
            log_reopened(key, taken.version)
            self._tell(IntakeEventKind.REOPENED, key)
        if self.rule.count_from_headers and taken.found:
            claimed = claimed_count(taken.found[0].instance)
            if claimed is not None:
                self.completion.claim(key, claimed)

    def _write(self, connection: Connection, key: str) -> bool:
        """Write one series; False when what is followed here is not what the state says any more."""
        version = self.completion.version(key)
        row = state.latest(connection, key, lock=True)
        if self.completion.is_receiving(key):
            progress = progress_of(self._received(key), self._followed[key])
            return takes(row, version) and state.save_progress(connection, progress)
        if row is None or row.version != version or row.purged_at is not None:
            return False
        late, followed = len(self.completion.late(key)), self._followed[key]
        state.count_extra(
            connection, key, version, n_late=late, n_conflicts=len(followed.conflicts), last_at=followed.last_at
        )
        return True

    def _take_conflict(self, stored: StoredInstance, *, now: float) -> None:
        key = stored.series_key
        self.completion.touch(key, now=now)
        if self.completion.is_receiving(key):
            self._followed[key].last_at = self.clock()
        self._followed[key].conflicts.add(stored.instance.path)
        self._unsaved.add(key)
        log_conflict(key, self.completion.version(key))
        self._tell(IntakeEventKind.CONFLICT, key)

    def _received(self, key: str) -> ReceivedSeries:
        version, instances = self.completion.version(key), self.completion.instances(key)
        return received(key, version, self._followed[key], instances, wall=self.clock())

    def _question(self, key: str) -> CountQuestion:
        first, sender = self.completion.instances(key)[0], self._followed[key].calling_ae_title
        version, study, series = self.completion.version(key), first.study_instance_uid, first.series_instance_uid
        return CountQuestion(key, version, sender, study, series)

    def _drop(self, key: str) -> None:
        self.completion.forget(key)
        self._places.forget(key)
        self._followed.pop(key, None)
        self._unsaved.discard(key)

    def _tell(self, kind: IntakeEventKind, key: str) -> None:
        self.tell(IntakeEvent(kind, key, self.completion.version(key)))
