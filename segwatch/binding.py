"""Tries for `segwatch doctor` whether an address can be bound, and says what to do where it cannot."""

import socket

from dicom_listener.bind_errors import cure
from segwatch.errors import UsageError

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared with, not bound)

ANOTHER_SEGWATCH = "another Segwatch (no listener runs over this site's site.data_dir)"
"""Who has a port on which a Segwatch answers while nobody has this site's spool."""


def reachable(host: str) -> str:
    """Where a server that listens on this address is reached from this machine."""
    return _LOOPBACK.get(host, host)


def bind_error(host: str, port: int) -> OSError | None:
    """Why a server could not listen there now; None where it could."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def refuse_address(error: OSError, host: str, port: int, keys: tuple[str, str], *, by: str = "") -> UsageError:
    """Say why an address cannot be ours, and what to do.

    Args:
        error: of the attempt to bind it.
        host: as the settings say it.
        port: TCP port.
        keys: of host and port in the settings.
        by: who has it, where that is known.
    """
    reason = error.strerror or type(error).__name__
    return UsageError(f"{host}:{port}: {reason}{by and f' by {by}'}; {cure(error, host=keys[0], port=keys[1])}")
