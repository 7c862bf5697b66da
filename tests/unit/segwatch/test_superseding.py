"""A new version takes the place of the ones before, wherever they are on their way."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_listener import state
from inference.errors import InferenceError
from inference.jobs import JobState
from inference.segmentation import Segmentation
from inference.segmenter import Progress
from inference.volume import Volume
from reporter import outbox
from segwatch.status import SeriesState, SeriesStatus, site_status
from tests.unit.segwatch.site_room import NOW, POLICY, RETENTION_S, SiteRoom, ThresholdSegmenter, small_ct


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture
def site(tmp_path: Path) -> SiteRoom:
    return SiteRoom(tmp_path)


def shown(site: SiteRoom) -> list[SeriesStatus]:
    with site.engine.begin() as connection:
        return sorted(site_status(connection, site.queue, site.spool.usage()).series, key=lambda one: one.version)


def states(site: SiteRoom) -> list[SeriesState]:
    return [one.state for one in shown(site)]


def items(site: SiteRoom, key: str) -> list[tuple[str, int, bool]]:
    """Destination, version, and whether it was confirmed, of everything in the outbox."""
    with site.engine.begin() as connection:
        found = outbox.find_by_series(connection, key)
    return [(item.destination, item.run.series_version, item.done_at is not None) for item in found]


def seg(site: SiteRoom, key: str, run: str) -> Dataset:
    return dcmread(site.results / key / run / "seg.dcm")


def test_a_result_that_arrived_is_named_by_the_one_that_replaces_it(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    site.receive(ct, version=2)
    site.worker().work_once()
    first, second = seg(site, key, "1-0"), seg(site, key, "2-0")
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    assert second.SegmentSequence[0].TrackingUID == first.SegmentSequence[0].TrackingUID
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert states(site) == [SeriesState.DONE, SeriesState.DELIVERING]


def test_the_same_instances_as_another_version_make_another_result(site: SiteRoom, ct: list[Path]) -> None:
    """Purged and sent again: the files are gone, the result that the archive has is named all the same."""
    key = site.receive(ct)
    site.worker().work_once()
    first = seg(site, key, "1-0")
    site.confirm_everything()
    assert site.housekeeping().purge_due(NOW + RETENTION_S) == [key]
    site.receive(ct, version=2)
    site.worker().work_once()
    second = seg(site, key, "2-0")
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID


def test_a_retry_of_one_version_makes_the_same_result(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    site.receive(ct, version=2)
    site.worker().work_once()
    site.acts().reprocess(key, by="jane", reason="again", now=site.now)
    site.worker().work_once()
    assert seg(site, key, "2-0") == seg(site, key, "2-1")


def test_a_version_that_waits_is_not_segmented_any_more(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.receive(ct, version=2)
    assert states(site) == [SeriesState.SUPERSEDED, SeriesState.QUEUED]
    assert shown(site)[0].reason == "superseded"
    assert "version 2" in (shown(site)[0].detail or "")
    assert site.worker().work_once()
    assert not site.worker().work_once()
    assert items(site, key) == [("pacs", 2, False), ("stream", 2, False)]
    assert "RelatedSeriesSequence" not in seg(site, key, "2-0"), "nobody ever got a result of version 1"


class _Interrupted(ThresholdSegmenter):
    """Something happens while it segments for the first time."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        if self.calls == 0:
            self._meanwhile()
        return super().segment(volume, progress)


def test_a_result_that_is_being_made_is_dropped_and_is_no_mixture(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.segmenter = _Interrupted(lambda: str(site.receive(ct, version=2)))
    assert site.worker().work_once()
    assert items(site, key) == []
    assert states(site) == [SeriesState.SUPERSEDED, SeriesState.QUEUED]
    dropped = seg(site, key, "1-0")
    assert len(dropped.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(ct) - 3
    assert site.worker().work_once()
    second = seg(site, key, "2-0")
    assert len(second.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(ct)
    assert "RelatedSeriesSequence" not in second
    assert items(site, key) == [("pacs", 2, False), ("stream", 2, False)]


def test_a_result_that_waits_for_its_destination_is_withdrawn(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.receive(ct, version=2)
    assert items(site, key) == [("stream", 1, False)], "the record of what the model did stays"
    assert states(site) == [SeriesState.SUPERSEDED, SeriesState.QUEUED]
    assert "before its result was sent" in (shown(site)[0].detail or "")
    site.worker().work_once()
    assert "RelatedSeriesSequence" not in seg(site, key, "2-0")


def test_a_result_that_some_destinations_have_is_named(tmp_path: Path, ct: list[Path]) -> None:
    site = SiteRoom(tmp_path, destinations=("pacs", "archive"))
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm("archive", "stream")
    site.receive(ct, version=2)
    assert items(site, key) == [("archive", 1, True), ("stream", 1, True)]
    assert "some destinations have its result" in (shown(site)[0].detail or "")
    site.worker().work_once()
    first, second = seg(site, key, "1-0"), seg(site, key, "2-0")
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID


def test_a_version_without_a_result_in_between_is_skipped(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    site.receive(ct[:-1], version=2)
    site.receive(ct, version=3)
    site.worker().work_once()
    assert states(site) == [SeriesState.DONE, SeriesState.SUPERSEDED, SeriesState.DELIVERING]
    first, third = seg(site, key, "1-0"), seg(site, key, "3-0")
    assert third.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID


def test_a_failed_version_is_superseded_and_does_not_keep_the_series_for_ever(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.segmenter.error = InferenceError("no memory")
    for _ in range(POLICY.maximum_attempts):
        site.worker().work_once()
        site.now += POLICY.retry_s
    assert states(site) == [SeriesState.FAILED]
    site.segmenter.error = None
    site.receive(ct, version=2)
    site.worker().work_once()
    site.confirm_everything()
    assert states(site) == [SeriesState.SUPERSEDED, SeriesState.DONE]
    assert site.housekeeping().purge_due(site.now + RETENTION_S) == [key]


def test_a_rejection_by_name_stays_what_it_is(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker(minimum_slices=len(ct)).work_once()
    site.receive(ct, version=2)
    assert [one.reason for one in shown(site)] == ["too_few_slices", None]
    with site.engine.begin() as connection:
        assert site.queue.find(connection, key)[0].state is JobState.REJECTED


def test_a_result_of_an_older_release_is_found_by_its_file(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    with site.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM made_results")
        assert state.latest(connection, key) is not None
    site.receive(ct, version=2)
    site.worker().work_once()
    first, second = seg(site, key, "1-0"), seg(site, key, "2-0")
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
