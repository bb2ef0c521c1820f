"""Division by what stands in the code is right to the last bit, whatever is known of the dividend."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_evm.assembly import (
    Bytecode,
    addmod,
    and_,
    calldataload,
    div,
    joined,
    mod,
    mstore,
    mul,
    mulmod,
    return_,
    sdiv,
    shr,
    smod,
)
from vmloom_evm.jit.divisors import aligning, cover, estimating, reciprocal
from vmloom_evm.ops import arithmetic
from vmloom_evm.testing import EvmUnderTest

SIZE = 1 << 256
FIRST = {"trigger": "first", "disk_cache": False}
SECP256K1 = SIZE - 2**32 - 977
BN254 = 21888242871839275222246405745257275088696311157297823662689037894645226208583
DIVISORS = [
    *(0, 1, 2, 3, 7, 10, 641, 1_000_003, 10**9, 10**18, 10**19, 10**27),
    *(
        (2**64 - 1) // 3 - 1,
        (2**64 - 1) // 3,
        (2**64 - 1) // 3 + 1,
        2**62 + 1,
        2**63 - 1,
        2**63 + 1,
        2**64 - 1,
        2**64,
        2**64 + 1,
        2**127 + 45,
        2**128 - 1,
        2**128 + 1,
        6 << 126,
    ),
    *(2**160 - 47, 2**191 + 1, 2**192 - 1, 2**192 + 1, 2**254 + 3, BN254, 2**255 - 19, 2**255, 2**255 + 1),
    *(2**197 + 3, 2**252 + 27742317777372353535851937790883648493, 2**253 - 1),  # whose multiples stand in tables
    *(3 << 254, SECP256K1, SIZE - 2**64 - 1, SIZE - 2**64, SIZE - 2**64 + 1, SIZE - 189, SIZE - 2, SIZE - 1),
]


@given(divisor=st.integers(2, SIZE - 1), most=st.integers(1, SIZE - 1), chosen=st.integers(0, SIZE - 1))
def test_reciprocals_are_exact_up_to_the_greatest_dividend(divisor: int, most: int, chosen: int) -> None:
    factor, shift = reciprocal(divisor, most)
    last = most // divisor * divisor  # quotients are most likely to be wrong at multiples, and just before them
    multiple = chosen % (most + 1) // divisor * divisor
    for x in (0, most, last, last - 1, multiple, multiple - 1, chosen % (most + 1)):
        if 0 <= x <= most:
            assert x * factor >> shift == x // divisor


def test_no_lesser_shift_would_do_for_a_reciprocal() -> None:
    assert reciprocal(3, 5) == (3, 3)
    assert reciprocal(10, (1 << 32) - 1) == (0xCCCCCCCD, 35)  # as compilers have it
    assert reciprocal(7, (1 << 32) - 1) == ((1 << 32) + 0x24924925, 35)


def words(x: int) -> list[int]:
    """Of 64 bits, the lowest first."""
    return [x >> place & 2**64 - 1 for place in range(0, x.bit_length(), 64)]


def left_out(x: int, factor: int, least: int) -> int:
    """The product without words below `least`, as it is written out."""
    total = 0
    for row, one in enumerate(words(x)):
        for column, other in enumerate(words(factor)):
            part = one * other if row + column > least or not least else one * other >> 64 << 64
            total += part << 64 * (row + column) if row + column >= least else 0
    return total


@given(
    divisor=st.integers(3, 256).flatmap(lambda bits: st.integers(2 ** (bits - 1) + 1, 2**bits - 1)),
    times=st.integers(1, 2**80),
    most=st.integers(129, 256).map(lambda bits: 2**bits - 1),
    chosen=st.integers(0, SIZE - 1),
)
def test_quotients_that_begin_with_a_word_are_exact(divisor: int, times: int, most: int, chosen: int) -> None:
    way = aligning(most, times, divisor)
    if way is None:
        return
    multiple = -(-chosen % (most + 1) * times // divisor * divisor // times)
    for x in (0, most, most - 1, chosen % (most + 1), multiple, multiple - 1, multiple + 1):
        if 0 <= x <= most:
            assert left_out(x, way.factor, way.least) + cover(way.least) >> way.shift == x * times // divisor


@given(
    divisor=st.integers(3, 256).flatmap(lambda bits: st.integers(2 ** (bits - 1) + 1, 2**bits - 1)),
    most=st.integers(129, 512).map(lambda bits: 2**bits - 1),
    chosen=st.integers(0, SIZE**2 - 1),
    is_written=st.booleans(),
)
def test_estimates_are_the_quotient_or_less_by_one(divisor: int, most: int, chosen: int, is_written: bool) -> None:
    way = estimating(most, divisor, is_written=is_written)
    if way is None:
        return
    factor = (1 << way.behind + way.shift) // divisor
    multiple = chosen % (most + 1) // divisor * divisor
    for x in (0, most, chosen % (most + 1), multiple, multiple - 1, multiple + divisor - 1):
        if 0 <= x <= most:
            estimate = left_out(x >> way.behind, factor, way.least) >> way.shift
            assert x // divisor - estimate in (0, 1)
            assert x - estimate * divisor <= way.most_left < 2 * divisor


@pytest.mark.parametrize("divisor", [BN254, 10**18, 2**160 - 47, 2**255 - 19])
def test_there_is_a_way_for_usual_divisors(divisor: int) -> None:
    assert aligning(SIZE - 1, 1, divisor) is not None or divisor > 2**128
    way = estimating((2 * divisor - 1) ** 2, divisor, is_written=True)
    assert way is not None
    assert way.least or divisor < 2**128


def results(divisor: int) -> Iterator[tuple[Bytecode, Callable[[int, int], int]]]:
    """Expressions of two words of the input that divide by `divisor`, and what they have to be."""
    x, y = calldataload(0), calldataload(32)
    widths = {256: x, 200: shr(56, x), 128: and_(2**128 - 1, x), 100: shr(156, x), 64: and_(2**64 - 1, x)}

    def of(function: Callable[..., int], cut: Callable[[int], int]) -> Callable[[int, int], int]:
        return lambda one, _: int(function(cut(one), divisor))

    cuts: dict[int, Callable[[int], int]] = {
        256: lambda it: it,
        200: lambda it: it >> 56,
        128: lambda it: it & (2**128 - 1),
        100: lambda it: it >> 156,
        64: lambda it: it & (2**64 - 1),
    }
    for bits, word in widths.items():
        yield div(word, divisor), of(arithmetic.div, cuts[bits])
        yield mod(word, divisor), of(arithmetic.mod, cuts[bits])
    yield sdiv(x, divisor), lambda one, _: arithmetic.sdiv(one, divisor)
    yield smod(x, divisor), lambda one, _: arithmetic.smod(one, divisor)
    yield sdiv(x, -divisor % SIZE), lambda one, _: arithmetic.sdiv(one, -divisor % SIZE)
    yield smod(x, -divisor % SIZE), lambda one, _: arithmetic.smod(one, -divisor % SIZE)
    yield mulmod(x, y, divisor), lambda one, two: arithmetic.mulmod(one, two, divisor)
    yield addmod(x, y, divisor), lambda one, two: arithmetic.addmod(one, two, divisor)
    below = [mod(word, divisor) for word in (x, y)]

    def reduced(function: Callable[..., int]) -> Callable[[int, int], int]:
        return lambda one, two: function(one % divisor, two % divisor, divisor) if divisor else 0

    yield mulmod(*below, divisor), reduced(arithmetic.mulmod)
    yield addmod(*below, divisor), reduced(arithmetic.addmod)
    product = mulmod(*below, divisor)
    yield addmod(product, below[1], divisor), lambda one, two: (one * two + two) % divisor if divisor else 0
    yield mulmod(product, product, divisor), lambda one, two: (one * two) ** 2 % divisor if divisor else 0
    yield mulmod(product, x, divisor), lambda one, two: one * two * one % divisor if divisor else 0
    yield addmod(below[0], product, divisor), lambda one, two: (one + one * two) % divisor if divisor else 0
    for times, shift in ((997, 64), (10**18, 100), (3, 2)):  # products that no word is too short for
        yield (
            div(mul(shr(shift, x), times), divisor),
            lambda one, _, times=times, shift=shift: (one >> shift) * times // divisor if divisor else 0,
        )
    yield (
        mod(mul(shr(128, x), shr(128, y)), divisor),
        lambda one, two: (one >> 128) * (two >> 128) % divisor if divisor else 0,
    )


def dividends(divisor: int, rng: random.Random) -> list[int]:
    """Words near multiples of the divisor, and at edges."""
    multiples = [rng.randrange(SIZE) // (divisor or 1) * divisor for _ in range(3)]
    multiples += [(SIZE - 1) // (divisor or 1) * divisor, divisor, 2 * divisor]
    words = [it + off for it in multiples for off in (-1, 0, 1)]
    return [it % SIZE for it in [*words, 0, 1, 2**64 - 1, 2**128, 2**255, SIZE - 1, rng.randrange(SIZE)]]


@pytest.mark.parametrize("divisor", DIVISORS, ids=hex)
def test_division_by_a_constant_is_that_of_the_instruction(divisor: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    expressions = list(results(divisor))
    stores = (mstore(32 * place, code) for place, (code, _) in enumerate(expressions))
    code = joined(*stores) + return_(0, 32 * len(expressions))
    evm = EvmUnderTest("jit", jit=FIRST)
    words = dividends(divisor, rng)
    for one in words:
        two = rng.choice([*words, one])
        output: list[Any] = evm.run(code, input=one.to_bytes(32, "big") + two.to_bytes(32, "big")).words
        for place, (_, expected) in enumerate(expressions):
            assert output[place] == expected(one, two), f"seed {seed}: result {place} of {one:#x} and {two:#x}"
    statistics = evm.vm.jit_statistics()
    assert statistics is not None
    assert (statistics.compiles > 0, statistics.failures or {}) == (True, {})


@pytest.mark.parametrize("modulus", [SECP256K1, SIZE - 189, SIZE - 2**64 + 13])
def test_products_that_leave_little_just_below_a_power_of_two(modulus: int) -> None:
    """Where what takes the upper half's place carries a second time, which products by chance do not do."""
    code = mstore(0, mulmod(calldataload(0), calldataload(32), modulus)) + return_(0, 32)
    evm = EvmUnderTest("jit", jit=FIRST)
    rng = random.Random(modulus)
    less = SIZE - modulus
    for left in (0, 1, less - 1, less, less + 1, 2 * less, less * less):
        one = rng.randrange(SIZE >> 1, modulus)
        while math.gcd(one, modulus) > 1:
            one += 1
        two = left * pow(one, -1, modulus) % modulus
        assert evm.run(code, input=one.to_bytes(32, "big") + two.to_bytes(32, "big")).words == [left]
    statistics = evm.vm.jit_statistics()
    assert statistics is not None
    assert (statistics.compiles > 0, statistics.failures or {}) == (True, {})
