"""The command line: `segwatch`, composed of the modules in `segwatch.commands`.

Exit status: 0 done, 1 could not be done (a sentence on standard error says why), 2 used wrongly, or a series that
cannot be segmented.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

from inference.errors import SeriesRejectedError
from segwatch.commands.console import error_console
from segwatch.errors import ROOM_ERRORS
from segwatch.logs import quieten_libraries

REJECTED = 2


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command, or a group of commands, is found."""

    name: str
    panel: str
    module: str
    attribute: str


RUN, LOOK, ACT, TUNE = "Run", "Look", "Act on a series", "Set up and tune"
COMMANDS = (
    Command("site", RUN, "site", "site"),
    Command("listen", RUN, "listen", "listen"),
    Command("work", RUN, "work", "work"),
    Command("deliver", RUN, "deliver", "deliver"),
    Command("central", RUN, "central", "central"),
    Command("process", RUN, "process", "process"),
    Command("send", RUN, "send", "send"),
    Command("demo", RUN, "demo", "demo"),
    Command("status", LOOK, "inspect", "status"),
    Command("lookup", LOOK, "inspect", "lookup"),
    Command("routes", LOOK, "routes", "routes"),
    Command("series", ACT, "series", "app"),
    Command("optout", ACT, "optout", "app"),
    Command("init", TUNE, "setup", "app"),
    Command("doctor", TUNE, "doctor", "doctor"),
    Command("detector", TUNE, "detector", "app"),
)

HELP = """Segments chest CTs that a PACS sends, returns the result as DICOM SEG, and tells when results go bad.

Begin with [bold]segwatch demo[/bold]. A hospital: [bold]segwatch init site[/bold], [bold]segwatch doctor[/bold],
[bold]segwatch site[/bold]. Central operations: [bold]segwatch init central[/bold], [bold]segwatch central[/bold].
"""


def make_app(wanted: str | None = None) -> typer.Typer:
    """Compose the command line; only the module of the `wanted` command is imported, all of them for anything else.

    So the central host loads no imaging library, and `segwatch status` no inference engine.
    """
    app = typer.Typer(
        name="segwatch",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help=HELP,
    )
    app.callback()(_common)
    chosen = [command for command in COMMANDS if command.name == wanted] or COMMANDS
    with _nothing_collected():
        modules = [importlib.import_module(f"segwatch.commands.{command.module}") for command in chosen]
    for command, module in zip(chosen, modules, strict=True):
        found = getattr(module, command.attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=command.name, rich_help_panel=command.panel)
        else:
            app.command(command.name, rich_help_panel=command.panel)(found)
    return app


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """What is imported stays: looking for garbage in it, again and again, takes a tenth of the time of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segwatch {distribution_version('segwatch')}")
        raise typer.Exit


def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run a command and answer every named error with one sentence."""
    quieten_libraries()
    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else None)()
    except ROOM_ERRORS as error:
        error_console.print(f"segwatch: {error}", markup=False, style="red")
        sys.exit(REJECTED if isinstance(error, SeriesRejectedError) else 1)
