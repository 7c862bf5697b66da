"""What stands in a lane of the intake journal, as bytes. Pure.

A lane is a file of a fixed size, written in advance. Two blocks at its front say what in it still counts; behind them
instances stand one after the other, each as its Part 10 file, filled up to a whole block, and one block behind it, the
trailer, says what it is. All is written over in place, so a sync has nothing to tell the file system but content.

Nothing of it is believed after a crash unless its checksum says so: the disk may have kept any of the blocks that were
written since the last sync, and lost any other.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import xxhash

BLOCK_BYTES = 4096
"""What a disk writes in one step, or not at all; everything begins at a multiple of it."""
FIRST_BYTE = 2 * BLOCK_BYTES
"""Where the first instance of a lane begins."""
GENERATION_BYTES = 16
_SCANNED_BYTES = 1024 * 1024
_FRONT_MAGIC, _TRAILER_MAGIC = b"SEGWLANE", b"SEGWTAIL"
_FRONT = struct.Struct(f"<8s{GENERATION_BYTES}sQQQ")
_TRAILER = struct.Struct(f"<8s{GENERATION_BYTES}sQQQQ")
_CHECKSUM = struct.Struct("<Q")

ReadAt = Callable[[int, int], bytes]
"""Reads so many bytes at an offset; fewer at the end of the file."""


class Checksum:
    """XXH3 (64 bits) of what comes piece by piece: it finds what was not written, and is no defence against a forger.

    SHA-256 takes twenty times as long, as long as all else that an instance costs; CRC-32 of zlib ten times.
    """

    __slots__ = ("_hash", "update")

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_64()
        self.update = self._hash.update

    @property
    def value(self) -> int:
        """Of all that came."""
        return self._hash.intdigest()


def padded(n_bytes: int) -> int:
    """So many bytes, filled up to whole blocks."""
    return -(-n_bytes // BLOCK_BYTES) * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class LaneFront:
    """What counts in a lane."""

    generation: bytes
    """16 random bytes, new each time that the lane is used from its beginning: trailers of another one are rests."""
    sequence: int
    """Of two fronts the one with the greater counts."""
    filed_to: int
    """Byte up to which every instance has its own file."""
    used_to: int = FIRST_BYTE
    """Byte up to which anything but zeros may stand, once every instance has a file; before that nobody knows."""

    def encode(self) -> bytes:
        """As one block, to be written at `offset`."""
        return _sealed(_FRONT.pack(_FRONT_MAGIC, self.generation, self.sequence, self.filed_to, self.used_to))

    @property
    def offset(self) -> int:
        """Where it belongs: never where the one before it stands, which counts if the power fails meanwhile."""
        return self.sequence % 2 * BLOCK_BYTES

    @classmethod
    def newest(cls, front: bytes) -> Self | None:
        """What the first `FIRST_BYTE` bytes of a lane say; None where they say nothing."""
        found: list[Self] = []
        for position in range(0, FIRST_BYTE, BLOCK_BYTES):
            content = _unsealed(front[position : position + BLOCK_BYTES], _FRONT.size)
            if content is not None and content.startswith(_FRONT_MAGIC):
                found.append(cls(*_FRONT.unpack(content)[1:]))
        return max(found, key=lambda one: one.sequence, default=None)


@dataclass(frozen=True, slots=True)
class Trailer:
    """What stands behind an instance."""

    generation: bytes
    start: int
    """Where its Part 10 file begins, bytes."""
    size: int
    """Of that file, bytes."""
    data_set_offset: int
    """First byte of its data set, from `start`. The length of the data set, right before, is not filled in."""
    checksum: int
    """`Checksum` of the file."""

    def encode(self) -> bytes:
        """As one block, to be written at `offset`."""
        fields = (self.generation, self.start, self.size, self.data_set_offset, self.checksum)
        return _sealed(_TRAILER.pack(_TRAILER_MAGIC, *fields))

    @property
    def offset(self) -> int:
        """Where it stands."""
        return self.start + padded(self.size)

    @property
    def end(self) -> int:
        """Where the next instance may begin."""
        return self.offset + BLOCK_BYTES


def trailers(read_at: ReadAt, front: LaneFront) -> Iterator[Trailer]:
    """Find the instances of a lane that have no file yet, in the order in which they came.

    Each block is looked at: what stands between two trailers may be what a sender broke off. Content cannot pass for a
    trailer, as nobody outside knows the generation. Whether an instance is whole is for its checksum to say.
    """
    mark, position, free_from = _TRAILER_MAGIC + front.generation, front.filed_to, front.filed_to
    while piece := read_at(position, _SCANNED_BYTES):
        for offset in range(0, len(piece), BLOCK_BYTES):
            if piece.startswith(mark, offset):
                found = _trailer(piece[offset : offset + BLOCK_BYTES])
                if found is not None and found.offset == position + offset and found.start >= free_from:
                    yield found
                    free_from = found.end
        position += len(piece)


def _trailer(block: bytes) -> Trailer | None:
    content = _unsealed(block, _TRAILER.size)
    return None if content is None else Trailer(*_TRAILER.unpack(content)[1:])


def _sealed(content: bytes) -> bytes:
    return (content + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(content))).ljust(BLOCK_BYTES, b"\0")


def _unsealed(block: bytes, size: int) -> bytes | None:
    content, seal = block[:size], block[size : size + _CHECKSUM.size]
    if len(seal) < _CHECKSUM.size or _CHECKSUM.unpack(seal)[0] != xxhash.xxh3_64_intdigest(content):
        return None
    return content
