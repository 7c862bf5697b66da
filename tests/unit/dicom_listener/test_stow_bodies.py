"""How bodies come in: any chunks, too slowly, broken off, too many at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.association_report import Tally
from dicom_listener.errors import RequestRefusedError
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance
from dicom_listener.stow.body import make_body
from dicom_listener.stow.media_types import SentType
from dicom_listener.stow.push import Push, PushRequest
from dicom_listener.stow.settings import StowLimits
from tests.unit.dicom_listener.instances import instance, uid
from tests.unit.dicom_listener.stow_pushing import BOUNDARY, MULTIPART, Pusher, multipart, part10

Receive = Callable[[], Awaitable[dict[str, Any]]]


async def call(pusher: Pusher, receive: Receive) -> list[int]:
    """One request over ASGI, its body from `receive`; returns the statuses that were answered."""
    statuses: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"content-type", MULTIPART.encode()), (b"transfer-encoding", b"chunked")]
    scope = {"type": "http", "method": "POST", "path": "/studies", "headers": headers, "query_string": b""}
    await pusher.app(scope, receive, send)
    return statuses


def feeding(*pieces: bytes, then: str) -> Receive:
    """A client that sends the pieces, and then disconnects or is silent."""
    left = deque(pieces)

    async def receive() -> dict[str, Any]:
        if left:
            return {"type": "http.request", "body": left.popleft(), "more_body": True}
        if then == "silence":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


def test_a_client_that_is_gone_leaves_what_was_durable_and_nothing_else(pusher: Pusher) -> None:
    body = multipart(part10(1), part10(2))
    statuses = asyncio.run(call(pusher, feeding(body[:-100], then="disconnect")))

    assert statuses == []
    assert list(pusher.files()) == [uid(1)]
    assert pusher.is_tidy()
    assert [report.status for report in pusher.reports] == [None]


def test_a_silent_client_is_given_up(pushers: Callable[..., Pusher]) -> None:
    pusher = pushers(StowLimits(idle_seconds=0.05))
    body = multipart(part10(1), part10(2))
    assert asyncio.run(call(pusher, feeding(body[:-100], then="silence"))) == [408]
    assert pusher.is_tidy()


def test_a_client_that_dribbles_is_given_up(pushers: Callable[..., Pusher]) -> None:
    pusher = pushers(StowLimits(idle_seconds=0.001, minimum_bytes_per_second=10_000_000))
    body = multipart(part10(1))

    left = iter(body)

    async def dribble() -> dict[str, Any]:
        await asyncio.sleep(0)  # one turn of the loop for each byte
        return {"type": "http.request", "body": bytes([next(left)]), "more_body": True}

    assert asyncio.run(call(pusher, dribble)) == [408]
    assert pusher.is_tidy()


def test_requests_over_the_limit_are_asked_to_come_again(pushers: Callable[..., Pusher]) -> None:
    pusher = pushers(StowLimits(maximum_requests=2))
    body = multipart(part10(1))

    async def all_three() -> tuple[list[int], list[list[int]]]:
        go_on, waiting = asyncio.Event(), asyncio.Semaphore(0)

        async def held() -> dict[str, Any]:
            waiting.release()
            await go_on.wait()
            return {"type": "http.request", "body": body, "more_body": False}

        tasks = [asyncio.ensure_future(call(pusher, held)) for _ in range(2)]
        for _ in tasks:
            await waiting.acquire()
        third = await call(pusher, feeding(then="silence"))
        go_on.set()
        return third, list(await asyncio.gather(*tasks))

    assert asyncio.run(all_three()) == ([503], [[200], [200]])


def test_a_request_that_is_cancelled_leaves_nothing_half_done(pusher: Pusher) -> None:
    async def cancel() -> None:
        begun = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if begun.is_set():
                await asyncio.Event().wait()
            begun.set()
            return {"type": "http.request", "body": multipart(part10(1), part10(2))[:-100], "more_body": True}

        task = asyncio.ensure_future(call(pusher, receive))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert pusher.is_tidy()


def push(root: Path, body: bytes, cuts: list[int], boundary: bytes) -> list[tuple[str, int]]:
    """Feed a body in the pieces between the cuts; returns the results."""
    told: list[StoredInstance] = []
    service = StoreService(Spool(root, high_watermark=1.1), told.append)
    request = PushRequest("PACS", "SEGWATCH", None, ("1.2.840.10008.5.1.4.1.1.2",))
    taker = Push(service, request, StowLimits(), Tally(0.0))
    taken = make_body(SentType(boundary), taker)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for begin, end in pairwise(edges):
        taken.feed(body[begin:end])
    taken.finish()
    return [(result.sop_instance_uid, result.status) for result in taker.results]


LIKE_A_BOUNDARY = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"-", b"\r\n--", b"\r\n--" + BOUNDARY.encode()[:-1], b"a", b"\0"])
).map(b"".join)


@given(pixels=st.lists(LIKE_A_BOUNDARY, min_size=1, max_size=3), cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_any_chunks_of_a_body_give_the_same_instances(
    tmp_path_factory: pytest.TempPathFactory, pixels: list[bytes], cuts: list[int]
) -> None:
    files = [part10(number, pixels=b"%b!" % content) for number, content in enumerate(pixels, start=1)]
    root = tmp_path_factory.mktemp("spool")
    results = push(root, multipart(*files), cuts, BOUNDARY.encode())

    assert results == [(uid(number), 0) for number in range(1, len(files) + 1)]
    spool = Spool(root)
    found = {
        stored.instance.sop_instance_uid: stored.instance.path.read_bytes()
        for key in spool.series_keys()
        for stored in spool.load(key)
    }
    assert found == {uid(number): file for number, file in enumerate(files, start=1)}


@given(cut=st.integers(1, 700), cuts=st.lists(st.integers(0, 10_000), max_size=10))
def test_a_body_without_its_end_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int, cuts: list[int]) -> None:
    body = multipart(part10(1), part10(2)).rstrip()
    with pytest.raises(RequestRefusedError, match="multipart body"):
        push(tmp_path_factory.mktemp("spool"), body[:-cut], cuts, BOUNDARY.encode())


@given(data=st.binary(max_size=300), position=st.integers(0, 700), cuts=st.lists(st.integers(0, 10_000), max_size=10))
def test_damaged_bodies_store_whole_instances_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, position: int, cuts: list[int]
) -> None:
    whole = multipart(part10(1), part10(2))
    damaged = whole[:position] + data + whole[position + len(data) :]
    root = tmp_path_factory.mktemp("spool")
    try:
        push(root, damaged, cuts, BOUNDARY.encode())
    except RequestRefusedError as refusal:
        assert refusal.status in (400, 413, 415)
    for path in root.rglob("*"):
        assert path.resolve().is_relative_to(root.resolve())
    assert {path.suffix for path in root.rglob("*") if path.is_file()} <= {".dcm", ""}


def test_the_rest_of_a_discarded_request_is_ignored(tmp_path: Path) -> None:
    spool = Spool(tmp_path, high_watermark=1.1)
    taker = Push(
        StoreService(spool, lambda _stored: None),
        PushRequest("PACS", "SEGWATCH", None, (instance(1)[0].sop_class_uid,)),
        StowLimits(),
        Tally(0.0),
    )
    taker.begin_part()
    taker.write(memoryview(part10(1)))
    taker.discard()
    taker.end_part()
    taker.begin_part()
    taker.write(memoryview(part10(1)))
    taker.end_part()
    assert (taker.results, spool.series_keys()) == ([], [])
