"""What STOW-RS survives: kill -9 during pushes, many at once beside C-STORE, large bodies, a full disk."""

import http.client
import random
import re
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.stow_listener import (
    PIXEL_BYTES,
    StowListener,
    body_of,
    connected,
    encoded,
    post,
    slices,
)
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dcmtk
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import SERIES, uid
from tests.unit.dicom_listener.stow_pushing import MULTIPART

N_SLICES = 30
N_KILLS = 4


@pytest.fixture
def listeners(segwatch_cli: SegwatchCli, tmp_path: Path) -> Callable[..., StowListener]:
    def make(**stow: object) -> StowListener:
        listener = StowListener(segwatch_cli, tmp_path / "site", **stow)
        listener.start()
        return listener

    return make


def test_whatever_was_acknowledged_survives_kills_during_pushes(listeners: Callable[..., StowListener]) -> None:
    listener = listeners()
    datasets = slices(range(1, N_SLICES + 1))
    content = encoded(datasets)
    halves = [dict(list(datasets.items())[begin : begin + 5]) for begin in range(0, N_SLICES, 5)]
    moments = random.Random(3)  # noqa: S311 (not a secret)
    acknowledged: set[str] = set()

    def push() -> None:
        with suppress(OSError, http.client.HTTPException), connected(listener.port) as connection:
            for some in halves:
                acknowledged.update(post(connection, body_of(some)).uids())

    for _ in range(N_KILLS):
        already = _count(listener)
        pushing = threading.Thread(target=push)
        pushing.start()
        target = min(N_SLICES, already + moments.randrange(1, 8))
        wait_until(lambda target=target: _count(listener) >= target, "some are stored", interval=0.001)  # type: ignore[misc] # (a default argument)
        listener.process.kill()
        pushing.join()
        stored = listener.instances()
        assert acknowledged <= set(stored)
        assert stored.items() <= content.items()
        listener.start()
    assert not list((listener.spool_root / ".incoming").iterdir())
    push()
    assert acknowledged == set(content)
    assert listener.instances() == content
    assert listener.process.stop() == 0
    assert "Traceback" not in listener.log()


def _count(listener: StowListener) -> int:
    return sum(1 for _ in listener.spool_root.glob("*/*.dcm"))


def test_eight_pushers_beside_c_store_senders_make_one_state(
    listeners: Callable[..., StowListener], dcmtk: Dcmtk, tmp_path: Path
) -> None:
    listener = listeners()
    numbers = range(1, 9)
    pushed = {n: slices(numbers, series=f"{SERIES}.7.{n}", pixel_bytes=100_000) for n in range(8)}
    both = slices(range(1, 21), series=f"{SERIES}.8", pixel_bytes=100_000)
    for number, dataset in both.items():
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    files = sorted(tmp_path.glob("*.dcm"))

    def push(n: int) -> int:
        status = listener.post(body_of(pushed[n], series=f"{SERIES}.7.{n}")).status
        # a series that comes by C-STORE at the same time
        again = {number: one for number, one in both.items() if number % 8 == n}
        return max(status, listener.post(body_of(again, series=f"{SERIES}.8")).status)

    with ThreadPoolExecutor(10) as pool:
        senders = [pool.submit(dcmtk.send, *files, port=listener.dicom_port) for _ in range(2)]
        statuses = list(pool.map(push, pushed))
        codes = [sender.result().returncode for sender in senders]
    assert (statuses, codes) == ([200] * 8, [0, 0])
    wanted = encoded(both)
    for one in pushed.values():
        wanted |= encoded(one)
    assert listener.instances() == wanted
    assert not list(listener.spool_root.rglob("conflicts"))
    assert listener.process.stop() == 0
    assert "Traceback" not in listener.log()


def _peak_bytes(pid: int) -> int:
    """The most memory that the process had (Linux)."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_grows_neither_with_an_instance_nor_with_a_request(listeners: Callable[..., StowListener]) -> None:
    listener = listeners()
    assert listener.post(body_of(slices([1]))).status == 200
    before = _peak_bytes(_listen_pid(listener))
    large = slices([2], pixel_bytes=150_000_000)
    assert listener.post(body_of(large)).status == 200
    assert listener.post(body_of(slices(range(3, 203)))).status == 200
    assert _peak_bytes(_listen_pid(listener)) - before < 20_000_000
    assert len(listener.instances()) == 202


def _listen_pid(listener: StowListener) -> int:
    return listener.process.pid


def test_a_full_disk_is_told_and_recovered_from(segwatch_cli: SegwatchCli, tmp_path: Path) -> None:
    listener = StowListener(segwatch_cli, tmp_path / "site", high_watermark=0.0001)
    listener.start()
    answer = listener.post(body_of(slices([1])))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    assert listener.instances() == {}
    wait_until(lambda: "stow request 503" in listener.log(), "the request is logged")


def test_a_push_cut_off_in_the_middle_may_be_sent_again(listeners: Callable[..., StowListener]) -> None:
    listener = listeners()
    datasets = slices(range(1, 5))
    body = body_of(datasets)
    with connected(listener.port) as connection:
        connection.putrequest("POST", "/studies")
        connection.putheader("Content-Type", MULTIPART)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: 2 * PIXEL_BYTES + PIXEL_BYTES // 2])
        wait_until(lambda: len(listener.instances()) == 2, "two are stored")
    wait_until(lambda: "stow request broken off" in listener.log(), "the listener notices")
    assert set(listener.instances()) == {uid(1), uid(2)}
    assert listener.post(body).uids() == [uid(number) for number in datasets]
    assert listener.instances() == encoded(datasets)


def test_doctor_tells_whether_the_port_is_free_or_ours(
    segwatch_cli: SegwatchCli, listeners: Callable[..., StowListener], tmp_path: Path
) -> None:
    settings = tmp_path / "site" / "segwatch.toml"
    listener = listeners()

    def doctor() -> str:
        done: subprocess.CompletedProcess[str] = segwatch_cli("doctor", "-c", settings)
        return next(line for line in done.stdout.splitlines() if "STOW-RS" in line)

    assert f"a STOW-RS server answers on port {listener.port}" in doctor()
    listener.process.stop()
    assert f"port {listener.port} is free; http, clients need nothing: loopback" in doctor()
    settings.write_text(settings.read_text().replace(f"port = {listener.port}", 'tokens_file = "none"\nport = 0'))
    assert "No such file" in doctor()
    assert LOOPBACK not in doctor()
