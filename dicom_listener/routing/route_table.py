"""The table of routes: what was decided about each version of a series, among the listener's other tables."""

from sqlalchemy import Column, Double, Integer, String, Table, Text

from dicom_listener.series import KEY_LENGTH
from dicom_listener.state_tables import metadata

series_routes = Table(
    "series_routes",
    metadata,
    Column("series_key", String(KEY_LENGTH), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("study_hash", String(KEY_LENGTH), nullable=False, index=True),
    Column("rules", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reasons", Text, nullable=False),
    Column("merits", Text),
    Column("place", Integer),
    Column("decided_at", Double, nullable=False),
)
