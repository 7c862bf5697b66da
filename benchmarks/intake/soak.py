"""Many peers that come and go, and what they leave behind in the listener."""

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.intake import accounting
from benchmarks.intake.visits import ASSOCIATIONS, PROBES, NotAcceptedError, Visit
from benchmarks.intake.wire import Wire
from tests.peers.waiting import wait_until

AT_ONCE = 12
PROBES_PER_ASSOCIATION = 0.2
SETTLE_S = 120.0
KINDS: Mapping[str, Visit] = {**ASSOCIATIONS, **PROBES}


@dataclass(frozen=True)
class Footprint:
    """What a listener holds, its child processes included."""

    processes: int
    threads: int
    descriptors: int
    memory: int
    """Bytes that are its own (RssAnon)."""
    half_written: int
    """Files in the spool of instances that did not come whole."""

    @classmethod
    def of(cls, pid: int, spool: Path) -> "Footprint":
        """Look at a running listener."""
        pids = accounting.processes(pid)
        return cls(
            processes=len(pids),
            threads=sum(map(accounting.threads, pids)),
            descriptors=sum(map(accounting.descriptors, pids)),
            memory=sum(map(accounting.private_bytes, pids)),
            half_written=sum(1 for _ in (spool / ".incoming").iterdir()),
        )

    def is_back_at(self, start: "Footprint", *, tolerance_bytes: int) -> bool:
        """Whether nothing is left of what came after `start`; memory may differ by the tolerance."""
        held = (self.processes, self.threads, self.descriptors, self.half_written)
        before = (start.processes, start.threads, start.descriptors, start.half_written)
        return all(now <= then for now, then in zip(held, before, strict=True)) and (
            self.memory <= start.memory + tolerance_bytes
        )


@dataclass(frozen=True)
class Outcome:
    """How visits went."""

    made: Counter[str]
    """By kind."""
    failed: Counter[str]
    """By kind: not accepted, or cut off by the listener."""


def visit(port: int, wire: Wire, associations: int, *, seed: int = 1) -> Outcome:
    """Open so many associations, kind by kind in random order, and bare probes among them; a dozen at once."""
    chance = random.Random(seed)  # noqa: S311 (not a secret)
    names = list(itertools.islice(itertools.cycle(ASSOCIATIONS), associations))
    names += chance.choices(list(PROBES), k=round(associations * PROBES_PER_ASSOCIATION))
    chance.shuffle(names)

    def one(name: str, number: int) -> str | None:
        try:
            KINDS[name](port, wire, random.Random(number))  # noqa: S311 (not a secret)
        except (NotAcceptedError, OSError):
            return name
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [name for name in pool.map(one, names, range(len(names))) if name is not None]
    return Outcome(Counter(names), Counter(failed))


def settle(pid: int, spool: Path, start: Footprint, *, tolerance_bytes: int, seconds: float = SETTLE_S) -> Footprint:
    """Wait until the listener is back at the start, or so long; gives what it holds then."""
    with suppress(TimeoutError):
        wait_until(
            lambda: Footprint.of(pid, spool).is_back_at(start, tolerance_bytes=tolerance_bytes),
            "the listener is back at the start",
            timeout=seconds,
            interval=0.2,
        )
    return Footprint.of(pid, spool)


def settle_at_rest(pid: int, spool: Path, threads: int, *, seconds: float = SETTLE_S) -> Footprint:
    """Wait until the listener has no more threads than when nobody was there; gives what it holds then."""
    wait_until(lambda: Footprint.of(pid, spool).threads <= threads, "the connections ended", timeout=seconds)
    return Footprint.of(pid, spool)
