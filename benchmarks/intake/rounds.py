"""Runs in shuffled order: every round has one run of each server, and ratios are taken within a round."""

import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.intake.contenders import Maker
from benchmarks.intake.run import Run, delete, run
from benchmarks.intake.source import Series
from benchmarks.intake.surroundings import spread
from benchmarks.intake.warm_pages import WarmPages
from tests.peers.dcmtk import Dcmtk

Makers = Mapping[str, Maker]


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest value."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value or more."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Block:
    """All runs with one number of senders."""

    senders: int
    instances: int
    """Of each sender."""
    runs: Mapping[str, Sequence[Run]]
    """By server; the runs of one index were one round."""
    is_sustained: bool = False
    """Whether it was a burst that does not end, see `benchmarks.intake.sustained`."""

    def seconds(self, name: str) -> Spread:
        """Of one server."""
        return Spread.of([one.seconds for one in self.runs[name]])

    def ratio(self, name: str, to: str) -> Spread:
        """Time of one server relative to another's in the same round."""
        pairs = zip(self.runs[name], self.runs[to], strict=True)
        return Spread.of([one.seconds / other.seconds for one, other in pairs])

    def figure(self, name: str, of: Callable[[Run], float]) -> float:
        """Median of something else."""
        return statistics.median(of(one) for one in self.runs[name])


def run_block(
    makers: Makers,
    folder: Path,
    dcmtk: Dcmtk,
    series: Sequence[Series],
    *,
    rounds: int,
    pages: WarmPages,
    is_sustained: bool = False,
) -> Block:
    """Run every server `rounds` times over fresh folders below `folder`, which is removed at the end of all."""
    folder.mkdir()
    spread(folder)
    order, runs = random.Random(len(series)), {name: list[Run]() for name in makers}  # noqa: S311 (not a secret)
    for number in range(rounds):
        names = list(makers)
        order.shuffle(names)
        for place, name in enumerate(names):
            runs[name].append(run(makers[name], folder / f"{number}-{place}", dcmtk, series, pages))
        print(f"{len(series)} senders: round {number + 1} of {rounds} done", file=sys.stderr)
    delete(folder)
    return Block(len(series), len(series[0].uids), runs, is_sustained)
