"""`StowSettings`: where the STOW-RS server listens, whom it lets in, and its limits."""

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from dicom_listener.errors import StowSettingsError


@dataclass(frozen=True, slots=True)
class StowLimits:
    """What one client may cost."""

    maximum_request_bytes: int = 2**33
    """A longer body is refused (413)."""
    maximum_instance_bytes: int = 2**30
    """A request with a longer instance is refused (413)."""
    maximum_instances: int = 20_000
    """A request with more instances is refused (413)."""
    maximum_requests: int = 16
    """Further requests at the same time are refused (503)."""
    maximum_requests_per_peer: int = 8
    """Further ones of one client (name of its token or certificate, and address) are refused (503)."""
    maximum_connections: int = 64
    """One too many ends one that has no request under way, or is closed where all have."""
    maximum_connections_per_address: int = 32
    """One too many of an address ends one of its own that has no request under way, or is closed where all have."""
    handshake_seconds: float = 30.0
    """A TLS handshake that takes longer is given up."""
    idle_seconds: float = 60.0
    """A body that is slower than `minimum_bytes_per_second` for this long is given up (408); a connection without a
    whole request head for this long is closed."""
    minimum_bytes_per_second: int = 1024
    """Averaged over `idle_seconds`; the time in which we write to disk does not count."""


@dataclass(frozen=True, slots=True)
class StowSettings:
    """The server."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 lets the system choose one."""
    tokens_file: Path | None = None
    """See `dicom_listener.stow.tokens`; None: no token is asked for."""
    certificate: Path | None = None
    """Own certificate and its chain, PEM; None: no TLS."""
    key: Path | None = None
    """Its key, PEM."""
    trusted: Path | None = None
    """Certificates of the authorities, or of the clients themselves, PEM; None: clients need no certificate."""
    limits: StowLimits = field(default_factory=StowLimits)
    sop_classes: tuple[str, ...] = ()
    """Storage SOP classes that are accepted."""

    def check(self) -> None:
        """Refuse what would let anybody in, or cannot work.

        Raises:
            StowSettingsError: says which setting to change.
        """
        if (self.certificate is None) != (self.key is None):
            raise StowSettingsError("listener.stow: set certificate and key both, or neither")
        if self.trusted is not None and self.certificate is None:
            raise StowSettingsError("listener.stow.trusted: client certificates need TLS: set certificate and key too")
        if self.tokens_file is None and self.trusted is None and not is_loopback(self.host):
            raise StowSettingsError(
                f"listener.stow.host is {self.host}: without authentication only a loopback address is served. Set "
                "listener.stow.tokens_file (`segwatch init token` makes a token), or listener.stow.trusted "
                'for client certificates, or host = "127.0.0.1"'
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # a name may lead anywhere
