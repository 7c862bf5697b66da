"""The tables of a site's settings that concern the DICOM listener."""

from typing import Any, ClassVar

from pydantic import Field

from segwatch.settings_sections import AE_TITLE, Section
from segwatch.settings_stow import StowSection


class PeerSection(Section):
    """A DICOM node that sends here."""

    example: ClassVar[dict[str, Any]] = {"ae_title": "PACS", "addresses": ["10.1.2.0/24"], "host": "pacs", "port": 104}

    ae_title: str = Field(pattern=AE_TITLE, description="Its AE title.")
    addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks it may call from, e.g. 10.1.2.0/24; empty: any."
    )
    host: str | None = Field(None, description="Where it can be called back; left out: it cannot.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port to call it back.")


class CommitmentSection(Section):
    """Storage commitment (Push Model as SCP): instances are committed until they are purged, not for ever."""

    enabled: bool = Field(
        False,
        description="Offer it. A sender that deletes its own copy once it is committed loses the images after "
        "`spool.retention_hours`.",
    )
    same_association: bool = Field(
        True,
        description="Report on the association of the request when its sender leaves it open. false: always on a new "
        "one to the host and port of its `[[listener.peers]]`.",
    )
    maximum_references: int = Field(10_000, ge=1, description="Instances in one request; longer ones are refused.")
    maximum_pending: int = Field(
        1_000, ge=1, description="Requests whose report waits at once; further ones are refused."
    )
    answer_seconds: float = Field(
        20.0, gt=0, description="Wait for a connection to the sender and for its answer, seconds."
    )
    retry_seconds: float = Field(
        30.0, gt=0, description="Wait before a report is sent again, seconds; doubled at each further try, up to 900."
    )
    give_up_hours: float = Field(24.0, gt=0, description="A report not confirmed for this long is given up, hours.")


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
    commitment: CommitmentSection = CommitmentSection()
    peers: tuple[PeerSection, ...] = ()
    stow: StowSection = StowSection()
