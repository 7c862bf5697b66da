"""What to do about an address that cannot be bound."""

import errno
import socket


def cure(error: Exception, *, host: str = "the host", port: str = "port") -> str:
    """Say what to change.

    Args:
        error: of binding.
        host: what a user calls the address, e.g. its key in the settings.
        port: what a user calls the port.
    """
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return f"{host} must be an address of this machine"
    if number in (errno.EACCES, errno.EPERM):
        return (
            "ports below 1024 need a privilege: AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit; or "
            f"choose another {port}, 1024 or above, and let the senders use that"
        )
    if number == errno.EADDRINUSE:
        return f"choose another {port} or stop the program that uses it"
    return f"check {host} and {port}"
