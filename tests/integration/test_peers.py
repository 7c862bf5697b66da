"""The peers that other tests rely on do what they promise: start, answer, go down and come back with their data."""

import signal
import urllib.error
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from sqlalchemy import text

from segwatch.database import make_engine
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dciodvfy, Dcmtk
from tests.peers.kafka import KafkaBroker, console_consume
from tests.peers.missing import missing_peer
from tests.peers.orthanc import Orthanc
from tests.peers.ports import free_ports, is_listening
from tests.peers.processes import PeerError, ServerProcess
from tests.peers.waiting import wait_until


def test_dcmtk_sends_to_orthanc_which_returns_the_file(dcmtk: Dcmtk, orthanc: Orthanc, test_data: Path) -> None:
    source = test_data / "minimal_header"

    done = dcmtk.send(source, port=orthanc.dicom_port, called=orthanc.ae_title)

    assert done.returncode == 0, done.stderr
    assert len(orthanc.instances()) == 2
    assert orthanc.file(orthanc.instances()[0])[128:132] == b"DICM"


def test_orthanc_is_empty_for_the_next_test(orthanc: Orthanc) -> None:
    assert orthanc.studies() == []


def test_orthanc_comes_back_on_the_same_ports_with_its_data(
    dcmtk: Dcmtk, orthanc_factory: Callable[..., Orthanc], test_data: Path
) -> None:
    pacs = orthanc_factory()
    assert dcmtk.echo(port=pacs.dicom_port).returncode != 0
    pacs.start()
    pacs.upload(next((test_data / "minimal_header").glob("*.dcm")))

    pacs.stop()
    assert not is_listening(pacs.dicom_port)
    with pytest.raises(urllib.error.URLError):
        pacs.series()

    pacs.start()
    assert len(pacs.series()) == 1
    assert dcmtk.echo(port=pacs.dicom_port).returncode == 0


def test_dciodvfy_names_errors(dciodvfy: Dciodvfy, test_data: Path) -> None:
    assert dciodvfy.errors(next((test_data / "minimal_header").glob("*.dcm")))


def test_kafka_takes_a_record_and_its_own_consumer_reads_it(kafka_bootstrap: str, kafka_home: Path) -> None:
    _produce(kafka_bootstrap, "test-peers", b"one")

    assert console_consume(kafka_home, kafka_bootstrap, "test-peers", count=1) == ["one"]


@pytest.mark.parametrize("official", [False, True], ids=["short-script", "official-scripts"])
def test_kafka_keeps_acknowledged_records_over_a_kill(
    kafka_broker: Callable[[], KafkaBroker], tmp_path: Path, kafka_home: Path, *, official: bool
) -> None:
    broker = (
        KafkaBroker(_official_distribution(kafka_home, tmp_path), tmp_path / "data") if official else kafka_broker()
    )
    try:
        broker.start()
        _produce(broker.bootstrap, "test-kill", b"before")
        broker.kill()
        assert not is_listening(broker.port)
        broker.start()
        _produce(broker.bootstrap, "test-kill", b"after")
        assert _consume(broker.bootstrap, "test-kill", 2) == [b"before", b"after"]
    finally:
        broker.close()


def _official_distribution(home: Path, folder: Path) -> Path:
    """The same Kafka without our short start script, as it is downloaded."""
    copy = folder / "official"
    (copy / "bin").mkdir(parents=True)
    for script in (home / "bin").glob("*.sh"):
        (copy / "bin" / script.name).symlink_to(script)
    return copy


def _produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    try:
        producer.send(topic, value).get(timeout=60)
    finally:
        producer.close()


def _consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=60_000
    )
    try:
        return [record.value for _, record in zip(range(count), consumer, strict=False)]
    finally:
        consumer.close()


def test_each_database_is_new(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_here (id INTEGER)"))
    engine.dispose()


def test_each_database_is_new_again(database_url: str) -> None:
    test_each_database_is_new(database_url)


def test_the_command_is_the_installed_one(segwatch_cli: SegwatchCli) -> None:
    done = segwatch_cli("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] == version("segwatch")


def test_a_missing_peer_is_skipped_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        missing_peer("Orthanc", "not installed")

    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed"):
        missing_peer("Orthanc", "not installed")


def test_a_server_that_ends_at_once_is_reported_with_its_words(tmp_path: Path) -> None:
    server = ServerProcess(["sh", "-c", "echo no licence found; exit 3"], log=tmp_path / "log")

    with pytest.raises(PeerError, match="no licence found"):
        server.start_and_wait_for_port(free_ports())


def test_stopping_a_server_ends_its_children_too(tmp_path: Path) -> None:
    server = ServerProcess(["sh", "-c", "sleep 1000 & echo $!; wait"], log=tmp_path / "log")
    server.start()
    wait_until(lambda: server.output().endswith("\n"), "the child's process id is printed")
    child = Path("/proc") / server.output().strip()
    assert child.exists()

    assert server.stop() == -signal.SIGTERM

    def is_gone() -> bool:  # or a zombie, where nobody adopts orphans
        return not child.exists() or (child / "stat").read_text().split()[2] == "Z"

    wait_until(is_gone, "the child is gone")
