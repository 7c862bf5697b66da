"""What is said of an address that cannot be bound: by the listener, by STOW-RS, by the metrics and by doctor."""

import errno
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dicom_listener.bind_errors import cure
from dicom_listener.errors import PortError
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.spool.spool import Spool
from segwatch import stow_wiring
from segwatch.errors import SettingsError, UsageError
from segwatch.metrics_check import check_metrics
from segwatch.metrics_endpoint import Health, MetricsEndpoint
from segwatch.port_check import check_port
from segwatch.settings import SiteSettings
from tests.peers.certificates import Authority
from tests.unit.segwatch.test_network_check import listening, settings_with

NOT_OURS = "203.0.113.7"
"""Of a network for documentation (RFC 5737)."""


DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_a_low_port_needs_a_privilege() -> None:
    said = cure(DENIED, port="listener.port")
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit; or choose another listener.port" in said


def test_doctor_says_what_privilege_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, None)
    monkeypatch.setattr("segwatch.port_check.bind_error", lambda *_: DENIED)
    with pytest.raises(UsageError, match="Permission denied; ports below 1024 need a privilege"):
        check_port(settings)


def test_a_listener_that_has_the_privilege_is_found_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, None)
    with listening(settings):
        monkeypatch.setattr("segwatch.port_check.bind_error", lambda *_: DENIED)
        assert check_port(settings) == f"a DICOM listener answers on port {settings.listener.port}"


def test_an_address_of_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwatch.port_check.TIMEOUT_S", 0.2)
    monkeypatch.setattr("segwatch.metrics_check.TIMEOUT_S", 0.2)
    hosts = {"listener": {"host": NOT_OURS}, "metrics": {"host": NOT_OURS, "port": 9464}}
    settings = SiteSettings.model_validate({"site": {"id": "x", "data_dir": tmp_path}, **hosts})
    with pytest.raises(UsageError, match=r"listener\.host must be an address of this machine"):
        check_port(settings)
    with pytest.raises(UsageError, match=r"metrics\.host must be an address of this machine"):
        check_metrics(settings)
    endpoint = MetricsEndpoint(NOT_OURS, 9464, CollectorRegistry(), lambda: Health.READY)
    with pytest.raises(SettingsError, match=r"metrics\.host must be an address of this machine"):
        endpoint.start()
    scp = StorageScp(
        Spool(tmp_path / "spool"),
        ae_title="A",
        host=NOT_OURS,
        port=11112,
        on_stored=lambda _: None,
        settings=ScpSettings(receivers=0),
    )
    with pytest.raises(PortError, match=f"{NOT_OURS}:11112: .*the host must be an address of this machine"):
        scp.start()


def test_an_address_of_another_machine_for_stow(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    identity = authority.issue()
    tls = {"certificate": identity.certificate, "key": identity.key, "trusted": authority.certificate}
    stow = {"host": NOT_OURS, "port": 11113, **tls}
    settings = SiteSettings.model_validate({"site": {"id": "x", "data_dir": tmp_path}, "listener": {"stow": stow}})
    server = stow_wiring.make_stow_server(settings, Spool(tmp_path / "spool"), lambda _: None, ())
    assert server is not None
    with pytest.raises(PortError, match=r"listener\.stow\.host must be an address of this machine"):
        server.start()
