"""A lane against a disk that loses and keeps what it likes of what was not synced."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_listener.errors import SpoolError
from dicom_listener.spool.block_writer import Blocks
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, Checksum, LaneFront, Trailer, trailers
from tests.unit.dicom_listener.journal_room import MIB
from tests.unit.dicom_listener.lane_disk import UnreliableDisk

BLOCK, WRITE = 4096, 256 * 1024
SIZES = st.one_of(
    st.integers(0, 20_000),
    st.integers(0, 3).map(lambda n: n * BLOCK),
    st.builds(lambda n, rest: max(n * WRITE + rest, 0), st.integers(1, 2), st.sampled_from([-BLOCK, -1, 0, 1, BLOCK])),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), SIZES),
        st.tuples(st.just("store"), SIZES),
        st.tuples(st.just("break off"), SIZES),
        st.tuples(st.just("sync fails"), SIZES),
        st.tuples(st.just("file"), st.integers(1, 3)),
        st.tuples(st.just("begin anew"), st.just(0)),
    ),
    max_size=12,
)


class _NoFileError(SpoolError):
    pass


def _no_file() -> Draft:
    raise _NoFileError


class _Model:
    """One lane, what was acknowledged in it, and what may be found in it."""

    def __init__(self, lane: Lane, disk: UnreliableDisk, random: Random) -> None:
        self.lane, self.disk, self.random = lane, disk, random
        self.owed: dict[Trailer, bytes] = {}
        """Acknowledged, and nobody began to note that it has a file."""
        self.known: dict[Trailer, bytes] = {}
        """All that was ever sealed, or tried to."""
        self.is_retired = False
        self.blocks = Blocks()

    def run(self, step: str, value: int) -> None:
        if step in {"store", "break off", "sync fails"}:
            if not self.is_retired:
                self._store(step, value)
        elif step == "file" and self.owed:
            self._file(list(self.owed)[:value])
        elif step == "begin anew":
            self._begin_anew()
        self.check()

    def _store(self, step: str, size: int) -> None:
        content = self.random.randbytes(size)
        draft = LaneDraft(
            self.lane,
            self.blocks,
            make_file=_no_file,
            give_back=lambda _lane: None,
            retire=self._retire,
            errors=disk_errors_in_words(Path("spool")),
        )
        try:
            self._append(draft, content)
            draft.complete(0)
            if step == "break off":
                return
            checksum = Checksum()
            checksum.update(content)
            expected = Trailer(self.lane.generation, self.lane.end, size, 0, checksum.value)
            self.known[expected] = content
            self.disk.fails = step == "sync fails"
            trailer = self._checked(draft.seal)
        except (OSError, _NoFileError):
            return
        finally:
            draft.close()
        assert trailer == expected
        self.owed[trailer] = content

    def _append(self, draft: LaneDraft, content: bytes) -> None:
        view = memoryview(content)
        while view:
            n_bytes = self.random.choice([1, 1000, 16_000, 70_000, 300_000])
            draft.append(view[:n_bytes])
            view = view[n_bytes:]
            self.check()

    def _retire(self, _lane: Lane) -> None:
        self.is_retired = True

    def _file(self, trailers: list[Trailer]) -> None:
        for trailer in trailers:
            del self.owed[trailer]
        self.lane.mark_filed(trailers[-1].end)

    def _begin_anew(self) -> None:
        self.owed.clear()
        self.lane.mark_clean()
        self.check()
        self.known.clear()  # what the mark says is durable
        self.is_retired = False
        self.lane.begin()

    def _checked(self, call: Callable[[], Trailer]) -> Trailer:
        """Look at every moment of a call, not only behind it."""
        synced = os.fdatasync

        def sync(descriptor: int) -> None:
            self.check()
            synced(descriptor)

        with patch.object(os, "fdatasync", sync):
            return call()

    def check(self) -> None:
        """The power fails now."""
        for share in (0.0, 1.0, 0.5, self.random.random()):
            self._check(self.disk.after_power_loss(self.random, share=share))

    def _check(self, content: bytes) -> None:
        front = LaneFront.newest(content[:FIRST_BYTE])
        assert front is not None
        whole: list[Trailer] = []
        begin, n_torn = front.filed_to, 0
        for trailer in trailers(lambda offset, n_bytes: content[offset : offset + n_bytes], front):
            assert trailer.start == begin  # on these two counts whoever recovers a lane: what breaks them is damage
            assert n_torn == 0
            begin = trailer.end
            file, checksum = content[trailer.start : trailer.start + trailer.size], Checksum()
            checksum.update(file)
            if checksum.value == trailer.checksum:
                assert self.known[trailer] == file  # bit by bit; a KeyError is one that nobody sent
                whole.append(trailer)
            else:
                n_torn += 1
        assert [trailer for trailer in whole if trailer in self.owed] == list(self.owed)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 2**32))
def test_what_was_acknowledged_is_found_and_nothing_that_is_not_whole(steps: list[tuple[str, int]], seed: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lane-000"
        Lane.make(path, MIB)
        lane = Lane.claim(path)
        assert lane is not None
        disk = UnreliableDisk(path.read_bytes())
        try:
            with disk.in_place():
                model = _Model(lane, disk, Random(seed))  # noqa: S311 (not a secret)
                lane.begin()
                model.check()
                for step in steps:
                    model.run(*step)
        finally:
            lane.close()
