"""Checks of a site before and while it runs: what is wrong, and what to do about it."""

from collections.abc import Iterator
from functools import partial

from inference.model_package import load_model_package, reference_manifest
from qc.detector import load_detector, reference_detector_path
from qc.errors import FeatureMismatchError
from qc.metric_set import LESION_CORE_1
from qc.stream.kafka_admin import DAY_MS, TopicSettings, check_broker
from qc.stream.topics import metrics_topic
from reporter.association import Destination, echo
from segwatch import delivery_wiring, state_wiring, stow_wiring, wiring
from segwatch.commitment_wiring import check_commitment
from segwatch.completion_wiring import check_completion
from segwatch.errors import ROOM_ERRORS, UsageError
from segwatch.findings import Caution, Check, Finding
from segwatch.journal_check import check_journal
from segwatch.metrics_check import check_metrics
from segwatch.network_check import check_descriptors, check_tls
from segwatch.port_check import check_port
from segwatch.routing_wiring import examine_routing
from segwatch.settings import SiteSettings
from segwatch.stream_wiring import kafka_connection, make_sink

ECHO_TIMEOUT_S = 5.0
RETENTION_MS = round(TopicSettings().retention_days * DAY_MS)
"""How long a topic that Segwatch makes itself keeps messages."""


def examine(settings: SiteSettings) -> Iterator[Finding]:
    """Run every check, one finding each, as soon as it is known."""
    for name, check in CHECKS:
        yield _finding(name, check, settings)
    for destination in settings.destinations:
        target = delivery_wiring.make_destination(settings, destination)
        yield _finding(f"destination {destination.name}", partial(_echo, target), settings)


def _finding(name: str, check: Check, settings: SiteSettings) -> Finding:
    try:
        found = check(settings)
    except ROOM_ERRORS as error:
        return Finding(name, False, str(error))
    except OSError as error:
        return Finding(name, False, f"{error.strerror or type(error).__name__}: {error.filename or ''}".rstrip(": "))
    if isinstance(found, Caution):
        return Finding(name, True, found.text, caution=True)
    return Finding(name, True, found)


def _secret(settings: SiteSettings) -> str:
    return f"{len(settings.secret())} bytes"


def _state(settings: SiteSettings) -> str:
    engine = state_wiring.make_state_engine(settings)
    text = engine.url.render_as_string(hide_password=True)
    engine.dispose()
    return text


def _spool(settings: SiteSettings) -> str:
    usage = state_wiring.make_spool(settings).usage()
    if usage.refusal is not None:
        raise UsageError(f"instances are refused: {usage.refusal}; make room, or move site.data_dir to a larger disk")
    return f"{usage.instances} instances, disk {usage.disk_used_share:.0%} full"


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
    ("journal", check_journal),
    ("port", check_port),
    ("TLS", check_tls),
    ("open files", check_descriptors),
    ("STOW-RS", stow_wiring.examine),
    ("completion", check_completion),
    ("commitment", check_commitment),
    ("metrics", check_metrics),
    ("routing", examine_routing),
    ("model", _model),
    ("engine", _engine),
    ("detector", _detector),
    ("stream", _stream),
    ("destinations", _destinations),
)
