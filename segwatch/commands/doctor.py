"""`segwatch doctor`: is everything as it must be?"""

import dataclasses

import typer
from rich.markup import escape

from segwatch.commands.console import SITE_FILE, AsJson, SiteFile, console, print_json, site_settings
from segwatch.doctor import examine
from segwatch.findings import Finding


def doctor(config: SiteFile = SITE_FILE, as_json: AsJson = False) -> None:
    """Check settings, secret, state, disk, port, model hash, GPU provider, broker and PACS, and say what to do.

    Ends with status 1 when something is wrong; `soon` marks what is right today and will not remain so.
    """
    settings = site_settings(config)
    findings: list[Finding] = []
    if not as_json:
        console.print(f"[green]ok[/green]    settings: {config}")
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            console.print(f"{_word(finding)} {finding.check}: {escape(finding.detail)}")
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _word(finding: Finding) -> str:
    if not finding.ok:
        return "[red]wrong[/red]"
    return "[yellow]soon[/yellow] " if finding.caution else "[green]ok[/green]   "
