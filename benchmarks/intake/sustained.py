"""Bursts that do not end: several times what our journal holds, so that what it cannot take is measured too."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.intake.names import DURABLE, NO_JOURNAL, OURS
from benchmarks.intake.rounds import Block, Makers, run_block
from benchmarks.intake.source import INSTANCE_BYTES, Series
from benchmarks.intake.warm_pages import WarmPages
from tests.peers.dcmtk import Dcmtk

SENDERS = (1, 4)
MEGABYTES = 2400
"""Of one run, all senders together: four and a half times the journal."""
RUNS = 3
NOTE = (
    "A burst that does not end sends several times what the journal holds (`spool.journal_bytes`), without a pause. "
    "The journal takes its beginning, for as long as it has room and for a few seconds at most; all that follows gets "
    "its file at once, while the journal is emptied beside it."
)


def instances(megabytes: float, senders: int) -> int:
    """How many instances each of several senders sends."""
    return max(1, round(megabytes * 1e6 / INSTANCE_BYTES / senders))


def run_sustained(
    makers: Makers,
    folder: Path,
    dcmtk: Dcmtk,
    take: Callable[[int, int], Sequence[Series]],
    *,
    megabytes: float,
    rounds: int,
    pages: WarmPages,
) -> Mapping[int, Block]:
    """Run a block for each of `SENDERS` below `folder`: those of `makers` for which it says something.

    Args:
        makers: every server.
        folder: must not exist yet.
        dcmtk: has the senders.
        take: gives series, so many of so many instances.
        megabytes: of one run.
        rounds: of all, at most `RUNS` here.
        pages: are warmed before each run.
    """
    chosen = {name: makers[name] for name in (DURABLE, OURS, NO_JOURNAL) if name in makers}
    blocks = {}
    for senders in SENDERS:
        series = take(senders, instances(megabytes, senders))
        place = folder.with_name(f"{folder.name}-{senders}")
        blocks[senders] = run_block(
            chosen, place, dcmtk, series, rounds=min(rounds, RUNS), pages=pages, is_sustained=True
        )
    return blocks


def needed_bytes(megabytes: float) -> int:
    """What the runs and their series take of the disk, at most at the same time."""
    return int(megabytes * 1e6 * (3 * RUNS + len(SENDERS)))
