"""How many files and sockets the listener may open."""

import logging
import resource
from pathlib import Path

import pytest

from dicom_listener.network.descriptor_limit import allow_descriptors, hard_limit, needed_descriptors
from dicom_listener.network.scp import ScpSettings
from tests.unit.dicom_listener.listening import Listener

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "afterwards", "allowed"),
    [
        ((1024, 4096), (2000, 4096), None),
        ((1024, 1500), (1500, 1500), 1500),
        ((1024, INFINITE), (2000, INFINITE), None),
        ((3000, 4096), (3000, 4096), None),
        ((INFINITE, INFINITE), (INFINITE, INFINITE), None),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], afterwards: tuple[int, int], allowed: int | None
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, wanted: now.__setitem__(0, wanted))

    assert allow_descriptors(2000) == allowed
    assert now[0] == afterwards
    assert hard_limit() == (None if limits[1] == INFINITE else limits[1])


def test_the_listener_raises_its_limit_or_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needed = needed_descriptors(300)
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (1024, 2000))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: wanted.append(limits))
    caplog.set_level(logging.WARNING)

    listener = Listener(tmp_path / "spool", ScpSettings(maximum_associations=300))
    listener.scp.stop()

    assert wanted == [(2000, 2000)]
    assert f"may open 2000 files and sockets, and 300 associations may need {needed}: raise" in caplog.text
