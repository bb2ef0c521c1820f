"""Every operation of the engine on the accelerator `cpu`, against the plain Python that says what it is."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from coincurve import PrivateKey
from Crypto.Hash import keccak as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.engine.operations import Arithmetic, Digest, MerkleRoot, Operation, byte_columns, known_operations
from vmloom.factory import VmFactory
from vmloom.kernel import address_of, local, pointer, u8, u64
from vmloom.precompile import PrecompileKernel
from vmloom_native.config import CpuConfig
from vmloom_native.cpu import CpuAccelerator, installed_kernels
from vmloom_native.lanes import blake2b, keccak, rows, sha256
from vmloom_native.operations import LaneHash, PrecompileHash, sha256_function
from vmloom_native.program import Program

LANES = {"keccak256": keccak, "sha256": sha256, "blake2b_256": blake2b}
HASHES: dict[str, Callable[[bytes], bytes]] = {
    "keccak256": lambda data: reference.new(data=data, digest_bits=256).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "blake2b_256": lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}
BLOCKS = (64, 128, 136)
NEAR_BLOCKS = sorted(
    {near for size in BLOCKS for many in (1, 2, 3) for near in range(size * many - 10, size * many + 3)}
)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from(NEAR_BLOCKS))
WORDS = st.one_of(
    st.integers(0, 3), st.integers(0, 256).map(lambda bits: (1 << bits) - 1), st.integers(0, (1 << 256) - 1)
)


@functools.cache
def accelerator(threads: int) -> CpuAccelerator:
    return CpuAccelerator(CpuConfig(threads=threads))


@functools.cache
def known() -> dict[str, Operation]:
    return known_operations(VmFactory().precompile_sets("evm"))


def names_of(kind: type[Operation]) -> list[str]:
    return sorted(name for name, operation in known_operations(()).items() if isinstance(operation, kind))


def accelerated(name: str, operands: Sequence[Any], threads: int = 1) -> list[Any]:
    operation = known()[name]
    return operation.unpack(accelerator(threads).run(name, operation.pack(operands)))


def in_python(name: str, operands: Sequence[Any]) -> list[Any]:
    return [known()[name].compute(one) for one in operands]


def filled(sizes: Sequence[int], seed: int = 0) -> list[bytes]:
    random = Random(seed)
    return [random.randbytes(size) for size in sizes]


def test_it_offers_all_operations_of_the_engine() -> None:
    assert set(accelerator(1).capabilities()) == set(known())


# Hash functions


@pytest.mark.parametrize("name", names_of(Digest))
@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(SIZES, max_size=40), seed=st.integers(0, 1000))
def test_digests_of_rows_of_any_size(name: str, sizes: list[int], seed: int) -> None:
    data = filled(sizes, seed)
    assert accelerated(name, data) == in_python(name, data)


@pytest.mark.parametrize("name", names_of(Digest))
def test_digests_of_every_size_to_several_blocks(name: str) -> None:
    data = filled(range(420))
    assert accelerated(name, data) == [HASHES[name](row) for row in data]


@pytest.mark.parametrize("name", names_of(Digest))
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 15, 16, 17, 33])
def test_digests_of_more_and_fewer_rows_than_lanes(name: str, count: int) -> None:
    column = np.frombuffer(Random(count).randbytes(64 * count), np.uint8).reshape(count, 64)
    (digests,) = accelerator(1).run(name, [column])
    assert (digests.shape, digests.dtype) == ((count, 32), np.uint8)
    assert [row.tobytes() for row in digests] == [HASHES[name](row.tobytes()) for row in column]


@pytest.mark.parametrize("name", names_of(Digest))
def test_one_long_row_among_short_ones(name: str) -> None:
    data = filled([5, 100_000, 0, 70, *range(30)])
    assert accelerated(name, data) == in_python(name, data)


@pytest.mark.parametrize("name", names_of(Digest))
def test_digests_on_several_threads(name: str) -> None:
    data = filled([Random(at).randrange(200) for at in range(5_000)] + [300_000])
    assert accelerated(name, data, threads=3) == in_python(name, data)


@pytest.mark.parametrize("name", names_of(Digest))
def test_bytes_outside_of_rows_are_nobodys(name: str) -> None:
    data = np.frombuffer(filled([100])[0], np.uint8)
    (digests,) = accelerator(1).run(name, [data, np.array([3, 40, 40, 90], np.uint64)])
    assert [row.tobytes() for row in digests] == [
        HASHES[name](data[a:b].tobytes()) for a, b in ((3, 40), (40, 40), (40, 90))
    ]


def in_cpython(kernels: ModuleType, data: Sequence[bytes], monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The digests by the kernels as CPython runs them."""
    for one in ("lanes", "blocks", "begin", "take", "mix", "end"):
        monkeypatch.setattr(rows, one, getattr(kernels, one))
    joined, offsets = byte_columns(data)
    output = local(u8, 32 * len(data))
    places = (pointer(u8, joined.ctypes.data), pointer(u64, offsets.ctypes.data))
    rows.digests(*places, output, len(data))
    packed = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_uint8 * (32 * len(data))).from_address(address_of(output)))
    return [row.tobytes() for row in packed.reshape(-1, 32)]


