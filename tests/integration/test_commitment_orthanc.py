"""Orthanc asks the listener for storage commitment and takes the report on an association of its own."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage

from dicom_listener.peers import Peer
from tests.peers.orthanc import Orthanc
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.committing import CommittingListener
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, uid
from tests.unit.dicom_listener.listening import INTAKES

CT = str(CTImageStorage)


@pytest.fixture(params=list(INTAKES.values()), ids=list(INTAKES))
def make(
    request: pytest.FixtureRequest, tmp_path: Path, orthanc: Orthanc
) -> Iterator[Callable[..., CommittingListener]]:
    made: list[CommittingListener] = []

    def make(**settings: Any) -> CommittingListener:
        peers = [Peer(orthanc.ae_title, (), LOOPBACK, orthanc.dicom_port)]
        made.append(CommittingListener(tmp_path, intake=request.param, peers=peers, **settings))
        return made[-1]

    yield make
    for listener in made:
        listener.stop()


def _fill(orthanc: Orthanc, folder: Path) -> list[tuple[str, str]]:
    for number in (1, 2, 3):
        dataset = data_set(number)
        dataset.PatientID = "NOBODY"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        path = folder / f"{number}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        orthanc.upload(path)
    return [(CT, uid(number)) for number in (1, 2, 3)]


def _ask(orthanc: Orthanc, listener: CommittingListener, instances: list[tuple[str, str]]) -> str:
    return orthanc.request_commitment(instances, called="SEGWATCH", port=listener.scp.port)


def _answer(orthanc: Orthanc, path: str) -> dict[str, Any]:
    wait_until(lambda: orthanc.commitment(path)["Status"] != "Pending", "Orthanc has the report")
    return orthanc.commitment(path)


def test_orthanc_is_told_what_is_durable_and_what_is_not(
    make: Callable[..., CommittingListener], orthanc: Orthanc, tmp_path: Path
) -> None:
    listener = make()
    listener.start()
    sent = _fill(orthanc, tmp_path)
    orthanc.send(orthanc.series()[0], called="SEGWATCH", port=listener.scp.port)
    answer = _answer(orthanc, _ask(orthanc, listener, sent))
    assert (answer["Status"], answer["Failures"]) == ("Success", [])
    assert [(one["SOPClassUID"], one["SOPInstanceUID"]) for one in answer["Success"]] == sent

    mixed = [sent[0], (CT, uid(9)), (str(EnhancedCTImageStorage), uid(2))]
    answer = _answer(orthanc, _ask(orthanc, listener, mixed))
    assert answer["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in answer["Success"]] == [uid(1)]
    reasons = {one["SOPInstanceUID"]: one["FailureReason"] for one in answer["Failures"]}
    assert reasons == {uid(9): 0x0112, uid(2): 0x0119}


def test_orthanc_that_hangs_is_told_when_it_goes_on(
    make: Callable[..., CommittingListener], orthanc: Orthanc, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "dicom_listener")  # a test before may have left it higher
    listener = make(answer_seconds=0.5)
    listener.scp.start()
    sent = _fill(orthanc, tmp_path)
    orthanc.send(orthanc.series()[0], called="SEGWATCH", port=listener.scp.port)
    path = _ask(orthanc, listener, sent)
    assert orthanc.commitment(path)["Status"] == "Pending"
    orthanc.suspend()
    try:
        listener.reporter.start()
        wait_until(lambda: "not reported" in caplog.text, "a try failed")
    finally:
        orthanc.resume()
    assert _answer(orthanc, path)["Status"] == "Success"
