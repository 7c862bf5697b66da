"""The worker ends each job in exactly one way, in one transaction."""

from pathlib import Path

import pytest
from pydicom import dcmread

from inference.errors import InferenceError, ProviderError
from inference.jobs import Job, JobState
from qc.record import decode_message, decode_record
from reporter import outbox
from reporter.message_payload import decode_message as decode_payload
from tests.unit.segwatch.site_room import NOW, POLICY, SiteRoom, small_ct


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture
def site(tmp_path: Path) -> SiteRoom:
    return SiteRoom(tmp_path)


def job_of(site: SiteRoom, key: str) -> Job:
    with site.engine.begin() as connection:
        return site.queue.find(connection, key)[-1]


def items_of(site: SiteRoom, key: str) -> list[outbox.OutboxItem]:
    with site.engine.begin() as connection:
        return outbox.find_by_series(connection, key)


def test_a_good_series_ends_in_the_outbox(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    assert site.worker().work_once()
    assert job_of(site, key).state is JobState.DONE
    by_destination = {item.destination: item for item in items_of(site, key)}
    assert set(by_destination) == {"pacs", "stream"}
    seg = dcmread(by_destination["pacs"].path or "")
    assert seg.StudyInstanceUID == dcmread(ct[0]).StudyInstanceUID
    record = decode_message(decode_payload(by_destination["stream"].payload or b""))
    assert record.site_id == "hospital-a"
    assert record.event_id == by_destination["stream"].event_id


def test_an_idle_queue_gives_no_work(site: SiteRoom) -> None:
    assert not site.worker().work_once()


def test_what_cannot_be_segmented_is_rejected_by_name(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    assert site.worker(minimum_slices=1000).work_once()
    job = job_of(site, key)
    assert (job.state, job.reason) == (JobState.REJECTED, "too_few_slices")
    assert items_of(site, key) == []


def test_a_failure_is_tried_again_later_and_then_waits_for_a_person(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.segmenter.error = InferenceError("the engine is out of sorts")
    assert site.worker().work_once()
    job = job_of(site, key)
    assert (job.state, job.not_before) == (JobState.QUEUED, NOW + POLICY.retry_s)
    assert not site.worker().work_once()
    site.now += POLICY.retry_s
    assert site.worker().work_once()
    job = job_of(site, key)
    assert (job.state, job.detail) == (JobState.FAILED, "the engine is out of sorts")


def test_a_defect_is_kept_without_the_words_of_an_unknown_error(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.segmenter.error = KeyError("Doe^Jane")
    assert site.worker().work_once()
    job = job_of(site, key)
    assert job.reason == "defect"
    assert "Doe" not in (job.detail or "")


def test_a_broken_engine_ends_the_worker_after_giving_the_job_back(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.segmenter.error = ProviderError("CUDA failed")
    with pytest.raises(ProviderError):
        site.worker().work_once()
    assert job_of(site, key).state is JobState.QUEUED


def test_a_crash_after_segmentation_does_not_segment_again(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    first = {item.destination: item for item in items_of(site, key)}
    seg_before = Path(first["pacs"].path or "").read_bytes()
    second = SiteRoom(site.folder / "second")  # the same series elsewhere, its worker killed after the checkpoint
    second.receive(ct)

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segwatch.worker.write_results", die)
        with pytest.raises(Killed):
            second.worker().work_once()
    second.now += POLICY.lease_s + 1
    assert second.worker().work_once()
    assert second.segmenter.calls == 1
    again = {item.destination: item for item in items_of(second, key)}
    assert again["stream"].payload == first["stream"].payload
    assert dcmread(again["pacs"].path or "").SOPInstanceUID == dcmread(first["pacs"].path or "").SOPInstanceUID
    assert len(seg_before) > 1000


def test_a_worker_that_dies_at_every_attempt_does_not_take_the_job_for_ever(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    for _ in range(POLICY.maximum_attempts):
        with site.engine.begin() as connection:
            assert site.queue.lease(connection, "dies", now=site.now, seconds=1) is not None
        site.now += 2
    assert site.worker().work_once()
    job = job_of(site, key)
    assert (job.state, job.reason) == (JobState.FAILED, "worker_died")
    assert site.segmenter.calls == 0


def test_the_record_holds_nothing_of_the_patient(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker().work_once()
    payload = next(item.payload for item in items_of(site, key) if item.event_id) or b""
    message = decode_payload(payload)
    assert decode_record(message.value).study_key
    source = dcmread(ct[0])
    everything = message.value + repr(message).encode()
    for secret in (source.PatientName, source.PatientID, source.PatientBirthDate, source.StudyInstanceUID):
        assert str(secret).encode() not in everything
