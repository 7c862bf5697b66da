"""`segwatch central`: the consumer that judges the records of all sites."""

import logging

from segwatch.central_wiring import running_central
from segwatch.commands.console import CENTRAL_FILE, CentralFile, central_settings
from segwatch.lifecycle import announce_ready, stop_event

logger = logging.getLogger(__name__)


def central(config: CentralFile = CENTRAL_FILE) -> None:
    """Run the central host: consume the sites' records, judge each, store, and alert."""
    settings = central_settings(config)
    stop = stop_event(at_end_of_input=False)
    with running_central(settings) as consumer:
        announce_ready("central", f"consuming from the {settings.stream.kind}")
        consumer.run(stop)
        logger.info("stopping: what was read is judged and written")
    logger.info("stopped")
