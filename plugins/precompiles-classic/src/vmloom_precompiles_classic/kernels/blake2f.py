"""0x09: the compression function F of BLAKE2b. RFC 7693, section 3.2; EIP-152."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, Ptr, byteswap, inline, load, local, rotate_right, store, table, u8, u32, u64
from vmloom.precompile import FAILED

from ..blake2f import IV, SIGMA

# The input, in bytes: rounds (4, big-endian) | h (64) | m (128) | t (16) | final block flag (1); words little-endian.
STATE: Final = 4
MESSAGE: Final = 68
OFFSET: Final = 196
FLAG: Final = 212
INPUT: Final = 213
OUTPUT: Final = 64

INITIAL: Final = table(u64, IV)
ORDER: Final = table(u8, (8 * word for row in SIGMA for word in row))
"""Where in the message the 16 words are that a round reads, for each of ten rounds."""
ORDERS: Final = 160


def gas(input: Ptr[u8], size: u64) -> u64:
    """1 per round; nothing for an input of the wrong size, which fails."""
    return byteswap(u32, load(u32, input)) if size == INPUT else 0


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The new state, 64 bytes. Fails if the input has another size than 213 or the flag is neither 0 nor 1."""
    if size != INPUT:
        return FAILED
    if input[FLAG] > 1:
        return FAILED
    v = local(u64, 16)
    for i in range(8):
        v[i] = load(u64, input + (STATE + 8 * i))
        v[8 + i] = INITIAL[i]
    v[12] ^= load(u64, input + OFFSET)
    v[13] ^= load(u64, input + (OFFSET + 8))
    if input[FLAG]:
        v[14] ^= U64_MAX
    mix_rounds(v, input + MESSAGE, byteswap(u32, load(u32, input)))
    for i in range(8):
        store(u64, output + 8 * i, load(u64, input + (STATE + 8 * i)) ^ v[i] ^ v[8 + i])
    return OUTPUT


def mix_rounds(state: Ptr[u64], message: Ptr[u8], rounds: u64) -> None:
    """Mix the 16 words of `state` with the 128 bytes of `message`."""
    v = local(u64, 16)  # which compilers keep in registers, since all indices are constants
    for i in range(16):
        v[i] = state[i]
    order = u64(0)
    for _ in range(rounds):
        mix(v, 0, 4, 8, 12, message, order)
        mix(v, 1, 5, 9, 13, message, order + 2)
        mix(v, 2, 6, 10, 14, message, order + 4)
        mix(v, 3, 7, 11, 15, message, order + 6)
        mix(v, 0, 5, 10, 15, message, order + 8)
        mix(v, 1, 6, 11, 12, message, order + 10)
        mix(v, 2, 7, 8, 13, message, order + 12)
        mix(v, 3, 4, 9, 14, message, order + 14)
        order += 16
        if order == ORDERS:
            order = 0
    for i in range(16):
        state[i] = v[i]


@inline
def mix(v: Ptr[u64], a: u64, b: u64, c: u64, d: u64, message: Ptr[u8], order: u64) -> None:
    """G of RFC 7693, section 3.1, on four words of `v`, with the two message words that `ORDER` has at `order`."""
    v[a] = u64(v[a] + v[b] + load(u64, message + u64(ORDER[order])))
    v[d] = rotate_right(u64, v[d] ^ v[a], 32)
    v[c] = u64(v[c] + v[d])
    v[b] = rotate_right(u64, v[b] ^ v[c], 24)
    v[a] = u64(v[a] + v[b] + load(u64, message + u64(ORDER[order + 1])))
    v[d] = rotate_right(u64, v[d] ^ v[a], 16)
    v[c] = u64(v[c] + v[d])
    v[b] = rotate_right(u64, v[b] ^ v[c], 63)
