"""The listener alone: it imports neither engine nor imaging, so it is small and quick to start."""

import gc
import logging

from segwatch import listener_wiring, state_wiring
from segwatch.commands.console import SITE_FILE, SiteFile, StopAtEof, warn_without_destination
from segwatch.commands.console import site_settings as load_site
from segwatch.lifecycle import announce_ready, stop_event, wait_for

logger = logging.getLogger(__name__)


def listen(config: SiteFile = SITE_FILE, stop_at_eof: StopAtEof = False) -> None:
    """Run the DICOM listener alone: receive instances, and queue series that are complete."""
    settings = load_site(config)
    stop = stop_event(at_end_of_input=stop_at_eof)
    if not stop_at_eof:  # otherwise `segwatch site` said it
        warn_without_destination(settings)
    with listener_wiring.running_listener(settings, state_wiring.make_state_engine(settings)) as listening:
        where = f"{settings.listener.host}:{listening.port} as {settings.listener.ae_title}"
        tls = "" if listening.tls_port is None else f", TLS on port {listening.tls_port}"
        gc.collect()
        gc.freeze()  # what is there now stays: later collections, which hold up every association, need not look at it
        announce_ready("listen", f"listening on {where}{tls}{listening.stow}")
        wait_for(stop)
        logger.info("stopping: associations that run are aborted, their senders send again")
    logger.info("stopped")
