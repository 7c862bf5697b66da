"""A bounded sample of `python -m tests.survival fuzz --stow`, and that it would notice what it looks for."""

import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.peers.ports import LOOPBACK
from tests.survival.case import Case, Ending, Store, read_case
from tests.survival.fuzz import STORED, Findings
from tests.survival.fuzz_stow import (
    BadAnswerError,
    StowAttacker,
    attacked_by_stow,
    fuzz_stow,
    judge_stow,
    make_stow_case,
    replay_stow,
)
from tests.survival.mutated_data_set import load_bases
from tests.survival.places import CORPUS, FAILURES, REAL_FILES

SEED, CASES = 7, 1500


def test_a_push_is_made_from_its_number_alone(tmp_path: Path) -> None:
    bases = load_bases(tmp_path / "missing")
    cases = [make_stow_case(1, number, bases) for number in range(600)]
    assert cases == [make_stow_case(1, number, bases) for number in range(600)]
    assert make_stow_case(1, 5, bases) != make_stow_case(2, 5, bases)
    assert set(Counter(case.name.partition("/")[0] for case in cases)) == {"stow data set", "stow body", "stow http"}
    assert {case.ending for case in cases} == {Ending.ANSWER, Ending.CLOSE, Ending.WAIT}


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every push with the status and body that its server was given."""

    def do_POST(self) -> None:
        """Called by http.server."""
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.server.answer  # type: ignore[attr-defined] # (set by the test)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    with http.server.HTTPServer((LOOPBACK, 0), Answering) as server:
        server.answer = status, body  # type: ignore[attr-defined] # (read by the handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


PUSH = Case("stow data set/untouched", False, (b"POST /studies HTTP/1.1\r\nContent-Length: 0\r\n\r\n",), Ending.ANSWER)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (503, b"too many"),
        (200, b"{}"),
        (200, b'{"00081199": {"Value": [{}]}, "00081198": {"Value": [{"00081197": {"Value": [272]}}]}}'),
        (409, b'{"0008119A": {"Value": [{"00081197": {"Value": [272]}}]}}'),
        (302, b""),
    ],
)
def test_bad_answers_are_noticed(status: int, body: bytes) -> None:
    with answering(status, body) as port:
        attacker = StowAttacker(port, count(), 0, Findings())
        with pytest.raises(BadAnswerError):
            attacker.send(PUSH)
        attacker.close()


def test_what_was_acknowledged_is_noted() -> None:
    findings = Findings()
    case = Case(PUSH.name, False, PUSH.pieces, Ending.ANSWER, Store("1.2.3", b"data set", 0))
    with answering(200, b'{"00081199": {"Value": [{}]}}') as port:
        attacker = StowAttacker(port, count(), 0, findings)
        reaction = attacker.send(case)
        attacker.close()
    assert reaction == STORED
    findings.note(case, reaction, 0.0)
    assert len(findings.acknowledged) == 1


@pytest.mark.slow
def test_what_failed_once_by_stow_does_not_fail_again(tmp_path: Path) -> None:
    files = sorted(CORPUS.glob("stow-*.json"))
    assert files
    with attacked_by_stow(tmp_path) as (listener, port):
        for file in files:
            assert replay_stow(port, read_case(file)).startswith("status "), file.name
        listener.assert_sound()


@pytest.mark.slow
def test_mutated_pushes_hurt_nobody(tmp_path: Path) -> None:
    with attacked_by_stow(tmp_path) as (listener, port):
        findings = fuzz_stow(listener, port, seed=SEED, cases=range(CASES), bases=load_bases(REAL_FILES), keep=FAILURES)
        judge_stow(listener, findings)
        first = make_stow_case(SEED, 0, load_bases(REAL_FILES))
        first.write(tmp_path.parent / f"{tmp_path.name}.json", "to be sent again")
        assert replay_stow(port, read_case(tmp_path.parent / f"{tmp_path.name}.json"))
    assert findings.cases.total() == CASES
    assert findings.honest_instances > 0
    assert findings.endings[STORED] > 0
