"""`SiteWindow` as JSON of the store; numbers come back bit by bit, so a replay decides alike."""

from typing import Any

from pydantic import TypeAdapter

from qc.central.alerts import SiteWindow

_ADAPTER = TypeAdapter(SiteWindow)


def encode_window(window: SiteWindow) -> dict[str, Any]:
    """Make plain JSON values."""
    content: dict[str, Any] = _ADAPTER.dump_python(window)
    return content


def decode_window(content: dict[str, Any]) -> SiteWindow:
    """Read them back. Raises `pydantic.ValidationError` for what `encode_window` did not write."""
    return _ADAPTER.validate_python(content)
