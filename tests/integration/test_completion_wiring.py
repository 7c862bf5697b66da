"""A listener made from settings: what a real sender does ends the wait as the settings say."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.completion.books import IntakeEvent
from dicom_listener.ending import Ending
from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from segwatch.completion_wiring import check_completion
from segwatch.errors import UsageError
from segwatch.listener_wiring import running_listener
from segwatch.settings import SiteSettings
from segwatch.state_wiring import make_state_engine
from tests.peers.dcmtk import Dcmtk

PATIENCE = 60.0
SLICES = 12
HOURS = 7200.0


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    volume = make_phantom(3, shape=(SLICES, 32, 32), spacing_mm=(10.0, 10.0, 10.0), lesions=1).volume
    return write_ct_series(volume, tmp_path_factory.mktemp("ct"), seed=3)


def settings(
    folder: Path, *, quiet_seconds: float, peers: tuple[dict[str, Any], ...] = (), **early: Any
) -> SiteSettings:
    key = folder / "site.key"
    key.write_bytes(b"k" * 32)
    listener = {"host": "127.0.0.1", "port": 0, "quiet_seconds": quiet_seconds, "completion": early, "peers": peers}
    spool = {"high_watermark": 0.99, "minimum_free_bytes": 10_000_000, "journal_bytes": 67_108_864}
    site = {"id": "clinic", "data_dir": folder, "secret_file": key}
    return SiteSettings.model_validate({"site": site, "listener": listener, "spool": spool})


def test_a_release_ends_the_wait_for_a_stack_without_a_gap(tmp_path: Path, dcmtk: Dcmtk, ct: list[Path]) -> None:
    chosen = settings(
        tmp_path,
        quiet_seconds=HOURS,
        settle_seconds=0.1,
        release_ends_closed_series=True,
        closed_minimum_slices=SLICES // 2,
    )
    events: queue.Queue[IntakeEvent] = queue.Queue()
    engine = make_state_engine(chosen)
    with running_listener(chosen, engine, observe=events.put) as listening:
        # two slices are missing in the middle when the first association is released
        assert dcmtk.send(*ct[:3], *ct[5:], port=listening.port).returncode == 0
        assert dcmtk.send(*ct[3:5], port=listening.port).returncode == 0
        event = events.get(timeout=PATIENCE)
    engine.dispose()
    assert event.series is not None
    assert (event.version, event.series.instances, event.series.ended_by) == (1, SLICES, Ending.CLOSED_GEOMETRY)


def test_by_default_only_time_and_counts_end_the_wait(tmp_path: Path, dcmtk: Dcmtk, ct: list[Path]) -> None:
    # everything else lets a closed geometry win long before the quiet time is over
    chosen = settings(tmp_path, quiet_seconds=4.0, settle_seconds=0.1, closed_minimum_slices=SLICES // 2)
    events: queue.Queue[IntakeEvent] = queue.Queue()
    engine = make_state_engine(chosen)
    with running_listener(chosen, engine, observe=events.put) as listening:
        assert dcmtk.send(*ct, port=listening.port).returncode == 0
        event = events.get(timeout=PATIENCE)
    engine.dispose()
    assert event.series is not None
    assert (event.series.instances, event.series.ended_by) == (SLICES, Ending.QUIET)


@pytest.mark.parametrize(
    ("early", "peers", "said"),
    [
        ({}, (), "quiet for 30 s, at most 3600 s; counts in headers"),
        ({"count_from_headers": False, "release_ends_closed_series": True}, (), "50 slices or more"),
        ({"ask_sender": True}, ({"ae_title": "PACS", "host": "pacs", "port": 104}, {"ae_title": "CT"}), "1 of 2 peers"),
    ],
)
def test_doctor_says_what_ends_the_wait(
    tmp_path: Path, early: dict[str, Any], peers: tuple[dict[str, Any], ...], said: str
) -> None:
    assert said in check_completion(settings(tmp_path, quiet_seconds=30.0, peers=peers, **early))


def test_doctor_says_when_nobody_can_be_asked(tmp_path: Path, free_port: Callable[[], int]) -> None:
    chosen = settings(tmp_path, quiet_seconds=30.0, peers=({"ae_title": "CT", "port": free_port()},), ask_sender=True)
    with pytest.raises(UsageError, match=r"\[\[listener.peers\]\]"):
        check_completion(chosen)
