"""`Peer`: a DICOM node that may send here, and where it can be called back."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A sender, as the settings describe it."""

    ae_title: str
    addresses: tuple[str, ...] = ()
    """Addresses or networks (CIDR) from which it may call; empty: any."""
    host: str | None = None
    """Where it is called back (C-FIND, storage commitment); None: it cannot be."""
    port: int | None = None
