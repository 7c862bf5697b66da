"""The body of a request, as it comes in: what splits it into parts."""

from http import HTTPStatus
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from dicom_listener.errors import RequestRefusedError
from dicom_listener.stow.media_types import SentType, check_part_type
from dicom_listener.stow.push import Push

_MAXIMUM_PART_HEADERS = 16
_MAXIMUM_PART_HEADER_BYTES = 1024


class Body(Protocol):
    """Takes a body piece by piece; blocks on the disk."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises `RequestRefusedError` when nothing more can be made of the body."""

    def finish(self) -> None:
        """The body has ended. Raises `RequestRefusedError` when it ended too early."""


def make_body(sent: SentType, push: Push) -> Body:
    """What takes a body that is packed so. Raises `RequestRefusedError`."""
    return SingleBody(push) if sent.boundary is None else MultipartBody(sent.boundary, push)


class SingleBody:
    """A body that is one instance (application/dicom)."""

    def __init__(self, push: Push) -> None:
        self._push = push
        push.begin_part()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._push.write(memoryview(piece))

    def finish(self) -> None:
        """The body has ended."""
        self._push.end_part()


class MultipartBody:
    """A multipart/related body (RFC 2387, RFC 2046 section 5.1), split by python-multipart's parser."""

    def __init__(self, boundary: bytes, push: Push) -> None:
        self._push = push
        self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": lambda: check_part_type(self._headers),
                "on_part_data": lambda data, start, end: push.write(memoryview(data)[start:end]),
                "on_part_end": push.end_part,
                "on_end": self._end,
            },
            max_header_count=_MAXIMUM_PART_HEADERS,
            max_header_size=_MAXIMUM_PART_HEADER_BYTES,
        )

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, f"the multipart body is malformed{self._so_far()}") from (
                error
            )

    def finish(self) -> None:
        """The body has ended: with its last boundary, or half a file would pass for a whole one."""
        if not self._ended:
            text = f"the multipart body ends without its closing boundary{self._so_far()}"
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, text)
        if not self._push.results:
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "the multipart body has no part")

    def _so_far(self) -> str:
        stored = self._push.n_stored
        return f"; {stored} instances before that were stored, send all again" if stored else ""

    def _begin_part(self) -> None:
        self._headers.clear()
        self._name.clear()
        self._value.clear()
        self._push.begin_part()

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _end(self) -> None:
        self._ended = True
