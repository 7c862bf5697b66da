"""Which instances of a request the spool holds."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from dicom_listener.commitment import commitment_lookup
from dicom_listener.commitment.commitment import Reference
from dicom_listener.commitment.commitment_lookup import find_durable
from dicom_listener.errors import SpoolError
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, data_set, encode, instance, request, uid

CT = {str(CTImageStorage)}
OTHER_SERIES = f"{SERIES}.77"


def _ct(*uids: str) -> list[Reference]:
    return [Reference(str(CTImageStorage), uid) for uid in uids]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


@pytest.mark.parametrize("count", [3, 80], ids=["names tried", "folder listed"])
def test_what_is_there_is_found_with_its_class(spool: Spool, count: int) -> None:
    for number in (1, 2):
        spool.store(*instance(number))
    spool.store(*instance(5, series=OTHER_SERIES))
    wanted = [uid(number) for number in range(1, count + 1)] + [uid(5, OTHER_SERIES)]
    assert find_durable(spool, _ct(*wanted)) == {uid(1): CT, uid(2): CT, uid(5, OTHER_SERIES): CT}


def test_it_needs_nothing_but_the_files(spool: Spool) -> None:
    spool.store(*instance(1))
    assert find_durable(Spool(spool.root, high_watermark=1.1), _ct(uid(1))) == {uid(1): CT}


def test_purged_and_left_out_series_do_not_count(spool: Spool) -> None:
    first = spool.store(*instance(1))
    second = spool.store(*instance(2, series=OTHER_SERIES))
    wanted = [uid(1), uid(2, OTHER_SERIES)]
    assert find_durable(spool, _ct(*wanted), without=[first.series_key]) == {uid(2, OTHER_SERIES): CT}
    spool.purge(second.series_key)
    assert find_durable(spool, _ct(*wanted)) == {uid(1): CT}


def test_a_conflicting_copy_does_not_count(spool: Spool) -> None:
    spool.store(*instance(1))
    other = spool.store(*instance(1, pixels=b"\3\4" * 8))
    assert other.outcome is StoreOutcome.CONFLICT
    spool.root.joinpath(other.series_key, f"{other.instance.path.stem.partition('-')[0]}.dcm").unlink()
    assert find_durable(spool, _ct(uid(1))) == {}


@pytest.mark.parametrize("content", [b"", b"no DICOM at all" * 100])
def test_a_damaged_file_does_not_count(spool: Spool, content: bytes) -> None:
    spool.store(*instance(1)).instance.path.write_bytes(content)
    assert find_durable(spool, _ct(uid(1))) == {}


def test_a_file_under_anothers_name_does_not_count(spool: Spool) -> None:
    first, second = (spool.store(*instance(number)).instance.path for number in (1, 2))
    second.replace(first)
    assert find_durable(spool, _ct(uid(1), uid(2))) == {}


def test_the_search_goes_on_while_a_class_is_missing(spool: Spool) -> None:
    spool.store(*instance(1))
    other = data_set(1)
    other.SeriesInstanceUID, other.SOPClassUID = OTHER_SERIES, EnhancedCTImageStorage
    spool.store(replace(request(1), sop_class_uid=str(EnhancedCTImageStorage)), encode(other))
    both = [*_ct(uid(1)), Reference(str(EnhancedCTImageStorage), uid(1))]
    assert find_durable(spool, both) == {uid(1): {*CT, str(EnhancedCTImageStorage)}}
    assert all(len(find_durable(spool, [one])[uid(1)]) >= 1 for one in both)


def test_one_instance_in_two_series_counts_for_each(spool: Spool) -> None:
    spool.store(*instance(1))
    moved = data_set(1)
    moved.SeriesInstanceUID = OTHER_SERIES
    spool.store(request(1), encode(moved))
    key = next(iter(spool.series_keys()))
    assert find_durable(spool, _ct(uid(1))) == {uid(1): CT}
    spool.purge(key)
    assert find_durable(spool, _ct(uid(1))) == {uid(1): CT}


def test_names_are_synced_before_they_count(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = spool.store(*instance(1))
    synced: list[Path] = []
    monkeypatch.setattr(commitment_lookup, "sync_folder", synced.append)
    find_durable(spool, _ct(uid(1)))
    assert synced == [spool.root / stored.series_key, spool.root]


def test_content_is_synced_before_it_counts(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance has its name before its content is durable, and another association may be just between."""
    stored = spool.store(*instance(1))
    steps: list[Path] = []
    monkeypatch.setattr(commitment_lookup, "sync_file", steps.append)
    monkeypatch.setattr(commitment_lookup, "sync_folder", steps.append)
    assert find_durable(spool, _ct(uid(1))) == {uid(1): CT}
    assert steps == [stored.instance.path, spool.root / stored.series_key, spool.root]


def test_what_is_purged_while_it_is_synced_does_not_count(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.store(*instance(1))

    def purged(path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(commitment_lookup, "sync_file", purged)
    assert find_durable(spool, _ct(uid(1))) == {}


@pytest.mark.parametrize("step", ["sync_file", "sync_folder"])
def test_a_failing_disk_commits_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    spool.store(*instance(1))

    def fail(_folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(commitment_lookup, step, fail)
    with pytest.raises(SpoolError):
        find_durable(spool, _ct(uid(1)))


def test_a_torn_file_is_not_committed(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """Its sender may ask without having been answered, and delete what it has."""
    stored = [spool.store(*instance(number, pixels=b"\1\2" * 50_000)) for number in (1, 2)]
    with stored[0].instance.path.open("rb+") as file:  # its length reached the disk, a part of its content did not
        file.truncate(8192)
        file.truncate(stored[0].instance.size_bytes)
    assert find_durable(spool, _ct(uid(1), uid(2))) == {uid(2): CT}
    assert f"not committed, a damaged file of the spool: {stored[0].instance.path}" in caplog.text
