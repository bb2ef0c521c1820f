"""What the accelerator `cpu` can do with a batch: the columns an operation takes, and the compiled loop that runs them.

Imports NumPy, so it is only imported to run something.
"""

from __future__ import annotations

import ctypes
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from vmloom.precompile import OUTPUT_ROOM, PrecompileKernel

from . import batches
from .build import compiled
from .columns import Column, after, byte_rows, trees, words
from .lanes import blake2b, keccak, rows, sha256
from .library import Library
from .llvm import present_features
from .program import Program

DIGEST_SIZE: Final = 32
LEAF: Final = 0
NODE: Final = 1
"""What stands before a leaf and before the two children of a node, when their hash is taken. RFC 6962, 2.1."""
ROW: Final = 64
"""Bytes of the rows that hash functions are measured with, and what a row costs beside its bytes."""
LEAVES: Final = 16
"""Leaves, of 32 bytes each, of the trees that are measured."""
ARITHMETIC: Final = {
    "u256_add": batches.add,
    "u256_sub": batches.sub,
    "u256_mul": batches.mul,
    "u256_div": batches.div,
    "u256_mod": batches.mod,
    "u256_addmod": batches.addmod,
    "u256_mulmod": batches.mulmod,
    "u256_exp": batches.exp,
}
SIGNATURE: Final = bytes.fromhex(
    "456e9aea5e197a1f1af7a3e85a3212fa4049a3ba34c2289b4c860fc0b0c64ef3"
    "000000000000000000000000000000000000000000000000000000000000001c"
    "9242685bf161793cc25603c231bc2f568eb630ea16aa137d2664ac8038825608"
    "4f8ae3bd7535248d0bd448298cc2e2071e56992d0774dc340c368ae950852ada"
)
"""One that can be recovered, to measure with: others are soon done with."""


class Spread(Protocol):
    """Runs a batch on threads."""

    def __call__(self, costs: Column | int, part: Callable[[int, int], None]) -> None:
        """Call `part(first, end)` for parts that together are all rows, maybe at the same time.

        `costs` are how many rows there are, if all cost the same, or what all rows before each and before the end cost.
        The unit is an operation's `grain` of what is worth a thread.
        """


class Operation(ABC):
    """An operation. `grain` is how much is worth a thread, in the unit of the costs that it tells; see `Spread`."""

    grain: ClassVar[int]
    item_size: ClassVar[int] = 0
    """Bytes of a row of `sample`, where rows may be of any size."""

    @abstractmethod
    def run(self, columns: Sequence[Any], spread: Spread) -> tuple[Column, ...]:
        """The results. Raises `ValueError` for other columns than it takes."""

    @abstractmethod
    def sample(self, rows: int) -> tuple[Column, ...]:
        """Columns of that many rows, to measure with."""


class Arithmetic(Operation):
    """On words of 256 bits: as many columns as its kernel has operands, and one result."""

    grain = 4096

    def __init__(self, name: str) -> None:
        self.name = name
        self.operands = ARITHMETIC[name].__code__.co_argcount - 2

    def run(self, columns: Sequence[Any], spread: Spread) -> tuple[Column, ...]:
        """Columns u64 (n, 4), least significant first; so is the result."""
        operands = words(self.name, columns, self.operands)
        result = np.empty_like(operands[0])
        function = _function(_arithmetic(), self.name, self.operands + 1)

        def part(first: int, end: int) -> None:
            function(*(column[first:].ctypes.data for column in (*operands, result)), end - first)

        spread(len(result), part)
        return (result,)

    def sample(self, rows: int) -> tuple[Column, ...]:
        """Random words."""
        random = np.random.default_rng(0)
        return tuple(random.integers(0, 1 << 64, (rows, 4), dtype=np.uint64) for _ in range(self.operands))


# Functions of rows of bytes to 32 bytes


class RowHash(ABC):
    """A hash function of rows, compiled when first used."""

    @abstractmethod
    def run(self, data: Column, offsets: Column, output: Column) -> None:
        """Write the digests, u8 (n, 32), of the rows between n + 1 offsets."""

    def spread(self, data: Column, offsets: Column, spread: Spread) -> Column:
        """The digests of all rows, on threads."""
        output = np.empty((len(offsets) - 1, DIGEST_SIZE), np.uint8)

        def part(first: int, end: int) -> None:
            self.run(data, offsets[first : end + 1], output[first:end])

        spread(offsets + np.arange(len(offsets), dtype=np.uint64) * np.uint64(ROW), part)
        return output