@pytest.mark.parametrize("name", LANES)
def test_kernels_mean_the_same_to_cpython(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = filled([0, 137, 55])
    assert in_cpython(LANES[name], data, monkeypatch) == [HASHES[name](row) for row in data]


@pytest.mark.parametrize("name", LANES)
def test_lanes_become_vectors(name: str) -> None:
    from vmloom_native.codegen import emit_assembly
    from vmloom_native.llvm import present_features

    if not present_features() & {"avx2", "avx512f", "neon"}:
        pytest.skip("this processor has no long vectors")
    names = ("lanes", "blocks", "begin", "take", "mix", "end")
    program = Program(replacements={getattr(rows, one): getattr(LANES[name], one) for one in names})
    program.export("run", rows.digests)

    def vector_instructions(vectorised: bool) -> int:
        lines = emit_assembly(program.ir(), vectorised=vectorised).splitlines()
        return sum(any(register in line for register in ("ymm", "zmm", ".2d", ".4s")) for line in lines)

    assert vector_instructions(True) > 100 > vector_instructions(False)


def test_sha256_is_what_the_processor_does_fastest() -> None:
    kernels = installed_kernels()
    assert isinstance(sha256_function(kernels, frozenset({"sha", "avx2"})), PrecompileHash)
    assert isinstance(sha256_function(kernels, frozenset({"sha", "avx2", "avx512f"})), LaneHash)
    assert isinstance(sha256_function(kernels, frozenset({"avx2"})), LaneHash)
    assert isinstance(sha256_function({}, frozenset({"sha", "avx2"})), LaneHash)


@pytest.mark.parametrize("function", [LaneHash(sha256), PrecompileHash("sha256", installed_kernels()["SHA256"].run)])
def test_both_ways_to_sha256_agree(function: LaneHash | PrecompileHash) -> None:
    data = filled(range(300))
    joined, offsets = byte_columns(data)
    output = np.empty((len(data), 32), np.uint8)
    function.run(joined, offsets, output)
    assert [row.tobytes() for row in output] == [HASHES["sha256"](row) for row in data]


# Trees


@pytest.mark.parametrize("name", names_of(MerkleRoot))
@settings(max_examples=40, deadline=None)
@given(trees=st.lists(st.lists(st.integers(0, 140), max_size=20), max_size=8), seed=st.integers(0, 1000))
def test_roots_of_trees_of_any_shape(name: str, trees: list[list[int]], seed: int) -> None:
    leaves = [filled(sizes, seed) for sizes in trees]
    assert accelerated(name, leaves) == in_python(name, leaves)


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_roots_of_trees_of_every_size(name: str) -> None:
    leaves = [filled([32] * count, count) for count in range(70)]
    assert accelerated(name, leaves) == in_python(name, leaves)


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_a_large_tree_on_several_threads(name: str) -> None:
    leaves = [filled([40] * 3_001), [], filled([1])]
    assert accelerated(name, leaves, threads=3) == in_python(name, leaves)


@pytest.mark.parametrize("name", names_of(MerkleRoot))
def test_leaves_between_trees_are_nobodys(name: str) -> None:
    leaves = filled([9, 8, 7, 6, 5])
    columns = byte_columns(leaves)
    (roots,) = accelerator(1).run(name, [*columns, np.array([1, 3, 4], np.uint64)])
    assert [root.tobytes() for root in roots] == in_python(name, [leaves[1:3], leaves[3:4]])


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        ([0, 4], "trees should rise, n \\+ 1 of them for n rows, to at most 3"),
        ([2, 1], "trees should rise"),
        ([], "trees should rise"),
        (None, "not 2 columns"),
    ],
)
def test_trees_that_lead_outside_are_refused(trees: list[int] | None, message: str) -> None:
    columns = byte_columns(filled([1, 2, 3]))
    if trees is not None:
        columns.append(np.array(trees, np.uint64))
    with pytest.raises(ValueError, match=message):
        accelerator(1).run("merkle_sha256", columns)


