"""`segwatch listen` with STOW-RS as a process of its own, and what pushes to it."""

import http.client
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from dicom_listener.spool.spool import Spool
from tests.peers.cli import SegwatchCli
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import ServerProcess
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, SERIES, data_set, encode, request
from tests.unit.dicom_listener.stow_pushing import FAILED, INSTANCE_UID, MULTIPART, REFERENCED, file_of, multipart

PATIENCE = 60.0
PIXEL_BYTES = 512 * 512 * 2


class StowListener:
    """A listener over a spool in a folder; killed and started again it has the same ports."""

    def __init__(self, cli: SegwatchCli, folder: Path, **stow: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.dicom_port, self.port = free_ports(), free_ports()
        self.spool_root = folder / "data" / "spool"
        self._cli = cli
        self._settings = folder / "segwatch.toml"
        keys = {"port": self.port, **stow}
        self._settings.write_text(
            f'[site]\nid = "clinic"\ndata_dir = "data"\n'
            f"[spool]\nhigh_watermark = {keys.pop('high_watermark', 0.999)}\n"
            "minimum_free_bytes = 0\njournal_bytes = 0\n"
            f'[listener]\nhost = "{LOOPBACK}"\nport = {self.dicom_port}\nquiet_seconds = 3600\n'
            "[listener.stow]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        )
        self._processes: list[ServerProcess] = []

    @property
    def process(self) -> ServerProcess:
        """The process that was started last."""
        return self._processes[-1]

    def start(self) -> None:
        """Start, and return when both ports answer."""
        self._processes.append(self._cli.start("listen", "-c", self._settings))
        self.process.wait_for_port(self.port)
        self.process.wait_for_port(self.dicom_port)

    def log(self) -> str:
        """What was printed, over all starts."""
        return "\n".join(process.output() for process in self._processes)

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> "Answer":
        """Push to /studies."""
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE)) as connection:
            return post(connection, body, headers)

    def instances(self) -> dict[str, bytes]:
        """The data sets in the spool by SOP Instance UID; none twice."""
        spool = Spool(self.spool_root)
        found: dict[str, bytes] = {}
        for key in spool.series_keys():
            for stored in spool.load(key):
                assert stored.instance.sop_instance_uid not in found
                found[stored.instance.sop_instance_uid] = data_set_bytes(stored.instance.path)
        return found


class Answer:
    """An answer, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def uids(self, sequence: str = REFERENCED) -> list[str]:
        items = json.loads(self.body).get(sequence, {"Value": []})["Value"]
        return [item[INSTANCE_UID]["Value"][0] for item in items]

    def failed(self) -> list[str]:
        return self.uids(FAILED)


def post(connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Push over a connection that may be used again."""
    connection.request("POST", "/studies", body, {"Content-Type": MULTIPART, **(headers or {})})
    return Answer(connection.getresponse())


def data_set_bytes(path: Path) -> bytes:
    """What follows the File Meta Information of a file with preamble, whoever wrote it."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def slices(numbers: Sequence[int], *, series: str = SERIES, pixel_bytes: int = PIXEL_BYTES) -> dict[int, Dataset]:
    """Data sets as large as real ones; noise, so that a mixed-up piece would show."""
    found = {}
    for number in numbers:
        noise = random.Random(f"{series}/{number}")  # noqa: S311 (not a secret)
        dataset = data_set(number, series=series, pixels=noise.randbytes(pixel_bytes))
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        found[number] = dataset
    return found


def encoded(datasets: Mapping[int, Dataset]) -> dict[str, bytes]:
    """The encoded data sets by SOP Instance UID."""
    return {str(dataset.SOPInstanceUID): encode(dataset) for dataset in datasets.values()}


def body_of(datasets: Mapping[int, Dataset], *, series: str = SERIES) -> bytes:
    """A request with all of them."""
    return multipart(*(file_of(request(n, series=series), encode(one)) for n, one in datasets.items()))


@contextmanager
def connected(port: int) -> Iterator[http.client.HTTPConnection]:
    """A connection for several requests."""
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)) as connection:
        yield connection
