"""What the accelerator `cpu` can do with a batch: the columns an operation takes, and the compiled loop that runs them.

Imports NumPy, so it is only imported to run something.
"""

from __future__ import annotations

import ctypes
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from vmloom.precompile import OUTPUT_ROOM, PrecompileKernel

from . import batches
from .build import compiled
from .library import Library
from .llvm import present_features
from .program import Program

Column = NDArray[Any]

WORD: Final = (4,)
DIGEST_SIZE: Final = 32
ARITHMETIC: Final = {
    "u256_add": batches.add,
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


@dataclass(frozen=True, slots=True)
class Job:
    """A batch, ready to run: `part(first, end)` for parts that cover its rows, in any order, then `results()`."""

    rows: int
    part: Callable[[int, int], None]
    results: Callable[[], tuple[Column, ...]]


class Operation(ABC):
    """An operation. `grain` is how many rows are worth a thread."""

    grain: ClassVar[int] = 256

    @abstractmethod
    def job(self, columns: Sequence[Any]) -> Job:
        """What to do with these columns. Raises `ValueError` for others than it takes."""

    @abstractmethod
    def sample(self, rows: int) -> tuple[Column, ...]:
        """Columns of that many rows, to measure with."""


class Arithmetic(Operation):
    """On words of 256 bits: as many columns as its kernel has operands, and one result."""

    grain = 4096

    def __init__(self, name: str) -> None:
        self.name = name
        self.operands = ARITHMETIC[name].__code__.co_argcount - 2

    def job(self, columns: Sequence[Any]) -> Job:
        """Columns u64 (n, 4), least significant first; so is the result."""
        if len(columns) != self.operands:
            raise ValueError(f"{self.name} takes {self.operands} columns, not {len(columns)}")
        words = [_packed(column, "uint64", WORD) for column in columns]
        if len({len(column) for column in words}) != 1:
            raise ValueError(f"columns differ in length: {', '.join(str(len(column)) for column in words)}")
        result = np.empty_like(words[0])
        function = _arithmetic().function(self.name, ctypes.c_int64, *_pointers(self.operands + 1), ctypes.c_uint64)

        def part(first: int, end: int) -> None:
            function(*(column[first:].ctypes.data for column in (*words, result)), end - first)

        return Job(len(result), part, lambda: (result,))

    def sample(self, rows: int) -> tuple[Column, ...]:
        """Random words."""
        random = np.random.default_rng(0)
        return tuple(random.integers(0, 1 << 64, (rows, 4), dtype=np.uint64) for _ in range(self.operands))


class Digests(Operation):
    """A function of rows of bytes to 32 bytes, by the kernel of a precompile."""

    def __init__(self, name: str, run: Callable[..., Any]) -> None:
        self.name, self.kernel = name, run

    def job(self, columns: Sequence[Any]) -> Job:
        """Rows of bytes; the result is u8 (n, 32)."""
        data, offsets = _rows(columns)
        rows = len(offsets) - 1
        room = max(OUTPUT_ROOM, int(np.diff(offsets).max(initial=0)))
        output, sizes = np.zeros((rows, DIGEST_SIZE), np.uint8), np.zeros(rows, np.uint64)
        function = self._library().function("run", ctypes.c_int64, *_pointers(5), ctypes.c_uint64)

        def part(first: int, end: int) -> None:
            written = np.empty(room, np.uint8)
            columns = (data, offsets[first:], written, output[first:], sizes[first:])
            function(*(column.ctypes.data for column in columns), end - first)

        return Job(rows, part, lambda: self.results(output, sizes == DIGEST_SIZE))

    def results(self, output: Column, complete: Column) -> tuple[Column, ...]:
        """What the rows' outputs mean; those that are not `complete` were left empty or failed."""
        return (output,)

    def sample(self, rows: int) -> tuple[Column, ...]:
        """Two words, as the key of a mapping has."""
        return (np.random.default_rng(0).integers(0, 256, (rows, 64), dtype=np.uint8),)

    def _library(self) -> Library:
        # The kernel may be anybody's, from any number of modules, so the key is that of what it compiles to.
        return _built(None, self.name, {"run": batches.precompiled}, {batches.precompile: self.kernel})


class Recoveries(Digests):
    """Who has signed: rows of hash, v, r and s."""

    grain = 8

    def results(self, output: Column, complete: Column) -> tuple[Column, ...]:
        """Addresses u8 (n, 20), zero where there is none, and whether there is one."""
        return np.where(complete[:, None], output[:, 12:], np.uint8(0)), complete

    def sample(self, rows: int) -> tuple[Column, ...]:
        """The same signature in every row."""
        return (np.tile(np.frombuffer(SIGNATURE, np.uint8), (rows, 1)),)


def operations(kernels: dict[str, PrecompileKernel]) -> dict[str, Operation]:
    """All of them by name; those of precompiles where `kernels` has one of the field's name for it."""
    found: dict[str, Operation] = {name: Arithmetic(name) for name in ARITHMETIC}
    found["keccak256"] = Digests("keccak256", batches.keccak)
    if "SHA256" in kernels:
        found["sha256"] = Digests("sha256", kernels["SHA256"].run)
    if "ECRECOVER" in kernels:
        found["ecrecover"] = Recoveries("ecrecover", kernels["ECRECOVER"].run)
    return found


# Compiled loops


@functools.cache
def _arithmetic() -> Library:
    return _built(("batches", "arithmetic"), "256-bit arithmetic", ARITHMETIC, {})


def _built(
    parts: tuple[str, ...] | None, subject: str, exports: dict[str, Any], replacements: dict[Any, Any]
) -> Library:
    def make_ir() -> str:
        program = Program(replacements=replacements, cpu_features=present_features())
        for name, function in exports.items():
            program.export(name, function)
        return program.ir()

    return compiled(parts, make_ir, subject=f"batches of {subject}")


def _pointers(count: int) -> list[Any]:
    return [ctypes.c_void_p] * count


# Columns


def _packed(column: Any, kind: str, row: tuple[int, ...]) -> Column:
    """The column without gaps, copied only if it has some. Raises `ValueError` for another type or shape."""
    if not isinstance(column, np.ndarray) or column.dtype != kind or column.shape[1:] != row or column.ndim == 0:
        given = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
        raise ValueError(f"a column should be {kind} (n{''.join(f', {size}' for size in row)}), not {given}")
    return np.require(column, requirements=["C", "A"])


def _rows(columns: Sequence[Any]) -> tuple[Column, Column]:
    """Bytes, and where in them each row begins and the last one ends. Raises `ValueError`."""
    if len(columns) == 1:
        column = columns[0]
        if not isinstance(column, np.ndarray) or column.ndim != 2:
            raise ValueError("rows of bytes are one column of two dimensions, or bytes and offsets")
        packed = _packed(column, "uint8", column.shape[1:])
        return packed.reshape(-1), np.arange(len(packed) + 1, dtype=np.uint64) * np.uint64(packed.shape[1])
    if len(columns) != 2:
        raise ValueError(f"rows of bytes are one column, or bytes and offsets, not {len(columns)} columns")
    data = _packed(columns[0], "uint8", ())
    offsets = _packed(columns[1], "uint64", ()).copy()  # ours: nobody may change them once they are checked
    if len(offsets) == 0 or offsets[-1] > len(data) or bool(np.any(offsets[1:] < offsets[:-1])):
        raise ValueError(f"offsets should rise, n + 1 of them for n rows, to at most {len(data)}")
    return data, offsets
