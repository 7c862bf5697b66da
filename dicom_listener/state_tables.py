"""The listener's tables: one MetaData for the room."""

from sqlalchemy import BigInteger, Column, Double, ForeignKeyConstraint, Integer, MetaData, String, Table, Text

from dicom_listener.series import KEY_LENGTH

metadata = MetaData()

REASON_LENGTH = 200
"""Characters that are kept of why a report was given up."""

received_series = Table(
    "received_series",
    metadata,
    Column("series_key", String(KEY_LENGTH), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("n_instances", Integer, nullable=False),
    Column("n_late", Integer, nullable=False, default=0),
    Column("n_conflicts", Integer, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("completed_at", Double),
    Column("purged_at", Double),
    Column("decided_at", Double),
    Column("decided_by", String(200)),
    Column("decided_why", String(1000)),
)

received_instances = Table(
    "received_instances",
    metadata,
    Column("series_key", String(KEY_LENGTH), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["series_key", "version"], ["received_series.series_key", "received_series.version"], ondelete="CASCADE"
    ),
)

commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("request_key", String(KEY_LENGTH), primary_key=True),
    Column("transaction_uid", String(64), nullable=False),
    Column("calling_ae_title", String(16), nullable=False),
    Column("called_ae_title", String(16), nullable=False),
    Column("references_digest", String(64), nullable=False),
    Column("reference_list", Text, nullable=False),
    Column("state", String(32), nullable=False, index=True),
    Column("tries", Integer, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("next_try_at", Double, nullable=False),
    Column("finished_at", Double, index=True),
    Column("reason", String(REASON_LENGTH)),
)

series_endings = Table(
    "series_endings",
    metadata,
    Column("series_key", String(KEY_LENGTH), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("ended_by", String(32), nullable=False),
    Column("expected", Integer),
)
"""What ended the wait for the instances of a version; versions that were complete before this table have no row."""
