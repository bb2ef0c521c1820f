"""0x03: RIPEMD-160. Dobbertin, Bosselaers and Preneel, "RIPEMD-160: A Strengthened Version of RIPEMD", 1996."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, copy, fill, inline, load, local, rotate_left, store, table, u8, u32, u64

from .prices import by_words

BLOCK: Final = 64
"""bytes"""
OUTPUT: Final = 32
ONES: Final = 0xFFFFFFFF

# The paper's appendix A, for the left and the right line: in 80 steps, which word is added and how far it is rotated;
# in five groups of steps, which constant is added.
LEFT_WORDS: Final = table(u8, (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8,
    3, 10, 14, 4, 9, 15, 8, 1, 2, 7, 0, 6, 13, 11, 5, 12,
    1, 9, 11, 10, 0, 8, 12, 4, 13, 3, 7, 15, 14, 5, 6, 2,
    4, 0, 5, 9, 7, 12, 2, 10, 14, 1, 3, 8, 11, 6, 15, 13,
))  # fmt: skip
RIGHT_WORDS: Final = table(u8, (
    5, 14, 7, 0, 9, 2, 11, 4, 13, 6, 15, 8, 1, 10, 3, 12,
    6, 11, 3, 7, 0, 13, 5, 10, 14, 15, 8, 12, 4, 9, 1, 2,
    15, 5, 1, 3, 7, 14, 6, 9, 11, 8, 12, 2, 10, 0, 4, 13,
    8, 6, 4, 1, 3, 11, 15, 0, 5, 12, 2, 13, 9, 7, 10, 14,
    12, 15, 10, 4, 1, 5, 8, 7, 6, 2, 13, 14, 0, 3, 9, 11,
))  # fmt: skip
LEFT_ROTATIONS: Final = table(u8, (
    11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8,
    7, 6, 8, 13, 11, 9, 7, 15, 7, 12, 15, 9, 11, 7, 13, 12,
    11, 13, 6, 7, 14, 9, 13, 15, 14, 8, 13, 6, 5, 12, 7, 5,
    11, 12, 14, 15, 14, 15, 9, 8, 9, 14, 5, 6, 8, 6, 5, 12,
    9, 15, 5, 11, 6, 8, 13, 12, 5, 12, 13, 14, 11, 8, 5, 6,
))  # fmt: skip
RIGHT_ROTATIONS: Final = table(u8, (
    8, 9, 9, 11, 13, 15, 15, 5, 7, 7, 8, 11, 14, 14, 12, 6,
    9, 13, 15, 7, 12, 8, 9, 11, 7, 7, 12, 7, 6, 15, 13, 11,
    9, 7, 15, 11, 8, 6, 6, 14, 12, 13, 5, 14, 13, 13, 7, 5,
    15, 5, 8, 11, 14, 14, 6, 14, 6, 9, 12, 9, 12, 5, 15, 8,
    8, 5, 12, 9, 12, 5, 14, 6, 8, 13, 6, 5, 15, 13, 11, 11,
))  # fmt: skip
LEFT_CONSTANTS: Final = table(u32, (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E))
RIGHT_CONSTANTS: Final = table(u32, (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0))
INITIAL: Final = table(u32, (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0))


def gas(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """600 and 120 per 32-byte word. Yellow Paper, appendix E.1."""
    return by_words(size, 600, 120)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """12 zero bytes and the digest (20)."""
    state = local(u32, 5)
    for i in range(5):
        state[i] = INITIAL[i]
    blocks = size >> 6
    for block in range(blocks):
        compress(state, input + BLOCK * block)
    rest = size & (BLOCK - 1)
    padded = local(u8, 2 * BLOCK)
    copy(padded, input + (size - rest), rest)
    padded[rest] = 0x80
    last = u64(0 if rest < BLOCK - 8 else BLOCK)
    store(u64, padded + (last + BLOCK - 8), u64(size << 3))
    compress(state, padded)
    if last:
        compress(state, padded + last)
    fill(output, 0, 12)
    for i in range(5):
        store(u32, output + (12 + 4 * i), state[i])
    return OUTPUT


def compress(state: Ptr[u32], block: Ptr[u8]) -> None:
    """Change `state`, 5 words, by a block of 64 bytes."""
    left = local(u32, 5)  # these two are in registers, since all indices are constants
    right = local(u32, 5)
    for i in range(5):
        left[i] = state[i]
        right[i] = state[i]
    mix(left, right, block, 0)
    mix(left, right, block, 1)
    mix(left, right, block, 2)
    mix(left, right, block, 3)
    mix(left, right, block, 4)
    first = state[0]
    state[0] = u32(state[1] + left[2] + right[3])
    state[1] = u32(state[2] + left[3] + right[4])
    state[2] = u32(state[3] + left[4] + right[0])
    state[3] = u32(state[4] + left[0] + right[1])
    state[4] = u32(first + left[1] + right[2])


@inline
def mix(left: Ptr[u32], right: Ptr[u32], block: Ptr[u8], group: u64) -> None:
    """The 16 steps of a group, 0 to 4, in both lines."""
    for step in range(16 * group, 16 * group + 16):
        word = u32(load(u32, block + 4 * u64(LEFT_WORDS[step])) + LEFT_CONSTANTS[group])
        advance(left, u32(word + chosen(group, left[1], left[2], left[3])), LEFT_ROTATIONS[step])
        word = u32(load(u32, block + 4 * u64(RIGHT_WORDS[step])) + RIGHT_CONSTANTS[group])
        advance(right, u32(word + chosen(4 - group, right[1], right[2], right[3])), RIGHT_ROTATIONS[step])


@inline
def advance(line: Ptr[u32], added: u32, rotation: u64) -> None:
    """One step of a line."""
    mixed = u32(rotate_left(u32, u32(line[0] + added), rotation) + line[4])
    line[0] = line[4]
    line[4] = line[3]
    line[3] = rotate_left(u32, line[2], 10)
    line[2] = line[1]
    line[1] = mixed


@inline
def chosen(group: u64, x: u32, y: u32, z: u32) -> u32:
    """The function of a group of 16 steps, bit by bit."""
    if group == 0:
        return x ^ y ^ z
    if group == 1:
        return x & y | (x ^ ONES) & z
    if group == 2:
        return (x | y ^ ONES) ^ z
    if group == 3:
        return x & z | y & (z ^ ONES)
    return x ^ (y | z ^ ONES)
