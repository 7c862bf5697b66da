"""A disk that is full, over its watermark, or read-only: senders are told, nothing is lost, it goes on afterwards."""

import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_listener.spool.journal.lane_format import FIRST_BYTE, LaneFront
from dicom_listener.spool.journal.lanes import lane_paths
from dicom_listener.spool.journal.spool_journal import FOLDER
from tests.acceptance.hosts import TRACEBACK
from tests.acceptance.test_full_disk import fill
from tests.peers.missing import missing_peer
from tests.survival.listener import (
    INTAKES,
    JOURNAL_IS_MADE,
    AttackedListener,
    fingerprint,
    in_lanes,
    missing_ones,
    wait_until_filed,
)
from tests.survival.peer import Peer, PeerGoneError, associated
from tests.survival.sending import Sending

pytestmark = pytest.mark.slow

OUT_OF_RESOURCES, PROCESSING_FAILURE = 0xA700, 0x0110
SPOOL_MB = 24
WITH_JOURNAL_MB, JOURNAL_MB = 1400, 64
"""A journal takes a twentieth of a disk at most, and leaves room for the files of all that it holds."""


def _mount(folder: Path, *what: str) -> None:
    done = subprocess.run(["mount", *what, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        missing_peer("mount", f"a file system of its own cannot be mounted here (root may): {done.stderr.strip()}")


@pytest.fixture(params=INTAKES)
def unmounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AttackedListener]:
    """A listener, not started yet, in whose spool folder a file system may be mounted; its state lies elsewhere."""
    if os.geteuid() != 0:
        missing_peer("root", "only root may mount a file system")
    with_journal = request.param == "journal"
    journal_bytes = (JOURNAL_MB << 20) if with_journal else 0
    listener = AttackedListener(tmp_path / "listener", request.param, {"spool.journal_bytes": journal_bytes})
    listener.spool_folder.mkdir(parents=True, exist_ok=True)
    try:
        yield listener
        assert TRACEBACK not in listener.log()
    finally:
        listener.close()
        subprocess.run(["umount", "--lazy", listener.spool_folder], check=True)


@pytest.fixture
def listener(unmounted: AttackedListener) -> AttackedListener:
    """Its spool is a small disk of its own."""
    _mount(unmounted.spool_folder, "-t", "tmpfs", "-o", f"size={_megabytes(unmounted)}m", "none")
    return unmounted


def _megabytes(listener: AttackedListener) -> int:
    """Of the disk of its spool."""
    return WITH_JOURNAL_MB if listener.intake == "journal" else SPOOL_MB


def _leave(listener: AttackedListener, share: float) -> None:
    """Where there is a journal, fill its large disk until little is left below this share beside what that reserves."""
    if listener.intake == "journal":
        usage = shutil.disk_usage(listener.spool_folder)
        n_bytes = int(usage.total * share) - usage.used - (JOURNAL_MB + 8 << 20)
        with (listener.spool_folder / "other").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def _assert_journal_used(listener: AttackedListener) -> None:
    fronts = [LaneFront.newest(path.read_bytes()[:FIRST_BYTE]) for path in lane_paths(listener.spool_folder / FOLDER)]
    assert [front for front in fronts if front is not None and front.sequence > 0] or listener.intake != "journal"


def test_over_the_watermark_it_refuses_before_the_disk_is_full(listener: AttackedListener) -> None:
    listener.set("spool.high_watermark", 0.6)
    listener.start()
    _leave(listener, 0.6)
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.20.1")
        assert sending.until_refused() == OUT_OF_RESOURCES
        usage = shutil.disk_usage(listener.spool_folder)
        assert 0.55 < usage.used / usage.total < 0.7
        assert sending.one() == OUT_OF_RESOURCES
        assert peer.echo() == 0
        refused = sending.count
        _free(listener, sending)
        assert sending.one() == 0
    assert refused < sending.count
    assert missing_ones(listener.spool_folder, sending.acknowledged) == []


def test_a_disk_that_fills_in_the_middle_of_instances(listener: AttackedListener) -> None:
    """The watermark is far too high, so that every write may be the one that fails; several senders at once."""
    listener.set("spool.high_watermark", 0.9999)
    listener.start()
    _leave(listener, 1.0)
    peers = [Peer(listener.port) for _ in range(3)]
    try:
        sendings = []
        for number, peer in enumerate(peers):
            peer.associate()
            sendings.append(Sending(peer, f"1.2.21.{number}"))
        while all(sending.one() == 0 for sending in sendings):
            pass
        for sending in sendings:
            assert sending.until_refused() == OUT_OF_RESOURCES
        fill(listener.spool_folder / "ballast")
        for sending in sendings:
            assert sending.one() == OUT_OF_RESOURCES
        (listener.spool_folder / "ballast").unlink()
        _free(listener, sendings[0])
        assert [sending.one() for sending in sendings] == [0, 0, 0]
    finally:
        for peer in peers:
            peer.socket.close()
    for sending in sendings:
        assert missing_ones(listener.spool_folder, sending.acknowledged) == []
    _assert_journal_used(listener)


@pytest.mark.parametrize("unmounted", ["journal"], indirect=True)
def test_what_is_in_the_journal_of_a_full_disk_gets_its_file_when_there_is_room(listener: AttackedListener) -> None:
    listener.start()
    _leave(listener, 0.99)
    ballast = listener.spool_folder / "ballast"
    filling = threading.Thread(target=fill, args=(ballast,))
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.26.1")
        assert sending.one() == 0
        filling.start()
        while filling.is_alive() and sending.one() == 0:  # no burst ends meanwhile
            pass
        filling.join()
        assert sending.until_refused() == OUT_OF_RESOURCES
        listener.running.wait_for_output("wait in the journal of the spool")
        assert in_lanes(listener.spool_folder)
        assert sending.one() == OUT_OF_RESOURCES
        ballast.unlink()
    assert missing_ones(listener.spool_folder, sending.acknowledged) == []


def test_a_full_disk_while_it_starts(listener: AttackedListener) -> None:
    fill(listener.spool_folder / "ballast")
    listener.set("spool.high_watermark", 0.9999)
    makes_journal, listener.awaits_journal = listener.awaits_journal, False
    listener.start()
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.22.1")
        assert sending.one() == OUT_OF_RESOURCES
        (listener.spool_folder / "ballast").unlink()
        assert sending.one() == 0
    if makes_journal:
        listener.running.wait_for_output(JOURNAL_IS_MADE)
        with associated(listener.port) as peer:
            assert Sending(peer, "1.2.22.2").one() == 0
        _assert_journal_used(listener)
    assert missing_ones(listener.spool_folder, sending.acknowledged) == []


def test_a_disk_that_fails_and_so_becomes_read_only(unmounted: AttackedListener, tmp_path: Path) -> None:
    """As ext4 does after an error, also below files that are open."""
    listener, image = unmounted, tmp_path / "image"
    _mount_new_ext4(listener, image, "^has_journal", "errors=remount-ro")
    listener.start()
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.23.1")
        assert sending.one() == 0
        _report_disk_error(listener.spool_folder)
        assert sending.one() == PROCESSING_FAILURE
        assert sending.one() == PROCESSING_FAILURE
        assert peer.echo() == 0
    assert os.strerror(errno.EROFS) in listener.log()
    listener.stop()

    subprocess.run(["umount", listener.spool_folder], check=True)
    subprocess.run(["fsck.ext4", "-fy", image], check=False, capture_output=True)
    _mount(listener.spool_folder, "-o", "loop", str(image))
    listener.start()
    with associated(listener.port) as peer:
        again = Sending(peer, "1.2.23.2")
        assert again.one() == 0
    assert missing_ones(listener.spool_folder, sending.acknowledged | again.acknowledged) == []
    _assert_journal_used(listener)


def _mount_new_ext4(listener: AttackedListener, image: Path, features: str, options: str) -> None:
    image.write_bytes(b"")
    os.truncate(image, _megabytes(listener) << 20)
    mkfs = shutil.which("mkfs.ext4") or missing_peer("mkfs.ext4", "not installed (Debian package e2fsprogs)")
    made = subprocess.run([mkfs, "-q", "-O", features, image], check=False, capture_output=True, text=True)
    if made.returncode != 0:
        missing_peer("mkfs.ext4", f"no file system could be made in a file: {made.stderr.strip()}")
    if not Path("/dev/loop-control").exists():
        missing_peer("loop devices", "no file can be mounted here (kernel module loop)")
    _mount(listener.spool_folder, "-o", f"loop,{options}", str(image))


def _device(folder: Path) -> str:
    found = subprocess.run(["findmnt", "-no", "SOURCE", folder], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip()).name


def _report_disk_error(folder: Path) -> None:
    (Path("/sys/fs/ext4") / _device(folder) / "trigger_fs_error").write_text("of a test")


def test_an_instance_costs_one_commit_of_the_journal(unmounted: AttackedListener, tmp_path: Path) -> None:
    """Its content and its name in one: a second commit would double what a sender waits for the disk.

    In our own journal it costs none. Files are made behind that, of which a round of instances may see something on a
    machine that is busy; not each.
    """
    listener, count, in_journal = unmounted, 30, unmounted.intake == "journal"
    _mount_new_ext4(listener, tmp_path / "image", "has_journal", "commit=600")
    listener.start()
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.25.1")
        assert sending.one() == 0  # its series is new, and the folder's name is durable first
        rounds = []
        for _ in range(5 if in_journal else 1):
            before = _commits(listener.spool_folder)
            assert [sending.one() for _ in range(count)] == [0] * count
            rounds.append(_commits(listener.spool_folder) - before)
        assert min(rounds) == 0 if in_journal else count <= rounds[0] <= count + 3
    _assert_journal_used(listener)
    assert missing_ones(listener.spool_folder, sending.acknowledged) == []


def _commits(folder: Path) -> int:
    """Transactions that the journal of a file system has committed."""
    (info,) = Path("/proc/fs/jbd2").glob(f"{_device(folder)}-*/info")
    return int(info.read_text().split()[0])


def test_a_listener_that_cannot_write_its_spool_says_so_and_ends(listener: AttackedListener) -> None:
    _mount(listener.spool_folder, "-o", "remount,ro")
    done = listener.cli("listen", "-c", listener.settings, timeout=120)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("segwatch: ")
    assert "spool" in done.stderr
    assert TRACEBACK not in done.stderr


def test_a_folder_of_the_spool_that_was_deleted_is_told_and_others_go_on(listener: AttackedListener) -> None:
    listener.start()
    with associated(listener.port) as peer:
        sending = Sending(peer, "1.2.24.1")
        assert sending.one() == 0
        wait_until_filed(listener.spool_folder)
        (folder,) = (path for path in listener.spool_folder.iterdir() if not path.name.startswith("."))
        shutil.rmtree(folder)  # by an administrator's hand
        sending.acknowledged.clear()
        assert sending.one() == 0
        assert missing_ones(listener.spool_folder, sending.acknowledged) == []
        shutil.rmtree(listener.spool_folder / ".incoming")
        try:
            status = sending.one()
        except PeerGoneError:
            pytest.fail("the association was cut instead of being answered")
        assert status in {0, PROCESSING_FAILURE}
        assert peer.echo() == 0
    assert missing_ones(listener.spool_folder, sending.acknowledged) == []


def _free(listener: AttackedListener, sending: Sending) -> None:
    """Make room as a purge does: half of what one sender sent, and has a file, goes away."""
    (listener.spool_folder / "other").unlink(missing_ok=True)
    names = {uid: fingerprint(uid, b"")[0] for uid in sending.acknowledged}
    paths = {path.stem: path for path in listener.spool_folder.glob("*/*.dcm")}
    filed = [uid for uid, name in names.items() if name in paths]
    assert len(filed) == len(names) or listener.intake == "journal"
    for uid in filed[: len(filed) // 2 + 1]:
        del sending.acknowledged[uid]
        paths[names[uid]].unlink()
