"""What was measured against what was promised."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.intake.names import DURABLE, ORTHANC, OURS, PLAIN
from benchmarks.intake.rounds import Block
from benchmarks.intake.tables import growth


@dataclass(frozen=True)
class Bar:
    """One promise and the figure for it."""

    figure: str
    measured: float
    bar: float
    stretch: float | None
    at_most: bool
    """Less is better; else more is."""
    unit: str = ""

    def verdict(self) -> str:
        """Met, or by how much not."""
        if self.stretch is not None and self._meets(self.stretch):
            return "met, with the stretch"
        if self._meets(self.bar):
            return "met"
        return f"missed by {abs(self.measured / self.bar - 1):.0%}"

    def _meets(self, limit: float) -> bool:
        return self.measured <= limit if self.at_most else self.measured >= limit


def bars(blocks: Mapping[int, Block], long_series_growth: float | None) -> Iterator[Bar]:
    """Every bar for which there are figures; `long_series_growth` is that of 8 senders with longer series, MB."""
    if (one := blocks.get(1)) is not None:
        if DURABLE in one.runs:
            yield Bar("one sender: time relative to durable storescp", one.ratio(OURS, DURABLE).median, 1.0, 0.85, True)
        if PLAIN in one.runs:
            yield Bar("one sender: time relative to storescp", one.ratio(OURS, PLAIN).median, 1.8, 1.4, True)
        if ORTHANC in one.runs:
            yield Bar("one sender: rate relative to Orthanc", one.ratio(ORTHANC, OURS).median, 2.0, 3.0, False)
    if (four := blocks.get(4)) is not None and DURABLE in four.runs:
        rate = four.ratio(DURABLE, OURS).median
        yield Bar("four senders: rate relative to durable storescp", rate, 0.8, 1.0, False)
    if (eight := blocks.get(8)) is not None:
        most = max(map(growth, eight.runs[OURS]))
        yield Bar("memory over idle while 8 senders push", most, 100, None, True, " MB")
        if long_series_growth is not None:
            yield Bar("the same with series 4 times as long", long_series_growth, 100, None, True, " MB")


def bar_table(found: list[Bar]) -> str:
    """The bars as a table in Markdown."""
    lines = ["| figure | bar | stretch | measured | |", "|---|---|---|---|---|"]
    for one in found:
        word, digits = ("at most" if one.at_most else "at least"), (0 if one.unit else 2)
        stretch = "" if one.stretch is None else f"{one.stretch:g}"
        measured = f"{one.measured:.{digits}f}{one.unit}"
        lines.append(f"| {one.figure} | {word} {one.bar:g}{one.unit} | {stretch} | {measured} | {one.verdict()} |")
    return "\n".join(lines)
