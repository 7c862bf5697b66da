"""Makes the storage commitment service of a site from its settings, and says what is odd about them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from dicom_listener.commitment.commitment import RetryPolicy
from dicom_listener.commitment.commitment_reporter import CommitmentReporter
from dicom_listener.commitment.commitment_service import CommitmentService
from dicom_listener.network.scp_settings import ScpSettings
from dicom_listener.spool.spool import Spool
from segwatch.errors import UsageError
from segwatch.settings import SiteSettings


def make_commitment(
    settings: SiteSettings, spool: Spool, engine: Engine, scp: ScpSettings, file_all: Callable[[], None]
) -> CommitmentService | None:
    """Make the service that answers requests for the accepted storage classes; None where it is switched off.

    `file_all` returns when every instance that was acknowledged has its file.
    """
    chosen = settings.listener.commitment
    if not chosen.enabled:
        return None
    first = chosen.retry_seconds
    reporter = CommitmentReporter(
        spool,
        engine,
        peers=scp.peers,
        sop_classes=scp.sop_classes,
        retry=RetryPolicy(first, max(first, RetryPolicy().longest_seconds), chosen.give_up_hours * 3600),
        same_association=chosen.same_association,
        answer_seconds=chosen.answer_seconds,
        file_all=file_all,
    )
    return CommitmentService(
        engine,
        reporter,
        maximum_references=chosen.maximum_references,
        maximum_pending=chosen.maximum_pending,
    )


@contextmanager
def reporting(service: CommitmentService | None) -> Iterator[None]:
    """Send the reports of a service, if there is one, while the block runs."""
    if service is None:
        yield
        return
    service.reporter.start()
    try:
        yield
    finally:
        service.reporter.stop()


def check_commitment(settings: SiteSettings) -> str:
    """For `segwatch doctor`: what is committed, and whether reports can arrive.

    Raises:
        UsageError: no report could arrive.
    """
    chosen, peers = settings.listener.commitment, settings.listener.peers
    if not chosen.enabled:
        return "off"
    reached = [peer for peer in peers if peer.host is not None and peer.port is not None]
    if not reached and not chosen.same_association:
        raise UsageError(
            "no report can arrive: give host and port in the [[listener.peers]] of each sender that asks for it, "
            "or set listener.commitment.same_association"
        )
    return (
        f"WARNING: on, for {settings.spool.retention_hours:g} h after delivery (spool.retention_hours), then instances "
        "are purged: no sender may delete its own copy because of it; "
        f"{len(reached)} of {len(peers)} peers can be called back"
    )
