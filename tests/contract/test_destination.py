"""What every destination and every sender to it must do, against the demo's folder and against Orthanc."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import from a dictionary

from reporter.association import echo
from reporter.delivery import CStoreSender, Destination, DicomSender
from reporter.errors import DeliveryError, DeliveryRefusedError, PortInUseError
from reporter.outcome import Outcome
from reporter.seg import build_seg
from reporter.seg_file import write_seg
from reporter.send_folder import find_dicom_files, send_folder
from reporter.storage_folder import FolderDestination
from tests.peers.orthanc import Orthanc
from tests.unit.reporter.seg_cases import IDENTITY, SegCase, decoded, make_case


def to(port: int, ae_title: str = "ARCHIVE", timeout_s: float = 10.0) -> CStoreSender:
    return CStoreSender(Destination("pacs", ae_title, "127.0.0.1", port, timeout_s=timeout_s))


@pytest.fixture
def case(tmp_path: Path) -> SegCase:
    return make_case(tmp_path / "ct")


@pytest.fixture
def seg(case: SegCase, tmp_path: Path) -> Path:
    write_seg(build_seg(case.volume, case.segmentation, case.paths, IDENTITY), tmp_path / "seg.dcm")
    return tmp_path / "seg.dcm"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[FolderDestination]:
    with FolderDestination(tmp_path / "archive") as destination:
        yield destination


@pytest.fixture(params=["folder", "orthanc"])
def stored(request: pytest.FixtureRequest) -> tuple[DicomSender, Callable[[], list[bytes]]]:
    """A sender to a destination, and what that destination holds."""
    if request.param == "folder":
        folder: FolderDestination = request.getfixturevalue("folder")
        return to(folder.port), lambda: [path.read_bytes() for path in sorted(set(folder.files))]
    orthanc: Orthanc = request.getfixturevalue("orthanc")
    return to(orthanc.dicom_port, orthanc.ae_title), lambda: [orthanc.file(one) for one in orthanc.instances()]


Stored = tuple[DicomSender, Callable[[], list[bytes]]]


def test_ct_and_seg_over_one_call(stored: Stored, case: SegCase, seg: Path) -> None:
    sender, held = stored
    outcomes = list(sender.send([*case.paths, seg]))
    assert outcomes == [Outcome()] * (len(case.paths) + 1)
    assert len(held()) == len(case.paths) + 1


def test_what_is_stored_is_what_was_sent(stored: Stored, seg: Path, tmp_path: Path) -> None:
    sender, held = stored
    assert list(sender.send([seg])) == [Outcome()]
    [content] = held()
    (tmp_path / "back.dcm").write_bytes(content)
    sent, back = dcmread(seg), dcmread(tmp_path / "back.dcm")
    assert back == sent
    assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def test_sending_again_leaves_one_instance(stored: Stored, seg: Path) -> None:
    sender, held = stored
    assert [outcome.error for outcome in (*sender.send([seg]), *sender.send([seg]))] == [None, None]
    assert len(held()) == 1


def test_nothing_to_send_is_fine(stored: Stored) -> None:
    assert list(stored[0].send([])) == []


def test_a_missing_file_is_refused_and_the_others_arrive(stored: Stored, seg: Path, tmp_path: Path) -> None:
    sender, held = stored
    (tmp_path / "text.dcm").write_text("no DICOM at all, though long enough to look into" * 10)
    outcomes = list(sender.send([tmp_path / "gone.dcm", seg, tmp_path / "text.dcm"]))
    assert [type(outcome.error) for outcome in outcomes] == [DeliveryRefusedError, type(None), DeliveryRefusedError]
    assert len(held()) == 1


def test_compressed_files_leave_as_they_are(stored: Stored, case: SegCase, tmp_path: Path) -> None:
    sender, held = stored
    dataset = dcmread(case.paths[0])
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.save_as(tmp_path / "rle.dcm")
    assert list(sender.send([tmp_path / "rle.dcm"])) == [Outcome()]
    [content] = held()
    (tmp_path / "back.dcm").write_bytes(content)
    back = dcmread(tmp_path / "back.dcm")
    assert back.file_meta.TransferSyntaxUID == RLELossless
    assert back.PixelData.rstrip(b"\0") == dataset.PixelData.rstrip(b"\0")


def test_a_folder_with_other_files_and_progress(stored: Stored, case: SegCase, tmp_path: Path) -> None:
    sender, held = stored
    (tmp_path / "ct" / "README.txt").write_text("x")
    seen: list[tuple[int, int]] = []
    report = send_folder(sender, tmp_path / "ct", progress=lambda done, of: seen.append((done, of)))
    assert (report.stored, report.failed, report.skipped) == (len(case.paths), 0, 1)
    assert seen == [(done, len(case.paths)) for done in range(1, len(case.paths) + 1)]
    assert len(held()) == len(case.paths)


def test_an_unreachable_destination(seg: Path, free_port: Callable[[], int]) -> None:
    [outcome] = to(free_port()).send([seg])
    assert type(outcome.error) is DeliveryError
    assert "unreachable" in str(outcome.error)


def test_a_folder_destination_tells_and_waits(folder: FolderDestination, seg: Path) -> None:
    assert not folder.wait_for(1, timeout_s=0)
    assert list(to(folder.port).send([seg])) == [Outcome()]
    assert folder.wait_for(1, timeout_s=10)
    echo(to(folder.port).destination)


def test_a_port_in_use_is_an_answer(folder: FolderDestination, tmp_path: Path) -> None:
    with pytest.raises(PortInUseError, match=str(folder.port)):
        FolderDestination(tmp_path / "other", port=folder.port).start()


class Peer:
    """A storage SCP that answers as it is told."""

    def __init__(self, *, status: int = 0, contexts: tuple[tuple[str, Any], ...] = (), title: str = "") -> None:
        entity = AE(ae_title="ARCHIVE")
        for kind, syntaxes in contexts or ((CTImageStorage, None), ("1.2.840.10008.5.1.4.1.1.66.4", None)):
            entity.add_supported_context(kind, *([] if syntaxes is None else [syntaxes]))
        entity.add_supported_context(Verification)
        entity.require_called_aet = bool(title)
        self.received: list[Any] = []
        self.status = status
        self._entity = entity
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, self._echo)]
        # with block=False there is a server; pynetdicom's types allow None
        self._server = cast(Any, entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        self.port: int = self._server.socket.getsockname()[1]

    def _store(self, event: Any) -> int:
        self.received.append(event.dataset)
        if self.status == ABORT:
            event.assoc.abort()
            return 0
        return self.status

    def _echo(self, _event: Any) -> int:
        return self.status

    def close(self) -> None:
        self._server.shutdown()
        self._entity.shutdown()


ABORT = -1


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(**settings: Any) -> Peer:
        made.append(Peer(**settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0111])
def test_warnings_count_as_stored(peer: Callable[..., Peer], seg: Path, status: int) -> None:
    [outcome] = to(peer(status=status).port).send([seg])
    assert outcome.error is None
    assert f"{status:04X}" in str(outcome.warning)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0xA700, DeliveryError),
        (0xA701, DeliveryError),
        (0x0110, DeliveryError),
        (0xA900, DeliveryRefusedError),
        (0xC000, DeliveryRefusedError),
        (0x0122, DeliveryRefusedError),
        (0x0124, DeliveryRefusedError),
    ],
)
def test_failures_are_told_apart(peer: Callable[..., Peer], seg: Path, status: int, kind: type[DeliveryError]) -> None:
    [outcome] = to(peer(status=status).port).send([seg])
    assert type(outcome.error) is kind
    assert f"{status:04X}" in str(outcome.error)


def test_an_unknown_ae_title_is_refused_with_the_reason(peer: Callable[..., Peer], seg: Path) -> None:
    [outcome] = to(peer(title="ARCHIVE").port, "WRONG").send([seg])
    assert isinstance(outcome.error, DeliveryRefusedError)
    assert "rejected" in str(outcome.error)
    with pytest.raises(DeliveryRefusedError):
        echo(to(peer(title="ARCHIVE").port, "WRONG").destination)


def test_a_kind_of_object_that_is_not_accepted(peer: Callable[..., Peer], seg: Path, case: SegCase) -> None:
    archive = peer(contexts=((CTImageStorage, None),))
    refused, taken = to(archive.port).send([seg, case.paths[0]])
    assert isinstance(refused.error, DeliveryRefusedError)
    assert "presentation context" in str(refused.error)
    assert taken == Outcome()


def test_no_kind_of_object_is_accepted(peer: Callable[..., Peer], seg: Path) -> None:
    [outcome] = to(peer(contexts=((SecondaryCaptureImageStorage, None),)).port).send([seg])
    assert isinstance(outcome.error, DeliveryRefusedError)


def test_an_archive_of_implicit_vr_alone_gets_it(peer: Callable[..., Peer], seg: Path, case: SegCase) -> None:
    archive = peer(contexts=(("1.2.840.10008.5.1.4.1.1.66.4", ImplicitVRLittleEndian),))
    assert list(to(archive.port).send([seg])) == [Outcome()]
    [received] = archive.received
    received.file_meta = dcmread(seg).file_meta
    assert np.array_equal(decoded(received, case.volume), case.segmentation.mask)


def test_an_association_that_dies_fails_the_rest_and_may_be_tried_again(
    peer: Callable[..., Peer], case: SegCase
) -> None:
    outcomes = list(to(peer(status=ABORT).port).send(case.paths[:3]))
    assert [type(outcome.error) for outcome in outcomes] == [DeliveryError] * 3


def test_echo_reaches_a_willing_peer(peer: Callable[..., Peer]) -> None:
    echo(to(peer().port).destination)
    with pytest.raises(DeliveryError, match="0122"):
        echo(to(peer(status=0x0122).port).destination)


def test_dicom_files_are_found_at_any_depth(case: SegCase, tmp_path: Path) -> None:
    deep = tmp_path / "ct" / "a" / "b"
    deep.mkdir(parents=True)
    case.paths[0].rename(deep / "no-suffix")
    (deep / "empty").touch()
    found, others = find_dicom_files(tmp_path / "ct")
    assert len(found) == len(case.paths)
    assert others == 1
