"""Listeners that end with their test."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.transport import AssociationSocket

from dicom_listener.network.scp import ScpSettings
from dicom_listener.receiving import receivers
from dicom_listener.receiving.starter import ReceiverStarter
from dicom_listener.spool.journal import burst, filer
from dicom_listener.stow.settings import StowLimits
from tests.unit.dicom_listener.journal_room import JournalRoom
from tests.unit.dicom_listener.listening import INTAKES, Listener
from tests.unit.dicom_listener.stow_pushing import Pusher
from tests.unit.dicom_listener.stow_running import Running


@pytest.fixture(autouse=True)
def _senders_close_their_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom leaves a socket to the garbage collector when its peer closed first: a warning, so here an error."""
    shutdown = AssociationSocket._shutdown_socket

    def close(self: AssociationSocket) -> None:
        connection = self.socket
        shutdown(self)
        if connection is not None and self.assoc.is_requestor:
            connection.close()

    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", close)


@pytest.fixture(autouse=True)
def _senders_hear_a_quick_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom's sender looks whether it is connected after it has sent its request; a rejection may be faster.

    It then takes the connection that the rejection closed for one that never came about.
    """
    close = AssociationSocket.close

    @wraps(close)  # test_pynetdicom_internals looks at what is below
    def close_as_connected(self: AssociationSocket) -> None:
        was_connected = self._is_connected
        close(self)
        self._is_connected = was_connected and self.assoc.is_requestor

    monkeypatch.setattr(AssociationSocket, "close", close_as_connected)


@pytest.fixture(params=list(INTAKES.values()), ids=list(INTAKES))
def intake(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Which way instances take, as settings: everything that listens is tested on all of them."""
    return dict(request.param)


class _KeptStarter(ReceiverStarter):
    """Outlives its listeners: it reads all code when it begins, for most of a second."""

    def close(self) -> None:
        """Go on."""

    def end(self) -> None:
        super().close()


@pytest.fixture(scope="session")
def _kept_starter() -> Iterator[_KeptStarter]:
    starter = _KeptStarter()
    yield starter
    starter.end()


@pytest.fixture
def make_starter(_kept_starter: _KeptStarter) -> Callable[[], ReceiverStarter]:
    """How a listener gets the process that starts its receivers: all have the same one."""
    return lambda: _kept_starter


@pytest.fixture(autouse=True)
def _receivers_start_at_once(make_starter: Callable[[], ReceiverStarter], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "ReceiverStarter", make_starter)


@pytest.fixture
def listeners(tmp_path: Path, intake: dict[str, Any]) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(settings: ScpSettings | None = None) -> Listener:
        settings = replace(settings or ScpSettings(), **intake)
        made.append(Listener(tmp_path / f"spool-{len(made)}", settings))
        return made[-1]

    yield make
    for listener in made:
        listener.scp.stop()


@pytest.fixture
def listener(listeners: Callable[..., Listener]) -> Listener:
    return listeners()


@pytest.fixture
def pushers(tmp_path: Path) -> Iterator[Callable[..., Pusher]]:
    made: list[Pusher] = []

    def make(limits: StowLimits | None = None, **options: object) -> Pusher:
        made.append(Pusher(tmp_path / f"spool-{len(made)}", limits, **options))  # type: ignore[arg-type] # (handed on)
        return made[-1]

    yield make
    for pusher in made:
        pusher.app.close()


@pytest.fixture
def pusher(pushers: Callable[..., Pusher]) -> Pusher:
    return pushers()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def make(**limits: float) -> Running:
        made.append(Running(tmp_path / f"spool-{len(made)}", StowLimits(**limits)))  # type: ignore[arg-type] # (numbers)
        return made[-1]

    yield make
    for one in made:
        one.server.stop()


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JournalRoom:
    """A spool with lanes, in which nothing is filed until `file_all`."""
    monkeypatch.setattr(burst, "QUIET_SECONDS", 3600.0)
    monkeypatch.setattr(filer, "TROUBLE_SECONDS", 0.01)
    return JournalRoom(tmp_path / "spool")
