"""What `segwatch doctor` says of ports and certificates."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_listener.errors import TlsError
from dicom_listener.network.scp import StorageScp
from dicom_listener.spool.spool import Spool
from segwatch.errors import UsageError
from segwatch.findings import Caution
from segwatch.listener_settings import make_scp_settings
from segwatch.network_check import check_descriptors, check_tls
from segwatch.port_check import check_port
from segwatch.settings import SiteSettings, load_settings
from tests.peers.certificates import DAY, Authority, Identity
from tests.peers.ports import LOOPBACK, free_ports


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def settings_with(
    folder: Path, identity: Identity | None, trusted: Path | None = None, more: str = "", host: str = LOOPBACK
) -> SiteSettings:
    text = f'[site]\nid = "a"\ndata_dir = "data"\n[listener]\nhost = "{host}"\nport = {free_ports()}\n{more}'
    if identity is not None:
        text += f'[listener.tls]\ncertificate = "{identity.certificate}"\nkey = "{identity.key}"\n'
        text += f'trusted = "{trusted}"\nport = {free_ports()}\nalso_plain = true\n'
    path = folder / "s.toml"
    path.write_text(text)
    return load_settings(path, SiteSettings)


@contextmanager
def listening(settings: SiteSettings) -> Iterator[None]:
    """The listener of a site: it has the spool before it has its ports."""
    spool = Spool(settings.site.data_dir / "spool", high_watermark=1.1)
    spool.claim()
    scp = StorageScp(
        spool,
        ae_title="SEGWATCH",
        host=settings.listener.host,
        port=settings.listener.port,
        on_stored=lambda _: None,
        settings=make_scp_settings(settings),
    )
    scp.start()
    try:
        yield
    finally:
        scp.stop()
        spool.release()


def test_without_tls(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, None)
    assert check_tls(settings) == "off"
    assert check_port(settings) == f"port {settings.listener.port} is free"
    with listening(settings):
        assert check_port(settings) == f"a DICOM listener answers on port {settings.listener.port}"


def test_a_good_certificate(authority: Authority, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, authority.issue(), authority.certificate)
    port = settings.listener.tls.port
    found = check_tls(settings)
    assert isinstance(found, str)
    assert found.startswith(f"port {port} is free; the certificate is valid until ")
    with listening(settings):
        found = check_tls(settings)
        assert isinstance(found, str)
        assert found.startswith(f"port {port} answers with our certificate; ")
        assert check_port(settings) == f"a DICOM listener answers on port {settings.listener.port}"


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0"])  # noqa: S104 (a listener's default)
def test_our_listener_is_asked_where_it_listens(authority: Authority, tmp_path: Path, host: str) -> None:
    settings = settings_with(tmp_path, authority.issue(), authority.certificate, host=host)
    with listening(settings):
        assert check_port(settings) == f"a DICOM listener answers on port {settings.listener.port}"
        assert "answers with our certificate" in str(check_tls(settings))


def test_a_port_of_somebody_else_is_named(authority: Authority, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, authority.issue(), authority.certificate)
    other = settings_with(tmp_path, authority.issue(), authority.certificate)
    taken = other.listener.model_copy(
        update={"tls": other.listener.tls.model_copy(update={"port": settings.listener.tls.port})}
    )
    with listening(settings), pytest.raises(UsageError, match=r"choose another listener\.tls\.port"):
        check_tls(other.model_copy(update={"listener": taken}))


def test_a_certificate_that_expires_soon_is_a_caution(authority: Authority, tmp_path: Path) -> None:
    found = check_tls(settings_with(tmp_path, authority.issue(ends=29 * DAY), authority.certificate))
    assert isinstance(found, Caution)
    assert "expires on" in found.text
    assert "have it renewed" in found.text


def test_a_key_that_everybody_can_read_is_a_caution(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue()
    identity.key.chmod(0o644)
    found = check_tls(settings_with(tmp_path, identity, authority.certificate))
    assert isinstance(found, Caution)
    assert "every user of this machine can read the key" in found.text


OUTSIDE = {
    "the certificate has expired on": (0 * DAY, -DAY / 48),
    "the certificate is valid from": (3 * DAY, 9 * DAY),
}


@pytest.mark.parametrize("words", OUTSIDE)
def test_a_certificate_outside_its_validity_is_wrong_and_told_at_the_start(
    authority: Authority, tmp_path: Path, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    begins, ends = OUTSIDE[words]
    settings = settings_with(tmp_path, authority.issue(begins=begins, ends=ends), authority.certificate)
    with pytest.raises(UsageError, match=words):
        check_tls(settings)
    with listening(settings):
        pass
    (line,) = (one for one in caplog.records if one.levelname == "ERROR")
    assert words in line.getMessage()


def test_a_key_that_cannot_be_read_is_named(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue()
    settings = settings_with(tmp_path, identity, authority.certificate)
    identity.key.unlink()
    identity.key.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TlsError, match=f"{identity.key}: No such file"):
        check_tls(settings)


def test_only_tls_leaves_the_plain_port_closed(authority: Authority, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, authority.issue(), authority.certificate)
    only = settings.listener.tls.model_copy(update={"also_plain": False})
    settings = settings.model_copy(update={"listener": settings.listener.model_copy(update={"tls": only})})
    found = check_port(settings)
    assert isinstance(found, str)
    assert "stays closed" in found


def test_a_limit_that_is_too_low_for_the_associations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, None, more="maximum_associations = 100\n")
    monkeypatch.setattr("segwatch.network_check.hard_limit", lambda: 1024)

    found = check_descriptors(settings)

    assert isinstance(found, Caution)
    assert "may open 1024, and 100 associations may need 1056: raise LimitNOFILE" in found.text
    monkeypatch.setattr("segwatch.network_check.hard_limit", lambda: None)
    assert check_descriptors(settings) == "1056 may be needed, and may be opened"
