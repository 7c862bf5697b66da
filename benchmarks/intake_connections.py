"""Whether the listener forgets its peers: associations that end in every way, and what is left of them.

    python benchmarks/intake_connections.py [--full] [--write FILE]

Against a running `segwatch listen`: associations that are released, aborted, or dropped at random moments, and bare TCP
probes, a dozen at once. Threads, descriptors and memory are compared with the start, after a wait until they are back.
The start is taken after a tenth as many associations, when whatever is loaded or pooled at first use is there. The exit
status is 1 when something is not back.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pydicom import dcmread

from benchmarks.intake import accounting, contenders, surroundings
from benchmarks.intake.soak import Footprint, Outcome, settle, settle_at_rest, visit
from benchmarks.intake.source import write_series
from benchmarks.intake.wire import Wire, make_wire

_FIRST_VISITS = 1000
"""Until each process has been used by as many at once as ever will be: what it takes for them it keeps for the next."""
TOLERANCE_BYTES = 8_000_000
"""An allocator does not give back everything; 10,000 associations that leave 1 kB each are over it."""


def main() -> None:
    """Run the soak and print the table."""
    options = _options()
    accounting.check_supported()
    with tempfile.TemporaryDirectory(prefix="segwatch-benchmark-", dir=options.folder) as folder:
        lines, is_back = _soak(Path(folder), options)
    text = "\n".join(lines)
    print(text)
    if options.write is not None:
        options.write.write_text(text + "\n", encoding="utf-8")
    sys.exit(0 if is_back else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="10,000 associations, in place of 1,000")
    parser.add_argument("--associations", type=int, help="how many, in place of those")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where the spool is made")  # noqa: S108 (a folder of its own is made there)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables there too, in Markdown")
    options = parser.parse_args()
    options.associations = options.associations or (10_000 if options.full else 1000)
    return options


def _soak(folder: Path, options: argparse.Namespace) -> tuple[list[str], bool]:
    lines = [f"- {line}" for line in surroundings.describe(folder)]
    series = write_series(folder / "source", 1, 1, rows=64)
    wire = make_wire(contenders.Segwatch.ae_title, dcmread(next(series.folder.iterdir())))
    for name, changes in contenders.FAST_INTAKE_SETTINGS.items():
        place = folder / name.replace(" ", "-").replace(",", "")
        place.mkdir()
        listener = contenders.Segwatch(place, changes)
        try:
            listener.start()
            table, is_back = _against(listener, wire, options.associations)
        finally:
            listener.close()
        lines += ["", f"## {name}", "", *table]
        if not is_back:
            return _head(lines), False
    return _head(lines), True


def _head(lines: list[str]) -> list[str]:
    return ["# Connections of the intake", "", surroundings.command_line(), "", *lines]


def _against(listener: contenders.Segwatch, wire: Wire, associations: int) -> tuple[list[str], bool]:
    pid, spool, began = listener.process.pid, listener.spool, time.monotonic()
    idle = Footprint.of(pid, spool)
    visit(listener.port, wire, max(_FIRST_VISITS, associations // 10), seed=0)
    start = settle_at_rest(pid, spool, idle.threads)
    outcome = visit(listener.port, wire, associations)
    end = settle(pid, spool, start, tolerance_bytes=TOLERANCE_BYTES)
    is_back = end.is_back_at(start, tolerance_bytes=TOLERANCE_BYTES) and not outcome.failed
    lines = [*_footprints(start, end), "", *_visits(outcome), ""]
    lines.append(f"{'Back at the start' if is_back else 'NOT back at the start'}; {time.monotonic() - began:.0f} s.")
    return lines, is_back


def _footprints(start: Footprint, end: Footprint) -> list[str]:
    rows = [
        ("processes", start.processes, end.processes),
        ("threads", start.threads, end.threads),
        ("descriptors", start.descriptors, end.descriptors),
        ("own memory, MB", round(start.memory / 1e6, 1), round(end.memory / 1e6, 1)),
        ("half-written files", start.half_written, end.half_written),
    ]
    return ["| | start | end |", "|---|---|---|", *(f"| {name} | {then} | {now} |" for name, then, now in rows)]


def _visits(outcome: Outcome) -> list[str]:
    rows = [f"| {kind} | {count} | {outcome.failed[kind]} |" for kind, count in sorted(outcome.made.items())]
    return ["| connections | count | not served |", "|---|---|---|", *rows]


if __name__ == "__main__":
    main()
