"""A bounded sample of `python -m tests.survival fuzz`, and every case that failed once."""

from collections import Counter
from pathlib import Path

import pytest

from tests.peers.missing import missing_peer
from tests.survival.case import Case, Ending, read_case
from tests.survival.fuzz import fuzz, judge, make_case, replay
from tests.survival.listener import INTAKES, attacked
from tests.survival.mutated_data_set import load_bases
from tests.survival.places import CORPUS, FAILURES, REAL_FILES

SEED, CASES = 7, 3000


def test_a_case_is_made_from_its_number_alone(tmp_path: Path) -> None:
    bases = load_bases(REAL_FILES)
    assert [make_case(1, number, bases) for number in range(300)] == [make_case(1, n, bases) for n in range(300)]
    assert make_case(1, 5, bases) != make_case(2, 5, bases)
    case = make_case(1, 5, bases)
    case.write(tmp_path / "case.json", "to be read again")
    assert read_case(tmp_path / "case.json") == Case(case.name, case.associated, case.pieces, case.ending)


def test_without_real_files_generated_ones_are_mutated(tmp_path: Path) -> None:
    bases = load_bases(tmp_path / "missing")
    cases = [make_case(1, number, bases) for number in range(2000)]
    families = Counter(case.name.partition("/")[0] for case in cases)
    assert set(families) == {"data set", "command", "pdu", "associate"}
    assert {case.ending for case in cases} == set(Ending)


def test_odd_real_files_are_mutated_where_there_are_any(tmp_path: Path) -> None:
    generated, found = load_bases(tmp_path / "missing"), load_bases(REAL_FILES)
    if REAL_FILES.is_dir() and len(found) <= len(generated):
        missing_peer("odd real DICOM files", f"{REAL_FILES} has none, so that only generated ones are mutated")
    assert found[: len(generated)] == generated
    assert (len(found) > len(generated)) == REAL_FILES.is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("intake", INTAKES)
def test_mutations_hurt_nobody(tmp_path: Path, intake: str) -> None:
    with attacked(tmp_path, intake) as listener:
        findings = fuzz(listener, seed=SEED, cases=range(CASES), bases=load_bases(REAL_FILES), keep=FAILURES)
        judge(listener, findings)
    assert findings.cases.total() == CASES
    assert findings.honest_instances > 0


@pytest.mark.slow
@pytest.mark.parametrize("intake", INTAKES)
def test_what_failed_once_does_not_fail_again(tmp_path: Path, intake: str) -> None:
    files = sorted(file for file in CORPUS.glob("*.json") if not file.name.startswith("stow-"))
    assert files
    with attacked(tmp_path, intake) as listener:
        threads, descriptors = listener.threads(), listener.descriptors()
        for file in files:
            assert replay(listener, read_case(file)), file.name
        listener.wait_for_rest(threads + 2, descriptors + 4)
        listener.assert_sound()
