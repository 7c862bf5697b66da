"""The full sizes of what `pytest tests/survival` runs a sample of.

    python -m tests.survival kills --times 200 [--victim receiver] [--write FILE]
    python -m tests.survival fuzz --cases 100000 [--seed 1] [--write FILE]
    python -m tests.survival fuzz --stow --cases 20000 [--seed 1] [--write FILE]
    python -m tests.survival replay FILE

All intake paths are run unless `--intake` names one; STOW-RS (`--stow`) has one way for both. Cases of the fuzzer that
fail are kept in `fuzz-failures`. With `--write` the section of this run in a page of results is replaced.
"""

import argparse
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.survival.case import read_case
from tests.survival.fuzz import Findings, fuzz, judge, replay
from tests.survival.fuzz_stow import FAMILY, attacked_by_stow, fuzz_stow, judge_stow, replay_stow
from tests.survival.kills import KillReport, Victim, kill_many_times
from tests.survival.listener import IN_PROCESSES, INTAKES, attacked
from tests.survival.mutated_data_set import load_bases
from tests.survival.places import FAILURES, REAL_FILES

KILLS_OVER_ONE_SPOOL = 40
"""Then a new one is begun: what is judged after each kill grows with what the spool holds."""


def main() -> int:
    """Run, print, and write; the exit status is 1 when something was found."""
    options = _options()
    if options.what == "replay":
        return _replay(options.file, options.intake)
    if options.stow and options.what != "fuzz":
        sys.exit("--stow goes with fuzz alone")
    intakes = [options.intake] if options.intake else INTAKES
    if options.victim is Victim.RECEIVER:
        intakes = [one for one in intakes if one in IN_PROCESSES]  # others have none
    if options.what == "kills":
        rows = [_kill_row(_kill(intake, options)) for intake in intakes]
        heads = "intake | kills | by moment | acknowledged | then in the journal | sent again | files | series"
        heads += " | minutes | found"
    elif options.stow:
        rows = [_fuzz_row("STOW-RS", *_fuzz_stow(options))]
        heads = "by | cases | closed without an answer | acknowledged | sent by others meanwhile | slowest | memory"
        heads += " | minutes | found"
    else:
        rows = [_fuzz_row(intake, *_fuzz(intake, options)) for intake in intakes]
        heads = "intake | cases | ended associations | acknowledged | sent by others meanwhile | slowest | memory"
        heads += " | minutes | found"
    table = [heads, " | ".join("---" for _ in heads.split("|")), *rows]
    text = "\n".join(f"| {line} |" for line in table)
    print(text)  # noqa: T201 (what this command is for)
    if options.write is not None:
        _write(options.write, _command(), text)
    return 0 if all(row.endswith("| nothing") for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "fuzz", "replay"))
    parser.add_argument("file", type=Path, nargs="?", help="a case that was kept")
    parser.add_argument("--times", type=int, default=200, help="kills for each intake path")
    parser.add_argument("--cases", type=int, default=100_000, help="mutations for each intake path")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--intake", choices=INTAKES)
    parser.add_argument("--victim", type=Victim, choices=list(Victim), default=Victim.LISTENER, help="what is killed")
    parser.add_argument("--stow", action="store_true", help="fuzz STOW-RS rather than DIMSE")
    parser.add_argument("--write", type=Path, help="page of results")
    return parser.parse_args()


def _kill(intake: str, options: argparse.Namespace) -> KillReport:
    report = KillReport(intake)
    for number, done in enumerate(range(0, options.times, KILLS_OVER_ONE_SPOOL)):
        times, seed = min(KILLS_OVER_ONE_SPOOL, options.times - done), options.seed + number
        with tempfile.TemporaryDirectory(prefix="segwatch-kills-") as folder:
            report.add(kill_many_times(Path(folder), intake, times=times, seed=seed, victim=options.victim))
        print(f"{intake}: {report.kills.total()} of {options.times} kills", file=sys.stderr)  # noqa: T201 (progress)
        if report.problems:
            break
    return report


def _kill_row(report: KillReport) -> str:
    moments = ", ".join(f"{moment} {count}" for moment, count in sorted(report.kills.items()))
    cells = (report.intake, report.kills.total(), moments, report.acknowledged, report.in_journal, report.sent_again)
    more = (report.files, report.series, f"{report.seconds / 60:.1f}", "; ".join(report.problems[:5]) or "nothing")
    return " | ".join(str(cell) for cell in (*cells, *more))


def _fuzz(intake: str, options: argparse.Namespace) -> tuple[Findings, str]:
    cases = range(options.first, options.first + options.cases)
    with tempfile.TemporaryDirectory(prefix="segwatch-fuzz-") as folder, attacked(Path(folder), intake) as listener:
        findings = fuzz(listener, seed=options.seed, cases=cases, bases=load_bases(REAL_FILES), keep=FAILURES)
        try:
            judge(listener, findings)
        except (AssertionError, TimeoutError) as error:
            return findings, str(error)
    return findings, ""


def _fuzz_stow(options: argparse.Namespace) -> tuple[Findings, str]:
    cases, bases = range(options.first, options.first + options.cases), load_bases(REAL_FILES)
    with (
        tempfile.TemporaryDirectory(prefix="segwatch-fuzz-") as folder,
        attacked_by_stow(Path(folder)) as (listener, port),
    ):
        findings = fuzz_stow(listener, port, seed=options.seed, cases=cases, bases=bases, keep=FAILURES)
        try:
            judge_stow(listener, findings)
        except (AssertionError, TimeoutError) as error:
            return findings, str(error)
    return findings, ""


def _fuzz_row(intake: str, findings: Findings, problem: str) -> str:
    ended = findings.endings["ended"] + findings.endings["closed"]
    cells = (intake, findings.cases.total(), ended, len(findings.acknowledged), findings.honest_instances)
    memory = f"+{findings.memory_growth_bytes / 1e6:.0f} MB"
    problem = " ".join(problem.split()).replace("|", "/")[:2000]
    more = (f"{findings.slowest_seconds:.1f} s", memory, f"{findings.seconds / 60:.1f}", problem or "nothing")
    return " | ".join(str(cell) for cell in (*cells, *more))


def _replay(file: Path, intake: str | None) -> int:
    if read_case(file).name.startswith(FAMILY):
        return _replay_stow(file)
    for one in [intake] if intake else INTAKES:
        with tempfile.TemporaryDirectory(prefix="segwatch-replay-") as folder, attacked(Path(folder), one) as listener:
            print(one, replay(listener, read_case(file)))  # noqa: T201 (what this command is for)
            listener.assert_sound()
    return 0


def _replay_stow(file: Path) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="segwatch-replay-") as folder,
        attacked_by_stow(Path(folder)) as (listener, port),
    ):
        print("STOW-RS", replay_stow(port, read_case(file)))  # noqa: T201 (what this command is for)
        listener.assert_sound()
    return 0


def _command() -> str:
    arguments: Iterable[str] = (part for part in sys.argv[1:])
    return re.sub(r" --write \S+", "", f"python -m tests.survival {' '.join(arguments)}")


def _write(page: Path, command: str, table: str) -> None:
    """Replace the section of this command, or append it."""
    text = page.read_text() if page.exists() else "# What the listener survived\n"
    head = f"## `{command}`\n"
    machine = (
        f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    section = f"{head}\n{machine}\n\n{table}\n"
    others = [part for part in re.split(r"(?m)^(?=## )", text) if not part.startswith(head)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(part.strip() for part in (*others, section)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
