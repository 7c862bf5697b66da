import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_listener.errors import InvalidInstanceError, SpoolError, SpoolFullError, UnknownSeriesError
from dicom_listener.series import series_key
from dicom_listener.spool import files
from dicom_listener.spool.part10 import encode_file_meta
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreOutcome, StoreRequest
from tests.unit.dicom_listener.instances import SERIES, STUDY, data_set, encode, instance, request, uid

KEY = series_key(STUDY, SERIES)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


def _all_files(spool: Spool) -> list[Path]:
    return sorted(path for path in spool.root.rglob("*") if path.is_file())


def test_an_instance_is_stored_as_received(spool: Spool) -> None:
    wanted, encoded = instance(7)
    stored = spool.store(wanted, encoded)
    assert stored.outcome is StoreOutcome.STORED
    assert stored.series_key == KEY
    assert stored.calling_ae_title == "PACS"
    content = stored.instance.path.read_bytes()
    assert content == encode_file_meta(wanted, len(encoded)) + encoded
    assert len(content) == stored.instance.size_bytes
    assert stored.instance.path.parent == spool.root / KEY
    assert uid(7) not in str(stored.instance.path)
    assert dcmread(stored.instance.path).InstanceNumber == 7


def test_fragments_make_the_same_file_as_one_piece(spool: Spool, tmp_path: Path) -> None:
    wanted, encoded = instance(pixels=bytes(range(256)) * 1000)
    whole = Spool(tmp_path / "other", high_watermark=1.1).store(wanted, encoded)
    with spool.receive(wanted) as incoming:
        for start in range(0, len(encoded), 999):
            incoming.write(encoded[start : start + 999])
        stored = incoming.commit()
    assert stored.instance.path.read_bytes() == whole.instance.path.read_bytes()
    assert stored.instance.size_bytes == whole.instance.size_bytes


def test_the_same_data_set_again_is_accepted_once(spool: Spool) -> None:
    first = spool.store(*instance())
    _, encoded = instance()
    again = spool.store(request(calling="OTHER"), encoded)  # File Meta differs, the data set does not
    assert again.outcome is StoreOutcome.DUPLICATE
    assert again.instance.path == first.instance.path
    assert [path.name for path in _all_files(spool)] == [first.instance.path.name]


def test_another_content_under_the_same_uid_is_kept_apart(spool: Spool) -> None:
    first = spool.store(*instance(pixels=b"aa"))
    content = first.instance.path.read_bytes()
    other = spool.store(*instance(pixels=b"bb"))
    assert other.outcome is StoreOutcome.CONFLICT
    assert dcmread(other.instance.path).PixelData == b"bb"
    assert first.instance.path.read_bytes() == content
    assert [stored.instance.path for stored in spool.load(KEY)] == [first.instance.path]
    assert spool.store(*instance(pixels=b"bb")).instance.path == other.instance.path
    assert spool.store(*instance(pixels=b"cc")).instance.path != other.instance.path
    assert len(spool.conflicts(KEY)) == 2


def test_the_same_data_in_another_transfer_syntax_is_another_content(spool: Spool) -> None:
    spool.store(*instance())
    implicit = "1.2.840.10008.1.2"
    other = spool.store(request(transfer_syntax=implicit), encode(data_set(), implicit))
    assert other.outcome is StoreOutcome.CONFLICT


def test_one_uid_in_two_series_makes_two_instances(spool: Spool) -> None:
    for series in (SERIES, SERIES + ".9"):
        dataset = data_set(1, series=series)
        dataset.SOPInstanceUID = uid(1)
        assert spool.store(request(1), encode(dataset)).outcome is StoreOutcome.STORED
    assert len(spool.series_keys()) == 2


