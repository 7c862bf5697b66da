"""What happened at the listener, as Prometheus metrics: from its reports and events to counters and histograms.

Labels have few values, whatever peers send: a peer is named only when the settings know it, and no UID, key or patient
data is ever a label. What is true at one moment (spool, open series) is in `metrics_at_scrape.py`.
docs/reference/logs-and-metrics.md lists all of them.
"""

import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind
from dicom_listener.rejections import REJECTIONS
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import RoutingReason
from dicom_listener.store_service import STATUS_OF_ERROR
from dicom_listener.stored import StoredInstance, StoreOutcome
from dicom_listener.stow.answer import SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED
from dicom_listener.stow.report import StowReport

PREFIX = "segwatch_listener"
OTHER = "other"
"""Label of what is not known here: a peer that the settings do not name, a status of which we have no table."""
DECISIONS = (
    RouteState.WAITING,
    RouteState.TAKEN,
    RouteState.PASSED_OVER,
    RouteState.NOT_TAKEN,
    RouteState.OPTED_OUT,
)
"""What the router tells."""
GONE = "gone"
"""Label of a STOW-RS request whose client left before the answer."""
_STATUSES = frozenset(
    (*(status for _, status, _ in STATUS_OF_ERROR), SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED)
)
_HTTP_STATUSES = frozenset(status.value for status in HTTPStatus)
_HTTP_SUCCESS = (HTTPStatus.OK, HTTPStatus.ACCEPTED)
_ASSOCIATION_BUCKETS = (0.1, 0.5, 1, 5, 15, 60, 300, 1800)
_SERIES_BUCKETS = (5, 15, 30, 60, 120, 300, 900, 3600)
_INSTANCE_BUCKETS = (1, 20, 50, 100, 200, 400, 800, 1600)


class ListenerMetrics:
    """Counts in a registry of its own; every method may be called from any thread."""

    def __init__(
        self,
        known_peers: Collection[str] = (),
        *,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the metrics, every label value that can be foreseen at zero.

        Args:
            known_peers: AE titles that get a label of their own; all others share `other`.
            registry: where to register; a new one when left out.
            clock: Unix time in seconds.
        """
        self.registry = CollectorRegistry(auto_describe=True) if registry is None else registry
        self._known = frozenset(known_peers)
        self._clock = clock
        self._make_association_metrics()
        self._make_instance_metrics()
        self._make_series_metrics()

    def association_ended(self, report: AssociationReport) -> None:
        """Count an association, and what was answered on it."""
        self._associations.labels(self._peer(report.calling_ae_title), report.end.value).inc()
        self._association_seconds.observe(report.seconds)
        if report.rejection is not None:
            names = (report.rejection.result, report.rejection.source, report.rejection.reason)
            self._rejections.labels(*names).inc()
        if report.end is not AssociationEnd.REJECTED:
            self._last_contact.set(self._clock())
        self._count_refusals(report.statuses)

    def stow_request_ended(self, report: StowReport) -> None:
        """Count a STOW-RS request, and the Failure Reasons that were given on it."""
        status = GONE if report.status is None else OTHER
        self._stow_requests.labels(str(report.status) if report.status in _HTTP_STATUSES else status).inc()
        if report.status in _HTTP_SUCCESS:
            self._last_contact.set(self._clock())
        self._count_refusals(report.statuses)

    def stored(self, stored: StoredInstance) -> None:
        """Count an instance that is durable."""
        peer = self._peer(stored.calling_ae_title)
        self._instances_of[peer, stored.outcome].inc()
        self._bytes_of[peer].inc(stored.instance.size_bytes)

    def happened(self, event: IntakeEvent) -> None:
        """Count what the intake tells of a series."""
        self._series_events.labels(event.kind.value).inc()
        if event.series is not None:
            self._series_seconds.observe(event.series.seconds)
            self._series_instances.observe(event.series.instances)

    def routed(self, route: Route) -> None:
        """Count what was decided about a series, and every rule that left it out."""
        self._routed.labels(route.state.value).inc()
        if route.state is RouteState.NOT_TAKEN:
            for reason in route.reasons:
                self._left_out.labels(reason.name).inc()

    def _count_refusals(self, statuses: Mapping[int, int]) -> None:
        for status, count in statuses.items():
            self._refused.labels(f"{status:04X}" if status in _STATUSES else OTHER).inc(count)

    def _peer(self, ae_title: str) -> str:
        return ae_title if ae_title in self._known else OTHER

    def _make_association_metrics(self) -> None:
        self._associations = self._counter("associations", "Associations that ended.", "peer", "end")
        self._rejections = self._counter(
            "association_rejections", "Associations rejected, by what the peer was told.", "result", "source", "reason"
        )
        self._association_seconds = Histogram(
            f"{PREFIX}_association_duration_seconds",
            "How long associations lasted.",
            registry=self.registry,
            buckets=_ASSOCIATION_BUCKETS,
        )
        self._last_contact = Gauge(
            f"{PREFIX}_last_contact_timestamp_seconds",
            "When an association that was not rejected, or a STOW-RS request that was taken, ended last; "
            "Unix time, 0: none since the start.",
            registry=self.registry,
        )
        for peer in (*self._known, OTHER):
            for end in AssociationEnd:
                self._associations.labels(peer, end.value)
        for one in REJECTIONS:
            self._rejections.labels(one.result, one.source, one.reason)

    def _make_instance_metrics(self) -> None:
        instances = self._counter("instances", "Instances that are durable here.", "peer", "outcome")
        received = self._counter("received_bytes", "Bytes of the files of instances that are durable.", "peer")
        self._refused = self._counter(
            "instances_refused", "Instances refused, by DIMSE status; counted when their association ends.", "status"
        )
        self._stow_requests = self._counter("stow_requests", "STOW-RS requests that ended, by HTTP status.", "status")
        # counted for each instance, so looked up here
        peers = (*self._known, OTHER)
        self._bytes_of = {peer: received.labels(peer) for peer in peers}
        self._instances_of = {
            (peer, outcome): instances.labels(peer, outcome.value) for peer in peers for outcome in StoreOutcome
        }
        for status in _STATUSES:
            self._refused.labels(f"{status:04X}")
        for code in (*_HTTP_SUCCESS, HTTPStatus.UNAUTHORIZED, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE):
            self._stow_requests.labels(str(code.value))

    def _make_series_metrics(self) -> None:
        self._series_events = self._counter("series_events", "What the intake told of series.", "event")
        self._series_seconds = Histogram(
            f"{PREFIX}_series_duration_seconds",
            "From the first instance of a series to its hand-over, quiet time included.",
            registry=self.registry,
            buckets=_SERIES_BUCKETS,
        )
        self._series_instances = Histogram(
            f"{PREFIX}_series_instances",
            "How many instances complete series have.",
            registry=self.registry,
            buckets=_INSTANCE_BUCKETS,
        )
        for kind in IntakeEventKind:
            self._series_events.labels(kind.value)
        self._routed = self._counter("series_routed", "What was decided about complete series.", "decision")
        self._left_out = self._counter("series_left_out", "Rules that left a series out; several may.", "reason")
        for decision in DECISIONS:
            self._routed.labels(decision.value)
        for reason in RoutingReason:
            self._left_out.labels(reason.value)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", documentation, labels, registry=self.registry)
