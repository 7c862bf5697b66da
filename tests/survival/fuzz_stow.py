"""Sends mutated STOW-RS requests to a running listener, and judges the answers; `fuzz` does the same for DIMSE.

It runs over one intake: `fast_intake` and `receivers` are ways of C-STORE, and STOW-RS has a single way to the spool.
"""

import http.client
import itertools
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.peers.ports import LOOPBACK, free_ports
from tests.survival.case import Case, Ending
from tests.survival.fuzz import MARGIN_SECONDS, N_ATTACKERS, STORED, Attacker, Findings, attack, judge
from tests.survival.honest_pusher import HonestPusher
from tests.survival.listener import IDLE_SECONDS, AttackedListener, attacked
from tests.survival.mutated_data_set import Base
from tests.survival.mutated_http import http_push
from tests.survival.mutated_stow import body_push, data_set_push
from tests.survival.peer import HonestSender

FAMILY = "stow "
"""How the names of these cases begin."""
_WEIGHTS = (40, 35, 25)
_CLIENT_ERRORS = range(400, 500)
_PROCESSING_FAILURE = 0x0110
_REQUESTS = 2 * N_ATTACKERS
"""That the listener serves at once: as many as there can be while old ones come to their ends."""


def make_stow_case(seed: int, number: int, bases: Sequence[Base]) -> Case:
    """Make the case of this number."""
    random = Random(f"stow:{seed}:{number}")  # noqa: S311 (not a secret)
    match random.choices(range(3), _WEIGHTS)[0]:
        case 0:
            return data_set_push(random, number, bases)
        case 1:
            return body_push(random)
        case _:
            return http_push(random)


class BadAnswerError(ConnectionError):
    """An answer that no request may get."""


class StowAttacker(Attacker):
    """Sends pushes, on one connection as long as that lasts."""

    _connection: socket.socket | None = None

    def make(self, number: int) -> Case:
        """Make the case of this number."""
        return make_stow_case(self.seed, number, self.bases)

    def send(self, case: Case) -> str:
        """Send a case and return how the listener reacted.

        Raises:
            TimeoutError: it hung.
            BadAnswerError: it answered what it must not.
        """
        if self._connection is None or not case.associated:
            self.close()
            self._connection = socket.create_connection((LOOPBACK, self._port), IDLE_SECONDS + MARGIN_SECONDS)
        try:
            for piece in case.pieces:
                self._connection.sendall(piece)
            if case.ending is Ending.CLOSE:
                self._connection.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:  # it was refused, and closed, before it was all sent; the answer may be there
            pass
        return self._read_answer(self._connection, case) if case.ending is Ending.ANSWER else self._read_all(case)

    def _read_answer(self, connection: socket.socket, case: Case) -> str:
        answer = http.client.HTTPResponse(connection, method="POST")
        try:
            answer.begin()
            status, body = answer.status, answer.read()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            self.close()
            return "ended"
        if answer.will_close:
            self.close()
        return _judged(status, body, case)

    def _read_all(self, case: Case) -> str:
        """Read until the listener closes; several answers may come."""
        assert self._connection is not None
        content = bytearray()
        try:
            while piece := self._connection.recv(65536):
                content += piece
        except TimeoutError:
            raise
        except OSError:
            pass
        self.close()
        statuses = [int(line.split()[1]) for line in content.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        for status in statuses:
            _judged(status, b"", case)
        if content and not statuses:
            raise BadAnswerError(f"an answer that is no HTTP: {bytes(content[:60])!r}")
        return f"status {statuses[0]}" if statuses else "closed"

    def close(self) -> None:
        """End the connection that is open, if one is."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _judged(status: int, body: bytes, case: Case) -> str:
    if status in (200, 202, 409) and body:
        module = json.loads(body)
        reasons = [item["00081197"]["Value"][0] for name in ("00081198", "0008119A") for item in _items(module, name)]
        if _PROCESSING_FAILURE in reasons:
            raise BadAnswerError(f"{status} with a failure of ours (0110)")
        if status == 200 and (not _items(module, "00081199") or reasons):
            raise BadAnswerError("200 without an instance, or with one that failed")
    if status == 200 and case.store is not None:
        return STORED
    if status not in (100, 200, 202) and status not in _CLIENT_ERRORS:
        raise BadAnswerError(f"status {status}: {body[:200]!r}")
    return f"status {status}"


def _items(
    module: dict[str, dict[str, list[dict[str, dict[str, list[int]]]]]], tag: str
) -> list[dict[str, dict[str, list[int]]]]:
    return module.get(tag, {}).get("Value", [])


@contextmanager
def attacked_by_stow(folder: Path, intake: str = "fast") -> Iterator[tuple[AttackedListener, int]]:
    """Run a listener that serves STOW-RS too, and give its port for that; its limits let every attacker in."""
    port, many = free_ports(), 200
    changes = {
        "listener__stow__port": port,
        "listener__stow__idle_seconds": IDLE_SECONDS,
        "listener__stow__maximum_requests": _REQUESTS,
        "listener__stow__maximum_requests_per_peer": _REQUESTS,
        "listener__stow__maximum_connections": many,
        "listener__stow__maximum_connections_per_address": many,
    }
    with attacked(folder, intake, **changes) as listener:
        yield listener, port


def fuzz_stow(
    listener: AttackedListener, port: int, *, seed: int, cases: range, bases: Sequence[Base], keep: Path
) -> Findings:
    """Push the cases of these numbers; honest senders by STOW-RS and by C-STORE work beside them."""
    findings, numbers = Findings(), itertools.count(cases.start)
    crew = [StowAttacker(port, numbers, cases.stop, findings) for _ in range(N_ATTACKERS)]
    for one in crew:
        one.seed, one.bases, one.keep = seed, bases, keep
    honest = [HonestSender(listener.port), HonestPusher(port)]
    return attack(listener, crew, findings, honest, more_threads=2 + _REQUESTS + 1)  # its worker threads stay


def judge_stow(listener: AttackedListener, findings: Findings) -> None:
    """What must be true after a run: what `judge` says, and nothing was a failure of ours that no client saw."""
    judge(listener, findings)
    errors = [line for line in listener.log().splitlines() if " ERROR " in line or " CRITICAL " in line]
    assert errors == []


def replay_stow(port: int, case: Case) -> str:
    """Send one case that was kept. Raises as `StowAttacker.send` does."""
    attacker = StowAttacker(port, itertools.count(), 0, Findings())
    with HonestPusher(port) as honest:
        try:
            reaction = attacker.send(case)
        finally:
            attacker.close()
    assert honest.failures == []
    return reaction
