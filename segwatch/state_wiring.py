"""Opens the state of a site: series, jobs, outbox and the acts of people."""

from pathlib import Path

from sqlalchemy import Engine

from dicom_listener import state as listener_state
from inference.sql_queue import metadata as queue_metadata
from reporter import outbox
from segwatch import acts, made_results, opt_out_acts
from segwatch.database import make_engine, make_tables
from segwatch.errors import SettingsError
from segwatch.settings import SiteSettings


def make_state_engine(settings: SiteSettings) -> Engine:
    """Open the site's state, its tables made. Raises `SettingsError`."""
    engine = make_engine(settings.state_url)
    if engine.dialect.name == "sqlite" and engine.url.database:
        folder = Path(engine.url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"the folder {folder} of the state cannot be made: {error.strerror}") from error
    rooms = (listener_state.metadata, queue_metadata, outbox.metadata)
    make_tables(engine, *rooms, acts.metadata, opt_out_acts.metadata, made_results.metadata)
    return engine
