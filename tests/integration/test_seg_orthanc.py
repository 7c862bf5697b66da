"""A DICOM SEG in a real PACS: stored by C-STORE, in the CT's study, frames on the source slices."""

import threading
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from sqlalchemy import Engine

from inference.read_series import read_series
from reporter import outbox
from reporter.backoff import BackoffPolicy
from reporter.deliver_loop import Deliverer
from reporter.delivery import CStoreSender, Destination, echo
from reporter.errors import DeliveryError
from reporter.outbox_lane import LanePolicy
from reporter.outbox_summary import summarize
from reporter.outbox_table import Run
from reporter.outcome import Outcome
from reporter.seg import build_seg
from reporter.seg_file import write_seg
from reporter.send_folder import send_folder
from segwatch.database import make_engine
from tests.peers.orthanc import Orthanc
from tests.unit.reporter.seg_cases import IDENTITY, SegCase, decoded, make_case, make_segmentation

RUN = Run("a" * 32, 1, 0)


def sender_to(orthanc: Orthanc) -> CStoreSender:
    return CStoreSender(Destination("pacs", orthanc.ae_title, "127.0.0.1", orthanc.dicom_port, timeout_s=10))


def written(case: SegCase, folder: Path) -> Path:
    write_seg(build_seg(case.volume, case.segmentation, case.paths, IDENTITY), folder / "seg.dcm")
    return folder / "seg.dcm"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = make_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    outbox.metadata.create_all(engine)
    return engine


@pytest.mark.parametrize("shape", [(6, 16, 24), (6, 15, 21)], ids=["binary", "fractional"])
@pytest.mark.parametrize("empty", [False, True])
def test_seg_lies_in_the_study_of_its_ct(
    orthanc: Orthanc, tmp_path: Path, shape: tuple[int, int, int], empty: bool
) -> None:
    case = make_case(tmp_path / "ct", shape)
    if empty:
        case = case.with_mask(np.zeros(shape, np.uint8))
    sender = sender_to(orthanc)
    echo(sender.destination)
    report = send_folder(sender, tmp_path / "ct")
    assert (report.stored, report.failed) == (len(case.paths), 0)
    assert list(sender.send([written(case, tmp_path)])) == [Outcome()]
    [study] = orthanc.studies()
    [series] = orthanc.series("SEG")
    assert series.parent == study.id
    [instance] = orthanc.instances(series)
    seg = dcmread(BytesIO(orthanc.file(instance)))
    assert np.array_equal(decoded(seg, case.volume), case.segmentation.mask)


@pytest.mark.slow
def test_real_ct(orthanc: Orthanc, test_data: Path, tmp_path: Path) -> None:
    folder = test_data / "chest_lidc0001"
    paths = sorted(folder.glob("*.dcm"))
    volume = read_series(paths)
    mask = np.zeros(volume.voxels.shape, np.uint8)
    mask[50:58, 300:330, 120:150] = 1
    write_seg(build_seg(volume, make_segmentation(mask), paths, IDENTITY), tmp_path / "seg.dcm")
    sender = sender_to(orthanc)
    assert send_folder(sender, folder).stored == 133
    assert list(sender.send([tmp_path / "seg.dcm"])) == [Outcome()]
    [series] = orthanc.series("SEG")
    assert [series.parent] == [study.id for study in orthanc.studies()]
    [instance] = orthanc.instances(series)
    seg = dcmread(BytesIO(orthanc.file(instance)))
    assert np.array_equal(decoded(seg, volume), mask)


def test_pacs_down_first_then_up_is_delivered_once(orthanc: Orthanc, tmp_path: Path, engine: Engine) -> None:
    case = make_case(tmp_path / "ct")
    seg = written(case, tmp_path)
    with engine.begin() as connection:
        outbox.add_instance(connection, RUN, "pacs", seg, now=time.time())
    orthanc.stop()
    failed, confirmed, stop = threading.Event(), threading.Event(), threading.Event()

    def observe(_item: outbox.OutboxItem, outcome: Outcome) -> None:
        (confirmed if outcome.error is None else failed).set()

    policy = LanePolicy(backoff=BackoffPolicy(0.1, 1.0))
    deliverer = Deliverer(engine, {"pacs": sender_to(orthanc)}, policy=policy, poll_s=0.2, observe=observe)
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    try:
        assert failed.wait(30)
        with engine.begin() as connection:
            [summary] = summarize(connection)
        assert summary.waiting == 1
        assert summary.last_error is not None
        assert "unreachable" in summary.last_error
        orthanc.start()
        assert confirmed.wait(30)
    finally:
        stop.set()
        thread.join()
    assert len(orthanc.instances()) == 1
    with engine.begin() as connection:
        assert outbox.all_done(connection, RUN.series_key, RUN.series_version)


def test_the_same_file_again_is_the_same_instance(orthanc: Orthanc, tmp_path: Path) -> None:
    case = make_case(tmp_path / "ct")
    path = written(case, tmp_path)
    sender = sender_to(orthanc)
    outcomes = [*sender.send([path]), *sender.send([path])]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(orthanc.instances()) == 1


def test_echo_says_why_not(orthanc: Orthanc) -> None:
    port = orthanc.dicom_port
    orthanc.stop()
    with pytest.raises(DeliveryError, match="unreachable"):
        echo(Destination("pacs", "ORTHANC", "127.0.0.1", port, timeout_s=5))
