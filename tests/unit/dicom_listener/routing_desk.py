"""A spool, a state, the books and the router over them, with a clock that is set by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.completion.books import Books
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.routing import routes
from dicom_listener.routing.router import RoutingPolicy, SeriesRouter
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing_rules import RoutingRules, RuleBook
from dicom_listener.series import series_key
from dicom_listener.spool.spool import Spool
from segwatch.database import make_engine
from tests.unit.dicom_listener.instances import data_set, encode, request

QUIET, STUDY_QUIET, LONGEST = 10.0, 30.0, 300.0
STUDY = "1.2.826.0.1.3680043.8.498.7"
SMALL = RoutingRules(minimum_slices=2, minimum_length_mm=0.0)
"""Two slices are a chest here."""

LOCALIZER: dict[str, Any] = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
THICK: dict[str, Any] = {"SliceThickness": 5}


def series_uid(name: str, study: str = STUDY) -> str:
    return f"{study}.{ord(name)}"


def key_of(name: str, study: str = STUDY) -> str:
    return series_key(study, series_uid(name, study))


def ct_slice(number: int, name: str, study: str, **elements: Any) -> Dataset:
    dataset = data_set(number, study=study, series=series_uid(name, study))
    values = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [0.0, 0.0, 2.0 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [1, 1],
        "SliceThickness": 2,
        "PatientID": "SECRET-ID",
        "ConvolutionKernel": "LUNG",
        **elements,
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


class RoutingDesk:
    def __init__(self, folder: Path, *rule_sets: RoutingRules, by_called: dict[str, str] | None = None) -> None:
        self.spool = Spool(folder / "spool", high_watermark=1.1)
        self.engine: Engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
        state.metadata.create_all(self.engine)
        self.now = 0.0
        self.taken: list[tuple[str, int]] = []
        self.told: list[Route] = []
        self.segmented: set[str] = set()
        self.fails = False
        book = RuleBook(rule_sets or (SMALL,), by_called or {})
        self.policy = RoutingPolicy(book, STUDY_QUIET, LONGEST, lambda _heads: self.opted_out)
        self.opted_out: Any = None
        self.restart()

    def restart(self) -> None:
        """As after a kill: what was only in memory is gone."""
        clock = lambda: 1e9 + self.now  # noqa: E731 (shared by two)
        self.router = SeriesRouter(
            self.spool,
            self.engine,
            self.policy,
            self._take,
            has_result=lambda _connection, key: key in self.segmented,
            observe=self.told.append,
            clock=clock,
        )
        rule = CompletionRule(QUIET)
        self.books = Books(self.spool, self.engine, rule, self.router.on_complete, lambda _event: None, clock)
        self.books.recover(now=self.now)
        self.router.recover(now=self.now)

    def _take(self, connection: Connection, key: str, version: int) -> None:
        if self.fails:
            raise RuntimeError("the queue is down")
        assert routes.find(connection, key, version) is not None
        self.taken.append((key, version))

    def receive(self, *numbers: int, name: str = "a", study: str = STUDY, called: str = "", **elements: Any) -> str:
        """Instances of a series arrive; gives its key."""
        for number in numbers or (1, 2, 3):
            wanted = request(number, series=series_uid(name, study))
            if called:
                wanted = replace(wanted, called_ae_title=called)
            stored = self.spool.store(wanted, encode(ct_slice(number, name, study, **elements)))
            self.books.absorb(stored, now=self.now)
            self.router.on_stored(stored, now=self.now)
        return key_of(name, study)

    def turn(self, seconds: float = 0.0) -> None:
        """Time passes, and the intake's thread does what is due."""
        self.now += seconds
        for key in self.books.completion.due(self.now):
            self.books.complete(key, now=self.now)
        self.router.run_due(self.now, self.books.completion.is_receiving)
        self.books.save(now=self.now)
        self.books.tidy(now=self.now)

    def purge(self, name: str) -> None:
        """Its files are purged: what comes next is a new version."""
        self.spool.purge(key_of(name))
        with self.engine.begin() as connection:
            state.mark_purged(connection, key_of(name), now=self.now)

    def settle(self) -> None:
        """Wait until nothing more is due."""
        for _ in range(int(4 * STUDY_QUIET / 5)):
            self.turn(5.0)

    def route(self, name: str = "a", version: int = 1, study: str = STUDY) -> Route | None:
        with self.engine.begin() as connection:
            return routes.find(connection, key_of(name, study), version)

    def state(self, name: str = "a", version: int = 1) -> RouteState | None:
        route = self.route(name, version)
        return None if route is None else route.state

    def why(self, name: str = "a", version: int = 1) -> list[str]:
        route = self.route(name, version)
        return [] if route is None else [reason.name for reason in route.reasons]
