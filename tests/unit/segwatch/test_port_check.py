"""Whose the port is that `segwatch doctor` finds taken."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at run time

from dicom_listener.spool import claims
from segwatch.errors import UsageError
from segwatch.findings import Caution
from segwatch.port_check import check_port
from segwatch.settings import SiteSettings
from tests.unit.segwatch.test_network_check import listening, settings_with

ONLY_KNOWN = "only_known_peers = true\n"
REJECTED = "it rejects SEGWATCH-DOCTOR: Calling AE title not recognised"


@contextmanager
def foreign_listener(port: int, *, rejects: bool) -> Iterator[None]:
    entity = AE("SEGWATCH")
    entity.add_supported_context(Verification)
    if rejects:
        entity.require_calling_aet = ["PACS"]
    server = entity.start_server(("127.0.0.1", port), block=False)
    assert server is not None
    try:
        yield
    finally:
        server.shutdown()
        entity.shutdown()


def test_a_listener_that_takes_known_peers_alone_is_ours(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, None, more=ONLY_KNOWN)
    with listening(settings):
        assert check_port(settings) == f"this site's listener answers on port {settings.listener.port} ({REJECTED})"


def test_a_full_listener_is_ours(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, None, more="maximum_associations = 1\n")
    entity = AE("CT")
    entity.add_requested_context(Verification)
    with listening(settings):
        only = entity.associate("127.0.0.1", settings.listener.port, ae_title="SEGWATCH")
        assert only.is_established
        found = check_port(settings)
        only.release()
    assert isinstance(found, str)
    assert "this site's listener answers" in found
    assert "ocal limit exceeded" in found


@pytest.mark.parametrize("more", ["", ONLY_KNOWN])
def test_another_segwatch_is_told_from_ours(tmp_path: Path, more: str) -> None:
    (tmp_path / "theirs").mkdir()
    settings, theirs = settings_with(tmp_path, None), settings_with(tmp_path / "theirs", None, more=more)
    taken = same_port(settings, theirs)
    who = "another DICOM program" if more else "another Segwatch"
    with listening(theirs), pytest.raises(UsageError, match=rf"already in use by {who}.*choose another listener\.port"):
        check_port(taken)


@pytest.mark.parametrize("rejects", [True, False])
def test_another_dicom_program_is_told_from_ours_that_does_not_run(tmp_path: Path, *, rejects: bool) -> None:
    settings = settings_with(tmp_path, None)
    with (
        foreign_listener(settings.listener.port, rejects=rejects),
        pytest.raises(UsageError, match="already in use by another DICOM program"),
    ):
        check_port(settings)


def test_a_rejection_that_our_settings_do_not_demand_is_a_caution(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, None)
    now = settings.model_copy(update={"listener": settings.listener.model_copy(update={"only_known_peers": True})})
    with listening(now):
        found = check_port(settings)
    assert isinstance(found, Caution)
    assert REJECTED in found.text
    assert "If it is this site's listener, all is well" in found.text


def test_where_the_lock_cannot_be_seen_a_rejection_is_a_caution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(tmp_path, None, more=ONLY_KNOWN)
    with listening(settings):
        monkeypatch.setattr("segwatch.port_check.is_claimed", lambda _root: None)
        assert isinstance(check_port(settings), Caution)


def test_a_program_that_speaks_no_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, None)
    monkeypatch.setattr("segwatch.port_check.TIMEOUT_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", settings.listener.port)),
        pytest.raises(UsageError, match=r"Address already in use; choose another listener\.port"),
    ):
        check_port(settings)


def test_the_look_at_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, None)
    root = settings.site.data_dir / "spool"
    assert claims.is_claimed(root) is False
    with listening(settings):
        assert claims.is_claimed(root) is True
    assert claims.is_claimed(root) is False

    def forbidden(*_arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr("dicom_listener.spool.claims.fcntl.flock", forbidden)
    assert claims.is_claimed(root) is None


def same_port(settings: SiteSettings, other: SiteSettings) -> SiteSettings:
    return settings.model_copy(update={"listener": settings.listener.model_copy(update={"port": other.listener.port})})
