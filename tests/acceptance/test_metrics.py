"""A real `segwatch listen` whose metrics are scraped: they equal what DCMTK sent, and name no patient."""

import http.client
import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from tests.acceptance.hosts import START_TIMEOUT_S, Host, Site, is_one_sentence
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dcmtk
from tests.peers.ports import LOOPBACK, free_ports
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set

pytestmark = pytest.mark.slow

N_SLICES = 10
Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]
PREFIX = "segwatch_listener_"
NAME, PATIENT_ID = "Wintersberger^Apollonia", "PID-7734-XQ"


def http_status(method: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def scrape(port: int) -> Scrape:
    status, text = get(port, "/metrics")
    assert status == 200
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(scraped: Scrape, name: str, **labels: str) -> float:
    return scraped[PREFIX + name, frozenset(labels.items())]


def write(folder: Path, dataset: Dataset, name: str) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, PATIENT_ID, "19310719"
    dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return folder / f"{name}.dcm"


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Slices of a person with a telling name."""
    noise = random.Random(3)  # noqa: S311 (not a secret)
    return [write(tmp_path, data_set(n, pixels=noise.randbytes(20_000)), f"{n:02}") for n in range(1, N_SLICES + 1)]


class Watched(Host):
    """`segwatch listen` whose metrics are served."""

    command = "listen"

    def __init__(self, cli: SegwatchCli, site: Site, metrics_port: int, stow_port: int) -> None:
        with site.settings.open("a", encoding="utf-8") as file:
            file.write('\n[[listener.peers]]\nae_title = "PACS"\n')
        super().__init__(cli, site.settings)
        self.site = site
        self.metrics_port = metrics_port
        self.stow_port = stow_port

    def start(self) -> None:
        self.launch()
        self.wait_for_log('"ready": "listen"', timeout=START_TIMEOUT_S)

    def wait_until_scraped(self, condition: Callable[[Scrape], bool], what: str) -> Scrape:
        found: Scrape = {}

        def is_met() -> bool:
            found.update(scrape(self.metrics_port))
            return condition(found)

        self.wait(is_met, what)
        return found


@pytest.fixture
def listener(make_site: Callable[..., Site], segwatch_cli: SegwatchCli) -> Watched:
    port, stow_port = free_ports(), free_ports()
    changes = {
        "log.format": "json",
        "log.level": "DEBUG",
        "listener.quiet_seconds": 6.0,
        "listener.require_called_ae_title": True,
        "listener.stow.port": stow_port,
        "metrics.port": port,
    }
    return Watched(segwatch_cli, make_site("clinic", changes), port, stow_port)


def send_everything(dcmtk: Dcmtk, port: int, stow_port: int, slices: list[Path], folder: Path) -> None:
    """A series, a slice again, another content under its UID, one that is refused, a wrong AE title, a probe."""
    assert dcmtk.send(*slices, port=port).returncode == 0
    assert dcmtk.send(slices[0], port=port, calling="STRANGER").returncode == 0
    other = write(folder, data_set(1, pixels=bytes(20_000)), "other")
    assert dcmtk.send(other, port=port).returncode == 0
    broken = data_set(99)
    broken.StudyInstanceUID = ""
    dcmtk.send(write(folder, broken, "broken"), port=port)
    assert dcmtk.send(slices[0], port=port, called="NOBODY").returncode != 0
    assert dcmtk.echo(port=port).returncode == 0
    assert http_status("POST", stow_port, "/studies") == 415
    with socket.create_connection((LOOPBACK, port)) as probe:
        probe.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while probe.recv(1000):
            pass


def test_a_scrape_equals_what_was_sent(dcmtk: Dcmtk, listener: Watched, slices: list[Path], tmp_path: Path) -> None:
    listener.start()
    assert get(listener.metrics_port, "/healthz") == (200, "ready\n")
    assert get(listener.metrics_port, "/")[0] == 404
    send_everything(dcmtk, listener.site.port, listener.stow_port, slices, tmp_path)
    found = listener.wait_until_scraped(
        lambda one: (
            value(one, "series_events_total", event="complete") == 1
            and value(one, "series_receiving") == 0
            and value(one, "spool_instances") == N_SLICES + 1
            and value(one, "connections_refused_total", reason="no_association") >= 1
        ),
        "the series is complete and the spool was measured",
    )
    assert value(found, "instances_total", peer="PACS", outcome="stored") == N_SLICES
    assert value(found, "instances_total", peer="other", outcome="duplicate") == 1
    assert value(found, "instances_total", peer="PACS", outcome="conflict") == 1
    assert value(found, "instances_refused_total", status="A900") == 1
    # the series, the conflict, the refused one; the echo and the duplicate came from strangers
    assert value(found, "associations_total", peer="PACS", end="released") == 3
    assert value(found, "associations_total", peer="other", end="released") == 2
    assert value(found, "associations_total", peer="PACS", end="rejected") == 1
    told = {"result": "rejected-permanent", "source": "service-user", "reason": "called-ae-title-not-recognized"}
    assert value(found, "association_rejections_total", **told) == 1
    assert value(found, "stow_requests_total", status="415") == 1
    assert value(found, "serving") == 1
    assert value(found, "series_receiving") == value(found, "oldest_incomplete_series_seconds") == 0
    assert value(found, "series_instances_sum") == N_SLICES
    assert value(found, "spool_refusing") == value(found, "associations_open") == 0
    assert value(found, "last_contact_timestamp_seconds") > found["process_start_time_seconds", frozenset()]
    received = value(found, "received_bytes_total", peer="PACS") + value(found, "received_bytes_total", peer="other")
    spool = list((listener.site.folder / "segwatch-data" / "spool").glob("[0-9a-f]*/**/*.dcm"))
    assert value(found, "spool_bytes") == sum(path.stat().st_size for path in spool)
    # what is in the spool, and the duplicate, whose File Meta Information names another sender
    again = size_in_spool(spool, slices[0]) + len("STRANGER") - len("PACS")
    assert received == value(found, "spool_bytes") + again

    text = get(listener.metrics_port, "/metrics")[1].lower()
    assert not [word for word in telling(slices) if word in text]
    assert "stranger" not in text
    assert "nobody" not in text
    assert listener.stop() == 0
    log_tells(listener.log(), slices)


def size_in_spool(spool: list[Path], source: Path) -> int:
    """Size of the file that the spool keeps of a slice, the first of its content."""
    uid = dcmread(source).SOPInstanceUID
    (found,) = (p for p in spool if "conflicts" not in p.parts and dcmread(p).SOPInstanceUID == uid)
    return found.stat().st_size


def telling(slices: list[Path]) -> list[str]:
    """What must not be found, in lower case."""
    headers = [dcmread(path) for path in slices]
    uids = {
        str(header[k].value) for header in headers for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    return [NAME.split("^", maxsplit=1)[0].lower(), "apollonia", PATIENT_ID.lower(), "19310719", *uids]


def log_tells(log: str, slices: list[Path]) -> None:
    """One line an association and one a series, as objects, without the person."""
    assert not [word for word in telling(slices) if word in log.lower()]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    associations = [line for line in lines if line.get("event") == "association"]
    assert sorted((one["end"], one["calling"], one["stored"], one["duplicate"]) for one in associations) == [
        ("rejected", "PACS", 0, 0),
        ("released", "ECHOSCU", 0, 0),
        ("released", "PACS", 0, 0),
        ("released", "PACS", 0, 0),
        ("released", "PACS", N_SLICES, 0),
        ("released", "STRANGER", 0, 1),
    ]
    assert {one["reject_reason"] for one in associations} == {None, "called-ae-title-not-recognized"}
    assert sum(one["statuses"].get("A900", 0) for one in associations) == 1
    (series,) = [line for line in lines if line.get("event") == "series_complete"]
    assert (series["instances"], series["version"], series["calling"], series["conflicts"]) == (N_SLICES, 1, "PACS", 1)


def test_a_full_spool_is_told_and_a_port_in_use_is_a_sentence(
    listener: Watched, dcmtk: Dcmtk, slices: list[Path]
) -> None:
    settings = listener.settings.read_text()
    listener.settings.write_text(settings.replace("minimum_free_bytes = 10000000", f"minimum_free_bytes = {10**18}"))
    listener.start()
    assert get(listener.metrics_port, "/healthz") == (503, "refusing\n")
    dcmtk.send(slices[0], port=listener.site.port)
    found = listener.wait_until_scraped(
        lambda one: value(one, "instances_refused_total", status="A700") == 1, "the refusal is counted"
    )
    assert value(found, "spool_refusing") == 1
    assert value(found, "instances_total", peer="PACS", outcome="stored") == 0

    listener.settings.write_text(listener.settings.read_text().replace(f"port = {listener.site.port}", "port = 0"))
    second = listener.cli("listen", "-c", listener.settings)
    assert second.returncode == 1
    said = second.stderr.splitlines()[-1]  # behind the warning that no result goes to any PACS
    assert is_one_sentence(said), second.stderr
    assert f"cannot serve metrics on 127.0.0.1:{listener.metrics_port}" in second.stderr
    assert listener.stop() == 0
