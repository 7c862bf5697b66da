"""Bearer tokens (RFC 6750): a file of names and hashes, so that whoever reads the file cannot push.

One token a line: a name, white space, and the SHA-256 of the token in hexadecimal. Empty lines and lines that begin
with `#` are left out. A name may stand on several lines, so that a token can be replaced without a gap. The name is
the calling AE title of what is pushed with the token.
"""

import hashlib
import hmac
import logging
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import StowSettingsError

LOGGER = logging.getLogger(__name__)

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,15}$"
"""Fit for an AE title (PS3.5 section 6.2) and for a line of a file."""
_TOKEN_BYTES = 32
_LINE = re.compile(r"(?P<name>\S+)\s+(?P<hash>[0-9A-Fa-f]{64})")
_BEARER = re.compile(r"bearer +(?P<token>[A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedHash:
    """A line of the file."""

    name: str
    digest: bytes
    """SHA-256 of the token."""


def new_token() -> str:
    """A new random token of 256 bits, fit for an Authorization header."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def token_line(name: str, token: str) -> str:
    """The line of the file that lets the token in."""
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n"


def parse_tokens(text: str, where: str) -> tuple[NamedHash, ...]:
    """Parse a file of tokens; `where` names it in errors.

    Raises:
        StowSettingsError: a line is something else, or there is none.
    """
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None or not re.match(NAME, match["name"]):
            raise StowSettingsError(
                f"{where}, line {number}: a name (1 to 16 of letters, digits, '_', '.', '-') and the SHA-256 of its "
                "token are wanted; `segwatch init token` writes such a line"
            )
        found.append(NamedHash(match["name"], bytes.fromhex(match["hash"])))
    if not found:
        raise StowSettingsError(f"{where}: no token in it; `segwatch init token` makes one")
    return tuple(found)


def bearer_token(authorization: str) -> str | None:
    """The token of an Authorization header; None when there is none."""
    match = _BEARER.fullmatch(authorization)
    return match["token"] if match else None


def find_name(tokens: tuple[NamedHash, ...], presented: str) -> str | None:
    """The name of a token, or None; takes as long for a wrong one as for a right one."""
    digest = hashlib.sha256(presented.encode()).digest()
    name = None
    for known in tokens:
        if hmac.compare_digest(known.digest, digest):
            name = known.name
    return name


class TokenFile:
    """The file, read again when it has changed: a line that is removed lets nobody in any more."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `StowSettingsError` when it cannot be used."""
        self._path = path
        self._lock = threading.Lock()
        self._stamp, self._tokens = self._read()

    def find_name(self, presented: str) -> str | None:
        """The name of a token, or None.

        A file that cannot be read, or has a bad line, lets nobody in until it is put right.
        """
        with self._lock:
            if self._stamp != _stamp(self._path):
                try:
                    self._stamp, self._tokens = self._read()
                    LOGGER.info("the tokens for STOW-RS were read again: %d", len(self._tokens))
                except StowSettingsError as error:
                    self._stamp, self._tokens = None, ()
                    LOGGER.error("no token for STOW-RS is accepted: %s", error)
            tokens = self._tokens
        return find_name(tokens, presented)

    def _read(self) -> tuple[tuple[int, ...] | None, tuple[NamedHash, ...]]:
        stamp = _stamp(self._path)  # before the text: a change in between is seen at the next look
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text file"
            raise StowSettingsError(
                f"listener.stow.tokens_file: {self._path}: {reason}; `segwatch init token` writes such a file"
            ) from error
        return stamp, parse_tokens(text, str(self._path))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
