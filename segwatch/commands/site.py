"""`segwatch site`: a hospital's site in one process tree."""

import typer

from segwatch import state_wiring
from segwatch.commands.console import SITE_FILE, SiteFile, error_console, warn_without_destination
from segwatch.commands.console import site_settings as load_site
from segwatch.lifecycle import on_stop_signal
from segwatch.settings import child_environment
from segwatch.supervisor import ChildSpec, Supervisor


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
