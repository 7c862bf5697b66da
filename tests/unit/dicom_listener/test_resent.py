"""A series that is sent again under an AE title with other rules is not judged anew, and the log says so."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.event_log import FIELDS
from dicom_listener.routing import routes
from dicom_listener.routing.resent import ResentSeries
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing_rules import RoutingRules, RuleBook
from dicom_listener.state import metadata
from segwatch.database import make_engine

BOOK = RuleBook((RoutingRules("thin"),), {"SEGTHIN": "thin", "SEGWATCH": "default"})
ROUTE = Route("a" * 32, 1, "study", "default", RouteState.NOT_TAKEN, (), None, None, 1e9)
AGAIN = AssociationReport(
    AssociationEnd.RELEASED,
    "PACS",
    "SEGTHIN",
    "10.0.0.7",
    1.0,
    9,
    {"duplicate": 7},
    frozenset({ROUTE.series_key}),
    resent_keys=frozenset({ROUTE.series_key}),
)


def told(
    folder: Path, caplog: pytest.LogCaptureFixture, report: AssociationReport, *decided: Route, book: RuleBook = BOOK
) -> list[logging.LogRecord]:
    engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
    metadata.create_all(engine)
    with engine.begin() as connection:
        for route in decided:
            routes.begin(connection, route.series_key, route.version, route.study_hash, now=1e9)
            routes.save(connection, route)
    ResentSeries(engine, book).association_ended(report)
    engine.dispose()
    return caplog.records


def test_one_line_names_the_series_and_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = [replace(ROUTE, series_key=f"{n:032x}") for n in range(6)]
    keys = frozenset({ROUTE.series_key, *(one.series_key for one in others)})
    (line,) = told(tmp_path, caplog, replace(AGAIN, resent_keys=keys), ROUTE, *others)
    assert line.levelno == logging.WARNING
    text = line.getMessage()
    assert f"series={others[0].series_key}," in text
    assert "and 2 more" in text
    assert "called=SEGTHIN rules=thin decided_by=default" in text
    assert "segwatch series reprocess" in text
    fields = getattr(line, FIELDS)
    assert (fields["event"], len(fields["series"]), fields["series_count"]) == ("series_resent", 5, 7)


@pytest.mark.parametrize(
    ("report", "route"),
    [
        (replace(AGAIN, called_ae_title="SEGWATCH"), ROUTE),
        (AGAIN, replace(ROUTE, rules="thin")),
        (AGAIN, replace(ROUTE, state=RouteState.TAKEN)),
        (replace(AGAIN, resent_keys=frozenset()), ROUTE),
    ],
    ids=["same title", "same rules", "it was taken", "new instances"],
)
def test_otherwise_nothing_is_told(
    report: AssociationReport, route: Route, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert told(tmp_path, caplog, report, route) == []


def test_the_newest_version_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    newest = replace(ROUTE, version=2, state=RouteState.TAKEN)
    assert told(tmp_path, caplog, AGAIN, ROUTE, newest) == []


def test_a_state_that_cannot_be_read_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    ResentSeries(engine, BOOK).association_ended(AGAIN)  # it has no tables
    assert [line.levelname for line in caplog.records] == ["ERROR"]
    engine.dispose()
