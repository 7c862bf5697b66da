"""The metrics of a listener at which nobody was yet, as a scrape gets them."""

from dicom_listener.association_report import Connections
from dicom_listener.completion.books import OpenSeries
from dicom_listener.completion.intake import IntakeProgress
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.metrics_at_scrape import ListenerProbes
from dicom_listener.spool.spool import Spool
from dicom_listener.spool.spool_measure import SpoolMeasure
from dicom_listener.stow.report import StowConnections
from segwatch.listener_watch import complete_registry


def idle_metrics(spool: Spool) -> ListenerMetrics:
    """Make them, complete; `spool` is empty, and one peer is known."""
    measure = SpoolMeasure(spool)
    measure.measure()
    metrics = ListenerMetrics({"PACS"})
    progress = IntakeProgress(OpenSeries(0, None), 0)
    complete_registry(
        metrics,
        ListenerProbes(
            lambda: True,
            lambda: Connections(0, 0, {}),
            lambda: progress,
            spool.disk,
            lambda: measure.latest,
            50,
            lambda: StowConnections(0, {}),
        ),
    )
    return metrics
