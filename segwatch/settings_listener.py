"""The tables of a site's settings that concern the DICOM listener."""

from typing import Any, ClassVar

from pydantic import Field

from segwatch.settings_sections import AE_TITLE, Section


class PeerSection(Section):
    """A DICOM node that sends here."""

    example: ClassVar[dict[str, Any]] = {"ae_title": "PACS", "addresses": ["10.1.2.0/24"], "host": "pacs", "port": 104}

    ae_title: str = Field(pattern=AE_TITLE, description="Its AE title.")
    addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks it may call from, e.g. 10.1.2.0/24; empty: any."
    )
    host: str | None = Field(None, description="Where it can be called back; left out: it cannot.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port to call it back.")


class ListenerSection(Section):
    """The DICOM storage SCP."""

    ae_title: str = Field("SEGWATCH", pattern=AE_TITLE, description="Own AE title, 1 to 16 characters.")
    host: str = Field("0.0.0.0", description="Address to listen on; 0.0.0.0 is every interface.")  # noqa: S104 (a PACS reaches it from another host)
    port: int = Field(11112, ge=0, le=65535, description="TCP port; 0 lets the system choose one.")
    quiet_seconds: float = Field(
        30.0, gt=0, description="A series is complete when no instance came for this long, in seconds."
    )
    maximum_wait_seconds: float = Field(
        3600.0, gt=0, description="A series is complete at the latest this long after its first instance, in seconds."
    )
    require_called_ae_title: bool = Field(False, description="Refuse associations that call another AE title.")
    maximum_associations: int = Field(50, ge=1, description="Associations served at once; further ones are refused.")
    maximum_pdu_bytes: int = Field(131072, ge=4096, le=1048576, description="Largest PDU announced to senders, bytes.")
    idle_seconds: float = Field(
        60.0, gt=0, description="An association that is silent for this long is aborted, seconds."
    )
    maximum_instance_bytes: int = Field(
        2**30, ge=2**20, description="An association that sends a longer data set is aborted, bytes."
    )
    fast_intake: bool = Field(
        True,
        description="Take the data sets of plain C-STORE requests straight to disk. false: pynetdicom's own way, which "
        "is slower and holds each instance in memory.",
    )
    only_known_peers: bool = Field(
        False, description="Refuse associations of senders that no `[[listener.peers]]` describes."
    )
    peers: tuple[PeerSection, ...] = ()
