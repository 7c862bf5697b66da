"""`segwatch series`: a person acts on one series."""

import getpass
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from inference.sql_queue import SqlJobQueue
from segwatch import state_wiring
from segwatch.acts import find_acts
from segwatch.commands.console import SITE_FILE, SiteFile, console, print_table, site_settings
from segwatch.commands.inspect import SHOWN_KEY, utc_time
from segwatch.result_folder import results_root
from segwatch.series_acts import SeriesActs

app = typer.Typer(
    no_args_is_help=True,
    help="Reprocess, reject or forget one series; kept with who, when and why. See also `history`.",
)

Key = Annotated[str, typer.Argument(help="Series key of `segwatch status`; its beginning suffices.", metavar="SERIES")]
Why = Annotated[str, typer.Option("--why", help="Reason, kept with the act. Do not write patient data.", prompt="Why")]
By = Annotated[str, typer.Option("--by", help="Who acts; the login name where it is left out.")]


def _actor(given: str) -> str:
    return given or getpass.getuser()


def _acts(config: Path) -> SeriesActs:
    settings = site_settings(config)
    engine = state_wiring.make_state_engine(settings)
    return SeriesActs(engine, state_wiring.make_spool(settings), SqlJobQueue(), results_root(settings))


@app.command("reprocess")
def reprocess(key: Key, why: Why, by: By = "", config: SiteFile = SITE_FILE) -> None:
    """Segment a series again, or one that was rejected or left out; the new result replaces the old one."""
    console.print(_acts(config).reprocess(key, by=_actor(by), reason=why, now=time.time()))


@app.command("reject")
def reject(key: Key, why: Why, by: By = "", config: SiteFile = SITE_FILE) -> None:
    """Take a series out: what was not sent yet is not sent."""
    console.print(_acts(config).reject(key, by=_actor(by), reason=why, now=time.time()))


@app.command("forget")
def forget(key: Key, why: Why, by: By = "", config: SiteFile = SITE_FILE) -> None:
    """Remove images, results and identifiers of a series from this host."""
    console.print(_acts(config).forget(key, by=_actor(by), reason=why, now=time.time()))


@app.command("history")
def history(config: SiteFile = SITE_FILE) -> None:
    """Show what people did to which series."""
    settings = site_settings(config)
    with state_wiring.make_state_engine(settings).begin() as connection:
        acts = find_acts(connection)
    table = Table("when", "series", "act", "by", "why")
    for act in acts:
        table.add_row(utc_time(act.at), act.series_key[:SHOWN_KEY], act.kind.value, act.by, act.reason)
    if acts:
        print_table(table)
    else:
        console.print("Nobody acted on a series yet.")
