"""DCMTK's storescu over TLS, with self-made certificates: who is let in, and who is not."""

import queue
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from dicom_listener.association_report import ConnectionRefusal
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.network.tls import TlsProfile, TlsSettings
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.peers.certificates import DAY, Authority, Identity, find_openssl
from tests.peers.dcmtk import Dcmtk
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set

N_INSTANCES = 5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), kind="rsa2048")


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instances")
    for number in range(1, N_INSTANCES + 1):
        dataset = data_set(number, pixels=b"\1\2" * 256 * 1024)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


class TlsListener:
    """A provider that speaks TLS alone."""

    def __init__(self, root: Path, tls: TlsSettings, fast_intake: bool) -> None:
        self.stored: queue.Queue[StoredInstance] = queue.Queue()
        settings = ScpSettings(tls=tls, tls_port=0, serve_without_tls=False, fast_intake=fast_intake)
        self.scp = StorageScp(
            Spool(root, high_watermark=1.1),
            ae_title="SEGWATCH",
            host=LOOPBACK,
            port=0,
            on_stored=self.stored.put,
            settings=settings,
        )
        self.scp.start()


Listen = Callable[[TlsProfile], TlsListener]


@pytest.fixture(params=[True, False], ids=["fast", "pynetdicom"])
def listen(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[Listen]:
    made: list[TlsListener] = []

    def make(profile: TlsProfile) -> TlsListener:
        own = authority.issue("rsa2048")
        tls = TlsSettings(own.certificate, own.key, authority.certificate, profile=profile)
        made.append(TlsListener(tmp_path / f"spool-{len(made)}", tls, request.param))
        return made[-1]

    yield make
    for one in made:
        one.scp.stop()


def send(
    dcmtk: Dcmtk, listener: TlsListener, instances: Path, options: Sequence[str | Path]
) -> subprocess.CompletedProcess[str]:
    return dcmtk.send(instances, port=listener.scp.port, options=["-R", *map(str, options)])


def as_sender(identity: Identity, authority: Authority) -> list[str | Path]:
    return ["+tls", identity.key, identity.certificate, "+cf", authority.certificate]


@pytest.mark.parametrize("profile", TlsProfile)
def test_the_right_certificate_is_accepted(
    dcmtk: Dcmtk, listen: Listen, authority: Authority, instances: Path, profile: TlsProfile
) -> None:
    listener = listen(profile)
    for kind in ("rsa2048", "ec256"):
        done = send(dcmtk, listener, instances, as_sender(authority.issue(kind), authority))
        assert done.returncode == 0, done.stderr
    outcomes = [listener.stored.get_nowait().outcome for _ in range(2 * N_INSTANCES)]
    assert outcomes == N_INSTANCES * [StoreOutcome.STORED] + N_INSTANCES * [StoreOutcome.DUPLICATE]


@pytest.mark.parametrize("option", ["+py", "+px", "+pz"])
def test_profiles_of_dcmtk_that_we_share_are_served(
    dcmtk: Dcmtk, listen: Listen, authority: Authority, instances: Path, option: str
) -> None:
    """The retired BCP 195 profiles: plain, non-downgrading and extended."""
    listener = listen(TlsProfile.BCP195)
    done = send(dcmtk, listener, instances, [*as_sender(authority.issue(), authority), option])
    assert done.returncode == 0, done.stderr
    assert listener.stored.qsize() == N_INSTANCES


REFUSED: dict[str, Callable[[Authority, Path], list[str | Path]]] = {
    "without TLS": lambda _authority, _folder: [],
    "without a certificate": lambda authority, _folder: ["+tla", "+cf", authority.certificate],
    "of another authority": lambda authority, folder: as_sender(Authority(folder, "Another").issue(), authority),
    "expired": lambda authority, _folder: as_sender(authority.issue(ends=-DAY / 48), authority),
    "without encryption": lambda authority, _folder: [*as_sender(authority.issue(), authority), "+pn"],
    "of a key that is too small": lambda authority, _folder: as_sender(authority.issue("rsa1024"), authority),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_others_are_refused(dcmtk: Dcmtk, listen: Listen, authority: Authority, instances: Path, fault: str) -> None:
    listener = listen(TlsProfile.BCP195)
    done = send(dcmtk, listener, instances, REFUSED[fault](authority, instances.parent / "other"))
    assert done.returncode != 0
    assert listener.stored.empty()
    if fault != "of a key that is too small":  # DCMTK does not even begin with that
        wait_until(
            lambda: listener.scp.connections().refused.get(ConnectionRefusal.TLS, 0) > 0, "the refusal is counted"
        )


def test_a_sender_that_does_not_trust_us_sends_nothing(
    dcmtk: Dcmtk, listen: Listen, authority: Authority, instances: Path, tmp_path: Path
) -> None:
    listener = listen(TlsProfile.BCP195)
    sender = authority.issue()
    done = send(dcmtk, listener, instances, as_sender(sender, Authority(tmp_path / "other", "Another")))
    assert done.returncode != 0
    assert listener.stored.empty()


@pytest.mark.parametrize(("version", "is_accepted"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)])
def test_openssl_with_one_version(listen: Listen, authority: Authority, version: str, is_accepted: bool) -> None:
    listener, sender = listen(TlsProfile.BCP195), authority.issue()
    options: list[str | Path] = ["-CAfile", authority.certificate, "-cert", sender.certificate, "-key", sender.key]
    options += ["-cipher", "ALL:@SECLEVEL=0", "-verify_return_error"]
    done = subprocess.run(
        [find_openssl(), "s_client", "-connect", f"{LOOPBACK}:{listener.scp.port}", version, *options],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("Verify return code: 0 (ok)" in done.stdout and "Cipher is (NONE)" not in done.stdout) == is_accepted
    if is_accepted:
        assert "Secure Renegotiation IS NOT" not in done.stdout or version == "-tls1_3"
        assert "Compression: NONE" in done.stdout
