"""`segwatch routes`: which series of a folder would be segmented, and why not the others."""

import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routes import RouteState
from segwatch.commands.console import AsJson, console, error_console, print_json, print_table, site_settings
from segwatch.commands.inspect import SHOWN_KEY
from segwatch.folder_files import Unusable, UnusableFile
from segwatch.folder_routes import FolderRoutes, FolderSeries, folder_routes
from segwatch.opt_out import opt_out_check
from segwatch.routing_wiring import make_opt_out, make_rule_book
from segwatch.settings import MINIMUM_SECRET_BYTES, SiteSettings

COLOURS = {RouteState.TAKEN: "green", RouteState.PASSED_OVER: "yellow"}
IRREGULAR = "it has gaps, double positions or tilt: the reader is likely to refuse it"


def routes(
    directory: Annotated[Path, typer.Argument(help="Folder with any mixture of files and series.", metavar="DIR")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings of a site; without it the default rules.", metavar="FILE"),
    ] = None,
    rules: Annotated[
        str | None, typer.Option(help="Name of the rule set; left out: by the called AE title in the files.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain which series of a folder would be segmented, why not the others, and which files are unused.

    Each study is taken as if it were complete. Nothing is segmented. Of the patient nothing is shown but what the names
    of folders and files below DIR may hold. Ends with status 1 when a file cannot be read: what it belongs to is
    judged without it.
    """
    settings = site_settings(config) if config else SiteSettings.model_validate({"site": {"id": "local"}})
    opt_out = (
        make_opt_out(settings) if config else opt_out_check(None, lambda: secrets.token_bytes(MINIMUM_SECRET_BYTES))
    )
    found = folder_routes(directory, make_rule_book(settings), opt_out, rules=rules)
    if as_json:
        print_json(_as_json(found))
    else:
        _print_table(found)
        for series in found.series:
            _print_reasons(series)
        _print_unusable(found.unusable)
    unreadable = sum(file.why is Unusable.UNREADABLE for file in found.unusable)
    if unreadable:
        what = "1 file or folder" if unreadable == 1 else f"{unreadable} files or folders"
        error_console.print(
            f"segwatch: {what} below {escape(str(directory))} cannot be read; the rest was judged without"
        )
        raise typer.Exit(1)


def _print_table(found: FolderRoutes) -> None:
    counts = Counter(series.state.value for series in found.series)
    title = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    if not found.series:
        console.print("no series")
        return
    table = Table(title=f"{title}\n", title_justify="left", box=None, padding=(0, 2, 0, 0))
    show_rules = len({series.rules for series in found.series}) > 1
    for column in ("\nstudy", "\nnumber", "\nslices", "mm\nthick", "mm\nlong"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("series", "kernel", *(["rules"] if show_rules else []), "decision"):
        table.add_column(f"\n{column}", no_wrap=column in ("series", "decision"))
    for series in found.series:
        table.add_row(*_cells(series, show_rules=show_rules))
    print_table(table)


def _cells(series: FolderSeries, *, show_rules: bool) -> tuple[str, ...]:
    traits = series.traits
    thickness = traits.effective_thickness_mm
    return (
        str(series.study),
        "" if traits.series_number is None else str(traits.series_number),
        str(traits.n_positions or traits.n_instances),
        "" if thickness is None else f"{thickness:.4g}",
        f"{traits.length_mm:.0f}" if traits.n_positions else "",
        series.key[:SHOWN_KEY],
        escape(_kernel(series)),
        *([series.rules] if show_rules else []),
        f"[{COLOURS.get(series.state, 'red')}]{series.state.value}[/]",
    )


def _kernel(series: FolderSeries) -> str:
    """The class, and the name where it is a known one; an unknown one might be anything."""
    kind = series.traits.kernel_class
    known = kind not in (KernelClass.OTHER, KernelClass.MISSING)
    return f"{kind.value} {series.traits.kernel[0].strip()[:16]}" if known else kind.value


def _print_reasons(series: FolderSeries) -> None:
    n_files = series.traits.n_instances
    more = f" and {n_files - 1} more" if n_files > 1 else ""
    console.print(f"[bold]{series.key[:SHOWN_KEY]}[/bold] {series.state.value}: {series.kind}")
    console.print(f"  file: {escape(series.first_file)}{more}")
    for reason in series.reasons:
        console.print(f"  {reason.name}: {escape(reason.detail)}")
    for note in _notes(series):
        console.print(f"  note: {escape(note)}")


def _notes(series: FolderSeries) -> list[str]:
    notes = [] if series.overruled is None else [series.overruled]
    if series.state in (RouteState.TAKEN, RouteState.PASSED_OVER) and not series.traits.is_regular:
        notes.append(IRREGULAR)
    return notes


def _print_unusable(files: Sequence[UnusableFile]) -> None:
    for why in Unusable:
        those = [file for file in files if file.why is why]
        if those:
            console.print(f"[bold]{len(those)} unused[/bold]: {why.value}")
        for file in those:
            console.print(f"  {escape(file.name)}{f': {escape(file.detail)}' if file.detail else ''}")


def _as_json(found: FolderRoutes) -> dict[str, Any]:
    return {
        "series": [_series_as_json(series) for series in found.series],
        "unused_files": [
            {"file": file.name, "reason": file.why.name.lower(), "detail": file.detail or file.why.value}
            for file in found.unusable
        ],
    }


def _series_as_json(series: FolderSeries) -> dict[str, Any]:
    traits = series.traits
    return {
        "key": series.key,
        "study": series.study,
        "sop_class": series.kind,
        "first_file": series.first_file,
        "rules": series.rules,
        "decision": series.state.value,
        "reasons": [{"name": reason.name, "detail": reason.detail} for reason in series.reasons],
        "notes": _notes(series),
        "series_number": traits.series_number,
        "instances": traits.n_instances,
        "slices": traits.n_positions,
        "slice_thickness_mm": traits.slice_thickness_mm,
        "spacing_mm": traits.spacing_mm,
        "length_mm": traits.length_mm,
        "kernel_class": traits.kernel_class.value,
        "regular": traits.is_regular,
    }
