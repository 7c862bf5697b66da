"""SIGKILL at random moments while several senders send: what was acknowledged is there, whole, once."""

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from random import Random

from tests.acceptance.hosts import TRACEBACK, edit_settings, read_sqlite
from tests.peers.waiting import wait_until
from tests.survival.listener import AttackedListener, data_set_of, fingerprint, in_lanes, strays, wait_until_filed
from tests.survival.retransmission import ROOT, Sender, Trigger, make_data_set


@dataclass
class KillReport:
    """What a run did and found."""

    intake: str
    kills: Counter[str] = field(default_factory=Counter)
    """By kind of moment."""
    acknowledged: int = 0
    sent_again: int = 0
    in_journal: int = 0
    """Of the acknowledged, those that were in the journal alone right after a kill of the listener."""
    files: int = 0
    series: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def add(self, more: "KillReport") -> None:
        """Take in what another run did and found."""
        self.kills += more.kills
        self.acknowledged += more.acknowledged
        self.sent_again += more.sent_again
        self.in_journal += more.in_journal
        self.files += more.files
        self.series += more.series
        self.seconds += more.seconds
        self.problems += more.problems


class Victim(StrEnum):
    """Which process is killed."""

    LISTENER = auto()
    """And with it all its receivers."""
    RECEIVER = auto()
    """One of its receivers alone: the listener goes on, and starts another."""


def kill_many_times(
    folder: Path, intake: str, *, times: int, seed: int = 1, senders: int = 4, victim: Victim = Victim.LISTENER
) -> KillReport:
    """Kill the listener or one of its receivers so often, and judge what is on the disk."""
    report, began = KillReport(intake), time.monotonic()
    random = Random(seed)  # noqa: S311 (not a secret)
    changes = {"listener.quiet_seconds": 3600.0, "listener.maximum_wait_seconds": 7200.0, "listener.idle_seconds": 60.0}
    listener = AttackedListener(folder, intake, changes)
    trigger = Trigger()
    crew = [Sender(listener.port, number, seed, trigger) for number in range(senders)]
    try:
        listener.start()
        for sender in crew:
            sender.start()
        checked = [0] * senders
        for _ in range(times):
            _kill_once(listener, trigger, random, report, victim)
            if victim is Victim.LISTENER:  # with a receiver alone, the others go on sending: it is judged at the end
                uids = [sender.acknowledged[start:] for sender, start in zip(crew, checked, strict=True)]
                checked = [start + len(more) for start, more in zip(checked, uids, strict=True)]
                _judge_kill(listener, [uid for more in uids for uid in more], report)
            if not all(sender.is_alive() for sender in crew) or report.problems:
                break
        for sender in crew:
            sender.finish.set()
            sender.join(120)
        report.problems += [why for sender in crew for why in sender.failures]
        acknowledged = {uid for sender in crew for uid in sender.acknowledged}
        report.acknowledged, report.sent_again = len(acknowledged), sum(sender.sent_again for sender in crew)
        _judge_files(listener, acknowledged, report)
        _judge_books(listener, report)
    finally:
        for sender in crew:
            sender.finish.set()
        listener.close()
    if TRACEBACK in listener.log():
        report.problems.append("a traceback was printed")
    report.seconds = time.monotonic() - began
    return report


def _kill_once(
    listener: AttackedListener, trigger: Trigger, random: Random, report: KillReport, victim: Victim
) -> None:
    moment = random.choice(("half", "sent", "answered", "any"))
    running = listener.receivers()
    pid = listener.running.pid if victim is Victim.LISTENER else random.choice(running)
    trigger.arm(moment, random.randrange(1, 60), pid)
    if moment == "any":
        threading.Event().wait(random.random() * 0.6)
        trigger.kill_now()
    if not trigger.fired.wait(120):
        report.problems.append(f"the moment {moment!r} never came")
    report.kills[moment] += 1
    if victim is Victim.RECEIVER:
        wait_until(lambda: pid not in listener.receivers(), "the receiver is gone", timeout=60)
        wait_until(lambda: len(listener.receivers()) == len(running), "another receiver is there", timeout=60)
        return
    with suppress(ProcessLookupError):
        listener.kill()


