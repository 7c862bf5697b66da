import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.spool.journal.lane_format import (
    BLOCK_BYTES,
    FIRST_BYTE,
    GENERATION_BYTES,
    Checksum,
    LaneFront,
    Trailer,
    padded,
    trailers,
)

GENERATIONS = st.binary(min_size=GENERATION_BYTES, max_size=GENERATION_BYTES)
NUMBERS = st.integers(0, 2**64 - 1)
FRONTS = st.builds(LaneFront, GENERATIONS, NUMBERS, NUMBERS)
SIZES = st.one_of(st.integers(0, 3 * BLOCK_BYTES), st.sampled_from([0, 1, 4095, 4096, 4097, 8192]))
SEALED_FRONT_BYTES, SEALED_TRAILER_BYTES = 56, 64
"""Magic, fields and checksum; zeros follow."""


def _lane(front: LaneFront) -> bytes:
    return bytes(front.offset) + front.encode() + bytes(FIRST_BYTE - front.offset - BLOCK_BYTES)


def _flipped(block: bytes, offset: int, bits: int = 0xFF) -> bytes:
    return block[:offset] + bytes([block[offset] ^ bits]) + block[offset + 1 :]


def _filled(generation: bytes, sizes: Sequence[int], begin: int = FIRST_BYTE) -> tuple[bytes, list[Trailer]]:
    """A lane with instances of those sizes from `begin` on, as bytes."""
    content, made = os.urandom(begin), []
    for size in sizes:
        file, checksum = os.urandom(size), Checksum()
        checksum.update(file)
        made.append(Trailer(generation, len(content), size, 0, checksum.value))
        content += file + os.urandom(padded(size) - size) + made[-1].encode()
    return content, made


def _found(content: bytes, front: LaneFront) -> list[Trailer]:
    return list(trailers(lambda offset, n_bytes: content[offset : offset + n_bytes], front))


@given(FRONTS)
def test_a_front_is_read_as_it_was_written(front: LaneFront) -> None:
    assert len(front.encode()) == BLOCK_BYTES
    assert front.offset in {0, BLOCK_BYTES}
    assert LaneFront.newest(_lane(front)) == front


@given(FRONTS, st.integers(0, BLOCK_BYTES - 1), st.integers(1, 255))
def test_a_front_with_a_flipped_byte_is_not_believed(front: LaneFront, offset: int, bits: int) -> None:
    found = LaneFront.newest(_lane(front)[: front.offset] + _flipped(front.encode(), offset, bits))
    assert found == (None if offset < SEALED_FRONT_BYTES else front)  # the zeros behind it say nothing


@given(GENERATIONS, GENERATIONS, NUMBERS.filter(bool), NUMBERS, NUMBERS)
def test_the_front_with_the_greater_sequence_counts(one: bytes, other: bytes, sequence: int, a: int, b: int) -> None:
    older, newer = LaneFront(one, sequence - 1, a), LaneFront(other, sequence, b)
    assert older.offset != newer.offset
    blocks = {older.offset: older.encode(), newer.offset: newer.encode()}
    assert LaneFront.newest(blocks[0] + blocks[BLOCK_BYTES]) == newer
    blocks[newer.offset] = _flipped(newer.encode(), 20)  # the power failed while it was written
    assert LaneFront.newest(blocks[0] + blocks[BLOCK_BYTES]) == older
    blocks[older.offset] = bytes(BLOCK_BYTES)
    assert LaneFront.newest(blocks[0] + blocks[BLOCK_BYTES]) is None


@pytest.mark.parametrize("length", [0, 1, 55, 56, BLOCK_BYTES, BLOCK_BYTES + 55])
def test_a_front_that_is_cut_off_says_what_is_left_of_it(length: int) -> None:
    front = LaneFront(bytes(GENERATION_BYTES), 2, FIRST_BYTE)
    assert LaneFront.newest(_lane(front)[:length]) == (front if length >= SEALED_FRONT_BYTES else None)


@given(GENERATIONS, st.lists(SIZES, max_size=6), st.integers(0, 5))
def test_all_trailers_behind_the_mark_are_found_in_order(generation: bytes, sizes: list[int], n_filed: int) -> None:
    content, made = _filled(generation, sizes)
    n_filed = min(n_filed, len(made))
    filed_to = made[n_filed - 1].end if n_filed else FIRST_BYTE
    found = _found(content, LaneFront(generation, 1, filed_to))
    assert found == made[n_filed:]
    for trailer in found:
        checksum = Checksum()
        checksum.update(content[trailer.start : trailer.start + trailer.size])
        assert checksum.value == trailer.checksum


@given(GENERATIONS, st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_a_trailer_with_a_flipped_byte_is_not_believed(
    generation: bytes, sizes: list[int], data: st.DataObject
) -> None:
    content, made = _filled(generation, sizes)
    bad = data.draw(st.sampled_from(made))
    offset = data.draw(st.integers(0, SEALED_TRAILER_BYTES - 1))
    found = _found(_flipped(content, bad.offset + offset), LaneFront(generation, 1, FIRST_BYTE))
    assert found == [trailer for trailer in made if trailer is not bad]


@given(GENERATIONS, GENERATIONS, st.lists(SIZES, min_size=1, max_size=4))
def test_trailers_of_another_generation_are_rests(old: bytes, new: bytes, sizes: list[int]) -> None:
    content, made = _filled(old, sizes)
    assert _found(content, LaneFront(new, 1, FIRST_BYTE)) == (made if old == new else [])


@given(GENERATIONS, st.lists(SIZES, min_size=1, max_size=3))
def test_a_lane_within_an_instance_is_none(generation: bytes, sizes: list[int]) -> None:
    """Even with the right generation: a trailer counts only where it says that it stands."""
    inner, _ = _filled(generation, sizes)
    begin = FIRST_BYTE + BLOCK_BYTES
    outer = Trailer(generation, FIRST_BYTE, begin + len(inner) - FIRST_BYTE, 0, 0)
    content = bytes(begin) + inner + outer.encode()
    assert _found(content, LaneFront(generation, 1, FIRST_BYTE)) == [outer]


def test_trailers_are_found_across_pieces_of_the_lane() -> None:
    generation = os.urandom(GENERATION_BYTES)
    content, made = _filled(generation, [1024 * 1024 - BLOCK_BYTES, 1024 * 1024, 5, 3 * 1024 * 1024 + 1, 0])
    assert _found(content, LaneFront(generation, 1, FIRST_BYTE)) == made
    assert _found(content, LaneFront(generation, 1, len(content))) == []
    assert _found(content, LaneFront(generation, 1, len(content) + 7)) == []


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_checksum_is_that_of_all_pieces(content: bytes, cut: int) -> None:
    whole, pieces = Checksum(), Checksum()
    whole.update(content)
    for piece in (content[:cut], content[cut:]):
        pieces.update(piece)
    assert whole.value == pieces.value
