"""`segwatch send`: C-STORE a folder, as a PACS would."""

import re
from pathlib import Path
from typing import Annotated

import typer

from inference.errors import NoInstancesError
from reporter.association import Destination
from reporter.delivery import CStoreSender
from reporter.send_folder import SendReport, find_dicom_files, send_files
from segwatch.commands.console import AsJson, console, print_json
from segwatch.commands.progress import bars
from segwatch.errors import UsageError

ADDRESS = re.compile(r"(?P<ae_title>[^@\\]{1,16})@(?P<host>[^@\s]+):(?P<port>[0-9]{1,5})")


def send(
    directory: Annotated[Path, typer.Argument(help="Folder of DICOM files, at any depth.", metavar="DIR")],
    to: Annotated[str, typer.Option("--to", help="Where to.", metavar="AET@HOST:PORT")],
    calling: Annotated[str, typer.Option("--calling", help="Own AE title.", metavar="AET")] = "SEGWATCH",
    timeout: Annotated[float, typer.Option(min=1, help="Wait for the connection and each answer, seconds.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Send every DICOM file of a folder by C-STORE, each in its own transfer syntax; status 1 if any was not stored."""
    destination = parse_address(to, calling, timeout)
    if not directory.is_dir():
        raise UsageError(f"{directory} is no folder")
    report = send_with_progress(CStoreSender(destination), directory)
    if as_json:
        print_json(
            {"stored": report.stored, "failed": report.failed, "skipped": report.skipped, "reasons": report.reasons}
        )
    else:
        console.print(
            f"stored {report.stored}, failed {report.failed}, skipped {report.skipped} files that are no DICOM"
        )
        for reason, count in report.reasons:
            console.print(f"  {count} x {reason}", markup=False)
    if report.failed:
        raise typer.Exit(1)


def send_with_progress(sender: CStoreSender, directory: Path) -> SendReport:
    """Send a folder with a bar. Raises `NoInstancesError` when it holds no DICOM."""
    paths, others = find_dicom_files(directory)
    if not paths:
        raise NoInstancesError(f"{directory} holds no DICOM instance ({others} other files)")
    with bars() as shown:
        task = shown.add_task(f"sending to {sender.destination.address}", total=len(paths))
        return send_files(sender, paths, skipped=others, progress=lambda done, _of: shown.update(task, completed=done))


def parse_address(address: str, calling: str, timeout_s: float) -> Destination:
    """Read AET@HOST:PORT. Raises `UsageError`."""
    match = ADDRESS.fullmatch(address.strip())
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise UsageError(f"--to {address}: write AET@HOST:PORT, e.g. SEGWATCH@127.0.0.1:11112")
    host = match["host"].strip("[]")
    return Destination("command-line", match["ae_title"], host, int(match["port"]), calling, timeout_s)
