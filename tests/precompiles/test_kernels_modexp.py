"""The kernel of MODEXP agrees with the precompile's Python, in CPython and compiled; so do the parts it is made of."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.kernel import U64_MAX, Ptr, fill, local, start, u8, u64, view
from vmloom.precompile import FAILED, PrecompileFailure, PurePrecompile
from vmloom_native.testing import Compiled
from vmloom_precompiles_classic.kernels import modexp, naturals
from vmloom_precompiles_classic.modexp import ModExp, ModExpBerlin, ModExpOsaka

Call = Callable[..., Any]

CANARY = 0xA5
MOST = 2**256 - 1
PRECOMPILES = {"byzantium": ModExp(), "berlin": ModExpBerlin(), "osaka": ModExpOsaka()}
SIZES = (0, 1, 7, 8, 9, 31, 32, 33)
HARD_WORDS = (0, 1, 2**32, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 2, 2**64 - 1)


def interpreted(function: Call, *arguments: Any) -> Any:
    return function(*arguments)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    gas = (modexp.gas_byzantium, modexp.gas_berlin, modexp.gas_osaka)
    return Compiled(
        *gas, modexp.room, modexp.room_osaka, modexp.run, naturals.remainder, naturals.square, naturals.reduce
    )


@pytest.fixture(params=["interpreted", "compiled"])
def call(request: pytest.FixtureRequest) -> Call:
    return request.getfixturevalue("compiled") if request.param == "compiled" else interpreted


def count(call: Call, interpreted_cases: int, compiled_cases: int) -> int:
    """How many cases to try: CPython is slow at this."""
    return interpreted_cases if call is interpreted else compiled_cases


def encoded(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    numbers = (base, exponent, modulus)
    return b"".join(len(number).to_bytes(32, "big") for number in numbers) + b"".join(numbers)


def check_gas(data: bytes, call: Call) -> None:
    for precompile in PRECOMPILES.values():
        assert call(precompile.kernel.gas, start(data), len(data)) == min(precompile.gas_cost(data), U64_MAX), (
            data.hex()
        )


def check(precompile: PurePrecompile, data: bytes, call: Call) -> bytes | None:
    """That the kernel's output, None if it fails, is that of the precompile. It may write to its room, not beyond."""
    kernel = precompile.kernel
    assert kernel is not None
    try:
        expected = precompile.compute(data)
    except PrecompileFailure:
        expected = None
    room, found = call(kernel.room, start(data), len(data)), None
    if room != FAILED:
        output = local(u8, room + 8)
        fill(output, CANARY, room + 8)
        size = call(kernel.run, start(data), len(data), output)
        written = bytes(view(output, room + 8))
        assert written[room:] == bytes([CANARY]) * 8
        found = None if size == FAILED else written[:size]
    assert found == expected, data.hex()
    return found


def number(rng: random.Random, size: int) -> bytes:
    """A number of `size` bytes, often one with few bits of 1, or of 0, or with zeros at an end."""
    bits = 8 * size
    shift = rng.randrange(bits + 1)
    ones, one, random_bits = (1 << bits) - 1, 1 << shift, rng.getrandbits(bits)
    value = rng.choice([0, ones, one, one + 1, ones - one, random_bits, random_bits >> shift, random_bits & -one])
    return (value & ones).to_bytes(size, "big")


def case(rng: random.Random, longest: int) -> bytes:
    """An input, sometimes cut off."""
    sizes = [rng.choice([*SIZES, rng.randrange(longest + 1)]) for _ in range(3)]
    data = encoded(*(number(rng, size) for size in sizes))
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data


