"""The tables of a site's settings that concern the DICOM listener."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from dicom_listener.peers import network
from segwatch.settings_sections import AE_TITLE, Section
from segwatch.settings_stow import StowSection


def _network(text: str) -> str:
    try:
        network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write an address or a network, e.g. 10.1.2.3 or 10.1.2.0/24") from None
    return text


class PeerSection(Section):
    """A DICOM node that sends here."""

    example: ClassVar[dict[str, Any]] = {"ae_title": "PACS", "addresses": ["10.1.2.0/24"], "host": "pacs", "port": 104}

    ae_title: str = Field(pattern=AE_TITLE, description="Its AE title.")
    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        (),
        description="Addresses or networks it may call from, e.g. 10.1.2.0/24; its AE title from anywhere else is "
        "refused. Empty: any.",
    )
    host: str | None = Field(None, description="Where it can be called back; left out: it cannot.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port to call it back.")
    maximum_associations: int | None = Field(
        None, ge=1, le=1000, description="At once, from one address; left out: listener.maximum_associations_per_peer."
    )


class AeTitleSection(Section):
    """One of several AE titles of our own. Where there is one, associations that call any other title are refused."""

    example: ClassVar[dict[str, Any]] = {"ae_title": "SEGWATCH2"}

    ae_title: str = Field(
        pattern=AE_TITLE, description="It may be called, beside listener.ae_title, which may stand here too."
    )
    rules: str = Field(
        "default", description="Name of the `[[routing.rules]]` for series that were sent to this AE title."
    )


class TlsSection(Section):
    """TLS 1.2 and 1.3 on a port of its own; on where a certificate is named."""

    certificate: Path | None = Field(
        None, description="Own certificate (PEM) and those that lead to its authority, relative to this file."
    )
    key: Path | None = Field(None, description="Its private key (PEM) without a passphrase, relative to this file.")
    trusted: Path | None = Field(
        None,
        description="Certificates (PEM) of the authorities, or of the senders themselves, that are trusted; relative "
        "to this file.",
    )
    require_client_certificate: bool = Field(True, description="Refuse senders without a trusted certificate.")
    port: int = Field(2762, ge=0, le=65535, description="TCP port for TLS; 0 lets the system choose one.")
    also_plain: bool = Field(False, description="Serve listener.port without TLS too, e.g. while senders change over.")
    profile: Literal["bcp195", "modified"] = Field(
        "bcp195", description="'bcp195' (PS3.15 B.12) or 'modified' (B.13): which cipher suites of TLS 1.2 are offered."
    )

    @model_validator(mode="after")
    def _belong_together(self) -> "TlsSection":
        if (self.certificate is None) != (self.key is None):
            missing = "certificate" if self.certificate is None else "key"
            raise ValueError(f"{missing} is missing: TLS needs both certificate and key")
        if self.certificate is not None and self.require_client_certificate and self.trusted is None:
            raise ValueError(
                "trusted is missing: name the certificates that senders must have, or set "
                "require_client_certificate = false"
            )
        return self


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


class CompletionSection(Section):
    """What may end the wait for the instances of a series before `listener.quiet_seconds`; nothing prolongs it."""

    count_from_headers: bool = Field(
        True,
        description="Number of Series Related Instances (0020,1209) of the first instance ends the wait when exactly "
        "so many are here.",
    )
    ask_sender: bool = Field(
        False,
        description="Ask the sender by C-FIND, when its instances pause, how many there are; needs host and port of "
        "its `[[listener.peers]]`.",
    )
    ask_timeout_seconds: float = Field(10.0, gt=0, description="A sender that does not answer for this long, seconds.")
    settle_seconds: float = Field(
        2.0, ge=0, description="The wait ends early when nothing came for this long, seconds; also the pause to ask."
    )
    release_ends_closed_series: bool = Field(
        False,
        description="The release of an association ends the wait for a series without a gap. Half a chest has no gap "
        "either: only for senders that send each series whole on one association.",
    )
    closed_minimum_slices: int = Field(
        50, ge=2, description="A series of fewer slices is never taken as without a gap."
    )


class ListenerSection(Section):
    """The DICOM storage SCP."""

    ae_title: str = Field("SEGWATCH", pattern=AE_TITLE, description="Own AE title, 1 to 16 characters.")
    host: str = Field("0.0.0.0", description="Address to listen on; 0.0.0.0 is every interface.")  # noqa: S104 (a PACS reaches it from another host)
    port: int = Field(11112, ge=0, le=65535, description="TCP port; 0 lets the system choose one.")
    storage_classes: tuple[str, ...] = Field(
        ("CTImageStorage", "EnhancedCTImageStorage", "LegacyConvertedEnhancedCTImageStorage"),
        min_length=1,
        max_length=200,
        description="Kinds of object that are accepted: names of PS3.6 table A-1, or UIDs.",
    )
    quiet_seconds: float = Field(
        30.0, gt=0, description="A series is complete when no instance came for this long, in seconds."
    )
    maximum_wait_seconds: float = Field(
        3600.0, gt=0, description="A series is complete at the latest this long after its first instance, in seconds."
    )
    require_called_ae_title: bool = Field(False, description="Refuse associations that call another AE title.")
    maximum_associations: int = Field(
        50, ge=1, le=1000, description="Associations served at once; further ones are refused."
    )
    maximum_associations_per_peer: int = Field(
        25, ge=1, le=1000, description="Of one AE title at one address, where `[[listener.peers]]` says nothing else."
    )
    maximum_pdu_bytes: int = Field(131072, ge=4096, le=1048576, description="Largest PDU announced to senders, bytes.")
    artim_seconds: float = Field(
        30.0,
        gt=0,
        le=600,
        description="A connection that opens no association within this is closed, TLS handshake included, seconds.",
    )
    idle_seconds: float = Field(
        60.0, gt=0, le=86400, description="An association that is silent for this long is aborted, seconds."
    )
    maximum_instance_bytes: int = Field(
        2**30, ge=2**20, description="An association that sends a longer data set is aborted, bytes."
    )
    fast_intake: bool = Field(
        True,
        description="Take plain C-STORE requests straight to disk. false: pynetdicom's own way, which is slower; "
        "all bounds and limits stay in force.",
    )
    receivers: int = Field(
        4,
        ge=0,
        le=64,
        description="Processes that take them, without TLS; each may have several senders. 0: threads of the listener.",
    )
    only_known_peers: bool = Field(
        False, description="Refuse associations of senders that no `[[listener.peers]]` describes."
    )
    completion: CompletionSection = CompletionSection()
    commitment: CommitmentSection = CommitmentSection()
    peers: tuple[PeerSection, ...] = ()
    stow: StowSection = StowSection()
    ae_titles: tuple[AeTitleSection, ...] = ()
    tls: TlsSection = TlsSection()

    @field_validator("storage_classes")
    @classmethod
    def _known_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != cls.model_fields["storage_classes"].default:
            # pydicom takes longer to import than most commands to run
            from dicom_listener.network.storage_classes import sop_class_uid  # noqa: PLC0415 (only where it is needed)

            for name in value:
                sop_class_uid(name)
        return value

    @field_validator("ae_titles")
    @classmethod
    def _distinct_titles(cls, value: tuple[AeTitleSection, ...]) -> tuple[AeTitleSection, ...]:
        titles = [one.ae_title for one in value]
        twice = next((title for title in titles if titles.count(title) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands there twice")
        return value
