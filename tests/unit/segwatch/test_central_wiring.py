"""The central host put together: what an earlier version parked is processed by the one that knows it."""

from pathlib import Path

from qc.central import store
from qc.central.store import Arrival
from qc.errors import NewerSchemaError
from qc.stream.messages import Position, StoredMessage
from segwatch.central_wiring import make_store_engine, running_central
from segwatch.settings import CentralSettings, load_settings
from segwatch.settings_text import central_toml
from tests.unit.qc_central.samples import message


def test_what_an_earlier_version_parked_is_judged_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "central.toml").write_text(central_toml())
    settings = load_settings(tmp_path / "central.toml", CentralSettings)
    engine = make_store_engine(settings)
    parked = message("site-a", 1)
    with engine.begin() as connection:
        arrival = Arrival(StoredMessage(parked, Position(parked.topic, 0, 0)), 1.0)
        store.insert_parked(connection, arrival, NewerSchemaError("a record of schema version 1"))
    engine.dispose()
    with running_central(settings) as consumer:
        assert consumer.consume_available().published == 1  # its verdict
    with make_store_engine(settings).begin() as connection:
        assert store.read_parked(connection) == []
