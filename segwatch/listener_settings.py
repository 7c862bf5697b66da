"""From the settings of a site to those of its listener, where they need more than their own table to be checked."""

from dicom_listener.network.scp import ScpSettings
from dicom_listener.network.storage_classes import sop_class_uid
from dicom_listener.network.tls import TlsProfile, TlsSettings
from dicom_listener.peers import Peer
from segwatch.settings import SiteSettings

_JOURNAL_SECONDS = 5.0
"""Longest time that an instance waits in the journal of the spool for its file."""
_JOURNAL_SHARE = 6
"""That time is at most so small a part of the quiet time: an instance counts for its series once it has its file, and
what arrived at once must not look like a pause."""


def make_peers(settings: SiteSettings) -> tuple[Peer, ...]:
    """The senders that the settings describe."""
    return tuple(
        Peer(one.ae_title, one.addresses, one.host, one.port, one.maximum_associations)
        for one in settings.listener.peers
    )


def make_tls(settings: SiteSettings) -> TlsSettings | None:
    """What the port for TLS needs; None where there is none."""
    tls = settings.listener.tls
    if tls.certificate is None or tls.key is None:
        return None
    return TlsSettings(tls.certificate, tls.key, tls.trusted, tls.require_client_certificate, TlsProfile(tls.profile))


def make_sop_classes(settings: SiteSettings) -> tuple[str, ...]:
    """UIDs of the storage SOP classes that are accepted."""
    return tuple(dict.fromkeys(map(sop_class_uid, settings.listener.storage_classes)))


def make_scp_settings(settings: SiteSettings) -> ScpSettings:
    """How the listener negotiates, and its limits."""
    listener = settings.listener
    return ScpSettings(
        sop_classes=make_sop_classes(settings),
        require_called_ae_title=listener.require_called_ae_title,
        further_ae_titles=tuple(one.ae_title for one in listener.ae_titles),
        peers=make_peers(settings),
        only_known_peers=listener.only_known_peers,
        maximum_associations=listener.maximum_associations,
        maximum_associations_per_peer=listener.maximum_associations_per_peer,
        maximum_pdu_bytes=listener.maximum_pdu_bytes,
        first_pdu_seconds=listener.artim_seconds,
        idle_seconds=listener.idle_seconds,
        maximum_instance_bytes=listener.maximum_instance_bytes,
        fast_intake=listener.fast_intake,
        receivers=listener.receivers,
        journal_bytes=settings.spool.journal_bytes,
        journal_seconds=min(_JOURNAL_SECONDS, listener.quiet_seconds / _JOURNAL_SHARE),
        tls=make_tls(settings),
        tls_port=listener.tls.port,
        serve_without_tls=listener.tls.also_plain,
    )
