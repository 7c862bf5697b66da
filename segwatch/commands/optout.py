"""`segwatch optout`: patients and studies that are never segmented."""

import getpass
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.spool.heads import read_head
from segwatch import state_wiring
from segwatch.commands.console import SITE_FILE, SiteFile, console, print_table, site_settings
from segwatch.commands.inspect import SHOWN_KEY, utc_time
from segwatch.errors import UsageError
from segwatch.opt_out import OptOutKind
from segwatch.opt_out_acts import OptOutDesk, OptOutVerb
from segwatch.settings import SiteSettings

app = typer.Typer(
    no_args_is_help=True,
    help="Patients and studies that are never segmented; kept as keyed hashes, with who, when and why.",
)

Kind = Annotated[OptOutKind, typer.Argument(help="What is named: a patient (Patient ID) or a study.", metavar="KIND")]
FromFile = Annotated[
    Path | None,
    typer.Option("--file", help="Take the identifier from this DICOM file; else it is asked for.", metavar="DICOM"),
]
Why = Annotated[str, typer.Option("--why", help="Reason, kept with the act. Do not write patient data.", prompt="Why")]
By = Annotated[str, typer.Option("--by", help="Who acts; the login name where it is left out.")]

PROMPTS = {OptOutKind.PATIENT: "Patient ID", OptOutKind.STUDY: "Study Instance UID"}


@app.command("add")
def add(kind: Kind, why: Why, by: By = "", file: FromFile = None, config: SiteFile = SITE_FILE) -> None:
    """Add a patient or study: nothing of it is segmented from now on.

    The identifier is asked for, or taken from a file; it never stands on the command line, which a shell keeps.
    """
    desk = _desk(site_settings(config))
    entry, is_new = desk.add(kind, _identifier(kind, file), by=by or getpass.getuser(), reason=why, now=time.time())
    console.print(f"{kind.value} {entry.key[:SHOWN_KEY]} is on the opt-out list{'' if is_new else ' already'}.")
    keys = desk.series_here(entry)
    if keys:
        shown = " ".join(key[:SHOWN_KEY] for key in keys)
        console.print(
            f"Received before: {shown}. What is not segmented yet will not be; `segwatch series forget` removes"
        )
        console.print("images and results that are here already.")


@app.command("remove")
def remove(kind: Kind, why: Why, by: By = "", file: FromFile = None, config: SiteFile = SITE_FILE) -> None:
    """Take a patient or study off the list; series that are sent from now on are segmented again."""
    desk = _desk(site_settings(config))
    entry = desk.remove(kind, _identifier(kind, file), by=by or getpass.getuser(), reason=why, now=time.time())
    console.print(f"{kind.value} {entry.key[:SHOWN_KEY]} is off the opt-out list.")


@app.command("test")
def test(kind: Kind, file: FromFile = None, config: SiteFile = SITE_FILE) -> None:
    """Say whether a patient or study is on the list; ends with status 1 when it is not."""
    entry, is_there = _desk(site_settings(config)).test(kind, _identifier(kind, file))
    console.print(f"{kind.value} {entry.key[:SHOWN_KEY]} is {'' if is_there else 'not '}on the opt-out list.")
    if not is_there:
        raise typer.Exit(1)


@app.command("list")
def list_entries(
    config: SiteFile = SITE_FILE,
    history: Annotated[bool, typer.Option("--history", help="Every act, also on entries that are gone.")] = False,
) -> None:
    """Show the entries, with who added them, when and why."""
    desk = _desk(site_settings(config))
    entries, acts = desk.entries(), desk.acts()
    table = Table("kind", "entry", "act", "when", "by", "why")
    if history:
        for act in acts:
            row = (
                act.entry.kind.value,
                act.entry.key[:SHOWN_KEY],
                act.verb.value,
                utc_time(act.at),
                act.by,
                act.reason,
            )
            table.add_row(*row)
    else:
        added = {act.entry: act for act in acts if act.verb is OptOutVerb.ADD}
        for entry in sorted(entries):
            known = added.get(entry)
            who = (utc_time(known.at), known.by, known.reason) if known else ("", "", "added on another host")
            table.add_row(entry.kind.value, entry.key[:SHOWN_KEY], "", *who)
    if table.row_count:
        print_table(table)
    else:
        console.print("Nobody opted out.")


def _desk(settings: SiteSettings) -> OptOutDesk:
    path = settings.routing.opt_out_file
    if path is None:
        raise UsageError(
            'there is no opt-out list: name one in the settings, e.g. routing.opt_out_file = "opt-out.txt"'
        )
    spool = state_wiring.make_spool(settings)
    return OptOutDesk(path, settings.secret(), state_wiring.make_state_engine(settings), spool)


def _identifier(kind: OptOutKind, file: Path | None) -> str:
    if file is None:
        return str(typer.prompt(PROMPTS[kind]))
    try:
        head = read_head(file)
    except UnreadableInstanceError:
        raise UsageError(f"--file {file}: no DICOM Part 10 file") from None
    except OSError as error:
        raise UsageError(f"--file {file}: {error.strerror or type(error).__name__}") from error
    identifier = head.patient_id if kind is OptOutKind.PATIENT else head.study_instance_uid
    if not identifier:
        raise UsageError(f"--file {file}: it has no {PROMPTS[kind]}")
    return identifier
