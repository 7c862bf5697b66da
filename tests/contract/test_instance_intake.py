"""What every way in promises for an instance, whatever the protocol: C-STORE on all its paths, and STOW-RS."""

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance, StoreOutcome, StoreRequest
from dicom_listener.stow.server import StowServer
from dicom_listener.stow.settings import StowSettings
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import (
    EXPLICIT_LITTLE,
    data_set,
    encode,
    instance,
    request,
    uid,
)
from tests.unit.dicom_listener.listening import INTAKES, let_file, wait_for_journal
from tests.unit.dicom_listener.stow_pushing import FAILED, MULTIPART, OTHER, REASON, file_of, multipart

JPEG_2000 = "1.2.840.10008.1.2.4.90"
SUCCESS, OUT_OF_RESOURCES, NOT_MATCHING, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000


class WayIn(Protocol):
    """One way into a spool."""

    def send(self, request: StoreRequest, encoded: bytes) -> int:
        """Send one instance; returns the status that its sender was told."""

    def let_file(self) -> None:
        """Return when every instance that was acknowledged has its file, and was told."""

    def stop(self) -> None: ...


class ByCStore:
    """The storage SCP, and a sender that sends what it is given, right or wrong."""

    def __init__(self, spool: Spool, on_stored: Callable[[StoredInstance], None], **settings: Any) -> None:
        self._scp = StorageScp(
            spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=on_stored, settings=ScpSettings(**settings)
        )
        self._scp.start()
        wait_for_journal(self._scp)

    def send(self, request: StoreRequest, encoded: bytes) -> int:
        ae = AE(request.calling_ae_title)
        ae.add_requested_context(request.sop_class_uid, request.transfer_syntax_uid)
        association = ae.associate(LOOPBACK, self._scp.port, ae_title="SEGWATCH")
        assert association.is_established
        message = C_STORE()
        message.MessageID, message.Priority = 1, 0
        message.AffectedSOPClassUID, message.AffectedSOPInstanceUID = request.sop_class_uid, request.sop_instance_uid
        message.DataSet = BytesIO(encoded)
        association._reactor_checkpoint.clear()  # as its own send_c_store does: nobody else takes the answer
        wait_until(lambda: association._is_paused, "the association is ours", interval=0.001)
        try:
            context_id = association.accepted_contexts[0].context_id
            assert context_id is not None
            association.dimse.send_msg(message, context_id)
            _, answer = association.dimse.get_msg(block=True)
            assert isinstance(answer, C_STORE)
            assert answer.Status is not None
            return answer.Status
        finally:
            association._reactor_checkpoint.set()
            association.release()

    def let_file(self) -> None:
        let_file(self._scp)

    def stop(self) -> None:
        self._scp.stop()


class ByStow:
    """The STOW-RS server, and a client that posts one instance a request."""

    def __init__(self, spool: Spool, on_stored: Callable[[StoredInstance], None]) -> None:
        settings = StowSettings(sop_classes=ScpSettings().sop_classes)
        self._server = StowServer(StoreService(spool, on_stored), settings, ae_title="SEGWATCH")
        self._server.start()

    def send(self, request: StoreRequest, encoded: bytes) -> int:
        with closing(http.client.HTTPConnection(LOOPBACK, self._server.port, timeout=60)) as connection:
            body = multipart(file_of(request, encoded))
            connection.request("POST", "/studies", body, {"Content-Type": MULTIPART})
            answer = connection.getresponse()
            text = answer.read()
        if answer.headers["Content-Type"] != "application/dicom+json":
            assert answer.status == 503
            return OUT_OF_RESOURCES
        module = json.loads(text)
        failures = [item for name in (FAILED, OTHER) for item in module.get(name, {"Value": []})["Value"]]
        assert (answer.status == 200) is (failures == [])
        return failures[0][REASON]["Value"][0] if failures else SUCCESS

    def let_file(self) -> None:
        """It has."""

    def stop(self) -> None:
        self._server.stop()


class Room:
    """A spool, and one way into it."""

    def __init__(self, root: Path, open_way: Callable[..., WayIn]) -> None:
        self._told: list[StoredInstance] = []
        self.spool = Spool(root, high_watermark=1.1)
        self._open_way = open_way
        self.way = open_way(self.spool, self._told.append)

    def close(self) -> None:
        """Close the way that is open."""
        self.way.stop()

    def reopen(self, *, high_watermark: float) -> None:
        """Open the spool again with another limit, and the same way into it."""
        self.way.stop()
        self.spool = Spool(self.spool.root, high_watermark=high_watermark)
        self.way = self._open_way(self.spool, self._told.append)

    @property
    def told(self) -> list[StoredInstance]:
        """What it told of the instances that were acknowledged until now."""
        self.way.let_file()
        return self._told

    def kept(self) -> dict[str, bytes]:
        """The data sets of the spool by SOP Instance UID, of all that were acknowledged until now."""
        self.way.let_file()
        return {
            stored.instance.sop_instance_uid: _data_set(stored.instance.path)
            for key in self.spool.series_keys()
            for stored in self.spool.load(key)
        }

    def outcomes(self) -> Counter[StoreOutcome]:
        return Counter(stored.outcome for stored in self.told)


