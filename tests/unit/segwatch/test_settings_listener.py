"""Settings of the listener: what is refused, by which key, and what they become."""

from pathlib import Path

import pytest

from dicom_listener.network.scp import ScpSettings
from dicom_listener.network.storage_classes import STORAGE_CLASSES
from dicom_listener.network.tls import TlsProfile, TlsSettings
from dicom_listener.peers import Peer
from segwatch.errors import SettingsError
from segwatch.listener_settings import make_scp_settings
from segwatch.routing_wiring import make_rule_book
from segwatch.settings import SiteSettings, load_settings


def load(folder: Path, text: str) -> SiteSettings:
    path = folder / "s.toml"
    path.write_text('[site]\nid = "a"\n' + text, encoding="utf-8")
    return load_settings(path, SiteSettings)


def test_defaults_of_the_settings_are_those_of_the_listener(tmp_path: Path) -> None:
    # a process starts others, and writes a journal, only where a site's settings say so: whoever makes a listener in
    # Python asks for them
    assert make_scp_settings(load(tmp_path, "")) == ScpSettings(
        serve_without_tls=False, receivers=4, journal_bytes=512 * 1024**2, journal_seconds=5.0
    )


def test_everything_of_the_network_reaches_the_listener(tmp_path: Path) -> None:
    text = """
[spool]
journal_bytes = 100000000
[listener]
quiet_seconds = 6
ae_title = "A"
storage_classes = ["MRImageStorage", "1.2.840.10008.5.1.4.1.1.2", "CTImageStorage"]
only_known_peers = true
receivers = 3
maximum_associations = 8
maximum_associations_per_peer = 3
artim_seconds = 5
idle_seconds = 20
[[listener.ae_titles]]
ae_title = "B"
rules = "thin"
[[routing.rules]]
name = "thin"
[[listener.peers]]
ae_title = "PACS"
addresses = ["10.1.2.0/24", "fd00::1"]
maximum_associations = 2
[listener.tls]
certificate = "c.pem"
key = "c.key"
trusted = "ca.pem"
port = 2763
also_plain = true
profile = "modified"
"""
    scp = make_scp_settings(load(tmp_path, text))
    assert scp == ScpSettings(
        sop_classes=("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2"),
        further_ae_titles=("B",),
        peers=(Peer("PACS", ("10.1.2.0/24", "fd00::1"), maximum_associations=2),),
        only_known_peers=True,
        maximum_associations=8,
        receivers=3,
        journal_bytes=100_000_000,
        journal_seconds=1.0,
        maximum_associations_per_peer=3,
        first_pdu_seconds=5,
        idle_seconds=20,
        tls=TlsSettings(tmp_path / "c.pem", tmp_path / "c.key", tmp_path / "ca.pem", True, TlsProfile.MODIFIED),
        tls_port=2763,
        serve_without_tls=True,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[[listener.peers]]\nae_title = "P"\naddresses = ["::1", "10.1.2.3/24"]\n',
            r"listener\.peers\.0\.addresses\.1: .*10\.1\.2\.3/24.*write an address or a network",
        ),
        (
            '[[listener.peers]]\nae_title = "P"\naddresses = ["pacs.local"]\n',
            r"listener\.peers\.0\.addresses\.0: .*pacs\.local",
        ),
        ("[listener]\nartim_seconds = 0\n", r"listener\.artim_seconds: .*greater than 0"),
        ("[listener]\nartim_seconds = 601\n", r"listener\.artim_seconds: .*less than or equal to 600"),
        ("[listener]\nmaximum_associations = 1001\n", r"listener\.maximum_associations: .*1000"),
        ("[listener]\nmaximum_pdu_bytes = 2097152\n", r"listener\.maximum_pdu_bytes: .*1048576"),
        ("[listener]\nstorage_classes = []\n", r"listener\.storage_classes: .*at least 1"),
        (2 * '[[listener.ae_titles]]\nae_title = "B"\n', r"listener\.ae_titles: .*'B' stands there twice"),
        (
            '[[listener.ae_titles]]\nae_title = "B"\nrules = "thin"\n',
            r"listener\.ae_titles\.0\.rules: no \[\[routing\.rules\]\] is named 'thin'; known are: default",
        ),
        ('[listener.tls]\ncertificate = "c"\n', r"listener\.tls: .*key is missing"),
        ('[listener.tls]\nkey = "c"\n', r"listener\.tls: .*certificate is missing"),
        ('[listener.tls]\ncertificate = "c"\nkey = "k"\n', r"listener\.tls: .*trusted is missing"),
        ('[listener.tls]\nprofile = "b12"\n', r"listener\.tls\.profile: .*'bcp195' or 'modified'"),
        ('[listener.tls]\ncertficate = "c"\n', r"listener\.tls\.certficate: unknown key; did you mean 'certificate'"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load(tmp_path, text)


def test_an_ae_title_has_its_own_rules(tmp_path: Path) -> None:
    titles = '[[listener.ae_titles]]\nae_title = "SEGWATCH"\nrules = "thin"\n[[listener.ae_titles]]\nae_title = "B"\n'
    settings = load(tmp_path, '[[routing.rules]]\nname = "thin"\nminimum_slices = 99\n' + titles)
    book = make_rule_book(settings)
    assert [book.for_called(title).name for title in ("SEGWATCH", "B", "OTHER")] == ["thin", "default", "default"]
    rules = make_scp_settings(settings).admission_rules("SEGWATCH")
    assert rules.ae_titles == ("SEGWATCH", "B")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CTImageStorag", "did you mean 'CTImageStorage'"),
        ("CT Image Storage", "did you mean 'CTImageStorage'"),
        ("SecondaryCapture", "did you mean 'SecondaryCaptureImageStorage'"),
        ("xyz", "PS3.6 table A-1"),
        ("1.2.", "PS3.6 table A-1|did you mean"),
        ("1." + "2" * 63, "is no storage SOP class"),
    ],
)
def test_an_unknown_storage_class_is_told_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=rf"listener\.storage_classes: .*({hint})"):
        load(tmp_path, f'[listener]\nstorage_classes = ["{name}"]\n')


def test_storage_classes_are_those_that_can_be_sent() -> None:
    assert len(STORAGE_CLASSES) > 150
    assert "MediaStorageDirectoryStorage" not in STORAGE_CLASSES
    assert not any("Commitment" in name for name in STORAGE_CLASSES)
    assert STORAGE_CLASSES["SegmentationStorage"] == "1.2.840.10008.5.1.4.1.1.66.4"
