"""`segwatch routes`: which series of a folder would be segmented, and why not the others."""

import secrets
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routes import RouteState
from segwatch.commands.console import AsJson, console, print_json, site_settings
from segwatch.commands.inspect import SHOWN_KEY
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
    """Explain which series of a folder would be segmented, and why not the others.

    Each study is taken as if it were complete. Nothing is segmented, and no patient data is shown.
    """
    settings = site_settings(config) if config else SiteSettings.model_validate({"site": {"id": "local"}})
    opt_out = (
        make_opt_out(settings) if config else opt_out_check(None, lambda: secrets.token_bytes(MINIMUM_SECRET_BYTES))
    )
    found = folder_routes(directory, make_rule_book(settings), opt_out, rules=rules)
    if as_json:
        print_json(_as_json(found))
        return
    _print_table(found)
    for series in found.series:
        _print_reasons(series)
    _print_rest(found)


def _print_table(found: FolderRoutes) -> None:
    counts = Counter(series.state.value for series in found.series)
    table = Table(title=", ".join(f"{count} {state}" for state, count in sorted(counts.items())), title_justify="left")
    show_rules = len({series.rules for series in found.series}) > 1
    for column in ("study", "number", "slices", "mm thick", "mm long"):
        table.add_column(column, justify="right")
    for column in ("series", "kernel", *(["rules"] if show_rules else []), "decision"):
        table.add_column(column, no_wrap=column != "rules")
    for series in found.series:
        table.add_row(*_cells(series, show_rules=show_rules))
    console.print(table)


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
    console.print(f"[bold]{series.key[:SHOWN_KEY]}[/bold] {series.state.value}")
    for reason in series.reasons:
        console.print(f"  {reason.name}: {escape(reason.detail)}")
    if _is_odd(series):
        console.print(f"  note: {IRREGULAR}")


def _is_odd(series: FolderSeries) -> bool:
    return series.state in (RouteState.TAKEN, RouteState.PASSED_OVER) and not series.traits.is_regular


def _print_rest(found: FolderRoutes) -> None:
    if found.n_refused:
        console.print(f"DICOM files without UIDs of instance, study or series, which are refused: {found.n_refused}.")
    if found.n_other:
        console.print(f"Files that are no DICOM instances: {found.n_other}.")


def _as_json(found: FolderRoutes) -> dict[str, Any]:
    return {
        "series": [_series_as_json(series) for series in found.series],
        "refused_files": found.n_refused,
        "other_files": found.n_other,
    }


def _series_as_json(series: FolderSeries) -> dict[str, Any]:
    traits = series.traits
    return {
        "key": series.key,
        "study": series.study,
        "rules": series.rules,
        "decision": series.state.value,
        "reasons": [{"name": reason.name, "detail": reason.detail} for reason in series.reasons],
        "series_number": traits.series_number,
        "instances": traits.n_instances,
        "slices": traits.n_positions,
        "slice_thickness_mm": traits.slice_thickness_mm,
        "spacing_mm": traits.spacing_mm,
        "length_mm": traits.length_mm,
        "kernel_class": traits.kernel_class.value,
        "regular": traits.is_regular,
    }