def _judge_kill(listener: AttackedListener, uids: list[str], report: KillReport) -> None:
    """Each is whole in a file or in the journal right after the kill, and in a file once the listener runs again."""
    spool = listener.spool_folder
    waiting = in_lanes(spool)  # first: what gets its file meanwhile is in both
    names = {uid: fingerprint(uid, b"")[0] for uid in uids}
    files = _files(spool)
    without = [uid for uid in uids if names[uid] not in files]
    lost = [uid for uid in without if fingerprint(uid, make_data_set(uid))[1] not in waiting]
    report.in_journal += len(without) - len(lost)
    report.problems += [f"acknowledged instance {uid} is nowhere" for uid in lost]
    listener.start()
    with suppress(TimeoutError):
        wait_until(lambda: {names[uid] for uid in without} <= _files(spool).keys(), "the journal is filed", timeout=30)
    files = _files(spool)
    for uid in uids:
        found = files.get(names[uid], [])
        if [data_set_of(path) for path in found] != [make_data_set(uid)]:
            report.problems.append(f"acknowledged instance {uid}: {len(found)} files, or another content")


def _files(spool: Path) -> dict[str, list[Path]]:
    """By their names, which stand for instances."""
    found: dict[str, list[Path]] = {}
    for path in spool.glob("*/*.dcm"):
        found.setdefault(path.stem, []).append(path)
    return found


def _judge_files(listener: AttackedListener, acknowledged: set[str], report: KillReport) -> None:
    """Whole and once: also what was never acknowledged."""
    expected = {fingerprint(uid, b"")[0]: uid for uid in acknowledged}
    incoming = listener.spool_folder / ".incoming"
    wait_until_filed(listener.spool_folder)
    wait_until(lambda: not any(incoming.iterdir()), "nothing half is left", timeout=60)
    seen: Counter[str] = Counter()
    for path in listener.spool_folder.rglob("*.dcm"):
        content = data_set_of(path)
        seen[path.stem] += 1
        uid = expected.get(path.stem)
        if uid is None:
            # stored, but its sender saw no answer before it finished
            report.problems += [] if _is_some_whole(content) else ["a file is not whole"]
        elif content != make_data_set(uid):
            report.problems.append(f"instance {uid} has another content")
    report.files = sum(seen.values())
    report.problems += [f"{name} is there {count} times" for name, count in seen.items() if count > 1]
    report.problems += [f"instance {expected[name]} is missing" for name in expected.keys() - seen.keys()]
    report.problems += [f"stray file {name}" for name in strays(listener.folder)]


def _is_some_whole(content: bytes) -> bool:
    start = content.index(ROOT.encode())
    uid = content[start : content.index(b"\x08\x00\x60\x00", start)].rstrip(b"\0").decode()
    return content == make_data_set(uid)


def _judge_books(listener: AttackedListener, report: KillReport) -> None:
    """Restarted with a short quiet time, the listener hands every series over once, with every file in it."""
    listener.stop()
    edit_settings(listener.settings, {"listener.quiet_seconds": 0.5})
    listener.start()

    def versions() -> list[tuple[str, int, int, int]]:
        state = listener.folder / "site" / "segwatch-data" / "state.sqlite"
        sql = "SELECT series_key, version, n_instances, n_conflicts FROM received_series WHERE completed_at IS NOT NULL"
        return [(str(key), int(version), int(n), int(c)) for key, version, n, c in read_sqlite(state, sql)]

    folders = [path for path in listener.spool_folder.iterdir() if not path.name.startswith(".")]
    try:
        wait_until(lambda: len(versions()) >= len(folders), "every series is handed over", timeout=60)
    except TimeoutError as error:
        report.problems.append(str(error))
    found = versions()
    report.series = len(found)
    if {version for _, version, _, _ in found} != {1} or any(conflicts for *_, conflicts in found):
        report.problems.append("a series was handed over twice, or has conflicts")
    if sum(count for _, _, count, _ in found) != report.files:
        report.problems.append(f"handed over {sum(n for _, _, n, _ in found)} instances of {report.files} files")
