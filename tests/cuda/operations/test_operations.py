"""Every operation of the engine on a device, against the plain Python that says what it is; columns of every kind."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from coincurve import PrivateKey
from vmloom.engine.operations import Arithmetic, Digest, MerkleRoot, Operation, byte_columns, known_operations
from vmloom.factory import VmFactory
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.device.column import DeviceColumn
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.operations import signatures
from vmloom_native.cpu import CpuAccelerator

EDGES = [0, 1, 2, (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 255, (1 << 256) - 1]
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@functools.cache
def known() -> dict[str, Operation]:
    return known_operations(VmFactory().precompile_sets("evm"))


def names_of(kind: type[Operation]) -> list[str]:
    return sorted(name for name, operation in known_operations(()).items() if isinstance(operation, kind))


def filled(sizes: Sequence[int], seed: int = 0) -> list[bytes]:
    random = Random(seed)
    return [random.randbytes(size) for size in sizes]


def agrees(accelerator: CudaAccelerator, name: str, operands: Sequence[Any]) -> list[Any]:
    """What the device makes of operands, once it is what Python makes of them."""
    operation = known()[name]
    found = operation.unpack(accelerator.run(name, operation.pack(operands)))
    assert found == [operation.compute(one) for one in operands]
    return found


def test_it_offers_all_operations_of_the_engine(accelerator: CudaAccelerator) -> None:
    assert set(accelerator.capabilities()) == set(known())


# Hash functions


@pytest.mark.parametrize("name", names_of(Digest))
def test_digests_of_sizes_around_the_ends_of_blocks(accelerator: CudaAccelerator, name: str) -> None:
    sizes = {near for block in (64, 128, 136) for near in (block - 9, block - 8, block - 1, block, block + 1)}
    agrees(accelerator, name, filled([0, 1, 7, 8, 9, 31, 32, 300, *sorted(sizes)]))


@pytest.mark.parametrize("name", names_of(Digest))
@pytest.mark.parametrize("size", [0, 5, 8, 32, 64, 136, 137])
@pytest.mark.parametrize("count", [0, 1, 130])
def test_digests_of_rows_of_one_size(accelerator: CudaAccelerator, name: str, size: int, count: int) -> None:
    column = np.frombuffer(Random(size).randbytes(size * count), np.uint8).reshape(count, size)
    (found,) = accelerator.run(name, [column])
    assert (found.shape, found.dtype) == ((count, 32), np.uint8)
    sampled = {0, 1, 127, 128, count - 1} & set(range(count))
    assert all(found[row].tobytes() == known()[name].compute(column[row].tobytes()) for row in sampled)


@pytest.mark.parametrize("name", names_of(Digest))
def test_bytes_outside_of_rows_are_nobodys(accelerator: CudaAccelerator, name: str) -> None:
    data = np.frombuffer(filled([100])[0], np.uint8)
    (digests,) = accelerator.run(name, [data, np.array([3, 40, 40, 90], np.uint64)])
    rows = [data[a:b].tobytes() for a, b in ((3, 40), (40, 40), (40, 90))]
    assert [one.tobytes() for one in digests] == [known()[name].compute(row) for row in rows]


# Trees


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_roots_of_trees_of_every_size(accelerator: CudaAccelerator, name: str) -> None:
    agrees(accelerator, name, [filled([32] * count, count) for count in range(18)])


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_roots_of_trees_of_leaves_of_any_size(accelerator: CudaAccelerator, name: str) -> None:
    random = Random(name)
    trees = [[random.randrange(150) for _ in range(random.choice((0, 1, 2, 3, 11)))] for _ in range(20)]
    agrees(accelerator, name, [filled(sizes, seed) for seed, sizes in enumerate(trees)])


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_leaves_between_trees_are_nobodys(accelerator: CudaAccelerator, name: str) -> None:
    leaves = filled([9, 8, 7, 6, 5])
    columns = [*byte_columns(leaves), np.array([1, 3, 4], np.uint64)]
    (roots,) = accelerator.run(name, columns)
    assert [one.tobytes() for one in roots] == [known()[name].compute(part) for part in (leaves[1:3], leaves[3:4])]


# Words


@pytest.mark.parametrize("name", names_of(Arithmetic))
def test_arithmetic_on_edges_and_random_words(accelerator: CudaAccelerator, name: str) -> None:
    random = Random(name)
    fields = len(known()[name].fields)
    edges = [(x, y, EDGES[-1 - at])[:fields] for at, x in enumerate(EDGES) for y in EDGES]
    bits = (0, 8, 64, 130, 200, 256)
    drawn = [tuple(random.getrandbits(random.choice(bits) or 1) for _ in range(fields)) for _ in range(100)]
    agrees(accelerator, name, [*edges, *drawn])


# Signatures


def signature(number: int) -> bytes:
    secret, digest = (hashlib.sha256(b"%d %d" % (number, which)).digest() for which in range(2))
    signed = PrivateKey(secret).sign_recoverable(digest, hasher=None)
    return digest + (27 + signed[64]).to_bytes(32, "big") + signed[:64]


def test_who_signed(accelerator: CudaAccelerator) -> None:
    good = [signature(number) for number in range(6)]
    turned = [bytearray(one) for one in good]
    for number, one in enumerate(turned):
        one[(5, 63, 64, 90, 100, 127)[number]] ^= 1
    words = [
        good[0][:at] + word.to_bytes(32, "big") + good[0][at + 32 :]
        for at in (32, 64, 96)
        for word in (0, 29, ORDER, (1 << 256) - 1)
    ]
    found = agrees(accelerator, "ecrecover", [*good, *map(bytes, turned), *words])
    assert None in found
    assert len(set(found)) > 6


def test_signers_of_rows_that_share_inverses(accelerator: CudaAccelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "THREADS", 2)
    monkeypatch.setattr(signatures, "MOST_ROWS", 4)
    rows = [signature(number) for number in range(7)]
    rows[2] = rows[2][:64] + bytes(32) + rows[2][96:]
    rows[6] = rows[6][:96] + ORDER.to_bytes(32, "big")
    column = np.frombuffer(b"".join(rows), np.uint8).reshape(7, 128)
    addresses, found = accelerator.run("ecrecover", [column])
    assert found.tolist() == [True, True, False, True, True, True, False]
    expected = [known()["ecrecover"].compute(row) or bytes(20) for row in rows]
    assert [one.tobytes() for one in addresses] == expected
    (kept,) = accelerator.to_device(column)
    again, there = accelerator.run("ecrecover", [kept])
    assert again.to_host().tobytes() == addresses.tobytes()
    assert there.to_host().tolist() == found.tolist()
    none = accelerator.run("ecrecover", [column[:0]])
    assert [one.shape for one in none] == [(0, 20), (0,)]


@pytest.mark.parametrize(
    ("rows", "threads"), [(1, 1), (100, 100), (1 << 15, 1 << 15), (1 << 20, 1 << 15), (1 << 22, 1 << 17)]
)
def test_as_many_threads_invert_as_keep_a_device_busy(rows: int, threads: int) -> None:
    assert signatures.inverting_threads(rows) == threads


def test_rows_that_are_no_signature_have_no_signer(accelerator: CudaAccelerator) -> None:
    agrees(accelerator, "ecrecover", [b"", b"\0" * 128, b"\xff" * 128, signature(1) + b"more", signature(2)[:100]])


def test_signatures_of_one_size_and_of_any_are_the_same(accelerator: CudaAccelerator) -> None:
    rows = [signature(number) for number in range(3)]
    column = np.frombuffer(b"".join(rows), np.uint8).reshape(3, 128)
    ragged = accelerator.run("ecrecover", byte_columns(rows))
    for one, other in zip(accelerator.run("ecrecover", [column]), ragged, strict=True):
        assert (one == other).all()
        assert one.dtype == other.dtype


# Threads


def test_threads_in_another_order_come_to_the_same() -> None:
    backwards = CudaAccelerator(devices=[EmulatedDevice(backwards=True)])
    for name, operation in backwards._operations.items():
        columns = operation.on_host.sample(2 if name == "ecrecover" else 5)
        for found, expected in zip(backwards.run(name, columns), CpuAccelerator().run(name, columns), strict=True):
            assert (found == expected).all(), name
    assert backwards.performance()["fallbacks"] == 0


# Columns


REFUSED: list[tuple[str, Callable[[], list[Any]]]] = [
    ("u256_add", lambda: [np.zeros((1, 4), np.uint64)]),
    ("u256_add", lambda: [np.zeros((1, 4), np.uint64), np.zeros((2, 4), np.uint64)]),
    ("u256_add", lambda: [np.zeros((1, 4), np.int64)] * 2),
    ("keccak256", lambda: [np.zeros(4, np.uint8)]),
    ("keccak256", lambda: [np.zeros((4, 4), np.int8)]),
    ("keccak256", lambda: [np.zeros(4, np.uint8), np.array([0, 5], np.uint64)]),
    ("keccak256", lambda: [np.zeros(4, np.uint8), np.array([2, 1], np.uint64)]),
    ("keccak256", list),
    ("merkle_sha256", lambda: [np.zeros(4, np.uint8), np.array([0, 4], np.uint64)]),
    ("merkle_sha256", lambda: [np.zeros(4, np.uint8), np.array([0, 4], np.uint64), np.array([0, 2], np.uint64)]),
    ("ecrecover", lambda: [np.zeros((2, 128), np.uint16)]),
]


@pytest.mark.parametrize(("name", "columns"), REFUSED)
def test_columns_are_refused_in_the_words_of_the_accelerator_cpu(
    accelerator: CudaAccelerator, name: str, columns: Callable[[], list[Any]]
) -> None:
    with pytest.raises(ValueError) as on_host:
        CpuAccelerator().run(name, columns())
    with pytest.raises(ValueError) as on_device:
        accelerator.run(name, columns())
    assert str(on_device.value) == str(on_host.value)


def test_columns_with_gaps_are_packed(accelerator: CudaAccelerator) -> None:
    spaced = np.arange(40, dtype=np.uint64).reshape(10, 4)[::2]
    (found,) = accelerator.run("u256_sub", [spaced, spaced[::-1]])
    (expected,) = CpuAccelerator().run("u256_sub", [spaced, spaced[::-1]])
    assert (found == expected).all()


def test_operands_are_left_alone(accelerator: CudaAccelerator) -> None:
    operand = np.arange(8, dtype=np.uint64).reshape(2, 4)
    before = operand.copy()
    accelerator.run("u256_mul", [operand, operand])
    assert (operand == before).all()


# Columns that stay


def test_results_stay_where_the_operands_are(accelerator: CudaAccelerator) -> None:
    host = np.arange(4 * 64, dtype=np.uint64).astype(np.uint8).reshape(4, 64)
    (column,) = accelerator.to_device(host)
    (digests,) = accelerator.run("keccak256", [column])
    assert isinstance(digests, DeviceColumn)
    assert (len(digests), digests.shape, digests.dtype) == (4, (4, 32), np.uint8)
    (again,) = accelerator.run("sha256", [digests])
    first = [known()["keccak256"].compute(row.tobytes()) for row in host]
    assert [row.tobytes() for row in again.to_host()] == [known()["sha256"].compute(one) for one in first]
    assert (column.to_host() == host).all()


def test_a_tree_over_digests_that_never_left_the_device(accelerator: CudaAccelerator) -> None:
    rows = filled([64] * 11)
    (column,) = accelerator.to_device(np.frombuffer(b"".join(rows), np.uint8).reshape(11, 64))
    (digests,) = accelerator.run("keccak256", [column])
    offsets = np.arange(12, dtype=np.uint64) * np.uint64(32)
    trees = np.array([1, 1, 4, 11], np.uint64)  # not from the first leaf on, so that rows keep their own places
    (roots,) = accelerator.run("merkle_keccak256", [digests.reshape(352), offsets, trees])
    leaves = [known()["keccak256"].compute(row) for row in rows]
    expected = [known()["merkle_keccak256"].compute(part) for part in ([], leaves[1:4], leaves[4:])]
    assert [root.tobytes() for root in roots.to_host()] == expected


def test_columns_on_the_host_join_those_on_the_device(accelerator: CudaAccelerator) -> None:
    x, y = (np.arange(first, first + 8, dtype=np.uint64).reshape(2, 4) for first in (5, 9))
    (there,) = accelerator.to_device(x)
    (found,) = accelerator.run("u256_mul", [there, y])
    assert (found.to_host() == CpuAccelerator().run("u256_mul", [x, y])[0]).all()
    (data,) = accelerator.to_device(np.frombuffer(b"some bytes", np.uint8))
    (digests,) = accelerator.run("sha256", [data, np.array([0, 4, 10], np.uint64)])
    assert [row.tobytes() for row in digests.to_host()] == [hashlib.sha256(b).digest() for b in (b"some", b" bytes")]


@pytest.mark.parametrize(
    ("name", "shape", "kind", "message"),
    [
        ("u256_add", (2, 3), np.uint64, r"uint64 \(n, 4\), not uint64 \(2, 3\)"),
        ("u256_add", (2, 4), np.int64, "not int64"),
        ("keccak256", (8,), np.uint8, "two dimensions"),
        ("ecrecover", (2, 128), np.int8, "not int8"),
    ],
)
def test_columns_on_the_device_are_checked(
    accelerator: CudaAccelerator, name: str, shape: tuple[int, ...], kind: type, message: str
) -> None:
    (column,) = accelerator.to_device(np.zeros(shape, kind))
    operands = [column, column] if name == "u256_add" else [column]
    with pytest.raises(ValueError, match=message):
        accelerator.run(name, operands)


def test_columns_on_several_devices_are_refused(accelerator: CudaAccelerator) -> None:
    (here,) = accelerator.to_device(np.zeros((1, 4), np.uint64))
    elsewhere = DeviceColumn.of(EmulatedDevice(7), np.zeros((1, 4), np.uint64))
    with pytest.raises(ValueError, match=r"columns are on .* and "):
        accelerator.run("u256_add", [here, elsewhere])


def test_a_column_takes_another_shape_of_as_many_elements(accelerator: CudaAccelerator) -> None:
    (column,) = accelerator.to_device(np.arange(12, dtype=np.uint8))
    assert (column.reshape(3, 4).to_host() == np.arange(12).reshape(3, 4)).all()
    with pytest.raises(ValueError, match="cannot become"):
        column.reshape(5, 3)
