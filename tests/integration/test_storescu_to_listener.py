"""DCMTK's storescu sends to the listener: what is kept, and what survives kills on either side."""

import queue
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage

from dicom_listener import state
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake import Intake
from dicom_listener.network.scp import StorageScp
from dicom_listener.series import ReceivedSeries
from dicom_listener.spool.part10 import read_file_meta
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from segwatch.database import make_engine
from tests.peers.dcmtk import Dcmtk
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import ServerProcess
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, uid

PATIENCE = 60.0
N_SLICES = 40
PIXEL_BYTES = 512 * 512 * 2


class Listener:
    """A provider over a spool in this process."""

    def __init__(self, root: Path) -> None:
        self.spool = Spool(root, high_watermark=1.1)
        self.stored: queue.Queue[StoredInstance] = queue.Queue()
        self.scp = StorageScp(self.spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=self.stored.put)
        self.scp.start()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path / "spool")
    yield listener
    listener.scp.stop()


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of slices as large as real ones; noise, so that a mixed-up piece would show."""
    folder = tmp_path_factory.mktemp("slices")
    noise = random.Random(1)  # noqa: S311 (not a secret)
    for number in range(1, N_SLICES + 1):
        dataset = data_set(number, pixels=noise.randbytes(PIXEL_BYTES))
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        dataset.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)
    return folder


def _data_set_bytes(path: Path) -> bytes:
    """What follows the File Meta Information, whoever wrote the file."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def _propose(folder: Path, transfer_syntax: str) -> tuple[str, ...]:
    """Options that make storescu and storescp negotiate one transfer syntax, also a retired one."""
    profile = folder / "profile.cfg"
    profile.write_text(
        f"[[TransferSyntaxes]]\n[One]\nTransferSyntax1 = {transfer_syntax}\n"
        f"[[PresentationContexts]]\n[CT]\nPresentationContext1 = {CTImageStorage}\\One\n"
        "[[Profiles]]\n[Default]\nPresentationContexts = CT\n"
    )
    return ("-xf", str(profile), "Default")


