"""How a body comes in over ASGI: piece by piece, never read ahead, never for ever."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from dicom_listener.errors import RequestRefusedError
from dicom_listener.stow.settings import StowLimits

_LONGEST_LENGTH = 18
"""Digits: more than any disk has."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGoneError(Exception):
    """The client closed its connection before the body was whole; there is nobody to be answered."""


def check_length(content_length: str | None, transfer_encoding: str | None, limits: StowLimits) -> None:
    """Refuse a body by what its head says of its length.

    Raises:
        RequestRefusedError: 411 when nothing is said, 413 when it is too long.
    """
    if transfer_encoding is not None:
        return
    if content_length is None or not content_length.isascii() or not content_length.isdigit():
        raise RequestRefusedError(HTTPStatus.LENGTH_REQUIRED, "say Content-Length, or send the body in chunks")
    if len(content_length) > _LONGEST_LENGTH or int(content_length) > limits.maximum_request_bytes:
        raise _too_long(limits)


async def pieces(receive: Receive, limits: StowLimits) -> AsyncIterator[bytes]:
    """The pieces of a body; the next one is asked for when the last one is done with.

    Raises:
        RequestRefusedError: 413 when it is too long, 408 when it comes too slowly.
        ClientGoneError: the client closed its connection.
    """
    total, more = 0, True
    pace = _Pace(limits)
    while more:
        message = await pace.next(receive)
        if message["type"] != "http.request":
            raise ClientGoneError
        piece, more = message.get("body", b""), message.get("more_body", False)
        total += len(piece)
        if total > limits.maximum_request_bytes:
            raise _too_long(limits)
        if piece:
            yield piece


class _Pace:
    """Sees that enough comes in each stretch of waiting of `idle_seconds`."""

    def __init__(self, limits: StowLimits) -> None:
        self._limits = limits
        self._waited = 0.0
        self._bytes = 0

    async def next(self, receive: Receive) -> MutableMapping[str, Any]:
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(self._limits.idle_seconds - self._waited, 0.001)):
                    message = await receive()
            except TimeoutError:
                self._end_stretch()
                continue
            self._waited += time.monotonic() - began
            self._bytes += len(message.get("body", b""))
            if self._waited >= self._limits.idle_seconds:
                self._end_stretch()
            return message

    def _end_stretch(self) -> None:
        if self._bytes < self._limits.minimum_bytes_per_second * self._limits.idle_seconds:
            raise RequestRefusedError(HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly", {"Connection": "close"})
        self._waited, self._bytes = 0.0, 0


def _too_long(limits: StowLimits) -> RequestRefusedError:
    text = f"the body is longer than {limits.maximum_request_bytes} bytes; send the instances in several requests"
    return RequestRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
