"""Precompiles that are kernels: run natively, with the room that they ask for, and compiled when first called."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from vmloom.kernel import Ptr, fill, u8, u64
from vmloom.precompile import FAILED, PrecompileFailure, PrecompileKernel, PurePrecompile
from vmloom_evm.assembly import (
    Bytecode,
    add,
    call,
    calldataload,
    joined,
    keccak256,
    mload,
    mstore,
    mstore8,
    pop,
    ret_top,
    xor,
)
from vmloom_evm.native import guests

from .conftest import Pair

SIZE = 100_000
"""Bytes of output; more than the memory that there is at first."""
FILLER = 0x77


def gas(input: Ptr[u8], size: u64) -> u64:
    return u64(40)


def room(input: Ptr[u8], size: u64) -> u64:
    return FAILED if size != 0 and input[0] == 0 else u64(SIZE)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    fill(output, input[0] if size != 0 else 1, SIZE)
    return u64(SIZE)


class Filler(PurePrecompile):
    """Repeats the first byte of the input, which must not be 0."""

    name = "FILLER"
    computed = 0

    def gas_cost(self, input: bytes) -> int:
        return 40

    def compute(self, input: bytes) -> bytes:
        Filler.computed += 1
        if input[:1] == b"\0":
            raise PrecompileFailure("it is 0")
        return (input[:1] or b"\1") * SIZE

    @property
    def kernel(self) -> PrecompileKernel:
        return PrecompileKernel(gas, run, room)


@pytest.fixture
def filling() -> Iterator[Pair]:
    sys.modules["filling"] = sys.modules[__name__]
    Filler.computed = 0
    yield Pair(precompiles={f"{FILLER:#x}": "filling:Filler"})
    del sys.modules["filling"]


def calls(first_bytes: bytes, gas: int = 5_000) -> Bytecode:
    """Call with each of the bytes, and return a word that depends on all outputs and on which calls went well."""
    one = [
        mstore8(0, byte) + mstore(32, add(mload(32), call(FILLER, gas=gas, input=(0, 1), output=(64, SIZE))))
        for byte in first_bytes
    ]
    return joined(*(it + mstore(32, xor(mload(32), keccak256(64, SIZE))) for it in one)) + ret_top(mload(32))


def test_kernel_has_the_room_that_it_asks_for(filling: Pair) -> None:
    assert filling.run(calls(b"\x01\x02\xff"), gas=10_000_000).success
    assert Filler.computed == 3, "only the reference engine has run the Python"


def test_kernel_that_refuses_room_fails(filling: Pair) -> None:
    assert filling.run(calls(b"\x00\x05\x00"), gas=10_000_000).success
    assert filling.run(calls(b"\x05", gas=39), gas=10_000_000).success


def test_transaction_to_a_kernel(filling: Pair) -> None:
    to = FILLER.to_bytes(20, "big")
    assert filling.transact(to, data=b"\x07").success
    assert not filling.transact(to, data=b"\x00").success


def test_kernels_are_loaded_when_they_are_called(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[PrecompileKernel, object] = {}
    monkeypatch.setattr(guests, "_libraries", loaded)
    pair.run(pop(call(2, input=(0, 32), output=(0, 32))) + ret_top(mload(0)))
    assert len(loaded) == 1
    pair.run(pop(call(4, input=(0, 32), output=(0, 32))) + ret_top(calldataload(0)))
    assert len(loaded) == 2