class LaneHash(RowHash):
    """Many rows at once, by the kernels of a module of `lanes`."""

    def __init__(self, kernels: ModuleType) -> None:
        self.kernels = kernels

    def run(self, data: Column, offsets: Column, output: Column) -> None:
        """See `RowHash`."""
        self._run(data.ctypes.data, offsets.ctypes.data, output.ctypes.data, len(output))

    @functools.cached_property
    def _run(self) -> Any:
        name = self.kernels.__name__.rpartition(".")[2]
        names = ("lanes", "blocks", "begin", "take", "mix", "end")
        replacements = {getattr(rows, one): getattr(self.kernels, one) for one in names}
        library = _built(("lanes", name), name, {"run": rows.digests}, replacements, vectorised=True)
        return _function(library, "run", 3)


class PrecompileHash(RowHash):
    """One row after the other, by the kernel of a precompile whose output has 32 bytes, or none."""

    def __init__(self, name: str, kernel: Callable[..., Any]) -> None:
        self.name, self.kernel = name, kernel

    def run(self, data: Column, offsets: Column, output: Column) -> None:
        """See `RowHash`."""
        self.complete(data, offsets, output)

    def complete(self, data: Column, offsets: Column, output: Column) -> Column:
        """Write the outputs, and return of which rows there is one."""
        room = np.empty(max(OUTPUT_ROOM, int(np.diff(offsets).max(initial=0))), np.uint8)
        sizes = np.empty(len(output), np.uint64)
        self._run(*(column.ctypes.data for column in (data, offsets, room, output, sizes)), len(output))
        return np.asarray(sizes == DIGEST_SIZE)

    @functools.cached_property
    def _run(self) -> Any:
        # The kernel may be anybody's, from any number of modules, so the key is that of what it compiles to.
        library = _built(None, self.name, {"run": batches.precompiled}, {batches.precompile: self.kernel})
        return _function(library, "run", 5)


class Digests(Operation):
    """The hash of each row."""

    grain = 256 * 2 * ROW
    item_size = ROW

    def __init__(self, function: RowHash) -> None:
        self.function = function

    def run(self, columns: Sequence[Any], spread: Spread) -> tuple[Column, ...]:
        """Rows of bytes; the result is u8 (n, 32)."""
        return (self.function.spread(*byte_rows(columns), spread),)

    def sample(self, rows: int) -> tuple[Column, ...]:
        """Two words, as the key of a mapping has."""
        return (np.random.default_rng(0).integers(0, 256, (rows, ROW), dtype=np.uint8),)


