"""The command line: `segwatch`, composed of the groups in `segwatch.commands`.

Exit status: 0 done, 1 could not be done (a sentence on standard error says why), 2 used wrongly, or a series that
cannot be segmented.
"""

import sys
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from inference.errors import SeriesRejectedError
from segwatch.commands import demo, detector, doctor, inspect, process, send, series, serve, setup
from segwatch.commands.console import error_console
from segwatch.errors import ROOM_ERRORS

REJECTED = 2

app = typer.Typer(
    name="segwatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Segments chest CTs that a PACS sends, returns the result as DICOM SEG, and tells when results go bad.\n\n"
        "Begin with [bold]segwatch demo[/bold]. A hospital: [bold]segwatch init site[/bold], [bold]segwatch doctor"
        "[/bold], [bold]segwatch site[/bold]. Central operations: [bold]segwatch init central[/bold], [bold]segwatch "
        "central[/bold]."
    ),
)

RUN, LOOK, ACT, TUNE = "Run", "Look", "Act on a series", "Set up and tune"
app.command("site", rich_help_panel=RUN)(serve.site)
app.command("listen", rich_help_panel=RUN)(serve.listen)
app.command("work", rich_help_panel=RUN)(serve.work)
app.command("deliver", rich_help_panel=RUN)(serve.deliver)
app.command("central", rich_help_panel=RUN)(serve.central)
app.command("process", rich_help_panel=RUN)(process.process)
app.command("send", rich_help_panel=RUN)(send.send)
app.command("demo", rich_help_panel=RUN)(demo.demo)
app.command("status", rich_help_panel=LOOK)(inspect.status)
app.command("lookup", rich_help_panel=LOOK)(inspect.lookup)
app.add_typer(series.app, name="series", rich_help_panel=ACT)
app.add_typer(setup.app, name="init", rich_help_panel=TUNE)
app.command("doctor", rich_help_panel=TUNE)(doctor.doctor)
app.add_typer(detector.app, name="detector", rich_help_panel=TUNE)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segwatch {distribution_version('segwatch')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run a command and answer every named error with one sentence."""
    try:
        app()
    except ROOM_ERRORS as error:
        error_console.print(f"segwatch: {error}", markup=False, style="red")
        sys.exit(REJECTED if isinstance(error, SeriesRejectedError) else 1)
