"""`ScpSettings`: how the listener negotiates, and its limits."""

from dataclasses import dataclass

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dicom_listener.network.admission import AdmissionRules
from dicom_listener.network.tls import TlsSettings
from dicom_listener.network.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from dicom_listener.peers import Peer


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """How the SCP negotiates, and its limits."""

    sop_classes: tuple[str, ...] = (
        CTImageStorage,
        # cannot be segmented, but a named rejection later tells more than a refused presentation context
        EnhancedCTImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
    )
    """Storage SOP classes that are accepted. Others of a study (secondary captures, dose reports) are refused by
    presentation context, which lets a sender skip them; accepting what is never used would keep it for nothing."""
    transfer_syntaxes: tuple[str, ...] = STORAGE_TRANSFER_SYNTAXES
    """In order of preference where a sender offers several for one presentation context."""
    require_called_ae_title: bool = False
    """Refuse associations that call an AE title which is not ours."""
    further_ae_titles: tuple[str, ...] = ()
    """Own AE titles, the first may be among them; where there are any, others that are called are refused."""
    peers: tuple[Peer, ...] = ()
    """The senders that are known: one of these titles must come from its own addresses."""
    only_known_peers: bool = False
    """Refuse associations of others."""
    maximum_associations: int = 50
    """Further ones are rejected (local limit exceeded); twice as many connections may be open."""
    maximum_associations_per_peer: int = 25
    """Of one AE title at one address, where `peers` says nothing else."""
    maximum_pdu_bytes: int = 128 * 1024
    """Largest PDU that we announce; small ones cost time for each."""
    first_pdu_seconds: float = 30.0
    """A connection that opens no association within this is closed (the ARTIM timer, PS3.8 section 9.1.5); its TLS
    handshake counts."""
    idle_seconds: float = 60.0
    """An association that is silent, or busy with one PDU, for this long is aborted."""
    maximum_instance_bytes: int = 2**30
    """An association that sends a longer data set is aborted."""
    fast_intake: bool = True
    """Take plain C-STORE requests past pynetdicom, see `dicom_listener.network.fast_intake`."""
    receivers: int = 0
    """How many processes take them; 0: threads of this process do."""
    journal_bytes: int = 0
    """How much these may keep in the journal of the spool, see `dicom_listener.spool.journal`; 0: nothing."""
    journal_seconds: float = 2.0
    """How long an instance waits there for its file at most, while others come. It counts for its series from then on,
    so this is to be a small part of a series' quiet time."""
    tls: TlsSettings | None = None
    """Speak TLS on a port of its own."""
    tls_port: int = 2762
    """TCP port for TLS (dicom-tls, PS3.15 annex B.12); 0 lets the system choose one."""
    serve_without_tls: bool = True
    """Listen on the plain port too."""
    stop_seconds: float = 10.0
    """How long `stop` waits for aborted associations to end."""

    @property
    def serves_only_tls(self) -> bool:
        """Whether the plain port stays closed."""
        return self.tls is not None and not self.serve_without_tls

    def admission_rules(self, ae_title: str) -> AdmissionRules:
        """Who may open an association with the AE of that title."""
        is_checked = self.require_called_ae_title or bool(self.further_ae_titles)
        return AdmissionRules(
            ae_titles=tuple(dict.fromkeys((ae_title, *self.further_ae_titles))) if is_checked else (),
            peers=self.peers,
            only_known_peers=self.only_known_peers,
            maximum_associations=self.maximum_associations,
            maximum_per_peer=self.maximum_associations_per_peer,
        )
