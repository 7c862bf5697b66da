"""Storage commitment while an instance that was acknowledged cannot get its file."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.association import Association

from dicom_listener.commitment import commitment_reporter
from dicom_listener.series import series_key
from tests.unit.dicom_listener.committing import CommittingListener, Scu, ask
from tests.unit.dicom_listener.instances import SERIES, STUDY, data_set, uid
from tests.unit.dicom_listener.journal_room import refuse_patient_data
from tests.unit.dicom_listener.listening import INTAKES, send

CT = str(CTImageStorage)
STUCK = f"{SERIES}.2"
"""A series whose folder cannot be used."""


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommittingListener]:
    monkeypatch.setattr(commitment_reporter, "TROUBLE_SECONDS", 0.1)
    listener = CommittingListener(tmp_path, intake=INTAKES["journal"])
    listener.start()
    yield listener
    listener.stop()


@pytest.fixture
def sender(listener: CommittingListener) -> Scu:
    return Scu(listener.scp.port)


@pytest.fixture
def in_the_way(listener: CommittingListener) -> Path:
    path = listener.spool.root / series_key(STUDY, STUCK)
    path.write_bytes(b"where the folder of a series should be")
    return path


@pytest.fixture
def association(sender: Scu, in_the_way: Path) -> Iterator[Association]:
    """On which one instance of each series was sent."""
    association = sender.associate()
    assert in_the_way.exists()
    for series in (SERIES, STUCK):
        assert send(association, data_set(1, series=series)).Status == 0x0000
    yield association
    association.release()


def test_an_instance_without_a_file_puts_off_no_request_that_does_not_name_it(
    sender: Scu, association: Association, in_the_way: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert ask(association, "1.1", (CT, uid(1, STUCK)), (CT, uid(1))) == 0x0000
        assert ask(association, "1.2", (CT, uid(1))) == 0x0000
        report = sender.next_report()
        assert (report.transaction_uid, report.committed, report.failed) == ("1.2", [(CT, uid(1))], [])
        assert ask(association, "1.3", (CT, uid(1))) == 0x0000  # and again, while the first still waits
        assert sender.next_report().transaction_uid == "1.3"
    in_the_way.unlink()
    report = sender.next_report()
    assert (report.transaction_uid, report.failed) == ("1.1", [])
    assert set(report.committed) == {(CT, uid(1, STUCK)), (CT, uid(1))}
    assert caplog.text.count("storage commitment of instances without a file waits") == 1
    refuse_patient_data(caplog.text)


def test_a_long_request_is_not_held_up_by_a_file_among_the_folders(
    sender: Scu, association: Association, in_the_way: Path
) -> None:
    os.utime(in_the_way, (2e9, 2e9))  # the latest is looked at first
    numbers = range(1, 13)
    for number in numbers:
        assert send(association, data_set(number)).Status == 0x0000
    assert ask(association, "1.2", *((CT, uid(number)) for number in numbers)) == 0x0000
    assert len(sender.next_report().committed) == len(numbers)
