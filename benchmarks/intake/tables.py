"""The tables of the throughput benchmark, in Markdown."""

from collections.abc import Sequence

from benchmarks.intake.names import DURABLE, PLAIN
from benchmarks.intake.rounds import Block, Spread
from benchmarks.intake.run import Run

_MB = 1e6


def block_table(block: Block) -> str:
    """Everything measured with one number of senders."""
    title = "1 sender" if block.senders == 1 else f"{block.senders} senders at once"
    title += ", a burst that does not end" if block.is_sustained else ""
    megabytes = next(iter(block.runs.values()))[0].bytes / _MB
    rounds = len(next(iter(block.runs.values())))
    head = ["server", "seconds", "until all is done", "MB/s"]
    head += ["relative to durable storescp"] if DURABLE in block.runs else []
    head += ["relative to storescp"] if PLAIN in block.runs else []
    head += ["CPU s per GB", "peak MB", "over idle, MB"]
    lines = [
        f"### {title}",
        "",
        f"{block.instances} instances each, {megabytes:.0f} MB in all; medians of {rounds} runs (least to greatest).",
        "",
        _row(head),
        _row(["---"] * len(head)),
        *(_server_row(block, name) for name in block.runs),
    ]
    return "\n".join(lines)


def _server_row(block: Block, name: str) -> str:
    settled = block.figure(name, lambda one: one.settled_seconds)
    cells = [name, _spread(block.seconds(name)), f"{settled:.2f}", f"{block.figure(name, _rate):.0f}"]
    cells += [_spread(block.ratio(name, to)) for to in (DURABLE, PLAIN) if to in block.runs]
    cells += [
        f"{block.figure(name, lambda one: one.cpu_seconds / one.bytes * 1e9):.2f}",
        f"{block.figure(name, lambda one: one.peak_bytes / _MB):.0f}",
        f"{block.figure(name, growth):.0f}",
    ]
    return _row(cells)


def growth(one: Run) -> float:
    """Memory while the senders pushed, over idle, MB."""
    return (one.peak_bytes - one.idle_bytes) / _MB


def _rate(one: Run) -> float:
    return one.bytes / one.seconds / _MB


def _spread(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.least:.2f} to {spread.greatest:.2f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
