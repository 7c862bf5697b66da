"""The commands of a site that run until they are stopped: `site` and its parts."""

import logging
import os
import platform
import threading
from typing import Annotated

import typer

from reporter.outbox_runner import OutboxRunner
from segwatch import state_wiring, wiring
from segwatch.commands.console import SITE_FILE, SiteFile, StopAtEof, error_console, warn_without_destination
from segwatch.commands.console import site_settings as load_site
from segwatch.housekeeping import Housekeeper
from segwatch.lifecycle import announce_ready, on_stop_signal, stop_event, wait_for
from segwatch.settings import child_environment
from segwatch.supervisor import ChildSpec, Supervisor

logger = logging.getLogger(__name__)


def site(config: SiteFile = SITE_FILE) -> None:
    """Run a hospital's site: listener, workers and delivery in one process tree.

    SIGTERM or Ctrl-C stops it cleanly; whatever stops it, the next start goes on where it was.
    """
    settings = load_site(config)
    # what is wrong with these is told here once rather than by every child
    settings.secret()
    state_wiring.make_state_engine(settings).dispose()
    warn_without_destination(settings)
    options = ("-c", str(config.resolve()), "--stop-at-eof")
    specs = [ChildSpec("listen", ("listen", *options)), ChildSpec("deliver", ("deliver", *options))]
    specs += [
        ChildSpec(f"work-{number}", ("work", "--name", f"work-{number}", *options))
        for number in range(1, settings.worker.count + 1)
    ]
    supervisor = Supervisor(specs, child_environment(), lambda _name, text: error_console.print(text))
    on_stop_signal(supervisor.request_stop)
    status = supervisor.run()
    if status:
        raise typer.Exit(status)


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


def deliver(config: SiteFile = SITE_FILE, stop_at_eof: StopAtEof = False) -> None:
    """Run delivery alone: send results to the destinations, records to the message log, and purge what is done."""
    settings = load_site(config)
    stop = stop_event(at_end_of_input=stop_at_eof)
    if not stop_at_eof:  # otherwise `segwatch site` said it
        warn_without_destination(settings)
    engine = state_wiring.make_state_engine(settings)
    housekeeper = Housekeeper(wiring.make_housekeeping(settings, engine))
    parts: list[OutboxRunner | Housekeeper] = [*wiring.make_deliverers(settings, engine), housekeeper]
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