def test_trees_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="not int64"):
        accelerator(1).run("merkle_sha256", [*byte_columns(filled([1])), np.array([0, 1])])


# Words


@pytest.mark.parametrize("name", names_of(Arithmetic))
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_arithmetic_on_any_words(name: str, data: st.DataObject) -> None:
    operand = st.tuples(*[WORDS] * len(known()[name].fields))
    operands = data.draw(st.lists(operand, min_size=1, max_size=30))
    assert accelerated(name, operands) == in_python(name, operands)


@pytest.mark.parametrize("name", names_of(Arithmetic))
def test_arithmetic_with_zero_on_several_threads(name: str) -> None:
    random = Random(name)
    count = len(known()[name].fields)
    operands = [tuple(random.choice((0, 1, random.getrandbits(256))) for _ in range(count)) for _ in range(9_000)]
    assert accelerated(name, operands, threads=2) == in_python(name, operands)


# Signatures


def signature(number: int) -> bytes:
    secret, digest = (hashlib.sha256(b"%d %d" % (number, which)).digest() for which in range(2))
    signed = PrivateKey(secret).sign_recoverable(digest, hasher=None)
    return digest + (27 + signed[64]).to_bytes(32, "big") + signed[:64]


@pytest.fixture(scope="module")
def signatures() -> list[bytes]:
    """Good ones, and such with a bit turned around, or a word of another kind."""
    good = [signature(number) for number in range(40)]
    random = Random(1)
    turned = [bytearray(one) for one in good]
    for one in turned:
        one[random.choice([random.randrange(32), 63, random.randrange(64, 128)])] ^= 1 << random.randrange(8)
    words = [
        one[:at] + word.to_bytes(32, "big") + one[at + 32 :]
        for one in good[:4]
        for at in (32, 64, 96)
        for word in EDGES
    ]
    return [*good, *map(bytes, turned), *words]


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
EDGES = [0, 1, 27, 28, 29, ORDER - 1, ORDER, ORDER + 1, (1 << 256) - 1, 27 << 8]


@pytest.mark.parametrize("threads", [1, 3])
def test_who_signed(signatures: list[bytes], threads: int) -> None:
    found = accelerated("ecrecover", signatures, threads)
    assert found == in_python("ecrecover", signatures)
    assert None in found
    assert len(set(found)) > 40


def test_rows_that_are_no_signature_have_no_signer() -> None:
    assert accelerated("ecrecover", [b"", b"\0" * 128, b"\xff" * 128]) == [None, None, None]


def test_without_precompiles_there_is_no_ecrecover() -> None:
    from vmloom_native.operations import operations

    kernel = PrecompileKernel(lambda *_: 0, lambda *_: 0)
    assert "ecrecover" not in operations({})
    assert "ecrecover" in operations({"ECRECOVER": kernel})
    assert set(operations({"ECRECOVER": kernel})) == set(known())
