"""How a running listener is watched: its metrics, and whether it is ready, served while it runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version as distribution_version

from prometheus_client import Info
from prometheus_client.process_collector import ProcessCollector

from dicom_listener.completion.intake import Intake
from dicom_listener.errors import SpoolError
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.metrics_at_scrape import ListenerProbes, ListenerState
from dicom_listener.network.scp import StorageScp
from dicom_listener.spool.spool import Spool
from dicom_listener.spool.spool_measure import SpoolMeasure
from dicom_listener.stow.server import StowServer
from segwatch.metrics_endpoint import Health, MetricsEndpoint
from segwatch.settings import SiteSettings


@dataclass(slots=True)
class ListenerHealth:
    """How the listener is; whoever runs it says when it started and when it stops."""

    spool: Spool
    is_serving: Callable[[], bool]
    phase: Health = Health.STARTING

    def now(self) -> Health:
        """What /healthz answers."""
        if self.phase is not Health.READY:
            return self.phase
        if not self.is_serving():
            return Health.FAILED
        try:
            return Health.READY if self.spool.disk().refusal is None else Health.REFUSING
        except SpoolError:
            return Health.REFUSING


def make_metrics(settings: SiteSettings) -> ListenerMetrics:
    """The listener's metrics, with a label for each peer that the settings name."""
    return ListenerMetrics(frozenset(peer.ae_title for peer in settings.listener.peers))


@contextmanager
def watched(
    settings: SiteSettings,
    metrics: ListenerMetrics,
    spool: Spool,
    intake: Intake,
    scp: StorageScp,
    *,
    stow: StowServer | None = None,
) -> Iterator[ListenerHealth]:
    """Serve metrics and health while the block runs, where the settings want it.

    Raises:
        SettingsError: the port is taken.
    """

    def is_serving() -> bool:
        return scp.is_serving and intake.is_running and (stow is None or stow.is_serving)

    health = ListenerHealth(spool, is_serving)
    with ExitStack() as running:
        if settings.metrics.port is not None:
            measure = SpoolMeasure(spool)
            limit = settings.listener.maximum_associations
            probes = ListenerProbes(
                is_serving,
                scp.connections,
                intake.progress,
                spool.disk,
                lambda: measure.latest,
                limit,
                None if stow is None else stow.connections,
            )
            complete_registry(metrics, probes)
            endpoint = MetricsEndpoint(settings.metrics.host, settings.metrics.port, metrics.registry, health.now)
            endpoint.start()
            running.callback(endpoint.stop)
            measure.start()
            running.callback(measure.stop)
        yield health


def complete_registry(metrics: ListenerMetrics, probes: ListenerProbes) -> None:
    """Add what is asked at each scrape: the listener's state, the process (CPU, memory, descriptors), our version."""
    metrics.registry.register(ListenerState(probes))
    ProcessCollector(registry=metrics.registry)
    Info("segwatch_build", "What runs here.", registry=metrics.registry).info(
        {"version": distribution_version("segwatch")}
    )
