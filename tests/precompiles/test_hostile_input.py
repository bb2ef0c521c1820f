"""Whatever the input: gas is a number, execution is a result, and neither raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.context import ExecutionContext
from vmloom.precompile import Precompile, PurePrecompile
from vmloom.result import ExecutionState
from vmloom.state import MemoryState

ADDRESSES = [*range(0x01, 0x12), 0x100]
PATTERNS = [b"", b"\x00", b"\xff", b"\x00\x00\x00\x00\x00\x00\x00\x01"]
PAYABLE = 100_000
"""More gas than these tests spend on one call: what costs more is only priced."""


def check(precompile: Precompile, data: bytes) -> None:
    gas = precompile.gas_cost(data)
    assert gas >= 0
    if gas > PAYABLE:
        return
    result = precompile.execute(ExecutionContext(input=data, gas_limit=PAYABLE), data, MemoryState())
    if result.state is ExecutionState.SUCCESS:
        assert (result.gas_used, result.error) == (gas, "")
    else:
        assert result.state is ExecutionState.FAILED
        assert (result.gas_used, result.return_data) == (PAYABLE, b"")
        assert result.error


@pytest.mark.parametrize("address", ADDRESSES)
def test_any_size_of_plain_patterns(address: int, precompiles_at: Callable[[str], Mapping[int, Precompile]]) -> None:
    for fork in ("istanbul", "berlin", "osaka"):
        for pattern in PATTERNS:
            for size in (*range(0, 800, 16), 31, 95, 97, 127, 129, 159, 161, 191, 193, 212, 213, 214):
                found = precompiles_at(fork).get(address)
                if found is not None:
                    check(found, (pattern * size)[:size])


@pytest.mark.parametrize("address", ADDRESSES)
@settings(max_examples=60)
@given(data=st.binary(max_size=800))
def test_random_bytes(address: int, precompiles_at: Callable[[str], Mapping[int, Precompile]], data: bytes) -> None:
    check(precompiles_at("osaka")[address], data)


@settings(max_examples=200)
@given(
    sizes=st.lists(st.integers(0, 70) | st.integers(0, 2**256 - 1), min_size=3, max_size=3),
    body=st.binary(max_size=300),
    fork=st.sampled_from(["byzantium", "berlin", "osaka"]),
)
def test_modexp_of_any_declared_sizes(
    precompiles_at: Callable[[str], Mapping[int, Precompile]], sizes: list[int], body: bytes, fork: str
) -> None:
    check(precompiles_at(fork)[0x05], b"".join(size.to_bytes(32, "big") for size in sizes) + body)


@pytest.mark.parametrize("address", [0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0D, 0x0F, 0x10, 0x11])
def test_garbage_of_the_right_size_fails(address: int, precompile: Callable[[int], PurePrecompile]) -> None:
    size = {0x06: 128, 0x07: 96, 0x08: 192, 0x0A: 192, 0x0B: 256, 0x0D: 512, 0x0F: 384, 0x10: 64, 0x11: 128}[address]
    data = b"\x5a" * size
    result = precompile(address).execute(ExecutionContext(input=data), data, MemoryState())
    assert result.state is ExecutionState.FAILED
