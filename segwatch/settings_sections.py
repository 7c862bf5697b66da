"""The tables of the settings files: frozen, closed, every key documented with its unit and default."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SITE_SECRET_VARIABLE = "SEGWATCH_SITE_SECRET"  # noqa: S105 (the name of a variable, not a secret)
KAFKA_PASSWORD_VARIABLE = "SEGWATCH_KAFKA_PASSWORD"  # noqa: S105 (the name of a variable, not a secret)
STATE_URL_VARIABLE = "SEGWATCH_STATE_URL"
STORE_URL_VARIABLE = "SEGWATCH_STORE_URL"

AE_TITLE = r"^[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?$"
"""VR AE (PS3.5 6.2): up to 16 characters of the default repertoire without backslash, no space at either end."""
SITE_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"
RULES_NAME = SITE_ID
DESTINATION_NAME = r"^[a-z0-9][a-z0-9-]{0,31}$"
STREAM_DESTINATION = "stream"
"""Name of the message log among the destinations of the outbox; no other has it."""
JOURNAL_LANE_BYTES = 33_554_432
"""As `dicom_listener.spool.journal.lanes.LANE_BYTES`, which every command would have to import."""


class Section(BaseModel):
    """A table of the settings file: frozen, closed. One that may stand several times has an `example`."""

    example: ClassVar[dict[str, Any]] = {}
    """Values of the table that `segwatch init` writes as a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SiteSection(Section):
    """Who this site is, and where it keeps its files."""

    id: str = Field(pattern=SITE_ID, description="Name of this site in topics and alerts: a-z, 0-9 and '-'.")
    data_dir: Path = Field(
        Path("segwatch-data"), description="Folder of spool, results and state; relative to this file."
    )
    secret_file: Path = Field(
        Path("site.key"),
        description=f"File with the site's secret key, 32 bytes or more; {SITE_SECRET_VARIABLE} goes first.",
    )
    period: Literal["day", "week", "month"] = Field(
        "week", description="How exactly a record tells when its CT was acquired: 'day', 'week' or 'month'."
    )


class SpoolSection(Section):
    """Where received instances wait for their results."""

    high_watermark: float = Field(
        0.9, gt=0, lt=1, description="Instances are refused (A700) above this used share of the disk, 0..1."
    )
    minimum_free_bytes: int = Field(
        1_000_000_000, ge=0, description="Instances are refused (A700) with less than this free, bytes."
    )
    journal_bytes: int = Field(
        536_870_912,
        ge=0,
        description="Size of the journal, into which bursts of instances go before each gets a file, bytes; in lanes "
        f"of {JOURNAL_LANE_BYTES}, rounded down; written in advance, at most a twentieth of the disk. 0: no journal.",
    )
    retention_hours: float = Field(
        24.0, ge=0, description="Instances and results are purged this long after every result was confirmed, hours."
    )

    @field_validator("journal_bytes")
    @classmethod
    def _lane_or_nothing(cls, value: int) -> int:
        if 0 < value < JOURNAL_LANE_BYTES:
            raise ValueError(f"wanted is 0, which switches it off, or {JOURNAL_LANE_BYTES} and more, not {value}")
        return value


class StateSection(Section):
    """Series, jobs and outbox."""

    url: str = Field(
        "",
        description="SQLAlchemy URL, e.g. postgresql+pg8000://segwatch@db/segwatch; empty: SQLite in data_dir. "
        f"The variable {STATE_URL_VARIABLE} goes first.",
    )


class ReadSection(Section):
    """Which series can be segmented."""

    minimum_slices: int = Field(20, ge=1, description="Series with fewer slices are rejected (too_few_slices).")
    maximum_voxels: int = Field(
        536_870_912, ge=1, description="Series with more voxels are rejected (too_large) before memory is taken."
    )


class ModelSection(Section):
    """The lesion model and the engine that runs it."""

    manifest: Path | None = Field(
        None,
        description="Manifest of an ONNX model, relative to this file; left out: the reference model (demonstration).",
    )
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",),
        min_length=1,
        description="ONNX Runtime providers in order of preference. CUDAExecutionProvider alone refuses to run without "
        "a GPU; CPUExecutionProvider after it allows the CPU.",
    )
    threads: int = Field(0, ge=0, description="Threads of the CPU provider for one worker; 0: one for each core.")


