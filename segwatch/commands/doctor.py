"""`segwatch doctor`: is everything as it must be?"""

import dataclasses

import typer
from rich.markup import escape

from segwatch.commands.console import SITE_FILE, AsJson, SiteFile, console, print_json, site_settings
from segwatch.doctor import Finding, examine


def doctor(config: SiteFile = SITE_FILE, as_json: AsJson = False) -> None:
    """Check settings, secret, state, disk, port, model hash, GPU provider, broker and PACS, and say what to do.

    Ends with status 1 when something is wrong.
    """
    settings = site_settings(config)
    findings: list[Finding] = []
    if not as_json:
        console.print(f"[green]ok[/green]    settings: {config}")
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            word = "[green]ok[/green]   " if finding.ok else "[red]wrong[/red]"
            console.print(f"{word} {finding.check}: {escape(finding.detail)}")
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
