"""What the throughput benchmark says of a figure."""

import pytest

from benchmarks.intake import sustained
from benchmarks.intake.bars import Bar, bar_table
from benchmarks.intake.names import OURS
from benchmarks.intake.rounds import Block
from benchmarks.intake.run import Run
from benchmarks.intake.source import INSTANCE_BYTES
from benchmarks.intake.tables import block_table
from segwatch.settings_sections import SpoolSection


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


def test_all_senders_of_a_burst_that_does_not_end_send_several_journals() -> None:
    sent = {senders: senders * sustained.instances(sustained.MEGABYTES, senders) for senders in sustained.SENDERS}

    assert set(sent) == {1, 4}
    assert all(count * INSTANCE_BYTES > 4 * SpoolSection().journal_bytes for count in sent.values())
    assert sustained.instances(1, 4) == 1


def test_a_table_tells_seconds_until_the_answers_and_until_all_is_done() -> None:
    block = Block(4, 1, {OURS: [Run(2, 5, bytes=10**9, cpu_seconds=3, idle_bytes=0, peak_bytes=0)]}, is_sustained=True)

    title, *_, row = block_table(block).splitlines()

    assert title == "### 4 senders at once, a burst that does not end"
    assert row == "| segwatch | 2.00 (2.00 to 2.00) | 5.00 | 500 | 3.00 | 0 | 0 |"


def test_ratios_are_taken_within_a_round() -> None:
    def runs(*seconds: float) -> list[Run]:
        return [Run(one, 2 * one, bytes=1, cpu_seconds=0, idle_bytes=0, peak_bytes=0) for one in seconds]

    # the second round was slow for everybody; the ratio of the medians would be 4 to 3
    block = Block(1, 1, {"ours": runs(4, 20, 3), "theirs": runs(1, 10, 3)})

    ratio = block.ratio("ours", "theirs")

    assert (ratio.least, ratio.median, ratio.greatest) == (1, 2, 4)
