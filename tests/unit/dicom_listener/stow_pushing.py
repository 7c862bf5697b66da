"""STOW-RS without a network: bodies as clients build them, and a client over the application itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from dicom_listener.network.scp import ScpSettings
from dicom_listener.spool.part10 import encode_file_meta
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance, StoreRequest
from dicom_listener.stow.app import StowApp
from dicom_listener.stow.gate import Gate
from dicom_listener.stow.report import StowReport
from dicom_listener.stow.settings import StowLimits, StowSettings
from dicom_listener.stow.tokens import TokenFile
from tests.unit.dicom_listener.instances import instance

BOUNDARY = "a-boundary"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
REFERENCED, FAILED, OTHER, REASON, INSTANCE_UID = "00081199", "00081198", "0008119A", "00081197", "00081155"


def part10(number: int = 1, **changes: Any) -> bytes:
    """The n-th instance as a Part 10 file."""
    return file_of(*instance(number, **changes))


def file_of(request: StoreRequest, data_set: bytes) -> bytes:
    return encode_file_meta(request, len(data_set)) + data_set


def multipart(*files: bytes, head: str = "Content-Type: application/dicom\r\n", boundary: str = BOUNDARY) -> bytes:
    """A multipart/related body."""
    parts = (b"--" + boundary.encode() + b"\r\n" + head.encode() + b"\r\n" + file + b"\r\n" for file in files)
    return b"".join(parts) + b"--" + boundary.encode() + b"--\r\n"


class Pusher:
    """An application over a spool of its own, and what it told about."""

    def __init__(
        self, root: Path, limits: StowLimits | None = None, *, tokens: Path | None = None, watermark: float = 1.1
    ) -> None:
        self.stored: list[StoredInstance] = []
        self.reports: list[StowReport] = []
        self.spool = Spool(root, high_watermark=watermark)
        self.app = StowApp(
            StoreService(self.spool, self.stored.append),
            StowSettings(limits=limits or StowLimits(), sop_classes=ScpSettings().sop_classes),
            ae_title="SEGWATCH",
            gate=Gate(TokenFile(tokens) if tokens else None),
            on_request_end=self.reports.append,
        )

    def post(self, body: bytes | list[bytes], *, path: str = "/studies", **headers: str) -> httpx.Response:
        """Post a body; a list is sent in chunks, without a length."""
        return self.send("POST", path, body, {"Content-Type": MULTIPART, **_named(headers)})

    def send(self, method: str, path: str, body: bytes | list[bytes], headers: dict[str, str]) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("192.0.2.1", 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://segwatch") as client:
                content = _chunks(body) if isinstance(body, list) else body
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(send())

    def files(self) -> dict[str, bytes]:
        """What the spool holds: the data sets by SOP Instance UID."""
        found: dict[str, bytes] = {}
        for key in self.spool.series_keys():
            for stored in self.spool.load(key):
                content = stored.instance.path.read_bytes()
                offset = 144 + int.from_bytes(content[140:144], "little")
                found[stored.instance.sop_instance_uid] = content[offset:]
        return found

    def is_tidy(self) -> bool:
        """Nothing half done is left."""
        return not list((self.spool.root / ".incoming").iterdir())


def uids(response: httpx.Response, sequence: str = REFERENCED) -> list[str]:
    """SOP Instance UIDs of a sequence of an answer."""
    items = response.json().get(sequence, {"Value": []})["Value"]
    return [item[INSTANCE_UID]["Value"][0] for item in items]


def reasons(response: httpx.Response, sequence: str = FAILED) -> list[int]:
    """Failure Reasons of a sequence of an answer."""
    return [item[REASON]["Value"][0] for item in response.json()[sequence]["Value"]]


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def _chunks(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
