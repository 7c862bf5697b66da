"""`segwatch init`: the first files of a site or of the central host."""

import os
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from dicom_listener.stow.tokens import NAME, new_token, token_line
from segwatch.commands.console import CENTRAL_FILE, SITE_FILE, console
from segwatch.errors import UsageError
from segwatch.settings import MINIMUM_SECRET_BYTES
from segwatch.settings_sections import SITE_ID
from segwatch.settings_text import central_toml, settings_markdown, site_toml

app = typer.Typer(
    no_args_is_help=True, help="Write a commented settings file, for a site also its secret key; make tokens."
)

Force = Annotated[bool, typer.Option("--force", help="Replace an existing settings file (never a key).")]
KEY_FILE = Path("site.key")
TOKENS_FILE = Path("stow-tokens")


@app.command("site")
def init_site(
    site_id: Annotated[str, typer.Option("--id", help="Name of the site in topics and alerts: a-z, 0-9 and '-'.")],
    directory: Annotated[Path, typer.Argument(help="Folder to write into.")] = Path(),
    force: Force = False,
) -> None:
    """Write segwatch.toml and site.key into a folder."""
    if not re.fullmatch(SITE_ID, site_id):
        raise UsageError("--id: use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit")
    settings = directory / SITE_FILE
    write_new(settings, site_toml(site_id), force=force)
    made = write_key(directory / KEY_FILE)
    key = directory / KEY_FILE
    console.print(f"Wrote {settings}" + (f" and {key}." if made else f"; kept {key}."), markup=False)
    console.print("Keep a copy of the key in a safe place: without it records and alerts cannot be traced to studies.")
    console.print(f"Next: name your PACS under [[destinations]], then  segwatch doctor -c {settings}", markup=False)


@app.command("central")
def init_central(
    directory: Annotated[Path, typer.Argument(help="Folder to write into.")] = Path(), force: Force = False
) -> None:
    """Write central.toml into a folder."""
    settings = directory / CENTRAL_FILE
    write_new(settings, central_toml(), force=force)
    console.print(f"Wrote {settings}.\nNext: set [stream], then  segwatch central -c {settings}", markup=False)


@app.command("token")
def init_token(
    name: Annotated[str, typer.Argument(help="Who pushes with it, e.g. PACS: the calling AE title of its images.")],
    file: Annotated[Path, typer.Argument(help="File of tokens (listener.stow.tokens_file).")] = TOKENS_FILE,
) -> None:
    """Make a bearer token for STOW-RS: print it once, and append its name and hash to a file."""
    if not re.fullmatch(NAME, name):
        raise UsageError("NAME: use 1 to 16 letters, digits, '_', '.' and '-', beginning with a letter or digit")
    token = new_token()
    append_line(file, token_line(name, token))
    console.print(f"Added {name} to {file}. Give the client this token; it is shown only now:", markup=False)
    typer.echo(token)
    console.print("A client sends it as  Authorization: Bearer TOKEN. To revoke it, delete its line from the file.")


@app.command("reference", hidden=True)
def print_reference() -> None:
    """Print docs/reference/settings.md."""
    typer.echo(settings_markdown(), nl=False)


def write_new(path: Path, text: str, *, force: bool) -> None:
    """Write a text file. Raises `UsageError` when it exists and `force` is not given, or cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already; --force replaces it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a file that only its owner may read. Raises `UsageError` when it cannot be written."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            before = file.read()
            file.write(line if not before or before.endswith("\n") else f"\n{line}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"{path} cannot be written: {reason}") from error


def write_key(path: Path) -> bool:
    """Write a new random key that only its owner may read; False when there is one already, which is kept."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(MINIMUM_SECRET_BYTES) + "\n")
    return True
