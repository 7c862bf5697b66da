"""How fast instances come in, compared with DCMTK's storescp, Orthanc and a plain pynetdicom handler.

    python benchmarks/intake_throughput.py [--full] [--write FILE] [--senders 1 4] [--runs 7] ...

Instances of 0.5 MB are sent by DCMTK's storescu (TCP_NODELAY=1) to a server that was started for this run and has
answered a C-ECHO, over warm pages (benchmarks/intake/warm_pages.py); the time is that from the start of the first
sender to the end of the last, which has its last answer then. Beside it stands the time until the server had nothing
left to do: until every instance had its file with us, until its processes had ended with storescp. CPU seconds are
counted until then too. One sender sends 300 instances, two or four send 150 each, eight 75 each, every one a series of
its own. The order within a round is shuffled; ratios are taken within a round; nothing is deleted between runs. After
each run everything that was sent must be there: with us, what a spool finds that is opened after a kill.

With --full also bursts that do not end (benchmarks/intake/sustained.py), of one sender and of four.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from benchmarks.intake import accounting, contenders, durable_close, surroundings, sustained
from benchmarks.intake.bars import bar_table, bars
from benchmarks.intake.names import BARE, DURABLE, HANDLER, ORTHANC, OURS, PLAIN
from benchmarks.intake.rounds import Block, Makers, run_block
from benchmarks.intake.run import delete, run
from benchmarks.intake.source import INSTANCE_BYTES, Series, write_series
from benchmarks.intake.sustained import run_sustained
from benchmarks.intake.tables import block_table, growth
from benchmarks.intake.warm_pages import NOTE as WARM_PAGES_NOTE
from benchmarks.intake.warm_pages import WarmPages
from segwatch.settings_sections import SpoolSection
from tests.peers.dcmtk import Dcmtk, find_dcmtk

LONGER = 4
"""How much longer the series are that must not cost more memory."""
ENOUGH_RUNS = 7
_MEMORY_NOTE = (
    "Memory is the resident memory of all processes of a server, added up: what they share counts for each of them."
)
_SECONDS_NOTE = (
    "Seconds end when the last sender has its last answer. `until all is done` ends when the server has nothing left "
    "to do for these instances: with us each has a file of its own, with storescp its processes have ended. CPU "
    "seconds are counted until then, so with the journal they include that each instance is written a second time."
)


def main() -> None:
    """Run the benchmark and print the tables."""
    options = _options()
    accounting.check_supported()
    try:
        dcmtk = find_dcmtk()
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # it is made for tests
        sys.exit(str(missing))
    with tempfile.TemporaryDirectory(prefix="segwatch-benchmark-", dir=options.folder) as folder:
        text = "\n".join(_benchmark(Path(folder), dcmtk, options))
    print(text)
    if options.write is not None:
        options.write.write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{ENOUGH_RUNS} runs of each, in place of 3")
    parser.add_argument("--runs", type=int, help="runs of each server")
    parser.add_argument("--senders", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--instances", type=int, default=300, help="of one sender")
    parser.add_argument(
        "--sustained",
        type=float,
        metavar="MB",
        help=f"length of bursts that do not end, 0 for none; with --full {sustained.MEGABYTES}, else none",
    )
    parser.add_argument("--only", nargs="+", help="servers whose names contain one of these words; segwatch always")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure")  # noqa: S108 (a folder of its own is made there)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables there too, in Markdown")
    options = parser.parse_args()
    options.runs = options.runs or (ENOUGH_RUNS if options.full else 3)
    if options.sustained is None:
        options.sustained = sustained.MEGABYTES if options.full else 0
    return options


def _benchmark(folder: Path, dcmtk: Dcmtk, options: argparse.Namespace) -> list[str]:
    orthanc = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")
    makers = _makers(folder, dcmtk, options.only, with_orthanc=orthanc is not None)
    surroundings.check_disk(folder, _needed_bytes(options, len(makers)))
    source, pages = _Source(folder / "source"), WarmPages(folder / "warm-pages")
    blocks = {}
    for senders in options.senders:
        series = source.take(senders, _each(options.instances, senders))
        blocks[senders] = run_block(makers, folder / f"runs-{senders}", dcmtk, series, rounds=options.runs, pages=pages)
    long_series = None
    if 8 in blocks:
        print("8 senders with longer series", file=sys.stderr)
        series = source.take(8, LONGER * _each(options.instances, 8))
        long_series = growth(run(makers[OURS], folder / "long", dcmtk, series, pages))
        delete(folder / "long")
    endless: Mapping[int, Block] = {}
    if options.sustained:
        place = folder / "sustained"
        endless = run_sustained(
            makers, place, dcmtk, source.take, megabytes=options.sustained, rounds=options.runs, pages=pages
        )
    programs = [dcmtk.storescu, dcmtk.storescp, *([Path(orthanc)] if ORTHANC in makers and orthanc else [])]
    lines = ["# Throughput of the intake", "", surroundings.command_line(), ""]
    lines += [f"- {line}" for line in surroundings.describe(folder, programs)]
    notes = (contenders.VARIANTS_NOTE, _SECONDS_NOTE, WARM_PAGES_NOTE, surroundings.SPREAD_NOTE, _MEMORY_NOTE)
    lines += [f"- {note}" for note in (*notes, *([sustained.NOTE] if endless else []))]
    if options.runs < ENOUGH_RUNS:
        lines += [f"- {options.runs} runs of each are for orientation: `--full` makes {ENOUGH_RUNS}."]
    return [*lines, "", *_sections(blocks, endless, long_series)]


def _needed_bytes(options: argparse.Namespace, n_servers: int) -> int:
    """What the disk must have free. Blocks are removed one after the other, their series stay."""
    most = max(_each(options.instances, senders) * senders for senders in options.senders)
    longest = most * LONGER if 8 in options.senders else most
    written = int((n_servers * options.runs * most + 2 * most + 2 * longest) * INSTANCE_BYTES * 1.05)
    one_run: int = max(int(longest * INSTANCE_BYTES * 1.05), int(options.sustained * 1e6))
    lanes = SpoolSection().journal_bytes * max(options.runs + 1, sustained.RUNS)
    return sum((written, sustained.needed_bytes(options.sustained), lanes, WarmPages.file_bytes(one_run)))


def _sections(blocks: Mapping[int, Block], endless: Mapping[int, Block], long_series: float | None) -> list[str]:
    tables = [part for block in (*blocks.values(), *endless.values()) for part in (block_table(block), "")]
    return [*tables, "### Against the bars", "", bar_table(list(bars(blocks, long_series)))]


def _makers(folder: Path, dcmtk: Dcmtk, only: Sequence[str] | None, *, with_orthanc: bool) -> Makers:
    library = durable_close.build(folder)
    makers: dict[str, contenders.Maker] = {
        PLAIN: partial(contenders.Storescp, dcmtk=dcmtk),
        DURABLE: partial(contenders.Storescp, dcmtk=dcmtk, preloaded=library),
        ORTHANC: partial(contenders.OrthancContender, dcmtk=dcmtk),
        HANDLER: contenders.PlainHandler,
        BARE: contenders.BareLoop,
    }
    if not with_orthanc:
        print("Orthanc is not installed and left out", file=sys.stderr)
        del makers[ORTHANC]
    if only:
        makers = {name: make for name, make in makers.items() if any(word in name for word in only)}
    ours = contenders.FAST_INTAKE_SETTINGS
    return makers | {name: partial(contenders.Segwatch, changes=changes) for name, changes in ours.items()}


def _each(instances: int, senders: int) -> int:
    """How many instances each of several senders sends: all together no more than twice what one does."""
    return instances if senders == 1 else max(1, min(instances // 2, 2 * instances // senders))


class _Source:
    """Series that are written once and sent in every run of their length."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[int, int], Series] = {}

    def take(self, senders: int, instances: int) -> list[Series]:
        for number in range(1, senders + 1):
            if (number, instances) not in self._made:
                place = self._folder / f"{instances}-{number}"
                self._made[number, instances] = write_series(place, number, instances)
        return [self._made[number, instances] for number in range(1, senders + 1)]


if __name__ == "__main__":
    main()
