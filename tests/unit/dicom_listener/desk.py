"""Books over a real spool and a real database, with a clock that is set by hand."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.completion.books import Books
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake_events import IntakeEvent, IntakeEventKind
from dicom_listener.series import ReceivedSeries, series_key
from dicom_listener.series_rows import SeriesProgress, SeriesRow, SeriesState
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance
from segwatch.database import make_engine
from tests.unit.dicom_listener.instances import SERIES, STUDY, data_set, encode, request

QUIET = 10.0
KEY = series_key(STUDY, SERIES)


class Desk:
    """A spool, a state and the books over them."""

    def __init__(self, folder: Path, rule: CompletionRule | None = None) -> None:
        self.rule = rule or CompletionRule(QUIET)
        self.spool = Spool(folder / "spool", high_watermark=1.1)
        self.engine: Engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
        state.metadata.create_all(self.engine)
        self.now = 0.0
        self.handed_over: list[ReceivedSeries] = []
        self.events: list[IntakeEvent] = []
        self.askable: Collection[str] = ()
        self.fails = False
        self.restart()

    def restart(self) -> None:
        """What a new process does."""
        self.books = Books(
            self.spool, self.engine, self.rule, self._on_complete, self.events.append, lambda: 1e9 + self.now
        )
        self.books.may_ask = lambda ae_title: ae_title in self.askable
        self.books.recover(now=self.now)

    def _on_complete(self, connection: Connection, series: ReceivedSeries) -> None:
        assert state.load_series(connection, self.spool.root, series.key, series.version) == series
        if self.fails:
            raise RuntimeError("the queue is down")
        self.handed_over.append(series)

    def store(
        self, number: int, *, series: str = SERIES, pixels: bytes = b"xx", claims: int | None = None, z: float = 0.0
    ) -> StoredInstance:
        """Make an instance durable without telling the books; `claims` is its Number of Series Related Instances."""
        dataset = data_set(number, series=series, pixels=pixels)
        dataset.ImagePositionPatient = [0, 0, z]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        if claims is not None:
            dataset.NumberOfSeriesRelatedInstances = claims
        return self.spool.store(request(number, series=series), encode(dataset))

    def receive(
        self, number: int, *, series: str = SERIES, pixels: bytes = b"xx", claims: int | None = None, z: float = 0.0
    ) -> None:
        """Make an instance durable and tell the books."""
        self.books.absorb(self.store(number, series=series, pixels=pixels, claims=claims, z=z), now=self.now)

    def receive_together(self, *stored: StoredInstance) -> None:
        """Tell the books of instances that are durable, as the intake does when they came within one turn."""
        for place, one in enumerate(stored):
            self.books.absorb(one, now=self.now, coming=stored[place:])

    def end_association(self, *keys: str, end: AssociationEnd = AssociationEnd.RELEASED) -> None:
        """Tell the books of the end of the association that brought these series."""
        report = AssociationReport(end, "PACS", "SEGWATCH", "127.0.0.1", 1.0, 1, Counter(), frozenset(keys or {KEY}))
        self.books.association_ended(report, now=self.now)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and do what is due then."""
        self.now += seconds
        for key in self.books.completion.due(self.now):
            self.books.complete(key, now=self.now)
        self.books.save(now=self.now)
        self.books.tidy(now=self.now)

    def rows(self) -> list[SeriesRow]:
        with self.engine.begin() as connection:
            return state.list_series(connection)

    def newest(self, key: str = KEY) -> SeriesRow:
        with self.engine.begin() as connection:
            row = state.latest(connection, key)
        assert row is not None
        return row

    def newest_or_none(self, key: str = KEY) -> SeriesState | None:
        """State of the newest version; None when there is none, or its files are purged."""
        with self.engine.begin() as connection:
            row = state.latest(connection, key)
        return None if row is None or row.purged_at is not None else row.state

    def purge(self, key: str = KEY) -> None:
        self.spool.purge(key)
        with self.engine.begin() as connection:
            state.mark_purged(connection, key, now=self.now)

    def reject(self, key: str = KEY) -> None:
        """What a person does."""
        row = self.newest(key)
        with self.engine.begin() as connection:
            state.mark_rejected(connection, key, row.version, by="dr", why="wrong patient", now=self.now)

    def take_in_as_next_version(self, key: str = KEY) -> ReceivedSeries:
        """What a person does to a rejected series with late instances."""
        row = self.newest(key)
        instances = tuple(stored.instance for stored in self.spool.load(key))
        first = instances[0]
        whole = ReceivedSeries(
            key, row.version + 1, first.study_instance_uid, first.series_instance_uid, instances, "PACS", self.now
        )
        progress = SeriesProgress(
            key,
            row.version + 1,
            STUDY,
            first.series_instance_uid,
            "PACS",
            len(instances),
            0,
            1,
            row.first_at + 1,
            row.last_at,
        )
        with self.engine.begin() as connection:
            assert state.complete(connection, whole, progress)
        return whole

    def kinds(self) -> list[IntakeEventKind]:
        return [event.kind for event in self.events]


def uids(series: ReceivedSeries) -> list[str]:
    return [one.sop_instance_uid for one in series.instances]
