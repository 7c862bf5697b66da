"""`segwatch deliver`: what leaves a site."""

import logging
import threading

from reporter.outbox_runner import OutboxRunner
from segwatch import delivery_wiring, state_wiring
from segwatch.commands.console import SITE_FILE, SiteFile, StopAtEof, warn_without_destination
from segwatch.commands.console import site_settings as load_site
from segwatch.housekeeping import Housekeeper
from segwatch.lifecycle import announce_ready, stop_event, wait_for

logger = logging.getLogger(__name__)


def deliver(config: SiteFile = SITE_FILE, stop_at_eof: StopAtEof = False) -> None:
    """Run delivery alone: send results to the destinations, records to the message log, and purge what is done."""
    settings = load_site(config)
    stop = stop_event(at_end_of_input=stop_at_eof)
    if not stop_at_eof:  # otherwise `segwatch site` said it
        warn_without_destination(settings)
    engine = state_wiring.make_state_engine(settings)
    housekeeper = Housekeeper(delivery_wiring.make_housekeeping(settings, engine))
    parts: list[OutboxRunner | Housekeeper] = [*delivery_wiring.make_deliverers(settings, engine), housekeeper]
    threads = [threading.Thread(target=part.run, args=(stop,), name=type(part).__name__) for part in parts]
    for thread in threads:
        thread.start()
    names = ", ".join([destination.name for destination in settings.destinations] or ["no destination"])
    announce_ready("deliver", f"delivering to {names}; records to the {settings.stream.kind}")
    wait_for(stop)
    logger.info("stopping: a delivery that runs is ended first")
    for thread in threads:
        thread.join()
    logger.info("stopped")