class MerkleRoots(Operation):
    """The roots of trees over rows of bytes. RFC 6962, 2.1: what is left over on a level moves up."""

    grain = Digests.grain
    item_size = LEAVES * DIGEST_SIZE

    def __init__(self, function: RowHash) -> None:
        self.function = function

    def run(self, columns: Sequence[Any], spread: Spread) -> tuple[Column, ...]:
        """Bytes, offsets of leaves, and u64 (n + 1), where each tree's leaves begin; the result is u8 (n, 32)."""
        data, offsets, sizes = trees(columns)
        nodes = self.function.spread(*after(LEAF, data, offsets), spread)
        while len(sizes) and sizes.max() > 1:
            nodes, sizes = self._level_above(nodes, sizes, spread)
        roots = np.empty((len(sizes), DIGEST_SIZE), np.uint8)
        roots[sizes == 1] = nodes
        roots[sizes == 0] = self.function.spread(np.empty(0, np.uint8), np.zeros(2, np.uint64), spread)
        return (roots,)

    def _level_above(self, nodes: Column, sizes: Column, spread: Spread) -> tuple[Column, Column]:
        """The next level of all trees together: `nodes` of one behind the other, `sizes` how many each has."""
        place = np.arange(len(nodes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        last = place == np.repeat(sizes, sizes) - 1
        left = (place & 1 == 0) & ~last
        kept = (place & 1 == 0) & last
        pairs = np.empty((int(left.sum()), 1 + 2 * DIGEST_SIZE), np.uint8)
        pairs[:, 0] = NODE
        pairs[:, 1 : 1 + DIGEST_SIZE] = nodes[left]
        pairs[:, 1 + DIGEST_SIZE :] = nodes[np.flatnonzero(left) + 1]
        above = np.empty((int(left.sum() + kept.sum()), DIGEST_SIZE), np.uint8)
        moved = kept[left | kept]
        above[~moved] = self.function.spread(*byte_rows([pairs]), spread)
        above[moved] = nodes[kept]
        return above, (sizes + 1) >> 1

    def sample(self, rows: int) -> tuple[Column, ...]:
        """Trees of 16 leaves."""
        leaves = np.random.default_rng(0).integers(0, 256, rows * LEAVES * DIGEST_SIZE, dtype=np.uint8)
        offsets = np.arange(rows * LEAVES + 1, dtype=np.uint64) * np.uint64(DIGEST_SIZE)
        return leaves, offsets, np.arange(rows + 1, dtype=np.uint64) * np.uint64(LEAVES)


class Recoveries(Operation):
    """Who has signed: rows of hash, v, r and s."""

    grain = 8

    def __init__(self, function: PrecompileHash) -> None:
        self.function = function

    def run(self, columns: Sequence[Any], spread: Spread) -> tuple[Column, ...]:
        """Addresses u8 (n, 20), zero where there is none, and bool (n): whether there is one."""
        data, offsets = byte_rows(columns)
        output = np.zeros((len(offsets) - 1, DIGEST_SIZE), np.uint8)
        complete = np.zeros(len(output), bool)

        def part(first: int, end: int) -> None:
            complete[first:end] = self.function.complete(data, offsets[first : end + 1], output[first:end])

        spread(len(output), part)
        return np.where(complete[:, None], output[:, 12:], np.uint8(0)), complete

    def sample(self, rows: int) -> tuple[Column, ...]:
        """The same signature in every row."""
        return (np.tile(np.frombuffer(SIGNATURE, np.uint8), (rows, 1)),)


def operations(kernels: dict[str, PrecompileKernel]) -> dict[str, Operation]:
    """All of them by name; `ecrecover` where `kernels`, by the field's names for precompiles, has its kernel."""
    sha = sha256_function(kernels, present_features())
    found: dict[str, Operation] = {name: Arithmetic(name) for name in ARITHMETIC}
    found["keccak256"] = Digests(LaneHash(keccak))
    found["sha256"] = Digests(sha)
    found["blake2b_256"] = Digests(LaneHash(blake2b))
    found["merkle_keccak256"] = MerkleRoots(LaneHash(keccak))
    found["merkle_sha256"] = MerkleRoots(sha)
    if "ECRECOVER" in kernels:
        found["ecrecover"] = Recoveries(PrecompileHash("ecrecover", kernels["ECRECOVER"].run))
    return found


def sha256_function(kernels: dict[str, PrecompileKernel], features: frozenset[str]) -> RowHash:
    """SHA-256 in lanes; one by one by the processor's own instructions for it where its vectors are too short.

    Of 64 bytes, lanes take 0.6 of the time of the instructions with AVX-512, and 1.3 with AVX2.
    """
    if "SHA256" in kernels and "sha" in features and "avx512f" not in features:
        return PrecompileHash("sha256", kernels["SHA256"].run)
    return LaneHash(sha256)


# Compiled loops


@functools.cache
def _arithmetic() -> Library:
    return _built(("batches", "arithmetic"), "256-bit arithmetic", ARITHMETIC, {})


def _built(
    parts: tuple[str, ...] | None,
    subject: str,
    exports: dict[str, Any],
    replacements: dict[Any, Any],
    *,
    vectorised: bool = False,
) -> Library:
    def make_ir() -> str:
        program = Program(replacements=replacements, cpu_features=present_features())
        for name, function in exports.items():
            program.export(name, function)
        return program.ir()

    return compiled(parts, make_ir, subject=f"batches of {subject}", vectorised=vectorised)


def _function(library: Library, name: str, pointers: int) -> Any:
    """A loop that takes so many pointers and how many rows there are."""
    return library.function(name, ctypes.c_int64, *[ctypes.c_void_p] * pointers, ctypes.c_uint64)
