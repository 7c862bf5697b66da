"""The ASGI application: what a STOW-RS client may ask, and what it is answered (PS3.18 section 10.5).

The event loop never blocks: everything that touches the disk runs in worker threads, one step of one request at a
time, and the next piece of a body is asked for when the last one is written. So no client is read ahead of the disk.
"""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from dicom_listener.association_report import Tally
from dicom_listener.errors import ListenerError, RequestRefusedError, in_short
from dicom_listener.store_service import StoreService
from dicom_listener.stow.answer import encode_answer, http_status
from dicom_listener.stow.arrival import ClientGoneError, check_length, pieces
from dicom_listener.stow.body import make_body
from dicom_listener.stow.gate import Gate
from dicom_listener.stow.media_types import answer_type, sent_type
from dicom_listener.stow.push import Push, PushRequest
from dicom_listener.stow.report import StowReport
from dicom_listener.stow.settings import StowSettings

LOGGER = logging.getLogger(__name__)

CERTIFICATE_NAME = "segwatch_certificate_name"
"""Key of the state of a request under which the server hands over the Common Name of the client's certificate."""
RETRY_AFTER_SECONDS = 30
_UID = re.compile(r"[0-9.]{1,64}")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Exchange:
    """One request and its answer."""

    tally: Tally
    calling_ae_title: str = ""
    status: int | None = None
    refusal: str = ""


class StowApp:
    """An ASGI application over a store service; call `close` when no request runs any more."""

    def __init__(
        self,
        service: StoreService,
        settings: StowSettings,
        *,
        ae_title: str,
        gate: Gate,
        on_request_end: Callable[[StowReport], None],
    ) -> None:
        """`on_request_end` is told what happened on each request, in the thread of the event loop."""
        self._service = service
        self._settings = settings
        self._ae_title = ae_title
        self._gate = gate
        self._on_request_end = on_request_end
        self._running: Counter[tuple[str, str]] = Counter()
        """Requests by name and address of their client; none is at 0."""
        self._threads = ThreadPoolExecutor(settings.limits.maximum_requests + 1, thread_name_prefix="stow")
        routes = [
            Route("/studies", self._post, methods=["POST"]),
            Route("/studies/{study}", self._post, methods=["POST"]),
        ]
        self._router = Router(routes, redirect_slashes=False)

    def close(self) -> None:
        """End the worker threads."""
        self._threads.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing but an answer leaves this."""
        exchange = _Exchange(Tally(time.monotonic()))
        scope["segwatch_exchange"] = exchange

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
            await send(message)

        try:
            await self._answer(Request(scope, receive), exchange, send_noting)
        finally:
            self._tell(_report(exchange, scope))

    async def _answer(self, request: Request, exchange: _Exchange, send: Send) -> None:
        try:
            certificate_name = request.scope.get("state", {}).get(CERTIFICATE_NAME)
            exchange.calling_ae_title = self._gate.name_client(
                request.headers.get("authorization", ""), certificate_name
            )
            await self._router(request.scope, request.receive, send)
        except ClientGoneError:
            return
        except RequestRefusedError as refusal:
            exchange.refusal = str(refusal)
            await _plain(refusal.status, str(refusal), refusal.headers)(request.scope, request.receive, send)
        except Exception as error:  # noqa: BLE001 (last resort: the server goes on, the client learns no more than that)
            LOGGER.error("a request was not answered: %s", in_short(error))
            if exchange.status is None:
                text = "Segwatch failed to handle the request; what was stored stays stored, send again"
                response = _plain(HTTPStatus.INTERNAL_SERVER_ERROR, text)
                await response(request.scope, request.receive, send)

    async def _post(self, request: Request) -> Response:
        exchange: _Exchange = request.scope["segwatch_exchange"]
        peer = exchange.calling_ae_title, request.client.host if request.client else ""
        if self._running.total() >= self._settings.limits.maximum_requests:
            raise _try_later("too many requests at the same time")
        if self._running.get(peer, 0) >= self._settings.limits.maximum_requests_per_peer:
            raise _try_later("too many requests of this client at the same time")
        self._running[peer] += 1
        try:
            return await self._store(request)
        finally:
            self._running[peer] -= 1
            if not self._running[peer]:
                del self._running[peer]

    async def _store(self, request: Request) -> Response:
        headers, limits = request.headers, self._settings.limits
        study = request.path_params.get("study")
        if study is not None and not _UID.fullmatch(study):
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "the path names no Study Instance UID")
        kind = answer_type(headers.get("accept", ""))
        sent = sent_type(headers.get("content-type", ""), headers.get("content-encoding", ""))
        check_length(headers.get("content-length"), headers.get("transfer-encoding"), limits)
        await self._in_thread(self._refuse_when_full)
        exchange: _Exchange = request.scope["segwatch_exchange"]
        common = PushRequest(exchange.calling_ae_title, self._ae_title, study, self._settings.sop_classes)
        push = Push(self._service, common, limits, exchange.tally)
        try:
            body = make_body(sent, push)
            async for piece in pieces(request.receive, limits):
                await self._in_thread(partial(body.feed, piece))
            await self._in_thread(body.finish)
        finally:
            await self._in_thread(push.discard)
        status = http_status(push.results)
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return Response(encode_answer(push.results, kind), status, retry, media_type=kind.value)

    def _refuse_when_full(self) -> None:
        try:
            refusal = self._service.spool.disk().refusal
        except ListenerError as error:
            raise _try_later("the spool cannot be used") from error
        if refusal is not None:
            LOGGER.warning("request refused: %s", refusal)
            raise _try_later("the spool is over its limit")

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        # shielded: what is cancelled, perhaps twice at a stop, must not leave its clearing up undone
        return await asyncio.shield(asyncio.wrap_future(self._threads.submit(work)))

    def _tell(self, report: StowReport) -> None:
        try:
            self._on_request_end(report)
        except Exception as error:  # noqa: BLE001 (an observer may fail, the server may not)
            LOGGER.error("the observer of a request failed: %s", type(error).__name__)


def _plain(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, headers)


def _try_later(text: str) -> RequestRefusedError:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"{text}, send again later", headers)


def _report(exchange: _Exchange, scope: Scope) -> StowReport:
    tally, client = exchange.tally, scope.get("client")
    return StowReport(
        status=exchange.status,
        calling_ae_title=exchange.calling_ae_title,
        address=client[0] if client else "",
        seconds=time.monotonic() - tally.began,
        bytes=tally.bytes,
        counts=dict(tally.counts),
        series_keys=frozenset(tally.series_keys),
        statuses=dict(tally.statuses),
        refusal=exchange.refusal,
    )
