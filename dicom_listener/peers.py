"""`Peer`: a DICOM node that may send here, and where it can be called back."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """A sender, as the settings describe it."""

    ae_title: str
    addresses: tuple[str, ...] = ()
    """Addresses or networks (CIDR) from which it may call; empty: any."""
    host: str | None = None
    """Where it is called back (C-FIND, storage commitment); None: it cannot be."""
    port: int | None = None
    maximum_associations: int | None = None
    """How many it may have at once from one address; None: as everybody."""

    def may_call_from(self, address: str) -> bool:
        """Whether the address is one of its own.

        Raises:
            ValueError: one of its addresses is none.
        """
        if not self.addresses:
            return True
        ip = ip_address(address)
        return any(ip.version == one.version and ip in one for one in map(network, self.addresses))


@lru_cache(maxsize=1024)
def network(text: str) -> Network:
    """Read an address or a network, e.g. 10.1.2.3, 10.1.2.0/24 or fd00::/8.

    Raises:
        ValueError: it is none, or has bits beyond its prefix.
    """
    return ipaddress.ip_network(text)


def ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read the address of a connection; one of IPv4 that a port of IPv6 reports as ::ffff:10.1.2.3 becomes IPv4.

    Raises:
        ValueError: it is none.
    """
    ip = ipaddress.ip_address(text)
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip
