"""Row bodies as CPython runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from vmloom.engine.operations import MerkleRoot, byte_columns
from vmloom.hashing import keccak256
from vmloom.kernel import Ptr, keccak, pointer, u8, u64, u256
from vmloom_cuda.kernels import arithmetic, digests, in_registers, merkle, modules, recovery
from vmloom_cuda.operations.trees import begins_of
from vmloom_native.batches import precompile
from vmloom_native.cpu import installed_kernels
from vmloom_native.operations import SIGNATURE


def at(kind: Any, column: Any) -> Ptr[Any]:
    return pointer(kind, column.ctypes.data)


def test_digests_as_cpython_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "hash_bytes", keccak.keccak256)
    rows = [b"", b"some", bytes(136)]
    data, offsets = byte_columns(rows)
    output = np.zeros((3, 32), np.uint8)
    for row in range(3):
        digests.digest(row, 3, at(u8, data), at(u64, offsets), at(u8, output))
    assert [one.tobytes() for one in output] == [keccak256(row) for row in rows]
    column = np.arange(16, dtype=np.uint8).reshape(2, 8)
    for row in range(2):
        digests.digest_of_size(row, 2, at(u8, column), 8, at(u8, output))
    assert [one.tobytes() for one in output[:2]] == [keccak256(row.tobytes()) for row in column]


def test_trees_as_cpython_runs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "hash_bytes", keccak.keccak256)
    forest = [[], [b"a", b"bc", bytes(40)], [b"single"], [], [b"1", b"2"]]
    data, offsets = byte_columns([leaf for tree in forest for leaf in tree])
    begins = begins_of(np.array([len(tree) for tree in forest]))
    leaves, trees = int(begins[-1]), len(forest)
    room = np.zeros(len(data) + 16 * leaves, np.uint8)
    nodes, spare = np.zeros((leaves, 4), np.uint64), np.zeros((leaves, 4), np.uint64)
    for row in range(leaves):
        merkle.leaf(row, leaves, at(u8, data), at(u64, offsets), at(u8, room), at(u8, nodes))
    for _ in range(2):
        above = begins_of((np.diff(begins) + np.uint64(1)) >> np.uint64(1))
        for row in range(int(above[-1])):
            given = (at(u64, nodes), at(u64, begins), at(u64, above), trees, at(u64, spare))
            merkle.level(row, int(above[-1]), *given)
        nodes, spare, begins = spare, nodes, above
    roots = np.zeros((trees, 4), np.uint64)
    for row in range(trees):
        merkle.root(row, trees, at(u64, nodes), at(u64, begins), at(u64, roots))
    operation = MerkleRoot("merkle_keccak256", keccak256)
    assert [root.tobytes() for root in roots] == [operation.compute(tree) for tree in forest]


@pytest.mark.parametrize("name", arithmetic.ROWS)
def test_arithmetic_as_cpython_runs_it(name: str) -> None:
    numbers = [np.array([[3 + operand, 1, 0, 5], [7, 0, 0, operand]], np.uint64) for operand in range(3)]
    body = arithmetic.ROWS[name]
    operands = numbers[: body.__code__.co_argcount - 3]
    result = np.zeros((2, 4), np.uint64)
    for row in range(2):
        body(row, 2, *(at(u256, column) for column in operands), at(u256, result))
    expected = np.zeros((2, 4), np.uint64)
    modules.words().host().run(name, 2, *(column.ctypes.data for column in operands), expected.ctypes.data)
    assert (result == expected).all()


def test_recovery_as_cpython_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = installed_kernels()
    if "ECRECOVER" not in kernels:
        pytest.skip("no installed precompile has an ECRECOVER kernel")
    assert recovery.precompile is precompile
    monkeypatch.setattr(recovery, "precompile", kernels["ECRECOVER"].run)
    data = np.frombuffer(SIGNATURE + bytes(128), np.uint8)
    addresses, found = np.ones((2, 20), np.uint8), np.ones(2, np.uint8)
    for row in range(2):
        recovery.recover_of_size(row, 2, at(u8, data), 128, at(u8, addresses), at(u8, found))
    assert addresses[0].tobytes().hex() == "7156526fbd7a3c72969b54f64e42c10fbb768c8a"
    assert (found.tolist(), addresses[1].any()) == ([1, 0], False)


@pytest.mark.parametrize("size", digests.KNOWN_SIZES)
def test_known_sizes_are_what_they_are_called(size: int) -> None:
    assert digests.KNOWN_SIZES[size](u64(0)) == size
    assert digests.known_size(u64(size)) == size


@pytest.mark.parametrize("size", [0, 1, 7, 8, 64, 127, 128, 135])
def test_states_in_registers_absorb_what_others_do(size: int) -> None:
    data = np.frombuffer(bytes(range(1, size + 1)).ljust(136), np.uint8).copy()
    states = np.arange(50, dtype=np.uint64).reshape(2, 25)
    states[1] = states[0]
    for state, add_words in zip(states, (keccak.add_words, in_registers.add_words), strict=True):
        last = keccak.last_word(at(u8, data), u64(size))
        add_words(at(u64, state), u64(1), at(u8, data), u64(size >> 3), last)
    assert (states[0] == states[1]).all()
    assert (states[0] != np.arange(25, dtype=np.uint64)).any()


def test_passes_are_for_the_kernel_that_they_are_of() -> None:
    def another(data: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
        return u64(0)

    assert modules.recoveries_in_passes(another) is None
