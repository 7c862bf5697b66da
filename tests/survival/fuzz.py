"""Sends mutations to a running listener from several connections at once, and judges what comes back.

A case is made from a seed and its number alone, so any of them can be made again.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.survival.case import Case, Ending
from tests.survival.listener import ARTIM_SECONDS, AttackedListener, fingerprint, stored_data_sets, unidentified
from tests.survival.mutated_associate import associate_case
from tests.survival.mutated_command import command_case
from tests.survival.mutated_data_set import Base, data_set_case
from tests.survival.mutated_pdu import pdu_case
from tests.survival.peer import HonestSender, Peer, PeerGoneError

SENTINEL = 0x7FFE
"""Message ID of the C-ECHO request that follows some cases."""
OUR_FAILURE = "status 0110"
"""Reaction that no data set may get: Processing failure."""
STORED = "stored"
"""Reaction to a push that was answered with 200."""
MARGIN_SECONDS = 8.0
"""What a busy machine may add to the listener's timers."""
_WEIGHTS = (55, 20, 17, 8)


def make_case(seed: int, number: int, bases: Sequence[Base]) -> Case:
    """Make the case of this number."""
    random = Random(f"{seed}:{number}")  # noqa: S311 (not a secret)
    match random.choices(range(4), _WEIGHTS)[0]:
        case 0:
            return data_set_case(random, number, bases)
        case 1:
            return command_case(random)
        case 2:
            return pdu_case(random)
        case _:
            return associate_case(random)


@dataclass
class Findings:
    """What a run saw; for several threads."""

    cases: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    """How the listener reacted."""
    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    """Name and SHA-256 of what must be in the spool, and where it came from."""
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, name, and what was wrong."""
    slowest_seconds: float = 0.0
    seconds: float = 0.0
    honest_instances: int = 0
    memory_growth_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, case: Case, reaction: str, seconds: float) -> None:
        """Count a case."""
        with self._lock:
            self.cases[case.name] += 1
            self.endings[reaction] += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            if reaction in ("status 0000", STORED) and case.store is not None:
                uid = case.store.uid.rstrip("\0 ").lstrip(" ")  # the listener takes these for padding
                self.acknowledged[fingerprint(uid, case.store.data_set)] = f"{case.name} {case.store.uid!a}"


class Attacker(threading.Thread):
    """Takes numbers of cases and sends them, on one association as long as that lasts."""

    def __init__(self, port: int, numbers: "itertools.count[int]", last: int, findings: Findings) -> None:
        super().__init__(name="attacker")
        self._port, self._numbers, self._last, self._findings = port, numbers, last, findings
        self._peer: Peer | None = None
        self.seed = 0
        self.bases: Sequence[Base] = ()
        self.keep = Path("fuzz-failures")

    def run(self) -> None:
        """Called by the thread."""
        while (number := next(self._numbers)) < self._last and len(self._findings.failures) < 20:
            case = self.make(number)
            began = time.monotonic()
            try:
                reaction = self.send(case)
            except (TimeoutError, ConnectionError) as error:
                self.close()
                why = f"after {time.monotonic() - began:.1f} s: {type(error).__name__}: {error}"
                self._findings.failures.append((number, case.name, why))
                case.write(self.keep / f"{self.seed}-{number}.json", why)
                continue
            self._findings.note(case, reaction, time.monotonic() - began)
        self.close()

    def make(self, number: int) -> Case:
        """Make the case of this number."""
        return make_case(self.seed, number, self.bases)

    def send(self, case: Case) -> str:
        """Send a case and return how the listener reacted. Raises TimeoutError when it hung."""
        if self._peer is None or not case.associated:
            self.close()
            self._peer = Peer(self._port, patience=ARTIM_SECONDS + MARGIN_SECONDS)
            if case.associated:
                self._peer.associate()
        try:
            return self._converse(self._peer, case)
        except PeerGoneError:
            self.close()
            return "ended"

    def _converse(self, peer: Peer, case: Case) -> str:
        for piece in case.pieces:
            peer.send(piece)
        match case.ending:
            case Ending.ANSWER if case.store is not None:
                return f"status {peer.read_status(case.store.message):04X}"
            case Ending.ECHO:
                peer.echo(SENTINEL)
                return "echo answered"
            case Ending.CLOSE:
                peer.half_close()
            case _:
                pass
        peer.read_to_end()
        self.close()
        return "closed"

    def close(self) -> None:
        """End the association that is open, if one is."""
        if self._peer is not None:
            self._peer.socket.close()
        self._peer = None


N_ATTACKERS = 12


def fuzz(listener: AttackedListener, *, seed: int, cases: range, bases: Sequence[Base], keep: Path) -> Findings:
    """Send the cases of these numbers; an honest sender works beside them. What failed is kept in `keep`."""
    findings, numbers = Findings(), itertools.count(cases.start)
    crew = [Attacker(listener.port, numbers, cases.stop, findings) for _ in range(N_ATTACKERS)]
    for one in crew:
        one.seed, one.bases, one.keep = seed, bases, keep
    return attack(listener, crew, findings, [HonestSender(listener.port)])


def attack(
    listener: AttackedListener,
    crew: Sequence[Attacker],
    findings: Findings,
    honest: Sequence[HonestSender],
    *,
    more_threads: int = 2,
) -> Findings:
    """Let a crew send all its cases while honest senders work; so many threads may be left that were not there."""
    threads, descriptors, memory = listener.threads(), listener.descriptors(), listener.memory_bytes()
    began = time.monotonic()
    with ExitStack() as working:
        for sender in honest:
            working.enter_context(sender)
        for one in crew:
            one.start()
        for one in crew:
            one.join()
    findings.seconds = time.monotonic() - began
    for sender in honest:
        findings.honest_instances += len(sender.acknowledged)
        findings.failures += [(-1, type(sender).__name__, why) for why in sender.failures]
        for uid, data_set in sender.acknowledged.items():
            findings.acknowledged[fingerprint(uid, data_set)] = type(sender).__name__
    if not listener.running.is_running:
        return findings
    findings.memory_growth_bytes = listener.memory_bytes("VmHWM") - memory
    listener.wait_for_rest(threads + more_threads, descriptors + 4)
    return findings


def judge(listener: AttackedListener, findings: Findings) -> None:
    """What must be true after a run."""
    assert findings.failures == [], _told(findings)
    listener.assert_sound()
    assert not findings.endings[OUR_FAILURE], f"answered {findings.endings[OUR_FAILURE]} times with a failure of ours"
    assert findings.acknowledged, "nothing was acknowledged: the cases are too wild to test anything"
    missing = findings.acknowledged.keys() - set(stored_data_sets(listener.spool_folder))
    assert not missing, f"acknowledged and missing: {[findings.acknowledged[one] for one in missing]}"
    lost = unidentified(listener.spool_folder)
    assert not lost, f"{len(lost)} files in the spool that a restart would not know, e.g. {lost[0]}"
    assert findings.memory_growth_bytes < 100_000_000, f"{findings.memory_growth_bytes} bytes more than before"


def _told(findings: Findings) -> str:
    lines = [f"{number} {name}: {why}" for number, name, why in findings.failures]
    return "\n".join(("replay with: python -m tests.survival replay FILE", *lines))


def replay(listener: AttackedListener, case: Case) -> str:
    """Send one case that was kept. Raises TimeoutError when the listener hangs."""
    attacker = Attacker(listener.port, itertools.count(), 0, Findings())
    with HonestSender(listener.port) as honest:
        try:
            reaction = attacker.send(case)
        finally:
            attacker.close()
    assert honest.failures == []
    return reaction
