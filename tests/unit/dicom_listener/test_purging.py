"""Series that leave the spool while instances of them arrive."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.series import series_key
from dicom_listener.spool import files, folder_syncs, purging
from dicom_listener.spool.folder_syncs import FolderSync, FolderSyncs
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid

KEY = series_key(STUDY, SERIES)
FIRST = frozenset({uid(1)})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """The spool of who purges."""
    return Spool(tmp_path / "spool", high_watermark=1.1)


@pytest.fixture
def other(spool: Spool) -> Spool:
    """The same spool in the process that receives."""
    return Spool(spool.root, high_watermark=1.1)


def before_and_after_the_rename(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], after: Callable[[], object] = lambda: None
) -> None:
    """Have things happen around the moment in which a series is taken away, once."""
    rename, calls = Path.rename, list[Path]()

    def moved(self: Path, target: Path) -> Path:
        if self.name != KEY or calls:
            return rename(self, target)
        calls.append(self)
        before()
        away = rename(self, target)
        after()
        return away

    monkeypatch.setattr(Path, "rename", moved)


def uids(spool: Spool) -> list[str]:
    return [one.instance.sop_instance_uid for one in spool.load(KEY)]


def is_clean(spool: Spool) -> bool:
    return list((spool.root / ".purging").iterdir()) == []


def test_an_instance_that_comes_behind_the_look_and_before_the_rename_keeps_its_series(
    spool: Spool, other: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.store(*instance(1))
    before_and_after_the_rename(monkeypatch, lambda: other.store(*instance(2)))

    assert not spool.purge(KEY, only=FIRST)

    assert uids(spool) == [uid(1), uid(2)]
    assert is_clean(spool)
    assert other.store(*instance(3)).instance.path.exists()
    assert spool.purge(KEY, only={uid(1), uid(2), uid(3)})
    assert uids(spool) == []
    assert is_clean(spool)


@pytest.mark.parametrize("pixels", [b"\1\2" * 8, b"\3\4" * 8], ids=["same", "other content"])
def test_it_is_put_back_beside_what_came_into_a_new_folder_meanwhile(
    spool: Spool, other: Spool, monkeypatch: pytest.MonkeyPatch, pixels: bytes
) -> None:
    other.store(*instance(1))
    other.store(*instance(1, pixels=b"\5\6" * 8))  # a conflict, which goes with it
    again: list[StoredInstance] = []
    before_and_after_the_rename(
        monkeypatch,
        lambda: other.store(*instance(2)),
        lambda: again.extend((other.store(*instance(2, pixels=pixels)), other.store(*instance(3)))),
    )

    assert not spool.purge(KEY, only=FIRST)

    assert [one.outcome for one in again] == [StoreOutcome.STORED, StoreOutcome.STORED]
    assert uids(spool) == [uid(1), uid(2), uid(3)]
    assert is_clean(spool)
    assert len(spool.conflicts(KEY)) == (1 if pixels == b"\1\2" * 8 else 2)


def test_a_crash_before_the_second_look_loses_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.store(*instance(1))

    looks: list[Any] = []

    def crash_at_the_second(*arguments: Any) -> bool:
        looks.append(arguments)
        if len(looks) == 2:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(purging, "_has_others", crash_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        spool.purge(KEY, only=FIRST)
    assert uids(spool) == []
    again = Spool(spool.root, high_watermark=1.1)
    assert again.recover() == 1
    assert uids(again) == [uid(1)]
    assert is_clean(again)


@pytest.mark.parametrize("only", [FIRST, None], ids=["only known ones", "all"])
def test_a_crash_behind_it_is_brought_to_an_end(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, only: frozenset[str] | None
) -> None:
    spool.store(*instance(1))

    def crash(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", crash)
        spool.purge(KEY, only=only)
    again = Spool(spool.root, high_watermark=1.1)
    assert again.recover() == 1
    assert uids(again) == []
    assert is_clean(again)


def test_a_listener_that_starts_meanwhile_puts_it_back_and_the_purge_gives_way(
    spool: Spool, other: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.store(*instance(1))
    before_and_after_the_rename(monkeypatch, lambda: None, other.recover)

    assert not spool.purge(KEY, only=FIRST)

    assert uids(spool) == [uid(1)]
    assert is_clean(spool)


@pytest.mark.parametrize("only", [FIRST, None], ids=["only known ones", "all"])
def test_a_folder_that_is_swapped_before_the_sync_does_not_get_the_wrong_one_synced(
    spool: Spool, other: Spool, monkeypatch: pytest.MonkeyPatch, only: frozenset[str] | None
) -> None:
    """Where the name of the second instance is taken away, it is made durable where it then is."""
    spool.store(*instance(1))
    begin, synced = FolderSyncs.begin, list[tuple[Path, bool]]()
    sync_name = files.sync_name

    def swap_and_begin(self: FolderSyncs, path: Path) -> FolderSync:
        monkeypatch.setattr(FolderSyncs, "begin", begin)
        spool.purge(KEY, only=only)
        other.store(*instance(3))  # the folder is there again
        return begin(self, path)

    def sync_and_note(path: Path) -> None:
        sync_name(path)
        synced.append((path, path.exists()))

    monkeypatch.setattr(FolderSyncs, "begin", swap_and_begin)
    monkeypatch.setattr(folder_syncs, "sync_name", sync_and_note)
    second = other.store(*instance(2))

    assert second.outcome in {StoreOutcome.STORED, StoreOutcome.DUPLICATE}
    assert (second.instance.path, True) in synced
    assert uids(spool) == ([uid(1), uid(2), uid(3)] if only else [uid(2), uid(3)])
