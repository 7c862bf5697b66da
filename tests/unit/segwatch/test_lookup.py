"""`segwatch lookup` with a series key: back to the study, also where no record was made."""

from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_listener.errors import UnknownSeriesError
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason
from segwatch.errors import UsageError
from segwatch.lookup import SeriesFound, find_series, is_series_key
from segwatch.status import SeriesState
from tests.unit.segwatch.site_room import NOW, SiteRoom, small_ct


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture
def site(tmp_path: Path) -> SiteRoom:
    return SiteRoom(tmp_path)


def look_up(site: SiteRoom, key: str) -> SeriesFound:
    with site.engine.begin() as connection:
        return find_series(connection, site.queue, key, site.results)


def test_a_series_that_cannot_be_segmented_is_found_by_the_beginning_of_its_key(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.worker(minimum_slices=500).work_once()
    found = look_up(site, key[:8].upper())
    header = dcmread(ct[0], stop_before_pixels=True)
    assert (found.key, found.study_instance_uid) == (key, header.StudyInstanceUID)
    assert found.series_instance_uid == header.SeriesInstanceUID
    (version,) = found.versions
    assert (version.status.state, version.status.reason) == (SeriesState.REJECTED, "too_few_slices")
    assert (version.sent_by, version.records, version.results) == ("PACS", (), None)


def test_a_series_that_rules_leave_out_names_the_rules(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct, queued=False)
    with site.engine.begin() as connection:
        routes.begin(connection, key, 1, "a study", now=NOW)
        route = routes.Route(
            key, 1, "a study", "research", RouteState.NOT_TAKEN, (Reason("derived", "it is"),), None, None, NOW
        )
        routes.save(connection, route)
    (version,) = look_up(site, key).versions
    assert (version.status.state, version.status.reason, version.rules) == (
        SeriesState.NOT_TAKEN,
        "derived",
        "research",
    )


def test_every_version_is_told_with_its_records(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct[:-3])
    site.worker().work_once()
    site.confirm_everything()
    site.receive(ct, version=2)
    site.worker().work_once()
    first, second = look_up(site, key).versions
    assert [len(first.records), len(second.records)] == [1, 1]
    assert second.results is not None
    assert (Path(second.results) / "preview.png").is_file()
    assert set(first.records).isdisjoint(second.records)
    assert (first.status.state, second.status.state) == (SeriesState.DONE, SeriesState.DELIVERING)


def test_a_forgotten_series_is_told_to_be_forgotten_without_its_uids(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    site.acts().forget(key, by="jane", reason="asked to", now=NOW + 1)
    found = look_up(site, key)
    assert (found.study_instance_uid, found.series_instance_uid) == (None, None)
    assert found.versions[0].status.state is SeriesState.FORGOTTEN


def test_too_short_a_key_and_one_that_nobody_knows(site: SiteRoom, ct: list[Path]) -> None:
    key = site.receive(ct)
    with pytest.raises(UsageError, match="at least 8 digits"):
        look_up(site, key[:7])
    with pytest.raises(UnknownSeriesError):
        look_up(site, "0" * 32)


def test_a_record_id_is_no_series_key() -> None:
    assert is_series_key("b3baf5636bd2")
    assert not is_series_key("244fffce-4f4a-8004-878f-bd94f9c131c7")
