"""People act on series, and housekeeping removes only what nobody needs."""

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_listener.commitment import commitment_table
from dicom_listener.commitment.commitment import CommitmentRequest, Reference
from dicom_listener.errors import UnknownSeriesError
from inference.jobs import JobState
from reporter import outbox
from segwatch.acts import find_acts
from segwatch.errors import UsageError
from segwatch.status import SeriesState, SiteStatus, site_status
from tests.unit.segwatch.site_room import NOW, RETENTION_S, SiteRoom, small_ct


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture
def site(tmp_path: Path) -> SiteRoom:
    return SiteRoom(tmp_path)


def status_of(site: SiteRoom) -> SiteStatus:
    with site.engine.begin() as connection:
        return site_status(connection, site.queue, site.spool.usage())


def test_status_follows_a_series_on_its_way(site: SiteRoom, ct: list[Path]) -> None:
    site.receive(ct)
    assert status_of(site).counts == {SeriesState.QUEUED: 1}
    site.worker().work_once()
    waiting = status_of(site)
    assert waiting.counts == {SeriesState.DELIVERING: 1}
    assert waiting.series[0].waiting_for == ("pacs", "stream")
    assert waiting.series[0].turnaround_s is None
    site.now += 5
    site.confirm_everything()
    done = status_of(site).series[0]
    assert (done.state, done.turnaround_s) == (SeriesState.DONE, 5.0)


def test_reprocessing_makes_another_generation_and_keeps_who_and_why(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    site.acts().reprocess(key[:8], by="jane", reason="new model", now=NOW + 1)
    site.now += 2
    assert site.worker().work_once()
    with site.engine.begin() as connection:
        items = outbox.find_by_series(connection, key)
        acts = find_acts(connection, key)
    ids = [item.event_id for item in items if item.event_id]
    assert len(set(ids)) == 2
    assert [(act.kind.value, act.by, act.reason) for act in acts] == [("reprocess", "jane", "new model")]
    assert site.segmenter.calls == 2
    site.now += 5
    site.confirm_everything()
    assert status_of(site).series[0].turnaround_s == 6.0, "from the person's wish, not from the first reception"


def test_instances_that_came_for_a_rejected_version_wait_for_a_person(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    site.acts().reject(key, by="jane", reason="wrong protocol", now=NOW + 1)
    site.receive_late(key, ct[-3:])
    assert status_of(site).series[0].late_instances == 3
    said = site.acts().reprocess(key, by="jane", reason="it was right", now=NOW + 1)
    assert "version 2" in said
    site.now += 2
    assert site.worker().work_once()
    newest = status_of(site).series[-1]
    assert (newest.version, newest.instances, newest.late_instances) == (2, len(ct), 0)
    assert [one.late_instances for one in status_of(site).series] == [0, 0]
    first, second = (dcmread(site.results / key / run / "seg.dcm") for run in ("1-0", "2-0"))
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID


def test_what_came_for_a_rejected_version_and_was_purged_must_be_sent_again(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.acts().reject(key, by="jane", reason="wrong protocol", now=NOW)
    site.receive_late(key, ct[-3:])
    assert site.housekeeping().purge_due(NOW + RETENTION_S) == [key]
    with pytest.raises(UnknownSeriesError, match="send the series again"):
        site.acts().reprocess(key, by="jane", reason="it was right", now=NOW + RETENTION_S + 1)


def test_rejecting_takes_back_what_was_not_sent(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    assert "2 unsent" in site.acts().reject(key, by="jane", reason="wrong patient", now=NOW + 1)
    status = status_of(site).series[0]
    assert (status.state, status.waiting_for) == (SeriesState.REJECTED, ())
    assert (status.reason, status.detail) == ("rejected_by_person", "by jane: wrong patient")


def test_a_rejected_series_that_waits_is_not_segmented(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.acts().reject(key, by="jane", reason="wrong patient", now=NOW + 1)
    assert not site.worker().work_once()
    with site.engine.begin() as connection:
        assert site.queue.find(connection, key)[0].state is JobState.REJECTED


def test_forgetting_removes_images_results_and_identifiers(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    seg = dcmread(site.results / key / "1-0" / "seg.dcm")
    site.acts().forget(key, by="jane", reason="asked to", now=NOW + 1)
    assert list(site.spool.root.rglob("*.dcm")) == []
    assert not (site.results / key).exists()
    assert status_of(site).series[0].state is SeriesState.FORGOTTEN
    with pytest.raises(UsageError, match="jane"):
        site.acts().reprocess(key, by="joe", reason="again", now=NOW + 2)
    site.engine.dispose()
    files = b"".join(path.read_bytes() for path in site.folder.glob("state.sqlite*"))
    assert key.encode() in files
    assert str(dcmread(ct[0]).SeriesInstanceUID).encode() not in files
    assert seg.SeriesInstanceUID.encode() not in files


def test_forgetting_gives_up_what_was_to_be_committed(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    instance_uid = str(dcmread(ct[0]).SOPInstanceUID)
    references = (Reference("1.2.840.10008.5.1.4.1.1.2", instance_uid),)
    request = CommitmentRequest("1.2.3", references, "PACS", "SEGWATCH")
    with site.engine.begin() as connection:
        commitment_table.accept(connection, request, now=NOW, next_try_at=NOW, maximum_pending=1)
    site.acts().forget(key, by="jane", reason="asked to", now=NOW + 1)
    with site.engine.begin() as connection:
        assert commitment_table.count_pending(connection) == 0
    site.engine.dispose()
    assert instance_uid.encode() not in b"".join(path.read_bytes() for path in site.folder.glob("state.sqlite*"))


def test_an_unknown_series_is_named(site: SiteRoom) -> None:
    with pytest.raises(UnknownSeriesError, match="segwatch status"):
        site.acts().reject("abc", by="jane", reason="?", now=NOW)


def test_a_finished_series_is_purged_after_its_time_and_not_before(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    site.confirm_everything()
    assert site.housekeeping().purge_due(NOW + RETENTION_S - 1) == []
    assert site.housekeeping().purge_due(NOW + RETENTION_S) == [key]
    assert list(site.spool.root.rglob("*.dcm")) == []
    assert status_of(site).series[0].purged


def test_what_waits_or_came_in_the_last_moment_is_never_purged(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-1])
    far = NOW + 1000 * RETENTION_S
    assert site.housekeeping().purge_due(far) == []
    site.worker().work_once()
    assert site.housekeeping().purge_due(far) == []
    site.confirm_everything()
    site.store(ct[-1:])  # acknowledged, and the intake has not written of it yet
    assert site.housekeeping().purge_due(far) == []
    assert len(list(site.spool.root.rglob("*.dcm"))) == len(ct)
    site.receive(ct, version=2)
    site.worker().work_once()
    site.confirm_everything()
    assert site.housekeeping().purge_due(far) == [key]
    assert list(site.spool.root.rglob("*.dcm")) == []


def test_a_rejected_series_is_purged_after_the_same_time(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker(minimum_slices=1000).work_once()
    assert site.housekeeping().purge_due(NOW + RETENTION_S - 1) == []
    assert site.housekeeping().purge_due(NOW + RETENTION_S) == [key]


def test_rejecting_a_version_leaves_the_reason_of_an_earlier_one(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker(minimum_slices=500).work_once()
    site.receive(ct, version=2)
    site.acts().reject(key, by="jane", reason="wrong protocol", now=NOW + 1)
    first, second = status_of(site).series
    assert (first.state, first.reason) == (SeriesState.REJECTED, "too_few_slices")
    assert (second.state, second.reason) == (SeriesState.REJECTED, "rejected_by_person")
