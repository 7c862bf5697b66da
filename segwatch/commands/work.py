"""`segwatch work`: one worker."""

import logging
import os
import platform
from typing import Annotated

import typer

from segwatch import state_wiring, wiring
from segwatch.commands.console import SITE_FILE, SiteFile, StopAtEof
from segwatch.commands.console import site_settings as load_site
from segwatch.lifecycle import announce_ready, stop_event

logger = logging.getLogger(__name__)


def work(
    config: SiteFile = SITE_FILE,
    name: Annotated[str, typer.Option(help="Name of this worker, unique on this host.")] = "",
    stop_at_eof: StopAtEof = False,
) -> None:
    """Run one worker alone: segment and measure the series in the queue, one at a time."""
    settings = load_site(config)
    stop = stop_event(at_end_of_input=stop_at_eof)
    segmenter = wiring.make_segmenter(settings)
    segmenter.warm_up()
    full_name = f"{platform.node()}/{name or 'work'}/{os.getpid()}"
    worker = wiring.make_worker(settings, state_wiring.make_state_engine(settings), segmenter, full_name)
    announce_ready("work", f"{name or 'worker'} ready: {segmenter.model.name} {segmenter.model.version}")
    worker.run(stop)
    logger.info("stopped")
