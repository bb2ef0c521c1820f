"""Which row is in which lane: the loop that all hash functions share.

Each hash function is five kernels, which a build puts in place of `lanes`, `blocks`, `begin`, `take`, `mix` and `end`.
Their states and blocks lie in `room`, word by word, the words of all lanes side by side.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, local, u8, u64

MOST_LANES: Final = 16
ROOM: Final = 640
"""Words of 64 bits that a hash function may use."""
DIGEST: Final = 32
"""bytes"""


def digests(data: Ptr[u8], offsets: Ptr[u64], output: Ptr[u8], count: u64) -> None:
    """Write the digests of `count` rows, 32 bytes each. Row i is `data[offsets[i]:offsets[i + 1]]`.

    A lane without a row computes what nobody reads.
    """
    room = local(u64, ROOM)
    row_of = local(u64, MOST_LANES)
    left = local(u64, MOST_LANES)  # blocks of the row, this one included; none where a lane has no row
    taken = u64(0)
    busy = u64(0)
    while taken < count or busy != 0:
        for lane in range(lanes()):
            if left[lane] == 0 and taken < count:
                begin(room, lane)
                row_of[lane] = taken
                left[lane] = blocks(offsets[taken + 1] - offsets[taken])
                taken += 1
                busy += 1
            if left[lane] != 0:
                row = row_of[lane]
                size = offsets[row + 1] - offsets[row]
                take(room, lane, data + offsets[row], size, blocks(size) - left[lane])
        mix(room)
        for lane in range(lanes()):
            if left[lane] != 0:
                left[lane] -= 1
                if left[lane] == 0:
                    end(room, lane, output + DIGEST * row_of[lane])
                    busy -= 1


# What a hash function puts in place of these


def lanes() -> u64:
    """How many messages there are at once."""
    return MOST_LANES


def blocks(size: u64) -> u64:
    """How many blocks a message of `size` bytes is, 1 at least."""
    return size + 1


def begin(room: Ptr[u64], lane: u64) -> None:
    """Begin a message."""
    room[lane] = 0


def take(room: Ptr[u64], lane: u64, row: Ptr[u8], size: u64, number: u64) -> None:
    """Take in block `number` of the message of `size` bytes at `row`."""
    room[lane] += row[number] if number < size else 0


def mix(room: Ptr[u64]) -> None:
    """Go on by a block, in all lanes."""
    room[0] += 0


def end(room: Ptr[u64], lane: u64, digest: Ptr[u8]) -> None:
    """Write the digest of a message that has no further block."""
    digest[0] = u8(room[lane])
