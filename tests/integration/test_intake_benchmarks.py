"""The benchmarks of the intake still run, and their tables are complete; how fast anything was is not judged here."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.intake import contenders, names
from benchmarks.intake.visits import ASSOCIATIONS, PROBES
from tests.peers.dcmtk import Dcmtk
from tests.peers.orthanc import find_orthanc

ROOT = Path(__file__).resolve().parents[2]
N_BARS = 6


def _run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_throughput_benchmark_compares_every_server_and_finds_all_that_was_sent(
    dcmtk: Dcmtk, tmp_path: Path
) -> None:
    assert dcmtk.storescp
    find_orthanc()
    page = tmp_path / "throughput.md"

    # that every instance arrived is seen to by the benchmark, which fails otherwise
    sizes = ["--senders", "1", "4", "8", "--runs", "1", "--instances", "4", "--sustained", "4"]
    printed = _run("intake_throughput.py", *sizes, "--write", str(page))

    assert page.read_text() == printed
    ours = contenders.FAST_INTAKE_SETTINGS
    servers = [names.PLAIN, names.DURABLE, names.ORTHANC, names.HANDLER, names.BARE, *ours]
    blocks = printed.split("\n### ")[1:6]
    some = ["1 sender", "4 senders at once", "8 senders at once"]
    endless = ["1 sender, a burst that does not end", "4 senders at once, a burst that does not end"]
    assert [block.split("\n")[0] for block in blocks] == [*some, *endless]
    for number, block in enumerate(blocks):
        rows = _rows(block)
        assert [row[0] for row in rows] == (servers if number < len(some) else [names.DURABLE, *list(ours)[:2]])
        assert all(re.fullmatch(r"[0-9.]+( \([0-9.]+ to [0-9.]+\))?", cell) for row in rows for cell in row[1:]), block
    bars = _rows(printed.split("### Against the bars")[1])
    assert len(bars) == N_BARS
    assert all(row[-1].startswith(("met", "missed by")) for row in bars)


def test_the_listener_forgets_peers_that_came_and_went_in_every_way() -> None:
    printed = _run("intake_connections.py", "--associations", "200")

    ours = contenders.FAST_INTAKE_SETTINGS
    assert printed.count("\nBack at the start") == len(ours)
    for kind in [*ASSOCIATIONS, *PROBES]:
        rows = [row for row in _rows(printed) if row[0] == kind]
        assert [row[2] for row in rows] == ["0"] * len(ours), kind
        assert all(int(row[1]) > 0 for row in rows)


def _rows(text: str) -> list[list[str]]:
    """The cells of the rows of the tables in a text, without their heads."""
    lines = text.splitlines()
    is_row = [line.startswith("| ") and not set(line) <= set("| -") for line in lines]
    heads = {number for number in range(len(lines) - 1) if is_row[number] and set(lines[number + 1]) <= set("| -")}
    heads -= {number for number in heads if not lines[number + 1]}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if is_row[number] and number not in heads
    ]