@pytest.fixture
def reference(dcmtk: Dcmtk, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A function that makes a folder into which DCMTK's storescp writes, bit by bit, what it is sent."""
    servers: list[ServerProcess] = []

    def receive(source: Path, options: tuple[str, ...]) -> Path:
        folder, port = tmp_path / "reference", free_ports()
        folder.mkdir()
        command: list[str | Path] = [dcmtk.storescp, "+B", *options, "-od", folder, "-aet", "SEGWATCH", str(port)]
        servers.append(ServerProcess(command, log=tmp_path / "storescp.log", environment=dcmtk.environment))
        servers[-1].start_and_wait_for_port(port)
        done = dcmtk.send(source, port=port, options=options)
        assert done.returncode == 0, done.stderr
        (received,) = folder.iterdir()
        return received

    yield receive
    for server in servers:
        server.close()


SYNTAXES = {
    "BigEndianExplicit": "1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndian": "1.2.840.10008.1.2.1.99",
    "JPEG2000LosslessOnly": "1.2.840.10008.1.2.4.90",
    "JPEG2000": "1.2.840.10008.1.2.4.91",
    "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
    "JPEGLSLossy": "1.2.840.10008.1.2.4.81",
    "JPEGProcess10_12": "1.2.840.10008.1.2.4.55",
    "JPEGProcess14SV1": "1.2.840.10008.1.2.4.70",
    "JPEGProcess14": "1.2.840.10008.1.2.4.57",
    "JPEGProcess1": "1.2.840.10008.1.2.4.50",
    "JPEGProcess2_4": "1.2.840.10008.1.2.4.51",
    "JPEGProcess6_8": "1.2.840.10008.1.2.4.53",
    "LittleEndianExplicit": "1.2.840.10008.1.2.1",
    "LittleEndianImplicit": "1.2.840.10008.1.2",
    "RLELossless": "1.2.840.10008.1.2.5",
}
"""Of the files of one slice, by the names that they carry."""


@pytest.fixture(params=SYNTAXES)
def odd(request: pytest.FixtureRequest, test_data: Path, tmp_path: Path) -> tuple[Path, str, tuple[str, ...]]:
    """A file, its transfer syntax, and the options that make DCMTK negotiate that."""
    syntax = SYNTAXES[request.param]
    file = test_data / "odd_transfer_syntaxes" / f"CTImage.dcm_{request.param}TransferSyntax_{syntax}.dcm"
    return file, syntax, _propose(tmp_path, syntax)


def test_every_transfer_syntax_is_stored_bit_by_bit_as_sent(
    dcmtk: Dcmtk, listener: Listener, reference: Callable[..., Path], odd: tuple[Path, str, tuple[str, ...]]
) -> None:
    source, syntax, options = odd
    done = dcmtk.send(source, port=listener.scp.port, options=options)
    assert done.returncode == 0, done.stderr
    stored = listener.stored.get_nowait()
    assert stored.outcome is StoreOutcome.STORED
    assert stored.calling_ae_title == "PACS"
    with stored.instance.path.open("rb") as file:
        assert read_file_meta(file).transfer_syntax_uid == syntax == stored.instance.transfer_syntax_uid
    assert _data_set_bytes(stored.instance.path) == _data_set_bytes(reference(source, options))
    ours, theirs = dcmread(stored.instance.path), dcmread(source)
    for pixels in ("PixelData", "Rows", "BitsStored"):
        assert ours[pixels].value == theirs[pixels].value


def test_echoscu_is_answered(dcmtk: Dcmtk, listener: Listener) -> None:
    assert dcmtk.echo(port=listener.scp.port).returncode == 0


@pytest.mark.parametrize("nodelay", ["1", "0"])
def test_a_series_arrives_whole(dcmtk: Dcmtk, listener: Listener, slices: Path, nodelay: str) -> None:
    some = sorted(slices.iterdir())[:10]
    done = subprocess.run(
        [dcmtk.storescu, "-R", "-aec", "SEGWATCH", LOOPBACK, str(listener.scp.port), *some],
        env={**dcmtk.environment, "TCP_NODELAY": nodelay},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (key,) = listener.spool.series_keys()
    found = {one.instance.sop_instance_uid: one.instance.path for one in listener.spool.load(key)}
    assert {name: dcmread(path).PixelData for name, path in found.items()} == {
        dcmread(path).SOPInstanceUID: dcmread(path).PixelData for path in some
    }


def test_a_sender_killed_half_way_leaves_whole_instances_and_may_send_again(
    dcmtk: Dcmtk, listener: Listener, slices: Path
) -> None:
    sender = subprocess.Popen(
        [dcmtk.storescu, "-R", "+sd", "-aec", "SEGWATCH", LOOPBACK, str(listener.scp.port), slices],
        env=dcmtk.environment,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(N_SLICES // 4):
        listener.stored.get(timeout=PATIENCE)
    sender.send_signal(signal.SIGKILL)
    sender.wait()
    incoming = listener.spool.root / ".incoming"
    wait_until(lambda: not any(incoming.iterdir()), "the broken association is cleared")
    (key,) = listener.spool.series_keys()
    _assert_whole(listener.spool, key, slices)

    done = dcmtk.send(slices, port=listener.scp.port)
    assert done.returncode == 0, done.stderr
    _assert_whole(listener.spool, key, slices)
    assert len(listener.spool.load(key)) == N_SLICES
    assert listener.spool.conflicts(key) == []


def _assert_whole(spool: Spool, key: str, slices: Path) -> None:
    sent = {path.name: dcmread(path).PixelData for path in slices.iterdir()}
    for stored in spool.load(key):
        dataset = dcmread(stored.instance.path)
        assert dataset.PixelData == sent[f"{dataset.InstanceNumber:04}.dcm"]


LISTEN = """
import sys, threading
from pathlib import Path
from dicom_listener import state
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake import Intake
from dicom_listener.network.scp import StorageScp
from dicom_listener.spool.spool import Spool
from segwatch.database import make_engine

folder, port = Path(sys.argv[1]), int(sys.argv[2])
engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
state.metadata.create_all(engine)
spool = Spool(folder / "spool", high_watermark=1.1)
intake = Intake(spool, engine, rule=CompletionRule(3600), on_complete=lambda connection, series: None)
intake.start()
StorageScp(spool, ae_title="SEGWATCH", host="127.0.0.1", port=port, on_stored=intake.add).start()
threading.Event().wait()
"""


def test_whatever_was_acknowledged_survives_kills_of_the_listener(dcmtk: Dcmtk, slices: Path, tmp_path: Path) -> None:
    port = free_ports()
    listener = ServerProcess([sys.executable, "-c", LISTEN, tmp_path, str(port)], log=tmp_path / "listener.log")
    spool = Spool(tmp_path / "spool", high_watermark=1.1)
    acknowledged: set[str] = set()
    moments = random.Random(7)  # noqa: S311 (not a secret)
    try:
        for _ in range(3):
            listener.start_and_wait_for_port(port)
            already = _count(spool)
            sender = subprocess.Popen(
                [dcmtk.storescu, "-v", "-nh", "-R", "+sd", "-aec", "SEGWATCH", LOOPBACK, str(port), slices],
                env=dcmtk.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            target = min(N_SLICES, already + moments.randrange(1, N_SLICES // 3))
            _wait_for(spool, target)
            listener.kill()
            output, _ = sender.communicate(timeout=PATIENCE)
            acknowledged |= _acknowledged(output)
            durable = {one.instance.sop_instance_uid for key in spool.series_keys() for one in spool.load(key)}
            assert acknowledged, output
            assert acknowledged <= durable
            for key in spool.series_keys():
                _assert_whole(spool, key, slices)
        listener.start_and_wait_for_port(port)
        assert list((spool.root / ".incoming").iterdir()) == []
        assert dcmtk.send(slices, port=port).returncode == 0
    finally:
        listener.close()
    assert "Traceback" not in listener.output()
    (series,) = _hand_over(tmp_path)
    assert {one.sop_instance_uid for one in series.instances} == {uid(number) for number in range(1, N_SLICES + 1)}


def _wait_for(spool: Spool, n_instances: int) -> None:
    wait_until(lambda: _count(spool) >= n_instances, f"{n_instances} instances are stored", interval=0.001)


def _count(spool: Spool) -> int:
    return sum(len(list((spool.root / key).glob("*.dcm"))) for key in spool.series_keys())


def _acknowledged(output: str) -> set[str]:
    """SOP Instance UIDs whose Success storescu printed: the names of our files are instance numbers."""
    parts = re.split(r"Sending file: \S*/(\d+)\.dcm", output)
    return {uid(int(number)) for number, text in zip(parts[1::2], parts[2::2], strict=True) if "(Success)" in text}


def _hand_over(folder: Path) -> list[ReceivedSeries]:
    """What a restarted intake hands over from the spool that the killed ones left."""
    handed_over: list[ReceivedSeries] = []
    events: queue.Queue[IntakeEvent] = queue.Queue()
    engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
    state.metadata.create_all(engine)
    intake = Intake(
        Spool(folder / "spool"),
        engine,
        rule=CompletionRule(0.1),
        on_complete=lambda _connection, series: handed_over.append(series),
        observe=events.put,
    )
    intake.start()
    try:
        assert events.get(timeout=PATIENCE).kind is IntakeEventKind.COMPLETE
    finally:
        intake.stop()
        engine.dispose()
    return handed_over
