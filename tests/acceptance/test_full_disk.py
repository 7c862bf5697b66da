"""A spool without room: senders are told to come again, nothing is lost, and people are told why."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.hosts import TRACEBACK, Site, edit_settings
from tests.peers.dcmtk import Dcmtk
from tests.peers.missing import missing_peer

pytestmark = pytest.mark.slow

OUT_OF_RESOURCES = "0xa700"
"""Refused: Out of Resources (PS3.4 table B.2-1), as DCMTK prints it."""
SMALL_DISK_MB = 8


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of a few megabytes; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "none", str(folder)]
    if os.geteuid() != 0:
        missing_peer("root", "only root may mount a file system")
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        missing_peer("mount", f"a file system of its own cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_above_the_watermark_senders_are_told_to_come_again(
    make_site: Callable[..., Site], write_series: Callable[..., list[Path]], quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, "spool.high_watermark": 0.000001})
    files = write_series(1)
    site.start()
    refused = dcmtk.send(*files, port=site.port, options=("-R", "-d"))
    assert refused.returncode != 0
    assert OUT_OF_RESOURCES in (refused.stdout + refused.stderr).lower()
    assert site.status()["series"] == []
    doctor = site.cli("doctor", "-c", site.settings)
    assert "wrong spool" in doctor.stdout
    assert "make room" in doctor.stdout
    shown = site.cli("status", "-c", site.settings)
    assert "New instances are refused" in shown.stdout
    assert site.stop() == 0

    edit_settings(site.settings, {"spool.high_watermark": 0.99})
    site.start()
    assert dcmtk.send(*files, port=site.port).returncode == 0
    site.wait_for_state("done")
    assert "are refused" not in site.cli("status", "-c", site.settings).stdout
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_a_disk_that_is_full_to_the_last_byte(
    *,
    make_site: Callable[..., Site],
    write_series: Callable[..., list[Path]],
    quick_model: str,
    dcmtk: Dcmtk,
    small_disk: Path,
) -> None:
    changes = {
        "model.manifest": quick_model,
        "site.data_dir": str(small_disk),
        "spool.high_watermark": 0.999,
        "spool.minimum_free_bytes": 0,
        "worker.retry_seconds": 1.0,
        "worker.maximum_attempts": 50,
    }
    site = make_site("clinic", changes)
    first, second = write_series(1), write_series(2)
    site.start()
    assert dcmtk.send(*first, port=site.port).returncode == 0
    site.wait_for_state("done")

    ballast = small_disk / "ballast"
    fill(ballast)
    refused = dcmtk.send(*second, port=site.port, options=("-R", "-d"))
    assert refused.returncode != 0
    assert OUT_OF_RESOURCES in (refused.stdout + refused.stderr).lower()
    shown = site.cli("status", "-c", site.settings)
    assert shown.returncode == 0, shown.stderr
    assert "disk 100% full" in shown.stdout
    assert "New instances are refused" in shown.stdout
    assert site.process.is_running

    ballast.unlink()
    assert dcmtk.send(*second, port=site.port).returncode == 0
    site.wait_for_state("done", count=2)
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def fill(path: Path) -> None:
    """Write until the file system has no room for one byte more."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
