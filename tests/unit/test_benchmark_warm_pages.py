"""The pages that the throughput benchmark gives every run to write to."""

import os
from pathlib import Path

import pytest

from benchmarks.intake.warm_pages import WarmPages

MB = 1024 * 1024


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done to the file, in order."""
    found: list[str] = []
    write, sync, advise = os.write, os.fdatasync, os.posix_fadvise

    def noted_write(descriptor: int, data: bytes) -> int:
        found.append("write")
        return write(descriptor, data)

    def noted_sync(descriptor: int) -> None:
        found.append("sync")
        sync(descriptor)

    def noted_advise(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        found.append("free")
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fdatasync", noted_sync)
    monkeypatch.setattr(os, "posix_fadvise", noted_advise)
    return found


@pytest.mark.parametrize("run_bytes", [0, 1, MB, 3 * MB + 1])
def test_as_much_is_written_as_the_run_will_write(tmp_path: Path, run_bytes: int) -> None:
    path = tmp_path / "pages"

    WarmPages(path).prepare(run_bytes)

    assert path.stat().st_size == WarmPages.file_bytes(run_bytes) >= run_bytes


def test_pages_are_freed_once_they_are_written_back(tmp_path: Path, calls: list[str]) -> None:
    WarmPages(tmp_path / "pages").prepare(1)

    assert calls == ["write", "sync", "free"]


def test_the_file_is_written_over_and_never_shortened(tmp_path: Path, calls: list[str]) -> None:
    pages, path = WarmPages(tmp_path / "pages"), tmp_path / "pages"
    pages.prepare(3 * MB)
    before = path.stat()
    calls.clear()

    pages.prepare(1)

    after = path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert calls == ["write", "sync", "free"]  # written anew, though it is long enough
