"""A test that fails takes no other down with it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import gc
import socket


def test_that_fails():
    left = [socket.socket()]
    left.append(left)  # a cycle: freed by the collector alone, whenever that runs
    raise AssertionError("here")


def test_that_runs_when_it_is_collected():
    gc.collect()
"""


def _run(folder: Path, *plugins: str) -> str:
    (folder / "test_two.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *plugins, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    return done.stdout + done.stderr


def test_what_a_failed_test_left_behind_fails_no_other(tmp_path: Path) -> None:
    alone = _run(tmp_path)
    assert "2 failed" in alone  # else this test shows nothing
    assert "unclosed <socket" in alone
    together = _run(tmp_path, "-p", "tests.tools.leftovers")
    assert "1 failed, 1 passed" in together
    assert "unclosed <socket" not in together
