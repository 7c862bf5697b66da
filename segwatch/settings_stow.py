"""The table of a site's settings that concerns STOW-RS."""

from pathlib import Path

from pydantic import Field

from segwatch.settings_sections import Section


class StowSection(Section):
    """Instances pushed by DICOMweb (STOW-RS); served when `port` is set."""

    port: int | None = Field(
        None, ge=0, le=65535, description="TCP port; left out: STOW-RS is off. 0 lets the system choose one."
    )
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Others than loopback need `tokens_file` or `trusted`.",
    )
    tokens_file: Path | None = Field(
        None,
        description="File with names and hashes of bearer tokens, relative to this file; `segwatch init token` writes "
        "it. Set: every request needs a token.",
    )
    certificate: Path | None = Field(
        None,
        description="Own certificate (PEM) and those that lead to its authority, relative to this file; set: TLS 1.2 "
        "and 1.3 alone.",
    )
    key: Path | None = Field(None, description="Its private key (PEM) without a passphrase, relative to this file.")
    trusted: Path | None = Field(
        None,
        description="Certificates (PEM) of the authorities, or of the clients themselves, that are trusted; relative "
        "to this file. Set: every client needs a certificate.",
    )
    maximum_request_bytes: int = Field(2**33, ge=2**20, description="Longer requests are refused (413), bytes.")
    maximum_instances: int = Field(20_000, ge=1, description="Requests with more instances are refused (413).")
    maximum_requests: int = Field(16, ge=1, le=256, description="Requests served at once; further ones get 503.")
    maximum_requests_per_peer: int = Field(
        8,
        ge=1,
        le=256,
        description="Of one client (name of its token or certificate, and address); further ones get 503.",
    )
    maximum_connections: int = Field(64, ge=1, description="Connections open at once; one too many ends an idle one.")
    maximum_connections_per_address: int = Field(
        32,
        ge=1,
        description="Of one address; one too many ends an idle one of its own. A reverse proxy is one address.",
    )
    idle_seconds: float = Field(
        60.0, gt=0, description="A client that is silent, or slower than 1 kB/s, for this long is cut off, seconds."
    )
