"""From reports and events to numbers; few labels, whoever sends."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from dicom_listener.association_report import AssociationEnd, AssociationReport, ConnectionRefusal, Connections
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind, OpenSeries
from dicom_listener.completion.intake import IntakeProgress
from dicom_listener.errors import SpoolError
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.metrics_at_scrape import ListenerProbes, ListenerState
from dicom_listener.rejections import REJECTIONS, Rejection, rejection
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import Reason
from dicom_listener.series import ReceivedInstance
from dicom_listener.series_report import SeriesReport
from dicom_listener.spool.disk_room import SpoolDisk
from dicom_listener.spool.journal.spool_journal import JournalState
from dicom_listener.spool.spool import Spool, SpoolUsage
from dicom_listener.spool.spool_measure import PAUSES_PER_COUNT, SHORTEST_PAUSE_SECONDS, SpoolMeasure, SpoolMeasurement
from dicom_listener.stored import StoredInstance, StoreOutcome
from dicom_listener.stow.report import StowConnectionRefusal, StowConnections, StowReport
from tests.unit.dicom_listener.instances import instance

NOW = 1_750_000_000.0
PREFIX = "segwatch_listener_"


def report(end: AssociationEnd = AssociationEnd.RELEASED, calling: str = "PACS", **values: Any) -> AssociationReport:
    known: dict[str, Any] = {"seconds": 2.0, "bytes": 10, "counts": {}, "series_keys": frozenset()}
    return AssociationReport(end, calling, "SEGWATCH", "10.0.0.7", **{**known, **values})


def stored(outcome: StoreOutcome = StoreOutcome.STORED, calling: str = "PACS", size: int = 500) -> StoredInstance:
    received = ReceivedInstance("1.2.3.4", "1.2", "1.2.840", "1.2.5", "1.2.6", Path("a.dcm"), size)
    return StoredInstance(received, "a" * 32, calling, outcome)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(PREFIX + name, labels)


def size(metrics: ListenerMetrics) -> int:
    """How many time series there are."""
    return sum(len(family.samples) for family in metrics.registry.collect())


def test_decisions_are_counted_and_every_rule_that_left_a_series_out() -> None:
    metrics = ListenerMetrics()
    reasons = (Reason("localizer", "..."), Reason("too_short", "..."))
    route = Route("a" * 32, 1, "b" * 32, "default", RouteState.NOT_TAKEN, reasons, None, None, NOW)
    before = size(metrics)
    metrics.routed(route)
    metrics.routed(replace(route, state=RouteState.TAKEN, reasons=(Reason("best_series", "..."),)))
    assert value(metrics.registry, "series_routed_total", decision="not_taken") == 1
    assert value(metrics.registry, "series_routed_total", decision="taken") == 1
    assert value(metrics.registry, "series_left_out_total", reason="localizer") == 1
    assert value(metrics.registry, "series_left_out_total", reason="kernel") == 0
    assert size(metrics) == before


def test_an_association_is_counted_by_peer_and_end() -> None:
    metrics = ListenerMetrics({"PACS"}, clock=lambda: NOW)
    metrics.association_ended(report(statuses={0xA700: 3, 0x0110: 1, 0x0123: 2}))
    metrics.association_ended(report(AssociationEnd.ABORTED, "STRANGER", seconds=400.0))
    registry = metrics.registry
    assert value(registry, "associations_total", peer="PACS", end="released") == 1
    assert value(registry, "associations_total", peer="other", end="aborted") == 1
    assert value(registry, "association_duration_seconds_sum") == 402.0
    assert value(registry, "association_duration_seconds_bucket", le="300.0") == 1
    assert value(registry, "instances_refused_total", status="A700") == 3
    assert value(registry, "instances_refused_total", status="0110") == 1
    assert value(registry, "instances_refused_total", status="other") == 2
    assert value(registry, "last_contact_timestamp_seconds") == NOW


def test_a_rejection_is_counted_by_what_was_told_and_is_no_sign_of_life() -> None:
    metrics = ListenerMetrics({"PACS"}, clock=lambda: NOW)
    metrics.association_ended(report(AssociationEnd.REJECTED, rejection=rejection(2, 3, 2)))
    labels = {"result": "rejected-transient", "source": "service-provider-presentation"}
    found = value(metrics.registry, "association_rejections_total", **labels, reason="local-limit-exceeded")
    assert found == 1
    assert value(metrics.registry, "last_contact_timestamp_seconds") == 0


def stow(status: int | None, **statuses: int) -> StowReport:
    codes = {int(name[1:], 16): count for name, count in statuses.items()}
    return StowReport(status, "gateway", "10.0.0.9", 0.5, 0, {}, frozenset(), codes)


def test_a_stow_request_is_counted_by_its_answer() -> None:
    metrics = ListenerMetrics(clock=lambda: NOW)
    for status in (503, None, 999):
        metrics.stow_request_ended(stow(status, xA700=2, x0122=1))
    assert value(metrics.registry, "last_contact_timestamp_seconds") == 0
    metrics.stow_request_ended(stow(200))
    counted = {
        label: value(metrics.registry, "stow_requests_total", status=label) for label in ("503", "gone", "other")
    }
    assert counted == {"503": 1, "gone": 1, "other": 1}
    assert value(metrics.registry, "stow_requests_total", status="200") == 1
    assert value(metrics.registry, "instances_refused_total", status="A700") == 6
    assert value(metrics.registry, "instances_refused_total", status="0122") == 3
    assert value(metrics.registry, "last_contact_timestamp_seconds") == NOW


def test_instances_and_bytes_are_counted_as_they_come() -> None:
    metrics = ListenerMetrics({"PACS"})
    for outcome in (StoreOutcome.STORED, StoreOutcome.STORED, StoreOutcome.DUPLICATE):
        metrics.stored(stored(outcome))
    metrics.stored(stored(StoreOutcome.CONFLICT, "STRANGER", 7))
    assert value(metrics.registry, "instances_total", peer="PACS", outcome="stored") == 2
    assert value(metrics.registry, "instances_total", peer="PACS", outcome="duplicate") == 1
    assert value(metrics.registry, "instances_total", peer="other", outcome="conflict") == 1
    assert value(metrics.registry, "received_bytes_total", peer="PACS") == 1500
    assert value(metrics.registry, "received_bytes_total", peer="other") == 7


def test_series_are_counted_by_event_with_what_is_told_of_them() -> None:
    metrics = ListenerMetrics()
    series = SeriesReport("a" * 32, 1, "PACS", instances=300, conflicts=0, bytes=1, seconds=40.0)
    metrics.happened(IntakeEvent(IntakeEventKind.COMPLETE, "a" * 32, 1, series))
    metrics.happened(IntakeEvent(IntakeEventKind.LATE, "a" * 32, 1))
    assert value(metrics.registry, "series_events_total", event="complete") == 1
    assert value(metrics.registry, "series_events_total", event="late") == 1
    assert value(metrics.registry, "series_duration_seconds_sum") == 40.0
    assert value(metrics.registry, "series_instances_count") == 1


REPORTS = st.builds(
    report,
    st.sampled_from(AssociationEnd),
    st.text(max_size=16),
    statuses=st.dictionaries(st.integers(0, 0xFFFF), st.integers(1, 5), max_size=5),
    rejection=st.none() | st.builds(rejection, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
)
EVENTS: st.SearchStrategy[tuple[str, Any]] = st.one_of(
    st.tuples(st.just("association_ended"), REPORTS),
    st.tuples(st.just("stow_request_ended"), st.builds(stow, st.none() | st.integers(0, 9999))),
    st.tuples(st.just("stored"), st.builds(stored, st.sampled_from(StoreOutcome), st.text(max_size=16))),
    st.tuples(
        st.just("happened"), st.builds(IntakeEvent, st.sampled_from(IntakeEventKind), st.text(), st.integers(1, 9))
    ),
)
WORDS = {rejection(*codes) for codes in product(range(10), repeat=3)}
MOST_UNFORESEEN = 1 + len(WORDS) - len(REJECTIONS) + len(HTTPStatus) + 2
"""Status `other`, rejections with reserved words, which nobody sends, and every status that HTTP names."""


@given(st.lists(EVENTS, max_size=60), st.sets(st.text(min_size=1, max_size=16), max_size=3))
def test_the_number_of_labels_is_bounded_whatever_peers_send(events: list[tuple[str, Any]], known: set[str]) -> None:
    metrics = ListenerMetrics(known)
    foreseen = size(metrics)
    for method, event in events:
        getattr(metrics, method)(event)
    # each new label value of a counter may bring a second sample, when it was created
    assert size(metrics) <= foreseen + 2 * MOST_UNFORESEEN
    registry = metrics.registry
    labelled = {s.labels["peer"] for family in registry.collect() for s in family.samples if "peer" in s.labels}
    assert labelled == known | {"other"}


def test_no_identifier_is_shown() -> None:
    metrics = ListenerMetrics({"PACS"})
    metrics.stored(stored())
    metrics.happened(IntakeEvent(IntakeEventKind.COMPLETE, "a" * 32, 1))
    metrics.association_ended(report(calling="DOE^JOHN"))
    shown = generate_latest(metrics.registry).decode()
    assert not [word for word in ("1.2.3.4", "1.2.6", "a" * 32, "DOE", "10.0.0.7", "a.dcm") if word in shown]


def fail() -> SpoolDisk:
    raise SpoolError("the spool cannot be used")


@pytest.fixture
def scrape() -> Callable[..., CollectorRegistry]:
    def make(**changes: Any) -> CollectorRegistry:
        usage = SpoolUsage(1000, 3, 1, NOW - 90, 0.5, None, JournalState(16, 2, 1))
        given: dict[str, Any] = {
            "is_serving": lambda: True,
            "connections": lambda: Connections(4, 2, {ConnectionRefusal.LIMIT: 5}, receivers=2),
            "progress": lambda: IntakeProgress(OpenSeries(2, NOW - 60), 7),
            "disk": lambda: SpoolDisk(0.75, 1_000_000, None),
            "measured": lambda: SpoolMeasurement(usage, NOW - 3),
            "associations_limit": 50,
            "stow_connections": lambda: StowConnections(6, {StowConnectionRefusal.ADDRESS_LIMIT: 2}),
        }
        registry = CollectorRegistry()
        registry.register(ListenerState(ListenerProbes(**{**given, **changes}), clock=lambda: NOW))
        return registry

    return make


def test_what_is_true_at_a_scrape(scrape: Callable[..., CollectorRegistry]) -> None:
    registry = scrape()
    expected = {
        "serving": 1,
        "associations_open": 2,
        "associations_limit": 50,
        "connections_open": 4,
        "receivers_running": 2,
        "stow_connections_open": 6,
        "series_receiving": 2,
        "oldest_incomplete_series_seconds": 60,
        "intake_backlog_instances": 7,
        "spool_refusing": 0,
        "spool_disk_used_ratio": 0.75,
        "spool_disk_free_bytes": 1_000_000,
        "spool_bytes": 1000,
        "spool_instances": 3,
        "spool_series": 1,
        "journal_lanes": 16,
        "journal_lanes_unfiled": 2,
        "journal_lanes_damaged": 1,
        "spool_measured_timestamp_seconds": NOW - 3,
    }
    assert {name: value(registry, name) for name in expected} == expected
    assert value(registry, "connections_refused_total", reason="limit") == 5
    assert value(registry, "connections_refused_total", reason="no_association") == 0
    assert value(registry, "stow_connections_refused_total", reason="address_limit") == 2
    assert value(registry, "stow_connections_refused_total", reason="limit") == 0


def test_what_is_off_has_no_metrics(scrape: Callable[..., CollectorRegistry]) -> None:
    registry = scrape(stow_connections=None)
    assert value(registry, "stow_connections_open") is None
    assert value(registry, "stow_connections_refused_total", reason="limit") is None


def test_a_full_and_a_broken_disk_refuse(scrape: Callable[..., CollectorRegistry]) -> None:
    full = scrape(disk=lambda: SpoolDisk(0.95, 5, "the disk is 95% full"))
    assert value(full, "spool_refusing") == 1
    broken = scrape(disk=fail)
    assert value(broken, "spool_refusing") == 1
    assert value(broken, "spool_disk_used_ratio") is None
    assert value(broken, "associations_open") == 2


def test_nothing_open_and_nothing_measured_yet(scrape: Callable[..., CollectorRegistry]) -> None:
    registry = scrape(measured=lambda: None, progress=lambda: IntakeProgress(OpenSeries(0, None), 0))
    assert value(registry, "oldest_incomplete_series_seconds") == 0
    assert value(registry, "spool_bytes") is None


def test_a_clock_that_was_set_back_gives_no_negative_age(scrape: Callable[..., CollectorRegistry]) -> None:
    registry = scrape(progress=lambda: IntakeProgress(OpenSeries(1, NOW + 3600), 0))
    assert value(registry, "oldest_incomplete_series_seconds") == 0


def test_the_spool_is_measured(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", high_watermark=1.1)
    sizes = [spool.store(*instance(number)).instance.size_bytes for number in (1, 2)]
    measure = SpoolMeasure(spool, clock=lambda: NOW)
    assert measure.latest is None
    assert measure.measure() >= SHORTEST_PAUSE_SECONDS
    assert measure.latest is not None
    usage = measure.latest.usage
    assert (usage.bytes, usage.instances, usage.series, measure.latest.measured_at) == (sum(sizes), 2, 1, NOW)


def test_counting_takes_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    moments = iter([0.0, 10.0])
    monkeypatch.setattr("dicom_listener.spool.spool_measure.time.monotonic", lambda: next(moments))
    assert SpoolMeasure(spool).measure() == 10 * PAUSES_PER_COUNT


def test_a_spool_that_cannot_be_measured_keeps_its_last_figure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path / "spool")
    measure = SpoolMeasure(spool)
    measure.measure()
    before = measure.latest
    monkeypatch.setattr(spool, "usage", fail)
    assert measure.measure() >= SHORTEST_PAUSE_SECONDS
    assert measure.latest is before
    assert "could not be measured" in caplog.text


def test_a_reserved_rejection_has_fixed_words() -> None:
    metrics = ListenerMetrics()
    metrics.association_ended(report(AssociationEnd.REJECTED, rejection=Rejection("reserved", "reserved", "reserved")))
    labels = dict.fromkeys(("result", "source", "reason"), "reserved")
    assert value(metrics.registry, "association_rejections_total", **labels) == 1