@pytest.mark.parametrize("longest", [40, 300, 1200])
def test_kernel_is_modexp(call: Call, longest: int) -> None:
    rng = random.Random(longest)
    for _ in range(count(call, 400 // longest, 40_000 // longest)):
        data = case(rng, longest)
        check_gas(data, call)
        for fork in ("berlin", "osaka"):
            check(PRECOMPILES[fork], data, call)


operands = st.binary(max_size=48)


@settings(max_examples=300)
@given(base=operands, exponent=operands, modulus=operands, zeros=st.integers(0, 40), cut=st.integers(0, 300))
def test_kernel_is_modexp_whatever_the_input(
    compiled: Compiled, base: bytes, exponent: bytes, modulus: bytes, zeros: int, cut: int
) -> None:
    data = encoded(base, exponent, modulus + bytes(zeros))[: cut + 60]
    check_gas(data, compiled)
    check(PRECOMPILES["berlin"], data, compiled)


def test_vectors(call: Call, fixtures_folder: Path) -> None:
    for name in ("modexp", "modexp_eip2565", "modexp_eip7883"):
        for vector in json.loads((fixtures_folder / "precompiles" / "geth" / f"{name}.json").read_text()):
            data = bytes.fromhex(vector["Input"])
            check_gas(data, call)
            if call is not interpreted or len(data) < 300:
                check(PRECOMPILES["berlin"], data, call)


@pytest.mark.parametrize("odd_bits", [0, 1, 63, 64, 65, 200, 256, 257, 400])
@pytest.mark.parametrize("twos", [0, 1, 63, 64, 65, 130, 256])
def test_even_moduli(compiled: Compiled, odd_bits: int, twos: int) -> None:
    rng = random.Random(1000 * odd_bits + twos)
    for _ in range(10):
        modulus = (rng.getrandbits(odd_bits) | 1 | 1 << max(odd_bits - 1, 0)) << twos
        base, exponent = rng.randbytes(rng.choice([1, 40, 80])), rng.randbytes(rng.choice([1, 3, 9, 33]))
        check(
            PRECOMPILES["berlin"],
            encoded(base, exponent, modulus.to_bytes(modulus.bit_length() // 8 + 1, "big")),
            compiled,
        )


def test_largest_numbers(compiled: Compiled) -> None:
    rng = random.Random(5)
    for size in (1023, 1024, 1025, 4000):
        for modulus in (
            rng.randbytes(size - 1) + b"\x01",
            rng.randbytes(size - 20) + b"\x80" + bytes(19),
            b"\xff" * size,
        ):
            output = check(PRECOMPILES["berlin"], encoded(rng.randbytes(size), b"\x01\x00\x01", modulus), compiled)
            assert output is not None
            assert (check(PRECOMPILES["osaka"], encoded(rng.randbytes(size), b"\x03", modulus), compiled) is None) == (
                size > modexp.SIZE_LIMIT
            )


@pytest.mark.parametrize("sizes", [(a, b, c) for a in (0, 1, 32) for b in (0, 2**70, MOST) for c in (0, 1)])
def test_price_of_declared_sizes_that_nobody_could_send(call: Call, sizes: tuple[int, int, int]) -> None:
    for one in (sizes, sizes[::-1], (sizes[1], sizes[0], sizes[2]), (2**40 - 1, 2**33, 2**20), (2**64, 32, 1)):
        check_gas(b"".join(size.to_bytes(32, "big") for size in one) + b"\xff" * 40, call)


@pytest.mark.parametrize("tail", [bytes(64), b"\xff" * 64, b""])
@pytest.mark.parametrize(
    "sizes", [(2**200, 1, 1), (1, 2**200, 1), (1, 1, 2**200), (2**31, 0, 5), (0, 2**31, 5), (MOST, 0, 0)]
)
def test_numbers_that_cannot_be_built_fail_unless_they_are_zero(
    call: Call, sizes: tuple[int, int, int], tail: bytes
) -> None:
    data = b"".join(size.to_bytes(32, "big") for size in sizes) + tail
    for fork in ("berlin", "osaka"):
        check(PRECOMPILES[fork], data, call)


# The parts


def words(value: int, size: int) -> Ptr[u64]:
    """`value` as words, with a canary behind them."""
    out = local(u64, size + 1)
    for i in range(size):
        out[i] = value >> 64 * i & U64_MAX
    out[size] = CANARY
    return out


def value_of(x: Ptr[u64], size: int) -> int:
    assert x[size] == CANARY
    return sum(x[i] << 64 * i for i in range(size))


def hard_number(rng: random.Random, size: int) -> int:
    return sum(rng.choice([*HARD_WORDS, rng.getrandbits(64)]) << 64 * i for i in range(size))


def test_remainders_whose_digits_are_hard_to_estimate(call: Call) -> None:
    rng = random.Random(6)
    for _ in range(count(call, 100, 5000)):
        size, more = rng.randint(1, 5), rng.randint(1, 6)
        divisor = hard_number(rng, size) | 1 << 64 * size - 1
        dividend = rng.choice([hard_number(rng, size + more), divisor * hard_number(rng, more), divisor * 2**64 - 1])
        dividend %= divisor << 64 * more - 1  # so that its highest word is below the divisor's
        x = words(dividend, size + more)
        call(naturals.remainder, x, size + more, words(divisor, size), size)
        assert value_of(x, size + more) == dividend % divisor, (dividend, divisor)


def test_squares(call: Call) -> None:
    rng = random.Random(7)
    for _ in range(count(call, 50, 2000)):
        size = rng.randint(1, 9)
        x, out = hard_number(rng, size), words(0, 2 * size)
        call(naturals.square, out, words(x, size), size)
        assert value_of(out, 2 * size) == x * x


def test_montgomery_reductions(call: Call) -> None:
    rng = random.Random(8)
    for _ in range(count(call, 50, 2000)):
        size = rng.randint(1, 9)
        modulus = hard_number(rng, size) | 1
        x = rng.choice([hard_number(rng, 2 * size), (modulus << 64 * size) - 1]) % (modulus << 64 * size)
        out = words(0, size)
        call(naturals.reduce, out, words(x, 2 * size), words(modulus, size), size, -pow(modulus, -1, 2**64) % 2**64)
        assert value_of(out, size) == x * pow(2 ** (64 * size), -1, modulus) % modulus
