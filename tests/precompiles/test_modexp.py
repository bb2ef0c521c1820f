"""MODEXP: the function, its prices, and declared sizes that nobody could allocate."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.precompile import PrecompileFailure, PurePrecompile

Find = Callable[[int, str], PurePrecompile]
MODEXP = 0x05
FORKS = ["byzantium", "istanbul", "berlin", "osaka"]


def header(base: int, exponent: int, modulus: int) -> bytes:
    return b"".join(size.to_bytes(32, "big") for size in (base, exponent, modulus))


operands = st.binary(max_size=40)


@given(base=operands, exponent=operands, modulus=operands, fork=st.sampled_from(FORKS))
def test_is_pow(precompile: Find, base: bytes, exponent: bytes, modulus: bytes, fork: str) -> None:
    b, e, m = (int.from_bytes(operand, "big") for operand in (base, exponent, modulus))
    data = header(len(base), len(exponent), len(modulus)) + base + exponent + modulus
    expected = (pow(b, e, m) if m else 0).to_bytes(len(modulus), "big")
    assert precompile(MODEXP, fork).compute(data) == expected
    assert precompile(MODEXP, fork).compute(data + b"more") == expected


def test_missing_bytes_are_zeros(precompile: Find) -> None:
    assert precompile(MODEXP, "osaka").compute(header(1, 1, 2) + b"\x03\x02\x01") == (9).to_bytes(2, "big")
    assert precompile(MODEXP, "osaka").compute(header(1, 1, 2) + b"\x03\x02") == bytes(2)
    assert precompile(MODEXP, "osaka").compute(b"") == b""


@pytest.mark.parametrize("fork", FORKS)
def test_huge_sizes_are_priced_without_allocating(precompile: Find, fork: str) -> None:
    modexp = precompile(MODEXP, fork)
    most = 2**256 - 1
    tracemalloc.start()
    for sizes in ((most, 0, 0), (0, most, 0), (0, 0, most), (most, most, most), (1, most, 1), (2**40, 2**40, 2**40)):
        assert modexp.gas_cost(header(*sizes) + b"\xff" * 64) > 2**64 or sizes[:1] + sizes[2:] == (0, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_nothing_to_compute_is_cheap_whatever_the_exponent(precompile: Find) -> None:
    data = header(0, 2**256 - 1, 0)
    assert precompile(MODEXP, "byzantium").gas_cost(data) == 0
    assert precompile(MODEXP, "berlin").gas_cost(data) == 200
    for fork in ("byzantium", "berlin"):
        assert precompile(MODEXP, fork).compute(data) == b""


def test_sizes_that_cannot_be_built_fail_instead_of_exhausting_memory(precompile: Find) -> None:
    for sizes in ((2**200, 1, 1), (1, 2**200, 1), (1, 1, 2**200)):
        with pytest.raises(PrecompileFailure, match="bytes"):
            precompile(MODEXP, "berlin").compute(header(*sizes) + b"\xff" * 64)


def test_osaka_limits_each_operand_to_1024_bytes(precompile: Find) -> None:
    for sizes in ((1025, 0, 0), (0, 1025, 0), (0, 0, 1025)):
        with pytest.raises(PrecompileFailure, match="1025 bytes, more than 1024"):
            precompile(MODEXP, "osaka").compute(header(*sizes))
        precompile(MODEXP, "prague").compute(header(*sizes))
    assert precompile(MODEXP, "osaka").compute(header(1024, 1024, 1024)) == bytes(1024)


def test_prices_of_one_input_by_fork(precompile: Find) -> None:
    data = header(64, 64, 64) + b"\xff" * 192
    iterations = 8 * 32 + 255
    assert precompile(MODEXP, "byzantium").gas_cost(data) == 64**2 * iterations // 20
    assert precompile(MODEXP, "berlin").gas_cost(data) == 8**2 * iterations // 3
    assert precompile(MODEXP, "osaka").gas_cost(data) == 2 * 8**2 * (16 * 32 + 255)
    assert [precompile(MODEXP, fork).gas_cost(b"") for fork in FORKS] == [0, 0, 200, 500]
