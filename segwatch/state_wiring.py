"""Opens what a site keeps: its state (series, jobs, outbox and the acts of people), its spool and its results."""

from pathlib import Path

from sqlalchemy import Engine

from dicom_listener import state as listener_state
from dicom_listener.spool.spool import Spool
from inference.sql_queue import metadata as queue_metadata
from reporter import outbox
from segwatch import acts, made_results, opt_out_acts
from segwatch.database import make_engine, make_tables
from segwatch.errors import SettingsError
from segwatch.private_files import make_private_database, make_private_folder
from segwatch.result_folder import results_root
from segwatch.settings import SiteSettings


def make_state_engine(settings: SiteSettings) -> Engine:
    """Open the site's state, its tables made. Raises `SettingsError`."""
    engine = make_engine(settings.state_url)
    data = settings.site.data_dir
    try:
        for folder in (data / "spool", results_root(settings)):
            make_private_folder(folder)
    except OSError as error:
        raise SettingsError(f"the folder {data} of the data cannot be made: {error.strerror}") from error
    if engine.dialect.name == "sqlite" and engine.url.database and not engine.url.database.startswith((":", "file:")):
        folder = Path(engine.url.database).parent
        try:
            make_private_folder(folder)
            make_private_database(Path(engine.url.database))
        except OSError as error:
            raise SettingsError(f"the state in the folder {folder} cannot be made: {error.strerror}") from error
    rooms = (listener_state.metadata, queue_metadata, outbox.metadata)
    make_tables(engine, *rooms, acts.metadata, opt_out_acts.metadata, made_results.metadata)
    return engine


def make_spool(settings: SiteSettings) -> Spool:
    """Open the spool. Raises `SpoolError`."""
    return Spool(
        settings.site.data_dir / "spool",
        high_watermark=settings.spool.high_watermark,
        minimum_free_bytes=settings.spool.minimum_free_bytes,
    )
