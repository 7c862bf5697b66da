"""`segwatch status` and `segwatch lookup`: what a site is doing, and from a record or series key back to the study."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dicom_listener import state
from dicom_listener.spool.spool import SpoolUsage
from inference.sql_queue import SqlJobQueue
from reporter import outbox
from reporter.outbox_summary import DestinationSummary
from segwatch import state_wiring
from segwatch.commands.console import SITE_FILE, AsJson, SiteFile, console, print_json, print_table, site_settings
from segwatch.lookup import SHORTEST_KEY, SeriesFound, find_series, is_series_key
from segwatch.result_folder import results_root
from segwatch.status import SeriesStatus, SiteStatus, site_status

SHOWN_SERIES = 20
SHOWN_KEY = 12
"""Digits of a series key that tables show; commands take the beginning of a key."""


def status(
    config: SiteFile = SITE_FILE,
    everything: Annotated[bool, typer.Option("--all", help=f"Every series, not the newest {SHOWN_SERIES}.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show series by state, what waits in the outbox and why, the spool, and the turnaround time."""
    settings = site_settings(config)
    engine = state_wiring.make_state_engine(settings)
    usage = state_wiring.make_spool(settings).usage()
    with engine.begin() as connection:
        found = site_status(connection, SqlJobQueue(), usage)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    shown = found.series if everything else found.series[-SHOWN_SERIES:]
    _print_series(shown, len(found.series))
    _print_outbox(found)
    _print_spool(found.spool)
    if found.median_turnaround_s is not None:
        console.print(
            f"Turnaround: median {found.median_turnaround_s:.1f} s from the last instance to the last confirmation"
        )


def lookup(
    name: Annotated[
        str,
        typer.Argument(
            help="Record id of an alert or verdict, or a series key of `segwatch status` or of the log; "
            f"the first {SHORTEST_KEY} digits of a key suffice where they are unique.",
            metavar="RECORD_ID|SERIES",
        ),
    ],
    config: SiteFile = SITE_FILE,
    as_json: AsJson = False,
) -> None:
    """Go from a record id in an alert, or from a series key, back to the study; only this site can."""
    settings = site_settings(config)
    engine = state_wiring.make_state_engine(settings)
    if is_series_key(name):
        with engine.begin() as connection:
            series = find_series(connection, SqlJobQueue(), name, results_root(settings))
        _print_found_series(series, as_json=as_json)
        return
    with engine.begin() as connection:
        item = outbox.find_by_event_id(connection, name)
        row = state.find_by_prefix(connection, item.run.series_key)
    found = {
        "record_id": name,
        "series_key": row.series_key,
        "study_instance_uid": row.study_instance_uid,
        "series_instance_uid": row.series_instance_uid,
        "version": item.run.series_version,
        "generation": item.run.generation,
        "sent_by": row.calling_ae_title,
        "received_at": utc_time(row.first_at),
    }
    if as_json:
        print_json(found)
    else:
        _print_fields(found)


def _print_found_series(found: SeriesFound, *, as_json: bool) -> None:
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    _print_fields(
        {
            "series_key": found.key,
            "study_instance_uid": found.study_instance_uid or "erased here",
            "series_instance_uid": found.series_instance_uid or "erased here",
        }
    )
    for version in found.versions:
        status = version.status
        console.print()
        _print_fields(
            {
                "version": status.version,
                "sent_by": version.sent_by,
                "received_at": utc_time(status.received_at),
                "instances": status.instances,
                "state": status.state.value,
                **({"rules": version.rules} if version.rules else {}),
                **({"remarks": remarks} if (remarks := _remarks(status)) else {}),
                **({"records": ", ".join(version.records)} if version.records else {}),
                **({"results": version.results} if version.results else {}),
            }
        )


def _print_fields(fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        console.print(f"{name.replace('_', ' '):<20} {escape(str(value))}")


def utc_time(seconds: float | None) -> str:
    """Unix time as in the log: UTC, to the second."""
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _print_series(series: tuple[SeriesStatus, ...], total: int) -> None:
    table = Table(title=f"Series ({len(series)} of {total})", title_justify="left")
    for column in ("series", "state", "instances", "received", "remarks"):
        table.add_column(column)
    for one in series:
        name = one.key[:SHOWN_KEY] + (f" v{one.version}" if one.version > 1 else "")
        late = f" + {one.late_instances} late" if one.late_instances else ""
        table.add_row(name, one.state.value, f"{one.instances}{late}", utc_time(one.received_at), escape(_remarks(one)))
    print_table(table)


def _remarks(one: SeriesStatus) -> str:
    is_named = one.reason is not None and ", " in one.reason  # several: each sentence stands behind its own name
    parts = [": ".join(part for part in ("" if is_named else one.reason, one.detail) if part)]
    if one.waiting_for:
        parts.append("waits for " + ", ".join(one.waiting_for))
    if one.expected_instances is not None and one.instances < one.expected_instances and one.ended_by is not None:
        parts.append(f"complete with {one.instances} of {one.expected_instances} instances that it was said to have")
    if one.late_instances:
        parts.append("late instances are in no result; `segwatch series reprocess` takes them in")
    if one.conflicting_instances:
        parts.append(
            f"{one.conflicting_instances} instances with a SOP Instance UID that has another content are kept apart"
        )
    if one.purged:
        parts.append("images purged")
    return "; ".join(part for part in parts if part)


def _print_outbox(found: SiteStatus) -> None:
    table = Table(title="Outbox", title_justify="left")
    for column in ("to", "waiting", "refused", "confirmed", "oldest", "next try", "last error"):
        table.add_column(column)
    for row in found.outbox:
        table.add_row(*_outbox_cells(row))
    print_table(table)


def _outbox_cells(row: DestinationSummary) -> tuple[str, ...]:
    return (
        row.destination,
        str(row.waiting),
        str(row.blocked),
        str(row.done),
        utc_time(row.oldest_open_at),
        utc_time(row.next_attempt_at) if row.waiting or row.blocked else "",
        escape(row.last_error or ""),
    )


def _print_spool(usage: SpoolUsage) -> None:
    oldest = f", oldest from {utc_time(usage.oldest_at)}" if usage.oldest_at is not None else ""
    console.print(
        f"Spool: {usage.instances} instances of {usage.series} series, {usage.bytes / 1e6:.1f} MB{oldest}; "
        f"disk {usage.disk_used_share:.0%} full"
    )
    journal = usage.journal
    if journal.lanes:
        waits = (
            f"{journal.unfiled} of them hold{'s' * (journal.unfiled == 1)}" if journal.unfiled else "none of them holds"
        )
        console.print(f"Journal of the spool: {journal.lanes} lanes, {waits} instances that wait for their files")
    if journal.damaged:
        console.print(f"[red]{journal.damaged} lanes of the journal are damaged[/red]: segwatch doctor says what to do")
    if usage.refusal is not None:
        console.print(f"[red]New instances are refused[/red] (A700): {escape(usage.refusal)}")
