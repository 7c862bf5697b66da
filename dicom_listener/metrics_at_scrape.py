"""What is true of the listener at the moment of a scrape, as Prometheus metrics; cheap, whatever the spool holds."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dicom_listener.association_report import ConnectionRefusal, Connections
from dicom_listener.completion.intake import IntakeProgress
from dicom_listener.errors import SpoolError
from dicom_listener.metrics import PREFIX
from dicom_listener.spool.disk_room import SpoolDisk
from dicom_listener.spool.spool_measure import SpoolMeasurement
from dicom_listener.stow.report import StowConnectionRefusal, StowConnections


@dataclass(frozen=True, slots=True)
class ListenerProbes:
    """Where the figures come from; each is asked once at each scrape, from the scrape's thread."""

    is_serving: Callable[[], bool]
    """Whether the threads run that accept associations, answer STOW-RS and complete series."""
    connections: Callable[[], Connections]
    progress: Callable[[], IntakeProgress]
    disk: Callable[[], SpoolDisk]
    """May raise SpoolError."""
    measured: Callable[[], SpoolMeasurement | None]
    associations_limit: int
    stow_connections: Callable[[], StowConnections] | None = None
    """None: STOW-RS is off."""


class ListenerState(Collector):
    """A collector over the probes of one listener."""

    def __init__(self, probes: ListenerProbes, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time in seconds."""
        self._probes = probes
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at each scrape."""
        probes = self._probes
        yield _gauge(
            "serving", "1 while associations are accepted and series completed; 0: start it again.", probes.is_serving()
        )
        yield from _of_connections(probes.connections(), probes.associations_limit)
        if probes.stow_connections is not None:
            yield from _of_stow(probes.stow_connections())
        yield from _of_intake(probes.progress(), self._clock())
        try:
            disk = probes.disk()
        except SpoolError:  # whoever sends now is refused too
            yield _gauge("spool_refusing", _REFUSING, 1)
        else:
            yield from _of_disk(disk)
        measured = probes.measured()
        if measured is not None:
            yield from _of_spool(measured)


_REFUSING = "1 while instances are refused because the spool's disk is full, over its limit or broken."


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value=value)


def _by_reason(name: str, documentation: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{PREFIX}_{name}", documentation, labels=["reason"])
    for reason, count in counts.items():
        family.add_metric([reason], count)
    return family


def _of_connections(connections: Connections, limit: int) -> Iterator[Metric]:
    yield _gauge("associations_open", "Associations that are open.", connections.associations)
    yield _gauge("associations_limit", "How many associations may be open (listener.maximum_associations).", limit)
    yield _gauge("connections_open", "TCP connections that are open.", connections.open)
    yield _gauge("receivers_running", "Processes that take instances (listener.receivers).", connections.receivers)
    text = "Connections closed before they were associations."
    yield _by_reason(
        "connections_refused", text, {why.value: connections.refused.get(why, 0) for why in ConnectionRefusal}
    )


def _of_stow(connections: StowConnections) -> Iterator[Metric]:
    yield _gauge("stow_connections_open", "TCP connections to the STOW-RS port that are open.", connections.open)
    counts = {why.value: connections.refused.get(why, 0) for why in StowConnectionRefusal}
    yield _by_reason("stow_connections_refused", "Connections to the STOW-RS port closed for too many.", counts)


def _of_intake(progress: IntakeProgress, now: float) -> Iterator[Metric]:
    oldest_at = progress.open_series.oldest_at
    age = 0.0 if oldest_at is None else max(0.0, now - oldest_at)
    yield _gauge("series_receiving", "Series that are being received.", progress.open_series.count)
    yield _gauge(
        "oldest_incomplete_series_seconds", "Age of the series that is incomplete for longest; 0: there is none.", age
    )
    yield _gauge(
        "intake_backlog_instances", "Durable instances that no series counts yet; many: see the log.", progress.backlog
    )


def _of_disk(disk: SpoolDisk) -> Iterator[Metric]:
    yield _gauge("spool_refusing", _REFUSING, disk.refusal is not None)
    yield _gauge("spool_disk_used_ratio", "Used share of the spool's disk, 0..1, as df counts it.", disk.used_share)
    yield _gauge("spool_disk_free_bytes", "Bytes of the spool's disk that are free for us.", disk.free_bytes)


def _of_spool(measured: SpoolMeasurement) -> Iterator[Metric]:
    usage = measured.usage
    yield _gauge("spool_bytes", "Bytes of the instances in the spool.", usage.bytes)
    yield _gauge("spool_instances", "Instances in the spool, conflicting ones included.", usage.instances)
    yield _gauge("spool_series", "Series in the spool.", usage.series)
    journal = usage.journal
    yield _gauge("journal_lanes", "Lanes of the journal of the spool (spool.journal_bytes).", journal.lanes)
    text = "Lanes of it with instances that may have no file yet; many for long: see the log."
    yield _gauge("journal_lanes_unfiled", text, journal.unfiled)
    text = "Lanes of it that cannot be read any more; more than 0: acknowledged instances may be lost, see the log."
    yield _gauge("journal_lanes_damaged", text, journal.damaged)
    yield _gauge(
        "spool_measured_timestamp_seconds", "When spool_bytes and its like were counted.", measured.measured_at
    )