class WorkerSection(Section):
    """The workers that segment."""

    count: int = Field(1, ge=1, description="Worker processes started by `segwatch site`.")
    lease_seconds: float = Field(
        60.0, gt=0, description="A job whose worker gave no sign of life for this long is taken by another, seconds."
    )
    maximum_attempts: int = Field(3, ge=1, description="A job that failed this often waits for a person.")
    retry_seconds: float = Field(
        60.0, gt=0, description="Wait before the second attempt, seconds; doubled at each further."
    )
    poll_seconds: float = Field(1.0, gt=0, description="How often an idle worker looks for a job, seconds.")


class DetectorSection(Section):
    """The linear quality detector."""

    file: Path | None = Field(
        None, description="Detector JSON, relative to this file; left out: the reference detector (fitted on phantoms)."
    )


class DestinationSection(Section):
    """A DICOM node that gets the results."""

    example: ClassVar[dict[str, Any]] = {"name": "pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": 4242}

    name: str = Field(
        pattern=DESTINATION_NAME,
        description=f"Short name in `status`: a-z, 0-9 and '-'. Not {STREAM_DESTINATION!r}, the message log's own.",
    )
    ae_title: str = Field(pattern=AE_TITLE, description="AE title of the destination.")
    host: str = Field(min_length=1, description="Host name or address.")
    port: int = Field(ge=1, le=65535, description="TCP port.")

    @field_validator("name")
    @classmethod
    def _no_message_log(cls, value: str) -> str:
        if value == STREAM_DESTINATION:
            raise ValueError(f"{value!r} is the message log's name in the outbox; choose another")
        return value


class DeliverySection(Section):
    """How results are sent and repeated."""

    calling_ae_title: str = Field("SEGWATCH", pattern=AE_TITLE, description="Own AE title towards the destinations.")
    timeout_seconds: float = Field(30.0, gt=0, description="Wait for a connection and for each answer, seconds.")
    first_retry_seconds: float = Field(
        5.0, gt=0, description="Wait after the first failure, seconds; doubled at each further."
    )
    longest_retry_seconds: float = Field(
        900.0, gt=0, description="Longest wait between two tries, seconds; tries never end."
    )


class KafkaSection(Section):
    """The connection to Kafka, as kafka-python names it."""

    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=3, description="Comma-separated HOST:PORT list.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    ssl_cafile: Path | None = Field(None, description="CA certificates (PEM), relative to this file.")
    ssl_certfile: Path | None = Field(None, description="Own certificate (PEM), relative to this file.")
    ssl_keyfile: Path | None = Field(None, description="Own key (PEM), relative to this file.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Used with a SASL protocol."
    )
    sasl_username: str | None = Field(None, description="Used with a SASL protocol.")
    sasl_password_file: Path | None = Field(
        None, description=f"File with the password; the variable {KAFKA_PASSWORD_VARIABLE} goes first."
    )
    group: str = Field(
        "segwatch-central",
        min_length=1,
        description="Consumer group of central: centrals of one group and store share the sites. No use at a site.",
    )


class StreamSection(Section):
    """The message log between sites and central."""

    kind: Literal["journal", "kafka"] = Field("journal", description="'journal' (files, one machine) or 'kafka'.")
    journal_dir: Path = Field(Path("journal"), description="Folder of the embedded journal, relative to this file.")
    kafka: KafkaSection = KafkaSection()


class LogSection(Section):
    """The log on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    format: Literal["text", "json"] = Field("text", description="'text' or 'json' (one object a line).")


class StoreSection(Section):
    """Records, verdicts and alerts."""

    url: str = Field(
        "sqlite:///central.sqlite",
        description=f"SQLAlchemy URL; a SQLite file is relative to this file. {STORE_URL_VARIABLE} goes first.",
    )


class AlertSection(Section):
    """When a site's share of flagged segmentations is an alert; docs/explanation/alerts.md has the consequences."""

    window: int = Field(50, ge=1, description="The last cases of a site and model that are looked at.")
    window_minimum: int = Field(20, ge=1, description="Fewer recent cases never raise an alert.")
    baseline: int = Field(1000, ge=1, description="First cases of a site and model that make its baseline.")
    baseline_minimum: int = Field(100, ge=1, description="Until then a site is learning and nothing fires.")
    baseline_confidence: float = Field(
        0.9, gt=0, lt=1, description="Confidence of the upper bound of the baseline's share, 0..1."
    )
    tail: float = Field(
        0.002, gt=0, lt=1, description="Fires when so many flagged cases are rarer than this at the upper bound, 0..1."
    )
    hold: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="While recent cases are rarer than this they stay out of a growing baseline, 0..1; tail or more.",
    )
