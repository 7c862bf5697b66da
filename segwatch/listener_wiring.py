"""Makes the listener of a site from its settings."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Engine

from dicom_listener.completion.books import IntakeEvent
from dicom_listener.completion.intake import Intake
from dicom_listener.network.scp import StorageScp
from dicom_listener.routing.resent import ResentSeries
from dicom_listener.routing.router import SeriesRouter
from dicom_listener.routing.routes import Route
from dicom_listener.spool.spool import Spool
from inference.sql_queue import SqlJobQueue
from segwatch import stow_wiring
from segwatch.commitment_wiring import make_commitment, reporting
from segwatch.completion_wiring import make_completion_rule, make_count_asker
from segwatch.listener_settings import make_peers, make_scp_settings
from segwatch.listener_watch import make_metrics, watched
from segwatch.metrics_endpoint import Health
from segwatch.routing_wiring import make_router, make_rule_book
from segwatch.settings import SiteSettings
from segwatch.state_wiring import make_spool
from segwatch.superseding import superseding

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a running listener is reached."""

    port: int
    """Of the storage SCP."""
    tls_port: int | None
    """Of the storage SCP with TLS, where it speaks that."""
    stow: str
    """What the ready line says of STOW-RS; empty when it is off."""


def make_intake(
    settings: SiteSettings,
    spool: Spool,
    engine: Engine,
    router: SeriesRouter,
    *,
    observe: Callable[[IntakeEvent], None],
) -> Intake:
    """Make the intake, whose complete series the router decides about."""
    return Intake(
        spool,
        engine,
        rule=make_completion_rule(settings),
        on_complete=superseding(SqlJobQueue(), router.on_complete, clock=time.time),
        observe=observe,
        router=router,
        asker=make_count_asker(settings, make_peers(settings)),
    )


@contextmanager
def running_listener(
    settings: SiteSettings,
    engine: Engine,
    *,
    observe: Callable[[IntakeEvent], None] | None = None,
    observe_routes: Callable[[Route], None] | None = None,
) -> Iterator[Listening]:
    """Run the listener while the block runs; gives its ports.

    `observe` is told of series that are complete, `observe_routes` of what is decided about them.

    Raises:
        PortError: a port is taken.
        SpoolError: the spool cannot be used, or another listener uses it.
        StowSettingsError: STOW-RS cannot be run with these settings.
        SettingsError: the port of the metrics is taken, the opt-out list cannot be used, or a name of a set of
            rules is none.
        TlsError: certificate, key or trusted certificates cannot be used.
    """
    spool, listener = make_spool(settings), settings.listener
    metrics = make_metrics(settings)
    router = make_router(settings, spool, engine, observe=_each(metrics.routed, observe_routes))
    intake = make_intake(settings, spool, engine, router, observe=_each(metrics.happened, observe))
    scp_settings = make_scp_settings(settings)
    commitment = make_commitment(settings, spool, engine, scp_settings, lambda: scp.file_all())  # noqa: PLW0108 (not yet there)
    resent = ResentSeries(engine, make_rule_book(settings))
    on_stored = _each(intake.add, metrics.stored)
    stow = stow_wiring.make_stow_server(
        settings, spool, on_stored, scp_settings.sop_classes, metrics.stow_request_ended
    )
    scp = StorageScp(
        spool,
        ae_title=listener.ae_title,
        host=listener.host,
        port=listener.port,
        on_stored=on_stored,
        on_association_end=_each(intake.add, metrics.association_ended, resent.association_ended),
        settings=scp_settings,
        services=() if commitment is None else (commitment.dimse_service(),),
    )
    with watched(settings, metrics, spool, intake, scp, stow=stow) as health:
        intake.start()
        try:
            with reporting(commitment):
                scp.start()
                try:
                    with stow_wiring.running(stow):
                        health.phase = Health.READY
                        yield Listening(scp.port, scp.tls_port, stow_wiring.describe(settings, stow))
                        health.phase = Health.STOPPING
                finally:
                    health.phase = Health.STOPPING
                    scp.stop()  # first: nothing new comes in while the intake writes what it has
        finally:
            intake.stop()


def _each(*told: Callable[[Told], None] | None) -> Callable[[Told], None]:
    """Tell several, in their order."""

    def tell(what: Told) -> None:
        for one in told:
            if one is not None:
                one(what)

    return tell
