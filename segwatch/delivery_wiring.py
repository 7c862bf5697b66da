"""Makes what sends results away, and what cleans up afterwards, from the settings of a site."""

from sqlalchemy import Engine

from inference.sql_queue import SqlJobQueue
from reporter.association import Destination
from reporter.backoff import BackoffPolicy
from reporter.deliver_loop import Deliverer
from reporter.delivery import CStoreSender
from reporter.outbox_lane import LanePolicy
from reporter.outbox_runner import OutboxRunner
from reporter.publish import Publisher
from segwatch.housekeeping import Housekeeping
from segwatch.result_folder import results_root
from segwatch.settings import SiteSettings
from segwatch.settings_sections import STREAM_DESTINATION, DestinationSection
from segwatch.state_wiring import make_spool
from segwatch.stream_wiring import make_sink

LEASE_TIMEOUTS = 4
"""A delivery's lease lasts this many network time limits: connecting, negotiating, storing, releasing."""


def make_destination(settings: SiteSettings, destination: DestinationSection) -> Destination:
    """A DICOM node as the reporter knows it."""
    return Destination(
        name=destination.name,
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        calling_ae_title=settings.delivery.calling_ae_title,
        timeout_s=settings.delivery.timeout_seconds,
    )


def make_deliverers(settings: SiteSettings, engine: Engine) -> tuple[OutboxRunner, OutboxRunner]:
    """Make what empties the outbox: to the destinations, and to the message log."""
    delivery = settings.delivery
    policy = LanePolicy(
        backoff=BackoffPolicy(
            delivery.first_retry_seconds, max(delivery.first_retry_seconds, delivery.longest_retry_seconds)
        ),
        lease_s=LEASE_TIMEOUTS * delivery.timeout_seconds,
    )
    senders = {
        destination.name: CStoreSender(make_destination(settings, destination)) for destination in settings.destinations
    }
    publisher = Publisher(engine, STREAM_DESTINATION, make_sink(settings.stream), policy=policy)
    return Deliverer(engine, senders, policy=policy), publisher


def make_housekeeping(settings: SiteSettings, engine: Engine) -> Housekeeping:
    """Make what purges finished series."""
    retention_s = settings.spool.retention_hours * 3600
    return Housekeeping(engine, make_spool(settings), SqlJobQueue(), results_root(settings), retention_s)
