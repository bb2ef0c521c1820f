"""The kernels of the hashes and the copy agree with the precompiles' Python, in CPython and compiled."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from vmloom.kernel import fill, local, start, u8, view
from vmloom.kernel.room import usual_room
from vmloom.precompile import FAILED, PrecompileFailure, PrecompileKernel, PurePrecompile
from vmloom_native.llvm import processor_features
from vmloom_native.testing import Compiled
from vmloom_precompiles_classic.kernels import blake2f, identity, ripemd160, sha256

Find = Callable[[int], PurePrecompile]
Call = Callable[..., Any]
DATA = (0x02, 0x03, 0x04)
CANARY = 0xA5
FEATURES = processor_features().split(",")


def outcome(kernel: PrecompileKernel, data: bytes, call: Call) -> tuple[int, bytes | None]:
    """Gas and output, None if it fails. Nothing may be written beyond the room that output has."""
    room = usual_room(start(data), len(data))
    output = local(u8, room + 8)
    fill(output, CANARY, room + 8)
    gas = call(kernel.gas, start(data), len(data))
    size = call(kernel.run, start(data), len(data), output)
    written = bytes(view(output, room + 8))
    assert written[room:] == bytes([CANARY]) * 8
    return gas, None if size == FAILED else written[:size]


def expected(precompile: PurePrecompile, data: bytes) -> tuple[int, bytes | None]:
    try:
        return precompile.gas_cost(data), precompile.compute(data)
    except PrecompileFailure:
        return precompile.gas_cost(data), None


def interpreted(function: Call, *arguments: Any) -> Any:
    return function(*arguments)


def kernel_of(precompile: PurePrecompile) -> PrecompileKernel:
    assert precompile.kernel is not None
    return precompile.kernel


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    modules = (sha256, ripemd160, identity, blake2f)
    return Compiled(*(it.gas for it in modules), *(it.run for it in modules))


def blake2f_input(rounds: int, seed: int, flag: int) -> bytes:
    return rounds.to_bytes(4, "big") + random.Random(seed).randbytes(208) + bytes([flag])


@pytest.mark.parametrize("address", DATA)
def test_interpreted(precompile: Find, address: int) -> None:
    for size in (0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 119, 120, 127, 128, 300):
        data = random.Random(size).randbytes(size)
        found = precompile(address)
        assert outcome(kernel_of(found), data, interpreted) == expected(found, data)


@pytest.mark.parametrize("address", DATA)
def test_compiled_of_every_length(precompile: Find, compiled: Compiled, address: int) -> None:
    found = precompile(address)
    source = random.Random(address).randbytes(700)
    for size in range(301):
        data = source[size : 2 * size]
        assert outcome(kernel_of(found), data, compiled) == expected(found, data), size


@pytest.mark.parametrize("address", DATA)
def test_compiled_of_long_input(precompile: Find, compiled: Compiled, address: int) -> None:
    data = random.Random(address).randbytes(100_003)
    assert outcome(kernel_of(precompile(address)), data, compiled) == expected(precompile(address), data)


@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_blake2f(precompile: Find, compiled: Compiled, engine: str) -> None:
    call = compiled if engine == "compiled" else interpreted
    found = precompile(0x09)
    inputs = [blake2f_input(rounds, rounds, rounds & 1) for rounds in (*range(23), 40)]
    inputs += [b"", bytes(212), bytes(214), blake2f_input(2**32 - 1, 1, 2)]
    for data in inputs:
        assert outcome(kernel_of(found), data, call) == expected(found, data)


def test_blake2f_gas_of_the_most_rounds(precompile: Find, compiled: Compiled) -> None:
    data = blake2f_input(2**32 - 1, 1, 1)
    assert compiled(kernel_of(precompile(0x09)).gas, start(data), len(data)) == 2**32 - 1


@pytest.mark.skipif("+sha" not in FEATURES, reason="this processor has no SHA instructions")
def test_sha256_in_the_instructions_for_it(precompile: Find) -> None:
    features = frozenset(it[1:] for it in FEATURES if it.startswith("+"))
    compiled = Compiled(sha256.gas, sha256.run, cpu_features=features)
    assert "llvm.x86.sha256rnds2" in compiled.ir
    found = precompile(0x02)
    for size in (*range(301), 100_003):
        data = random.Random(size).randbytes(size)
        assert outcome(kernel_of(found), data, compiled) == expected(found, data), size
