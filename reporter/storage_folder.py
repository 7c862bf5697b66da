"""A small storage SCP that writes what it gets into a folder: the demo's stand-in for a PACS. Not for clinical use."""

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydicom.uid import (
    AllTransferSyntaxes,
    Comprehensive3DSRStorage,
    CTImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom import AE, evt

from reporter.association import VERIFICATION
from reporter.durable_file import write_durably
from reporter.errors import PortInUseError

_log = logging.getLogger(__name__)

KINDS = (CTImageStorage, SegmentationStorage, SecondaryCaptureImageStorage, Comprehensive3DSRStorage)
SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""C-STORE statuses (PS3.4 B.2.3)."""
_UID = re.compile(r"[0-9.]{1,64}")

OnStored = Callable[[Path, str], None]
"""Called with the file and its SOP Class UID, from the association's thread, after the file is durable."""


class FolderDestination:
    """Storage SCP on the loopback address; every instance becomes DIRECTORY/<SOP Instance UID>.dcm."""

    def __init__(
        self, directory: Path, ae_title: str = "ARCHIVE", *, port: int = 0, on_stored: OnStored | None = None
    ) -> None:
        """Port 0 takes a free one at `start`."""
        self._directory = directory
        self._port = port
        self._on_stored = on_stored
        self._entity = AE(ae_title=ae_title)
        self._entity.add_supported_context(VERIFICATION)
        for kind in KINDS:
            self._entity.add_supported_context(kind, AllTransferSyntaxes)
        self._server: Any = None  # pynetdicom's server class is not typed
        self._changed = threading.Condition()
        self._files: list[Path] = []

    @property
    def ae_title(self) -> str:
        """Called AE title."""
        return str(self._entity.ae_title)

    @property
    def port(self) -> int:
        """TCP port, known after `start`."""
        return self._port

    @property
    def files(self) -> tuple[Path, ...]:
        """What was stored since `start`, in order of arrival; an instance sent twice is there twice."""
        with self._changed:
            return tuple(self._files)

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until at least `count` instances have arrived; False after the timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._files) >= count, timeout_s)

    def start(self) -> None:
        """Listen.

        Raises:
            PortInUseError: the port cannot be bound.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self._server = self._entity.start_server(
                ("127.0.0.1", self._port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
            )
        except OSError as error:
            raise PortInUseError(f"port {self._port} cannot be used: {error.strerror}; choose another") from error
        self._port = int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening and end open associations."""
        if self._server is not None:
            self._server.shutdown()
            self._entity.shutdown()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _store(self, event: Any) -> int:  # noqa: ANN401 (pynetdicom's event class is not typed)
        uid = str(event.request.AffectedSOPInstanceUID)
        if not _UID.fullmatch(uid):
            return CANNOT_UNDERSTAND
        path = self._directory / f"{uid}.dcm"
        try:
            write_durably(path, lambda file: file.write(event.encoded_dataset()))
        except OSError as error:
            _log.error("an instance cannot be stored: %s", error.strerror)
            return OUT_OF_RESOURCES
        with self._changed:
            self._files.append(path)
            self._changed.notify_all()
        if self._on_stored is not None:
            self._on_stored(path, str(event.request.AffectedSOPClassUID))
        return SUCCESS
