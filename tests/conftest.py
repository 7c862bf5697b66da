"""Fixtures that start real peers; the one place that knows where test data and Kafka lie by default."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dciodvfy, Dcmtk, find_dciodvfy, find_dcmtk
from tests.peers.kafka import KafkaBroker, find_kafka
from tests.peers.missing import missing_peer
from tests.peers.orthanc import Orthanc
from tests.peers.ports import free_ports
from tests.peers.postgres import PostgresCluster
from tests.tools import leftovers

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared"
TEST_DATA = Path(os.environ.get("SEGWATCH_TEST_DATA", BESIDE_THE_CHECKOUT / "data"))
KAFKA_HOME = Path(os.environ.get("KAFKA_HOME", BESIDE_THE_CHECKOUT / "kafka"))
KAFKA_BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP")
"""A broker that runs already; one is started from KAFKA_HOME where this is not set."""


FOREIGN_WARNINGS = (
    # kafka-python 3.0.12 reads its schemas by a function that Python 3.11 and 3.12 call deprecated (3.13 does not)
    "ignore:(read|open)_text is deprecated. Use files:DeprecationWarning",
)


# how long an example takes says nothing on a machine that is busy; CI repeats the same examples each time
settings.register_profile("segwatch", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("segwatch")


def pytest_configure(config: pytest.Config) -> None:
    """Tear down on SIGTERM as on Ctrl-C: a time limit must not leave servers behind."""
    for warning in FOREIGN_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)
    config.pluginmanager.register(leftovers, "leftovers")

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real DICOM files (SEGWATCH_TEST_DATA), read only."""
    if not TEST_DATA.is_dir():
        missing_peer("real DICOM files", f"no folder {TEST_DATA}; set SEGWATCH_TEST_DATA")
    return TEST_DATA


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns another unused loopback port at each call."""
    return free_ports


@pytest.fixture(scope="session")
def dcmtk() -> Dcmtk:
    """DCMTK's programs by absolute path."""
    return find_dcmtk()


@pytest.fixture(scope="session")
def dciodvfy() -> Dciodvfy:
    """dicom3tools' checker: `dciodvfy.errors(file)`."""
    return find_dciodvfy()


@pytest.fixture(scope="session")
def _shared_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def orthanc(_shared_orthanc: Orthanc) -> Orthanc:
    """A running, empty Orthanc; started once per session, so a test may stop it but not change its settings."""
    if not _shared_orthanc.is_running:
        _shared_orthanc.start()
    _shared_orthanc.clear()
    return _shared_orthanc


@pytest.fixture
def orthanc_factory(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """A function that makes an Orthanc of one's own, not started yet: `orthanc_factory(OverwriteInstances=True)`."""
    with ExitStack() as made:
        count = 0

        def make(**settings: Any) -> Orthanc:
            nonlocal count
            count += 1
            server = Orthanc(tmp_path / f"orthanc-{count}", **settings)
            made.callback(server.close)
            return server

        yield make


@pytest.fixture(scope="session")
def _kafka_closes_its_sockets() -> None:
    leftovers.make_kafka_close_failed_sockets()


@pytest.fixture(scope="session")
def kafka_home(_kafka_closes_its_sockets: None) -> Path:
    """A Kafka distribution, with its command line tools in `bin`."""
    return find_kafka(KAFKA_HOME)


@pytest.fixture(scope="session")
def kafka_bootstrap(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _kafka_closes_its_sockets: None
) -> Iterator[str]:
    """`host:port` of a real broker, shared by the session: take topic names of your own."""
    if KAFKA_BOOTSTRAP is not None:
        yield KAFKA_BOOTSTRAP
        return
    broker = KafkaBroker(request.getfixturevalue("kafka_home"), tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker.bootstrap
    finally:
        broker.close()


@pytest.fixture
def kafka_broker(kafka_home: Path, tmp_path: Path) -> Iterator[Callable[[], KafkaBroker]]:
    """A function that makes a broker of one's own, not started yet, to be killed and started again."""
    with ExitStack() as made:
        count = 0

        def make() -> KafkaBroker:
            nonlocal count
            count += 1
            broker = KafkaBroker(kafka_home, tmp_path / f"kafka-{count}")
            made.callback(broker.close)
            return broker

        yield make


@pytest.fixture(scope="session")
def _postgres_cluster() -> Iterator[PostgresCluster]:
    cluster = PostgresCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def postgres_url(_postgres_cluster: PostgresCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty PostgreSQL database."""
    number = request.config.stash[_DATABASES] = request.config.stash.get(_DATABASES, 0) + 1
    name = f"test_{number}"
    yield _postgres_cluster.create_database(name)
    _postgres_cluster.drop_database(name)


_DATABASES = pytest.StashKey[int]()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy URL of a new, empty database, once on SQLite and once on PostgreSQL: for contract suites."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def segwatch_cli(tmp_path: Path) -> Iterator[SegwatchCli]:
    """The installed command: `segwatch_cli("process", folder)`; `segwatch_cli.start("site", ...)` in the background."""
    cli = SegwatchCli(tmp_path)
    try:
        yield cli
    finally:
        cli.close()
