import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.errors import SpoolError, SpoolFullError
from dicom_listener.series import series_key
from dicom_listener.spool import files
from dicom_listener.spool import torn as torn_files
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.files import has_hole, sync_name
from dicom_listener.spool.folder_syncs import FolderSync, FolderSyncs
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance

KEY = series_key(STUDY, SERIES)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


def _all_files(spool: Spool) -> list[Path]:
    return sorted(path for path in spool.root.rglob("*") if path.is_file())


def test_data_and_name_reach_the_disk_before_success(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def recorded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            target = arguments[-1]
            suffix = f" {Path(f'/proc/self/fd/{target}').readlink().name}" if name == "fsync" else ""
            original(*arguments)
            steps.append(name + suffix)

        return call

    for name in ("fdatasync", "fsync", "link"):
        monkeypatch.setattr(os, name, recorded(name, getattr(os, name)))
    spool.store(*instance(1))
    # the folder's own name before what is filed in it; content and name of the instance at the same time
    assert steps[:2] == ["fsync spool", "link"]
    assert sorted(steps[2:]) == ["fdatasync", f"fsync {KEY}"]
    steps.clear()
    spool.store(*instance(2))
    assert steps[0] == "link"
    assert sorted(steps[1:]) == ["fdatasync", f"fsync {KEY}"]


def test_a_duplicate_is_durable_before_success_too(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    first = spool.store(*instance(1))
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", record)
    assert spool.store(*instance(1)).outcome is StoreOutcome.DUPLICATE
    assert sorted(synced) == sorted([first.instance.path.name, KEY])


@pytest.mark.parametrize("length", [0, 100, -1])
def test_what_lost_its_end_with_the_power_is_no_instance_and_is_replaced(spool: Spool, length: int) -> None:
    path = spool.store(*instance(1)).instance.path
    content = path.read_bytes()
    path.write_bytes(content[:length])
    assert spool.load(KEY) == ()
    assert spool.store(*instance(1)).outcome is StoreOutcome.STORED
    assert path.read_bytes() == content
    assert spool.conflicts(KEY) == []


def test_what_came_back_with_zeros_for_a_part_is_replaced_and_kept_beside(spool: Spool) -> None:
    path = spool.store(*instance(1, pixels=b"\1\2" * 50_000)).instance.path
    content = path.read_bytes()
    with path.open("rb+") as file:  # its length reached the disk, a part of its content did not
        file.truncate(8192)
        file.truncate(len(content))
    torn = path.read_bytes()
    assert torn != content
    assert spool.store(*instance(1, pixels=b"\1\2" * 50_000)).outcome is StoreOutcome.STORED
    assert path.read_bytes() == content
    (kept,) = spool.conflicts(KEY)
    assert kept.read_bytes() == torn
    assert spool.store(*instance(1, pixels=b"\1\2" * 50_000)).outcome is StoreOutcome.DUPLICATE


@pytest.mark.parametrize("read", [0, 1, 5000])
def test_to_look_for_holes_does_not_move_who_reads(tmp_path: Path, read: int) -> None:
    content = bytes(range(256)) * 200
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert file.read(read) == content[:read]
        assert not has_hole(file)
        assert file.read() == content[read:]
    with path.open("rb+") as file:
        file.truncate(len(content) + 1_000_000)
        assert has_hole(file)
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert not has_hole(file)


def test_a_file_with_holes_and_the_same_content_stays(spool: Spool) -> None:
    stored = spool.store(*instance(1, pixels=bytes(100_000)))
    content = stored.instance.path.read_bytes()
    with stored.instance.path.open("rb+") as file:  # as a copy that spares zeros
        file.truncate(8192)
        file.truncate(len(content))
    assert spool.store(*instance(1, pixels=bytes(100_000))).outcome is StoreOutcome.DUPLICATE
    assert spool.store(*instance(1, pixels=bytes(90_000) + b"\1" * 10_000)).outcome is StoreOutcome.STORED
    (kept,) = spool.conflicts(KEY)
    assert kept.read_bytes() == content  # whoever of the two was right, nothing is lost


@pytest.mark.parametrize("step", ["os.open", "os.write", "os.fdatasync", "os.link", "os.fsync"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, SpoolFullError),
        (errno.EDQUOT, SpoolFullError),
        (errno.EROFS, SpoolError),
        (errno.EIO, SpoolError),
    ],
)
def test_a_disk_that_fails_is_named_and_nothing_half_stays(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str, number: int, expected: type[SpoolError]
) -> None:
    def fail(*_: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(step, fail)
        with pytest.raises(SpoolError) as caught:
            spool.store(*instance())
    assert type(caught.value) is expected
    assert str(spool.root) in str(caught.value)
    assert list((spool.root / ".incoming").iterdir()) == []
    assert spool.store(*instance()).outcome in (StoreOutcome.STORED, StoreOutcome.DUPLICATE)


def test_a_torn_file_is_no_instance(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """Its sender was told nothing; a series must not be taken for complete with zeros in it."""
    whole, other = (spool.store(*instance(number, pixels=b"\1\2" * 50_000)) for number in (1, 2))
    with other.instance.path.open("rb+") as file:
        file.truncate(8192)
        file.truncate(other.instance.size_bytes)

    assert [one.instance for one in spool.load(KEY)] == [whole.instance]
    assert f"skipped a damaged file of the spool: {other.instance.path}" in caplog.text
    assert spool.store(*instance(2, pixels=b"\1\2" * 50_000)).outcome is StoreOutcome.STORED
    assert len(spool.load(KEY)) == 2


def test_where_zeros_are_holes_a_hole_says_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = spool.store(*instance(1, pixels=bytes(300_000)))
    monkeypatch.setattr(torn_files, "has_hole", lambda _file: True)
    torn_files._probe.cache_clear()

    assert [one.instance for one in spool.load(KEY)] == [stored.instance]
    torn_files._probe.cache_clear()


@pytest.mark.parametrize("told_by", ["fdatasync", "sync_file_range"])
def test_a_file_that_cannot_be_written_is_kept_apart_from_those_that_count(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, told_by: str
) -> None:
    """Another sender of the same instance may have been told Success for it a moment ago."""
    encoded = instance(1)[1]

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def fail_to_write(_descriptor: int, _offset: int, _length: int, flags: int) -> int:
        ctypes.set_errno(errno.EIO if flags & 4 else 0)
        return -1

    with monkeypatch.context() as patch, pytest.raises(SpoolError, match="Input/output error"):
        if told_by == "fdatasync":
            patch.setattr(os, "fdatasync", fail)
        else:  # and by nothing after it: the kernel tells it once
            patch.setattr(files, "_sync_file_range", fail_to_write)
        spool.store(*instance(1))

    assert spool.load(KEY) == ()
    (apart,) = spool.conflicts(KEY)
    assert apart.read_bytes().endswith(encoded)
    assert str(apart) in caplog.text
    assert spool.store(*instance(1)).outcome is StoreOutcome.STORED


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.EPERM])
def test_where_writing_cannot_be_waited_for_the_sync_does_it_all(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: int) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(files, "_sync_file_range", refuse)
    stored = spool.store(*instance(1))
    assert [one.instance for one in spool.load(KEY)] == [stored.instance]


def test_content_is_written_before_the_sync_of_its_name_begins(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one commit of the journal has both."""
    steps: list[str] = []
    finish, begin = Draft.finish_writeback, FolderSyncs.begin

    def written(whole: Draft) -> None:
        finish(whole)
        steps.append("written")

    def begun(syncs: FolderSyncs, path: Path) -> FolderSync:
        steps.append("name")
        return begin(syncs, path)

    monkeypatch.setattr(Draft, "finish_writeback", written)
    monkeypatch.setattr(FolderSyncs, "begin", begun)
    spool.store(*instance(1))
    assert steps == ["written", "name"]


def test_a_name_that_is_synced_late_does_not_hide_that_the_content_was_not_written(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of such a failure once: a second sync of the same file would succeed."""

    class Late:
        def __init__(self, path: Path) -> None:
            self._path = path

        def wait(self) -> None:
            sync_name(self._path)

    failures = iter([OSError(errno.EIO, "Input/output error")])
    fdatasync = os.fdatasync

    def fail_once(descriptor: int) -> None:
        for error in failures:
            raise error
        fdatasync(descriptor)

    monkeypatch.setattr(FolderSyncs, "begin", lambda _self, path: Late(path))
    monkeypatch.setattr(os, "fdatasync", fail_once)
    with pytest.raises(SpoolError, match="Input/output error"):
        spool.store(*instance(1))
    assert spool.load(KEY) == ()
