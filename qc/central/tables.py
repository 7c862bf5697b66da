"""The tables of the central store. Times are Unix seconds UTC by this host's clock and decide nothing."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.exc import SQLAlchemyError

from qc.errors import StoreError

METADATA = MetaData()

_OFFSET = BigInteger()
_TOPIC = String(249)
_SHA256 = String(64)
_UUID = String(36)
_NAME = String(64)

records = Table(
    "central_records",
    METADATA,
    Column("event_id", _UUID, primary_key=True),
    Column("site_id", _NAME, nullable=False),
    Column("model_name", _NAME, nullable=False),
    Column("model_version", _NAME, nullable=False),
    Column("model_sha256", _SHA256, nullable=False),
    Column("metric_set_name", _NAME, nullable=False),
    Column("metric_set_version", Integer, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("study_key", _SHA256, nullable=False),
    Column("period", _NAME, nullable=False),
    Column("software_version", _NAME, nullable=False),
    Column("payload_sha256", _SHA256, nullable=False),  # tells a copy from another record under the same id
    Column("topic", _TOPIC, nullable=False),
    Column("partition_number", Integer, nullable=False),
    Column("message_offset", _OFFSET, nullable=False),
    Column("received_at", Double, nullable=False),
    Index("central_records_by_site", "site_id", "model_sha256", "period"),
)

verdicts = Table(
    "central_verdicts",
    METADATA,
    Column("event_id", _UUID, ForeignKey("central_records.event_id"), primary_key=True),
    Column("detector_name", _NAME, nullable=False),
    Column("detector_version", _NAME, nullable=False),
    Column("detector_sha256", _SHA256, nullable=False),
    Column("probability", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("low_quality", Boolean, nullable=False),
    Column("contributions", JSON, nullable=False),
    Column("out_of_range", JSON, nullable=False),
)

site_windows = Table(
    "central_site_windows",
    METADATA,
    Column("site_id", _NAME, primary_key=True),
    Column("model_sha256", _SHA256, primary_key=True),
    Column("detector_sha256", _SHA256, primary_key=True),
    Column("model_name", _NAME, nullable=False),
    Column("model_version", _NAME, nullable=False),
    Column("detector_name", _NAME, nullable=False),
    Column("detector_version", _NAME, nullable=False),
    Column("cases", Integer, nullable=False),
    Column("window", JSON, nullable=False),
    Column("updated_at", Double, nullable=False),
)

alerts = Table(
    "central_alerts",
    METADATA,
    Column("alert_id", _UUID, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("site_id", _NAME, nullable=False),
    Column("model_sha256", _SHA256, nullable=False),
    Column("detector_sha256", _SHA256, nullable=False),
    Column("raised", JSON, nullable=False),  # the message that raised it
    Column("resolved", JSON, nullable=True),  # the message that resolved it
    Column("raised_at", Double, nullable=False),
    Column("resolved_at", Double, nullable=True),
    Index("central_alerts_by_site", "site_id", "state"),
)

positions = Table(
    "central_positions",
    METADATA,
    Column("topic", _TOPIC, primary_key=True),
    Column("partition_number", Integer, primary_key=True),
    Column("next_offset", _OFFSET, nullable=False),
    Column("updated_at", Double, nullable=False),
)

# A refused message may hold what should never have left a site, so its bytes are not kept.
dead_letters = Table(
    "central_dead_letters",
    METADATA,
    Column("topic", _TOPIC, primary_key=True),
    Column("partition_number", Integer, primary_key=True),
    Column("message_offset", _OFFSET, primary_key=True),
    Column("payload_sha256", _SHA256, primary_key=True),  # a topic that was replaced counts from 0 again
    Column("error", _NAME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", Double, nullable=False),
)

# A record of a newer schema must be kept as it came, to be decoded by a later version. It was not checked field by
# field, so nothing shows or forwards these bytes, and a replay deletes them.
parked = Table(
    "central_parked",
    METADATA,
    Column("topic", _TOPIC, primary_key=True),
    Column("partition_number", Integer, primary_key=True),
    Column("message_offset", _OFFSET, primary_key=True),
    Column("payload_sha256", _SHA256, primary_key=True),
    Column("message_key", Text, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("parked_at", Double, nullable=False),
)

outbox = Table(
    "central_outbox",
    METADATA,
    # SQLite counts up by itself in a column of type INTEGER alone
    Column("message_number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", _TOPIC, nullable=False),
    Column("message_key", Text, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("queued_at", Double, nullable=False),
    sqlite_autoincrement=True,
)


def create_tables(engine: Engine) -> None:
    """Create the tables that are missing.

    Raises:
        StoreError: the database does not answer or refuses.
    """
    try:
        with engine.begin() as connection:
            METADATA.create_all(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"the central store cannot be opened ({type(error).__name__}): check its URL") from error
