"""Text of ours inside a result: ASCII, because the character set belongs to the source's patient name."""

import re
import unicodedata

LONG_STRING = 64
"""Characters of an LO value (PS3.5 6.2)."""
SHORT_STRING = 16
"""Characters of an SH or CS value."""


def ascii_text(text: str, limit: int = LONG_STRING) -> str:
    """Fold to printable ASCII without backslash, at most `limit` characters, never empty."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", errors="ignore").decode()
    clean = re.sub(r"\s+", " ", re.sub(r"[^ -\[\]-~]", " ", folded)).strip()
    return (clean or "unnamed")[:limit].rstrip()


def described(what: str, model: str, version: str, suffix: str = "") -> str:
    """`what: model version suffix` in one LO value; the model's name is cut first, the rest tells results apart."""
    tail = " ".join(part for part in (version, suffix) if part)
    fixed = f"{ascii_text(what)}: "
    end = f" {ascii_text(tail)}" if tail else ""
    room = LONG_STRING - len(fixed) - len(end)
    return ascii_text(f"{fixed}{ascii_text(model, max(room, 1))}{end}")
