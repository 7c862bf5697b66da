"""The lines about associations and series: the same facts for people and for programs."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.event_log import FIELDS, log_association, log_conflict, log_late, log_series, printable
from dicom_listener.rejections import REJECTIONS, Rejection, rejection
from dicom_listener.series_report import SeriesReport

RELEASED = AssociationReport(
    end=AssociationEnd.RELEASED,
    calling_ae_title="PACS",
    called_ae_title="SEGWATCH",
    address="10.0.0.7",
    seconds=1.23456,
    bytes=2048,
    counts={"stored": 2, "refused": 1},
    series_keys=frozenset({"a" * 32}),
    statuses={0xA900: 1},
    is_encrypted=True,
    refused_contexts=7,
    refused_classes=("MRImageStorage", "unknown"),
)
REJECTED = AssociationReport(
    end=AssociationEnd.REJECTED,
    calling_ae_title="EVIL\nassociation released",
    called_ae_title="",
    address="10.0.0.8",
    seconds=0.01,
    bytes=0,
    counts={},
    series_keys=frozenset(),
    rejection=rejection(1, 1, 7),
)
SERIES = SeriesReport("b" * 32, 2, "PACS", instances=300, conflicts=0, bytes=157_000_000, seconds=31.5)


def logged(caplog: pytest.LogCaptureFixture) -> tuple[str, dict[str, Any]]:
    (record,) = caplog.records
    return record.getMessage(), getattr(record, FIELDS)


def test_an_association_that_stored_something(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_association(RELEASED)
    text, fields = logged(caplog)
    assert text == (
        "association released: calling=PACS address=10.0.0.7 called=SEGWATCH seconds=1.2 tls=yes bytes=2048 "
        "refused_contexts=7 refused_classes=MRImageStorage,unknown "
        "statuses=A900:1 refused=1 stored=2"
    )
    assert fields == {
        "event": "association",
        "end": "released",
        "calling": "PACS",
        "called": "SEGWATCH",
        "address": "10.0.0.7",
        "seconds": 1.235,
        "tls": True,
        "bytes": 2048,
        "refused_contexts": 7,
        "refused_classes": ["MRImageStorage", "unknown"],
        "series_count": 1,
        "stored": 2,
        "duplicate": 0,
        "conflict": 0,
        "refused": 1,
        "failed": 0,
        "statuses": {"A900": 1},
        "reject_result": None,
        "reject_source": None,
        "reject_reason": None,
        "reject_comment": None,
    }


def test_a_rejected_one_says_why_and_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_association(REJECTED)
    text, fields = logged(caplog)
    assert text == (
        "association rejected: calling=EVIL?association released address=10.0.0.8 called=- seconds=0.0 tls=no bytes=0 "
        "reason=called-ae-title-not-recognized no instances"
    )
    assert fields["calling"] == "EVIL?association released"
    reasons = [fields[f"reject_{name}"] for name in ("result", "source", "reason")]
    assert reasons == ["rejected-permanent", "service-user", "called-ae-title-not-recognized"]


def test_rejections_are_warnings_as_long_as_they_are_seldom(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_association(REJECTED)
    log_association(REJECTED, is_due=False)
    log_association(RELEASED)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_a_complete_series(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_series(SERIES)
    text, fields = logged(caplog)
    assert text == (
        f"series complete: series={'b' * 32} version=2 instances=300 bytes=157000000 seconds=31.5 calling=PACS"
    )
    assert (fields["event"], fields["version"], fields["instances"], fields["expected"]) == (
        "series_complete",
        2,
        300,
        None,
    )


@pytest.mark.parametrize(("log", "event"), [(log_late, "instance_late"), (log_conflict, "instance_conflict")])
def test_what_belongs_to_no_version(log: Any, event: str, caplog: pytest.LogCaptureFixture) -> None:
    log("c" * 32, 1)
    text, fields = logged(caplog)
    assert fields == {"event": event, "series": "c" * 32, "version": 1}
    assert "c" * 32 in text
    assert caplog.records[0].levelno == logging.WARNING


@given(st.text())
def test_what_a_peer_calls_itself_stays_on_one_line(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert len(f"{shown}.".splitlines()) == 1


def test_rejections_have_the_standards_names() -> None:
    assert rejection(2, 3, 2) == Rejection(
        "rejected-transient", "service-provider-presentation", "local-limit-exceeded"
    )
    assert rejection(1, 1, 3).reason == "calling-ae-title-not-recognized"
    assert rejection(9, 9, 9) == Rejection("reserved", "reserved", "reserved")
    assert len(set(REJECTIONS)) == len(REJECTIONS) == 16
