"""0x06 to 0x08 as kernels. See `vmloom_precompiles_classic.bn254.precompiles` for what they do and cost."""

from __future__ import annotations

from typing import Final

from vmloom.kernel import U64_MAX, Ptr, byteswap, copy, fill, inline, load, local, outline, store, u8, u64, u256
from vmloom.precompile import FAILED, PrecompileKernel

from .curve import Point, add_points, make_affine, multiply, on_curve
from .field import R2, P, times
from .pairing import BATCH, Pair, is_one_in_target_group, miller_loop, on_twist
from .tower import Fp2, mul12

PAIR_SIZE: Final = 192
"""bytes"""


@inline
def word(source: Ptr[u8], index: u64) -> u256:
    """The big-endian number of 32 bytes at 32 * index."""
    return byteswap(u256, load(u256, source + 32 * index))


@inline
def put_word(destination: Ptr[u8], index: u64, value: u256) -> None:
    """Write a number as `word` reads it."""
    store(u256, destination + 32 * index, byteswap(u256, value))


@inline
def put_number(destination: Ptr[u8], index: u64, value: u256) -> None:
    """Write an element of Fp."""
    put_word(destination, index, times(value, 1))


@inline
def element(value: u256) -> u256:
    """A number below P as an element of Fp."""
    return times(value, R2)


@outline
def is_point(x: u256, y: u256) -> bool:
    """Whether two numbers are the coordinates of a point of G1: below P, and on the curve or both 0, for infinity."""
    if x >= P or y >= P:
        return False
    return x | y == 0 or on_curve(element(x), element(y))


# 0x06


def add_gas_byzantium(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given these)
    """The price of EIP-196."""
    return u64(500)


def add_gas_istanbul(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given these)
    """The price of EIP-1108."""
    return u64(150)


def add(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The sum of two points of G1."""
    padded = local(u8, 128)
    copy(padded, input, min(size, 128))
    x1 = word(padded, 0)
    y1 = word(padded, 1)
    x2 = word(padded, 2)
    y2 = word(padded, 3)
    if not is_point(x1, y1) or not is_point(x2, y2):
        return FAILED
    if x1 | y1 == 0:
        copy(output, padded + 64, 64)
        return u64(64)
    if x2 | y2 == 0:
        copy(output, padded, 64)
        return u64(64)
    p = local(Point, 1)[0]
    add_points(p, element(x1), element(y1), element(x2), element(y2))
    put_number(output, 0, p.x)
    put_number(output, 1, p.y)
    return u64(64)


# 0x07


def mul_gas_byzantium(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given these)
    """The price of EIP-196."""
    return u64(40_000)


def mul_gas_istanbul(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given these)
    """The price of EIP-1108."""
    return u64(6_000)


def scalar_mul(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The product of a point of G1 and a number."""
    padded = local(u8, 96)
    copy(padded, input, min(size, 96))
    x = word(padded, 0)
    y = word(padded, 1)
    if not is_point(x, y):
        return FAILED
    if x | y == 0:
        fill(output, 0, 64)
        return u64(64)
    p = local(Point, 1)[0]
    multiply(p, word(padded, 2), element(x), element(y))
    make_affine(p)
    put_number(output, 0, p.x)
    put_number(output, 1, p.y)
    return u64(64)


# 0x08


def pairing_gas_byzantium(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """The price of EIP-197."""
    pairs = size // PAIR_SIZE
    return 100_000 + 80_000 * pairs if pairs < 1 << 40 else U64_MAX


def pairing_gas_istanbul(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (all kernels are given the input)
    """The price of EIP-1108."""
    pairs = size // PAIR_SIZE
    return 45_000 + 34_000 * pairs if pairs < 1 << 40 else U64_MAX


def pairing(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """1 if the product of the pairings of all pairs is 1, else 0."""
    if size % PAIR_SIZE != 0:
        return FAILED
    fill(output, 0, 32)
    total = local(Fp2, 6)
    total[0].a = element(u256(1))
    pairs = local(Pair, BATCH)
    taken = u64(0)
    while taken < size:
        count = u64(0)
        while count < BATCH and taken < size:
            pair = pairs[count]
            if not read_pair(pair, input + taken):
                return FAILED
            if not is_infinite(input + taken + 64):
                count = count + 1
            taken = taken + PAIR_SIZE
        if not multiply_by(total, pairs, count):
            return FAILED
    if size == 0 or is_one_in_target_group(total):
        output[31] = 1
    return u64(32)


@outline
def multiply_by(total: Ptr[Fp2], pairs: Ptr[Pair], count: u64) -> bool:
    """Multiply by the pairs' Miller functions. False if a point of the twist is not in G2."""
    value = local(Fp2, 6)
    if not miller_loop(value, pairs, count):
        return False
    mul12(total, total, value)
    return True


@inline
def is_infinite(point: Ptr[u8]) -> bool:
    """Whether the 128 bytes of a point of the twist are 0."""
    return word(point, 0) | word(point, 1) | word(point, 2) | word(point, 3) == 0


@outline
def read_pair(pair: Pair, input: Ptr[u8]) -> bool:
    """Read two points from 192 bytes. False if one is not on its curve; the second may be infinity."""
    x = word(input, 0)
    y = word(input, 1)
    if not is_point(x, y):
        return False
    pair.at_infinity = x | y == 0
    pair.x = element(x)
    pair.y = element(y)
    for i in range(2):
        b = word(input, 2 + 2 * i)
        a = word(input, 3 + 2 * i)
        if a >= P or b >= P:
            return False
        pair.q[i].a = element(a)
        pair.q[i].b = element(b)
    return is_infinite(input + 64) or on_twist(pair.q[0], pair.q[1])


ADD: Final = {500: PrecompileKernel(add_gas_byzantium, add), 150: PrecompileKernel(add_gas_istanbul, add)}
"""By price."""
MUL: Final = {
    40_000: PrecompileKernel(mul_gas_byzantium, scalar_mul),
    6_000: PrecompileKernel(mul_gas_istanbul, scalar_mul),
}
PAIRING: Final = {
    (100_000, 80_000): PrecompileKernel(pairing_gas_byzantium, pairing),
    (45_000, 34_000): PrecompileKernel(pairing_gas_istanbul, pairing),
}
"""By the price of a check and of each pair."""
