"""Division and powers of wide integers: as CPython runs the kernels, and compiled."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_native.wide.divide import (
    divide_u128,
    divide_u256,
    divide_u512,
    remainder_u128,
    remainder_u256,
    remainder_u512,
)
from vmloom_native.wide.power import SQUARINGS, power_by_series, power_by_squaring, wrapping_pow_u256

COMMAND = Path(__file__).parents[2] / "benchmarks" / "fuzz_wide.py"
EDGES = sorted(
    {n for bit in (0, 1, 63, 64, 127, 128, 191, 192, 255, 256) for n in ((1 << bit) - 1, 1 << bit)} - {1 << 256}
)
QUOTIENTS = [(divide_u128, 128), (divide_u256, 256), (divide_u512, 512)]
REMAINDERS: list[tuple[Callable[..., Any], int]] = [(remainder_u128, 128), (remainder_u256, 256), (remainder_u512, 256)]


def numbers(bits: int) -> st.SearchStrategy[int]:
    """Integers of up to `bits` bits; Hypothesis alone would hardly ever choose words of ones."""
    word = st.sampled_from([0, 1, 1 << 63, (1 << 64) - 1]) | st.integers(0, (1 << 64) - 1)
    words = st.lists(word, min_size=1, max_size=bits // 64)
    return words.map(lambda parts: sum(part << 64 * i for i, part in enumerate(parts)))


@pytest.fixture(scope="module")
def fuzzer() -> ModuleType:
    """The command that compares millions of cases."""
    spec = importlib.util.spec_from_file_location("fuzz_wide", COMMAND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_wide"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("divide", "bits"), QUOTIENTS)
def test_quotients_of_edges(divide: Callable[..., Any], bits: int) -> None:
    edges = [it for it in EDGES if it < 1 << bits]
    assert [divide(x, y) for x in edges for y in edges] == [x // y if y else 0 for x in edges for y in edges]


@pytest.mark.parametrize(("remainder", "bits"), REMAINDERS)
def test_remainders_of_edges(remainder: Callable[..., Any], bits: int) -> None:
    edges = [it for it in EDGES if it < 1 << bits]
    assert [remainder(x, y) for x in edges for y in edges] == [x % y if y else 0 for x in edges for y in edges]


def test_remainders_of_products_and_sums_of_edges() -> None:
    cases = [(combined, y) for a in EDGES for b in EDGES for y in EDGES for combined in (a * b, a + b)]
    assert [remainder_u512(x, y) for x, y in cases] == [x % y if y else 0 for x, y in cases]


@given(x=numbers(256), y=numbers(256), rest=numbers(256))
def test_256_bits(x: int, y: int, rest: int) -> None:
    assert divide_u256(x, y) == (x // y if y else 0)
    assert remainder_u256(x, y) == (x % y if y else 0)
    assert divide_u512(x * y, y) == (x if y else 0)
    if y:
        assert remainder_u512(x * y + rest % y, y) == rest % y


@given(x=numbers(512), y=numbers(512))
def test_512_bits(x: int, y: int) -> None:
    assert divide_u512(x, y) == (x // y if y else 0)


@given(x=numbers(128), y=numbers(128))
def test_128_bits(x: int, y: int) -> None:
    assert (divide_u128(x, y), remainder_u128(x, y)) == (divmod(x, y) if y else (0, 0))


@given(y=st.integers(1 << 255, (1 << 256) - 1), word=st.integers(0, (1 << 64) - 1))
def test_digits_where_the_leading_words_of_dividend_and_divisor_are_equal(y: int, word: int) -> None:
    for rest in (y - 1, y >> 128 << 128):
        x = (rest % y) << 64 | word
        assert remainder_u512(x, y) == x % y
        assert divide_u512(x, y) == x // y


@given(x=numbers(512), low=numbers(512), rest=st.integers(1, 1 << 65))
def test_remainders_by_what_is_just_below_a_power(x: int, low: int, rest: int) -> None:
    y = (1 << 256) - rest
    for dividend in (x, x // y * y, x // y * y + y - 1, (1 << 512) - 1 - low % (1 << 66)):
        assert remainder_u512(dividend, y) == dividend % y


@given(base=numbers(256), exponent=st.integers(0, 600) | numbers(256))
def test_powers(base: int, exponent: int) -> None:
    assert wrapping_pow_u256(base, exponent) == pow(base, exponent, 1 << 256)


@given(
    bit=st.integers(0, 256),
    odd=numbers(256),
    sign=st.sampled_from([1, -1]),
    exponent=st.integers(0, 40) | numbers(256) | st.integers(0, 256).map(lambda bit: 1 << bit),
    low=st.sampled_from([0, 1, (1 << SQUARINGS) - 1]),
)
def test_powers_of_what_is_near_one(bit: int, odd: int, sign: int, exponent: int, low: int) -> None:
    base = (sign + (odd << bit)) % (1 << 256)
    for it in (exponent, (exponent << SQUARINGS | low) % (1 << 256)):
        assert wrapping_pow_u256(base, it) == pow(base, it, 1 << 256)


def test_series_agrees_with_squaring_where_either_would_do() -> None:
    for base in (1, 3, 5, (1 << 256) - 1, (1 << 255) + 1, (1 << 16) - 1):
        for exponent in (1, (1 << SQUARINGS) - 1, 1 << SQUARINGS, 15 << SQUARINGS, 16 << SQUARINGS, (1 << 64) - 1):
            assert power_by_series(base, exponent) == power_by_squaring(base, exponent) == pow(base, exponent, 1 << 256)


def test_powers_of_two_and_of_nothing() -> None:
    bases = [0, 1, 2, 3, 4, 6, 1 << 64, 1 << 128, 1 << 255, 3 << 254, (1 << 256) - 1]
    exponents = [0, 1, 2, 3, 4, 127, 128, 255, 256, 257, 1 << 64, (1 << 256) - 1]
    for base in bases:
        assert [wrapping_pow_u256(base, it) for it in exponents] == [pow(base, it, 1 << 256) for it in exponents]


def test_compiled_arithmetic_agrees_with_python(fuzzer: ModuleType) -> None:
    assert fuzzer.fuzz(100_000, seed=1) == []


def test_the_fuzzer_reaches_every_kernel_and_finds_a_difference(
    fuzzer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fuzzer.MODELS, divide_u256, lambda x, y: x // y if y else 1)
    (difference,) = fuzzer.fuzz(2_000, seed=2, only=["divide_u256"])
    assert difference.startswith("divide_u256(0x")
    assert difference.endswith(", 0x0) is 0x1, compiled code says 0x0")
    assert {divide for divide, _ in QUOTIENTS + REMAINDERS} | {wrapping_pow_u256} <= set(fuzzer.MODELS)
