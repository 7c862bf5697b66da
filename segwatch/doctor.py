"""Checks of a site before and while it runs: what is wrong, and what to do about it."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from inference.model_package import load_model_package, reference_manifest
from qc.detector import load_detector, reference_detector_path
from qc.errors import FeatureMismatchError
from qc.metric_set import LESION_CORE_1
from qc.stream.kafka_admin import DAY_MS, TopicSettings, check_broker
from qc.stream.topics import metrics_topic
from reporter.association import Destination, echo
from segwatch import listener_wiring, stow_wiring, wiring
from segwatch.commitment_wiring import check_commitment
from segwatch.errors import ROOM_ERRORS, UsageError
from segwatch.metrics_check import check_metrics
from segwatch.routing_wiring import examine_routing
from segwatch.settings import SiteSettings
from segwatch.stream_wiring import kafka_connection, make_sink

ECHO_TIMEOUT_S = 5.0
RETENTION_MS = round(TopicSettings().retention_days * DAY_MS)
"""How long a topic that Segwatch makes itself keeps messages."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str
    """What was found; where it is not ok, what to do."""


Check = Callable[[SiteSettings], str]
"""Returns what was found; raises one of the named errors when it is not as it must be."""


def examine(settings: SiteSettings) -> Iterator[Finding]:
    """Run every check, one finding each, as soon as it is known."""
    for name, check in CHECKS:
        yield _finding(name, check, settings)
    for destination in settings.destinations:
        target = wiring.make_destination(settings, destination)
        yield _finding(f"destination {destination.name}", partial(_echo, target), settings)


def _finding(name: str, check: Check, settings: SiteSettings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except ROOM_ERRORS as error:
        return Finding(name, False, str(error))
    except OSError as error:
        return Finding(name, False, f"{error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "))


def _secret(settings: SiteSettings) -> str:
    return f"{len(settings.secret())} bytes"


def _state(settings: SiteSettings) -> str:
    engine = wiring.make_state_engine(settings)
    text = engine.url.render_as_string(hide_password=True)
    engine.dispose()
    return text


def _spool(settings: SiteSettings) -> str:
    usage = listener_wiring.make_spool(settings).usage()
    if usage.refusal is not None:
        raise UsageError(f"instances are refused: {usage.refusal}; make room, or move site.data_dir to a larger disk")
    return f"{usage.instances} instances, disk {usage.disk_used_share:.0%} full"


def _port(settings: SiteSettings) -> str:
    """The port is ours, or free; whether a Segwatch listens is asked by C-ECHO."""
    listener = settings.listener
    own = Destination("self", listener.ae_title, "127.0.0.1", listener.port, "SEGWATCH-DOCTOR", ECHO_TIMEOUT_S)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.host, listener.port))
        except OSError as error:
            if listener.port and _answers(own):
                return f"a DICOM listener answers on port {listener.port}"
            reason = error.strerror or type(error).__name__
            raise UsageError(
                f"{listener.host}:{listener.port}: {reason}; choose another listener.port or listener.host"
            ) from error
    return f"port {listener.port} is free"


def _answers(own: Destination) -> bool:
    try:
        echo(own)
    except ROOM_ERRORS:
        return False
    return True


def _model(settings: SiteSettings) -> str:
    package = load_model_package(settings.model.manifest or reference_manifest())
    identity = package.identity
    wiring.check_model_name(identity)
    return f"{identity.name} {identity.version}, SHA-256 {identity.sha256[:12]} as in the manifest"


def _engine(settings: SiteSettings) -> str:
    return "runs with " + ", ".join(wiring.make_segmenter(settings).providers)


def _detector(_settings: SiteSettings) -> str:
    detector = load_detector(reference_detector_path())
    if detector.registered_metric_set != LESION_CORE_1:
        raise FeatureMismatchError(f"{detector.name} was fitted on another metric set than {LESION_CORE_1.name}")
    return f"{detector.name} {detector.version}"


def _stream(settings: SiteSettings) -> str:
    stream = settings.stream
    if stream.kind == "journal":
        stream.journal_dir.mkdir(parents=True, exist_ok=True)
        make_sink(stream).close()
        return f"journal in {stream.journal_dir}"
    report = check_broker(kafka_connection(stream), ECHO_TIMEOUT_S)
    topic = metrics_topic(settings.site.id)
    if topic not in report.topics:
        raise UsageError(
            f"the broker answers, but the topic {topic} is not there or not visible. Its administrator makes it once: "
            f"kafka-topics.sh --create --topic {topic} --partitions 1 --config cleanup.policy=delete --config "
            f"retention.ms={RETENTION_MS} --bootstrap-server {stream.kafka.bootstrap_servers}; left to the broker, "
            "it would keep records for as long as the broker's default says"
        )
    return f"{report.brokers} brokers, topic {topic}"


def _echo(destination: Destination, _settings: SiteSettings) -> str:
    echo(destination)
    return f"{destination.address} answers C-ECHO"


def _destinations(settings: SiteSettings) -> str:
    if not settings.destinations:
        raise UsageError("no result goes to any PACS: name one under [[destinations]]")
    return f"{len(settings.destinations)} configured"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("secret", _secret),
    ("state", _state),
    ("spool", _spool),
    ("port", _port),
    ("STOW-RS", stow_wiring.examine),
    ("commitment", check_commitment),
    ("metrics", check_metrics),
    ("routing", examine_routing),
    ("model", _model),
    ("engine", _engine),
    ("detector", _detector),
    ("stream", _stream),
    ("destinations", _destinations),
)