@pytest.mark.parametrize("sop_instance_uid", ["../../escape", "/etc/passwd", "1.2\0.3", "1" * 65, ""])
def test_hostile_uids_never_become_paths(spool: Spool, sop_instance_uid: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    hostile = StoreRequest("1.2.840.10008.5.1.4.1.1.2", sop_instance_uid, "1.2.840.10008.1.2.1", "PACS")
    with pytest.raises(InvalidInstanceError):
        spool.store(hostile, encode(data_set()))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("field", ["sop_instance_uid", "sop_class_uid"])
def test_a_data_set_that_contradicts_its_request_is_refused(spool: Spool, field: str) -> None:
    dataset = data_set()
    dataset["SOPInstanceUID" if field == "sop_instance_uid" else "SOPClassUID"].value = "1.2.3.4"
    with pytest.raises(InvalidInstanceError, match="differ"):
        spool.store(request(), encode(dataset))
    assert _all_files(spool) == []


def test_what_is_not_committed_leaves_nothing(spool: Spool) -> None:
    with spool.receive(request()) as incoming:
        incoming.write(b"half")
    assert _all_files(spool) == []


def test_instances_are_refused_over_the_watermark_and_taken_again_below(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    guarded = Spool(tmp_path / "guarded", high_watermark=0.9, minimum_free_bytes=1000)
    for share, free, refused in ((0.95, 10_000, True), (0.5, 999, True), (0.5, 1000, False)):
        disk = (share, free)
        monkeypatch.setattr("dicom_listener.spool.disk_room.used_share", lambda _root, disk=disk: disk)
        assert (guarded.usage().refusal is not None) == refused
        if refused:
            with pytest.raises(SpoolFullError, match=r"watermark|minimum_free_bytes"):
                guarded.store(*instance())
        else:
            guarded.store(*instance())


def test_used_share_is_that_of_df(tmp_path: Path) -> None:
    share, free = files.used_share(tmp_path)
    assert 0 < share < 1
    assert free > 0


def test_a_root_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file"):
        Spool(tmp_path / "file" / "spool")


LEAVE_HALF_AN_INSTANCE = """
import os, sys
from pathlib import Path
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreRequest

half = Spool(Path(sys.argv[1]), high_watermark=1.1).receive(StoreRequest("1.2", "1.3", "1.4", "PACS"))
half.write(b"half")
os._exit(0)  # as a kill would: no clean-up
"""


def test_recovery_removes_what_the_dead_left_and_nothing_of_the_living(spool: Spool) -> None:
    whole = spool.store(*instance(1)).instance.path
    subprocess.run([sys.executable, "-c", LEAVE_HALF_AN_INSTANCE, spool.root], check=True, timeout=60)
    with spool.receive(request(2)) as living:
        living.write(encode(data_set(2)))
        assert len(list((spool.root / ".incoming").iterdir())) == 2
        assert Spool(spool.root).recover() == 1
        living.commit()
    assert list((spool.root / ".incoming").iterdir()) == []
    assert whole.exists()
    assert [stored.instance.sop_instance_uid for stored in spool.load(KEY)] == [uid(1), uid(2)]


def test_load_tells_after_a_restart_what_store_told(spool: Spool) -> None:
    stored = [spool.store(*instance(number)) for number in (2, 1)]
    assert spool.load(KEY) == tuple(reversed(stored))
    assert spool.load(KEY, without=[uid(1)]) == (stored[0],)


def test_a_damaged_file_is_skipped_and_healed_by_sending_again(spool: Spool) -> None:
    stored = spool.store(*instance())
    stored.instance.path.write_bytes(b"")
    assert spool.load(KEY) == ()
    assert spool.store(*instance()).outcome is StoreOutcome.STORED
    assert spool.load(KEY) == (stored,)


def test_what_was_stored_is_found_again_where_pydicom_cannot_read_it(spool: Spool) -> None:
    dataset = data_set()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    encoded = encode(dataset).replace(b"ISO_IR 100", b"\0SO_IR 100")
    stored = spool.store(request(), encoded)
    assert stored.outcome is StoreOutcome.STORED
    assert spool.load(KEY) == (stored,)
    assert Spool(spool.root, high_watermark=1.1).load(KEY) == (stored,)


def test_usage_counts_everything(spool: Spool) -> None:
    assert spool.usage().oldest_at is None
    stored = [spool.store(*instance(1)), spool.store(*instance(2)), spool.store(*instance(2, pixels=b"zz"))]
    os.utime(stored[1].instance.path, (1000.0, 1000.0))
    usage = spool.usage()
    assert (usage.instances, usage.series, usage.oldest_at) == (3, 1, 1000.0)
    assert usage.bytes == sum(one.instance.path.stat().st_size for one in stored)


def test_purge_removes_a_series_and_the_next_instance_begins_anew(spool: Spool) -> None:
    other = spool.store(*instance(1, series=SERIES + ".5"))
    spool.store(*instance(1))
    spool.purge(KEY)
    spool.purge(KEY)
    assert not (spool.root / KEY).exists()
    assert other.instance.path.exists()
    assert spool.store(*instance(1)).instance.path.exists()


def test_purge_by_another_process_does_not_lose_what_arrives_meanwhile(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.store(*instance(1))
    link = os.link
    calls: list[None] = []

    def purge_first(source: Path, target: Path) -> None:
        if not calls:
            calls.append(None)
            Spool(spool.root).purge(KEY)
        link(source, target)

    monkeypatch.setattr(os, "link", purge_first)
    assert spool.store(*instance(2)).instance.path.exists()


@pytest.mark.parametrize("key", ["", "..", "../x", "A" * 32, "a" * 31])
def test_only_a_series_key_names_a_folder(spool: Spool, key: str) -> None:
    with pytest.raises(UnknownSeriesError):
        spool.purge(key)


def test_one_uid_from_many_threads_is_stored_once(spool: Spool) -> None:
    gate = threading.Barrier(8)

    def store(content: bytes) -> StoreOutcome:
        gate.wait()
        return spool.store(*instance(pixels=content)).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(store, [b"aa", b"bb"] * 4))
    assert outcomes.count(StoreOutcome.STORED) == 1
    assert outcomes.count(StoreOutcome.DUPLICATE) == 3
    assert outcomes.count(StoreOutcome.CONFLICT) == 4
    assert len(_all_files(spool)) == 2


def test_a_second_listener_on_one_spool_is_refused(spool: Spool) -> None:
    other = Spool(spool.root)
    spool.claim()
    with pytest.raises(SpoolError, match="another listener"):
        other.claim()
    spool.release()
    other.claim()
    other.release()


def test_drafts_of_a_process_that_ended_are_removed_and_no_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", high_watermark=1.1)
    incoming = tmp_path / "spool" / ".incoming"
    dead, alive = incoming / "4000001-aa", incoming / "40000011-bb"
    for path in (dead, alive):
        path.write_bytes(b"half")  # of `alive` it is not known yet that it is locked
    with spool.receive(request(1)):
        (mine,) = (path for path in incoming.iterdir() if path not in {dead, alive})
        assert mine.name.startswith(f"{os.getpid()}-")
        assert spool.remove_drafts_of(4000001) == 1
        assert spool.remove_drafts_of(os.getpid()) == 0
        assert set(incoming.iterdir()) == {alive, mine}


def test_a_folder_for_drafts_that_was_deleted_is_made_again(spool: Spool) -> None:
    (spool.root / ".incoming").rmdir()
    assert spool.store(*instance(1)).outcome is StoreOutcome.STORED
