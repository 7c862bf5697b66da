"""`segwatch demo`: the first thing that anybody sees."""

from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread

from tests.acceptance.hosts import TRACEBACK, is_one_sentence
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dciodvfy

pytestmark = pytest.mark.slow


def test_the_demo_takes_two_cases_all_the_way_and_flags_the_spoiled_one(
    segwatch_cli: SegwatchCli, dciodvfy: Dciodvfy, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    done = segwatch_cli("demo", "--out", out, timeout=900)
    assert done.returncode == 0, done.stderr
    assert TRACEBACK not in done.stderr
    assert done.stdout.count("Verdict: ") == 2
    second = done.stdout.split("2. Another one")[1]
    assert "LOW QUALITY" in second
    segs = {str(path): dcmread(path) for path in (out / "pacs").glob("*.dcm")}
    assert len(segs) == 2
    for path, seg in segs.items():
        assert path in done.stdout
        assert dciodvfy.errors(Path(path)) == []
        assert seg.Modality == "SEG"
    assert sorted("DEGRADED DEMO" in seg.SeriesDescription for seg in segs.values()) == [False, True]
    previews = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("preview with overlay")]
    for preview in previews:
        with Image.open(preview) as picture:
            assert picture.width > 300
    assert len(previews) == 2
    # what the demo says comes next works: the site's own view, and the way back from a record
    status = segwatch_cli("status", "-c", out / "segwatch.toml")
    assert status.stdout.count("done") >= 2, status.stderr
    record_id = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("record id"))
    found = segwatch_cli("lookup", record_id, "-c", out / "segwatch.toml")
    assert dcmread(next((out / "ct-1").iterdir())).StudyInstanceUID in found.stdout


def test_the_demo_does_not_empty_a_folder_that_is_not_its_own(segwatch_cli: SegwatchCli, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("two years of work")
    done = segwatch_cli("demo", "--out", mine)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr)
    assert (mine / "thesis.txt").read_text() == "two years of work"


def test_the_demo_names_what_it_cannot_take(segwatch_cli: SegwatchCli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = segwatch_cli("demo", "--ct", tmp_path / "empty", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr)
