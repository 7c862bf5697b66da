"""What `segwatch doctor` says about the port without TLS: free, ours, or somebody else's."""

from dicom_listener.network.admission import AssociationRequest, Load, Refusal, refusal
from dicom_listener.spool.claims import is_claimed
from dicom_listener.spool.part10 import IMPLEMENTATION_CLASS_UID
from reporter.association import Destination
from reporter.who_answers import Answer, who_answers
from segwatch.binding import ANOTHER_SEGWATCH, bind_error, reachable, refuse_address
from segwatch.findings import Caution
from segwatch.listener_settings import make_scp_settings
from segwatch.settings import SiteSettings

TIMEOUT_S = 5.0
CALLING_AE_TITLE = "SEGWATCH-DOCTOR"


def check_port(settings: SiteSettings) -> str | Caution:
    """The plain port is ours, or free; who listens there is asked by opening an association.

    Raises:
        UsageError: it is another program's, or the address cannot be bound.
    """
    host, port = settings.listener.host, settings.listener.port
    if make_scp_settings(settings).serves_only_tls:
        return f"port {port} stays closed: only TLS is spoken"
    error = bind_error(host, port)
    if error is None:
        return f"port {port} is free"
    keys = "listener.host", "listener.port"
    answer = who_answers(_ourselves(settings)) if port else None
    if answer is None:
        raise refuse_address(error, host, port, keys) from error
    of_whom = _of_whom(settings, answer)
    if of_whom is None:
        raise refuse_address(error, host, port, keys, by=_stranger(answer)) from error
    return of_whom


def _ourselves(settings: SiteSettings) -> Destination:
    listener = settings.listener
    return Destination("self", listener.ae_title, reachable(listener.host), listener.port, CALLING_AE_TITLE, TIMEOUT_S)


def _of_whom(settings: SiteSettings, answer: Answer) -> str | Caution | None:
    """What is said of a DICOM program on our port; None where it is known to be another than our listener.

    A listener that has this site's spool has its ports too: it does not run without them. So a rejection, which does
    not tell who rejects, is ours where the listener runs and its settings demand it.
    """
    port, runs = settings.listener.port, is_claimed(settings.site.data_dir / "spool")
    if runs is False or (answer.rejection is None and answer.implementation_class_uid != IMPLEMENTATION_CLASS_UID):
        return None
    if answer.rejection is None:
        return f"a DICOM listener answers on port {port}"
    rejected = f"it rejects {CALLING_AE_TITLE}: {answer.reason}"
    if runs and answer.rejection in _our_rejections(settings):
        return f"this site's listener answers on port {port} ({rejected})"
    return Caution(
        f"a DICOM program answers on port {port}, and {rejected}. If it is this site's listener, all is well; it knows "
        "the settings of when it was started. If not, choose another listener.port"
    )


def _our_rejections(settings: SiteSettings) -> list[tuple[int, int, int]]:
    """Result, source and reason by which our listener may reject us: it may be full, whatever else it may say."""
    listener = settings.listener
    request = AssociationRequest(CALLING_AE_TITLE, listener.ae_title, reachable(listener.host))
    refused = refusal(request, make_scp_settings(settings).admission_rules(listener.ae_title), Load(0, 0))
    return [Refusal.LOCAL_LIMIT.value if refused is None else refused.refusal.value]


def _stranger(answer: Answer) -> str:
    if answer.implementation_class_uid == IMPLEMENTATION_CLASS_UID:
        return ANOTHER_SEGWATCH
    return "another DICOM program"