WAYS: dict[str, Callable[..., WayIn]] = {
    **{f"C-STORE, {name}": partial(ByCStore, **settings) for name, settings in INTAKES.items()},
    "STOW-RS": ByStow,
}


@pytest.fixture(params=WAYS)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        room = Room(tmp_path / "spool", WAYS[request.param])
        stack.callback(room.close)
        yield room


def _data_set(path: Path) -> bytes:
    content = path.read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, JPEG_2000]
)
def test_a_data_set_is_kept_bit_by_bit(room: Room, syntax: str) -> None:
    encoded = encode(data_set(1, pixels=bytes(range(256)) * 2000), syntax)
    assert room.way.send(request(1, transfer_syntax=syntax), encoded) == SUCCESS

    assert room.kept() == {uid(1): encoded}
    (stored,) = room.told
    assert stored.outcome is StoreOutcome.STORED
    assert stored.instance.transfer_syntax_uid == syntax
    assert stored.instance.size_bytes == stored.instance.path.stat().st_size


def test_the_same_again_is_a_duplicate_and_harmless(room: Room) -> None:
    for _ in range(3):
        assert room.way.send(*instance(1)) == SUCCESS
    assert room.outcomes() == {StoreOutcome.STORED: 1, StoreOutcome.DUPLICATE: 2}
    assert room.kept() == {uid(1): instance(1)[1]}


def test_another_content_under_the_same_uid_is_kept_apart(room: Room) -> None:
    other = instance(1, pixels=b"\3\4" * 8)
    for one in (instance(1), other, other):
        assert room.way.send(*one) == SUCCESS
    assert room.outcomes() == {StoreOutcome.STORED: 1, StoreOutcome.CONFLICT: 2}
    assert room.kept() == {uid(1): instance(1)[1]}
    (key,) = room.spool.series_keys()
    assert [_data_set(path) for path in room.spool.conflicts(key)] == [other[1]]


def _without(keyword: str) -> bytes:
    dataset = data_set(1)
    delattr(dataset, keyword)
    return encode(dataset)


REFUSED = {
    "another instance": (request(1), instance(2)[1], NOT_MATCHING),
    "another class": (replace(request(1), sop_class_uid="1.2.840.10008.5.1.4.1.1.2.1"), instance(1)[1], NOT_MATCHING),
    "no study": (request(1), _without("StudyInstanceUID"), NOT_MATCHING),
    "no series": (request(1), _without("SeriesInstanceUID"), NOT_MATCHING),
    "no deflate": (request(1, transfer_syntax=DeflatedExplicitVRLittleEndian), b"no deflate", NOT_UNDERSTOOD),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_kept_is_refused_with_the_same_status(room: Room, why: str) -> None:
    wanted, encoded, status = REFUSED[why]
    assert room.way.send(wanted, encoded) == status
    assert room.told == []
    assert room.kept() == {}
    assert room.way.send(*instance(1)) == SUCCESS


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "1.2/../../evil"])
def test_a_uid_never_becomes_a_path(room: Room, tmp_path: Path, name: str) -> None:
    encoded = instance(1)[1].replace(uid(1).encode().ljust(len(uid(1))), name.encode().ljust(len(uid(1)), b"\0"))
    assert room.way.send(request(1), encoded) == NOT_MATCHING
    assert [path.name for path in tmp_path.rglob("*evil*")] == []
    assert room.kept() == {}


def test_over_the_watermark_is_refused_and_taken_again_when_there_is_room(room: Room) -> None:
    room.reopen(high_watermark=0.0)  # (a disk that is full needs to be a small one of its own: tests/survival has one)
    assert room.way.send(*instance(1)) == OUT_OF_RESOURCES
    assert room.told == []
    room.reopen(high_watermark=1.1)
    assert room.way.send(*instance(1)) == SUCCESS
    assert room.kept() == {uid(1): instance(1)[1]}


def test_many_at_once_send_the_same_and_it_is_kept_once(room: Room) -> None:
    numbers = [1, 2, 1, 2, 1, 2, 1, 2]
    with ThreadPoolExecutor(len(numbers)) as pool:
        statuses = list(pool.map(lambda number: room.way.send(*instance(number)), numbers))
    assert statuses == [SUCCESS] * len(numbers)
    assert room.outcomes() == {StoreOutcome.STORED: 2, StoreOutcome.DUPLICATE: 6}
    assert room.kept() == {uid(number): instance(number)[1] for number in (1, 2)}


def test_the_ways_in_share_one_spool(tmp_path: Path) -> None:
    told: list[StoredInstance] = []
    spool = Spool(tmp_path / "spool", high_watermark=1.1)
    with ExitStack() as stack:
        for number, open_way in enumerate(WAYS.values()):
            way = open_way(spool, told.append)
            stack.callback(way.stop)
            assert way.send(*instance(1)) == SUCCESS
            way.let_file()
            assert told[number].outcome is (StoreOutcome.STORED if number == 0 else StoreOutcome.DUPLICATE)
