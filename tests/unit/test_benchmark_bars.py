"""What the throughput benchmark says of a figure."""

import pytest

from benchmarks.intake.bars import Bar, bar_table
from benchmarks.intake.rounds import Block
from benchmarks.intake.run import Run


@pytest.mark.parametrize(
    ("measured", "at_most", "verdict"),
    [
        (0.8, True, "met, with the stretch"),
        (1.0, True, "met"),
        (1.5, True, "missed by 50%"),
        (2.0, False, "met, with the stretch"),
        (1.0, False, "met"),
        (0.75, False, "missed by 25%"),
    ],
)
def test_a_bar_is_met_or_missed_by_so_much(measured: float, at_most: bool, verdict: str) -> None:
    bar = Bar("a figure", measured, 1.0, 0.85 if at_most else 1.5, at_most)

    assert bar.verdict() == verdict
    assert verdict in bar_table([bar])


def test_ratios_are_taken_within_a_round() -> None:
    def runs(*seconds: float) -> list[Run]:
        return [Run(one, bytes=1, cpu_seconds=0, idle_bytes=0, peak_bytes=0) for one in seconds]

    # the second round was slow for everybody; the ratio of the medians would be 4 to 3
    block = Block(1, 1, {"ours": runs(4, 20, 3), "theirs": runs(1, 10, 3)})

    ratio = block.ratio("ours", "theirs")

    assert (ratio.least, ratio.median, ratio.greatest) == (1, 2, 4)
