"""What the commands share: the console, machine-readable output, and common options."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from segwatch.logs import start_logging
from segwatch.settings import CentralSettings, SiteSettings, load_settings

console = Console(highlight=False, soft_wrap=True)
"""For people; results and tables."""
error_console = Console(stderr=True, highlight=False, soft_wrap=True)
"""For people; progress and errors."""

SiteFile = Annotated[
    Path, typer.Option("--config", "-c", help="Settings of the site, written by `segwatch init site`.", metavar="FILE")
]
CentralFile = Annotated[Path, typer.Option("--config", "-c", help="Settings of the central host.", metavar="FILE")]
StopAtEof = Annotated[bool, typer.Option("--stop-at-eof", hidden=True, help="Stop when standard input ends.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

_log = logging.getLogger(__name__)
_WIDEST = 10_000
"""Characters; no table is as wide."""

SITE_FILE = Path("segwatch.toml")
CENTRAL_FILE = Path("central.toml")


def print_table(table: Table) -> None:
    """Print a table of which nothing is cut.

    On a terminal, cells that do not fit go on in the next line; where even words do not fit, the terminal breaks the
    lines. In a pipe or a file the table is as wide as it needs.
    """
    for column in table.columns:
        column.overflow = "fold"
    needs = console.measure(table, options=console.options.update(max_width=_WIDEST))
    room = console.width if console.is_terminal else _WIDEST
    table.width = max(needs.minimum, min(needs.maximum, room))
    console.print(table)


def print_json(value: Any) -> None:  # noqa: ANN401 (anything that JSON holds)
    """Print one JSON document, indented."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def site_settings(path: Path) -> SiteSettings:
    """Load a site's settings and start its log."""
    settings = load_settings(path, SiteSettings)
    start_logging(settings.log.level, settings.log.format)
    return settings


def warn_without_destination(settings: SiteSettings) -> None:
    """Log that no result leaves the site; a settings file that was cut off looks no different."""
    if not settings.destinations:
        _log.warning("no result goes to any PACS: the settings have no [[destinations]]")


def central_settings(path: Path) -> CentralSettings:
    """Load the central settings and start its log."""
    settings = load_settings(path, CentralSettings)
    start_logging(settings.log.level, settings.log.format)
    return settings
