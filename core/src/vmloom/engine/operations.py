"""Operations of batches: what their data are called, how they become columns, and what they are in plain Python.

The columns are those of `Accelerator.run`: words u64 (n, 4), least significant first; rows of bytes as u8 (total) and
u64 (n + 1), where each row begins and the last one ends. NumPy is imported only by what packs for an accelerator.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..errors import InputError
from ..hashing import keccak256
from ..precompile import PrecompileSet, PurePrecompile, Revision
from . import requests

U256_MAX: Final = (1 << 256) - 1
WORD: Final = 32
"""bytes"""


class Operation(ABC):
    """One operation. `fields` are the keys of an item's data, all needed."""

    fields: tuple[str, ...]

    def __init__(self, name: str) -> None:
        self.name: Final = name

    @abstractmethod
    def read(self, item: Mapping[str, Any]) -> Any:
        """The operands of an item, checked. Raises `InputError` with the key."""

    def size(self, operands: Any) -> int:
        """Bytes by which operands differ in what they cost; 0 where all cost the same."""
        return 0

    @abstractmethod
    def compute(self, operands: Any) -> Any:
        """The result, by Python and the libraries that it has."""

    @abstractmethod
    def pack(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Operands as columns for an accelerator."""

    @abstractmethod
    def unpack(self, columns: Sequence[Any]) -> list[Any]:
        """Results from an accelerator's columns: what `compute` gives for each row."""


class Digest(Operation):
    """A function of bytes to 32 bytes: `{"data": bytes}` to bytes."""

    fields = ("data",)

    def __init__(self, name: str, function: Callable[[bytes], bytes]) -> None:
        super().__init__(name)
        self._function = function

    def read(self, item: Mapping[str, Any]) -> bytes:
        """The data."""
        return requests.data(item["data"], "data")

    def size(self, operands: bytes) -> int:
        """Of the data."""
        return len(operands)

    def compute(self, operands: bytes) -> bytes:
        """The digest."""
        return self._function(operands)

    def pack(self, rows: Sequence[bytes]) -> Sequence[Any]:
        """Rows of bytes."""
        return byte_columns(rows)

    def unpack(self, columns: Sequence[Any]) -> list[bytes]:
        """From u8 (n, 32)."""
        packed = columns[0].tobytes()
        return [packed[at : at + WORD] for at in range(0, len(packed), WORD)]


class Arithmetic(Operation):
    """On integers of 256 bits: `{"a": int, "b": int}`, and `"modulus"` where there is one, to an integer."""

    def __init__(self, name: str, fields: tuple[str, ...], function: Callable[..., int]) -> None:
        super().__init__(name)
        self.fields = fields
        self._function = function

    def read(self, item: Mapping[str, Any]) -> tuple[int, ...]:
        """The operands."""
        return tuple(requests.number(item[field], field, U256_MAX) for field in self.fields)

    def compute(self, operands: tuple[int, ...]) -> int:
        """The result, as the EVM has it."""
        return self._function(*operands)

    def pack(self, rows: Sequence[tuple[int, ...]]) -> Sequence[Any]:
        """One column of words for each operand."""
        return [word_column(column) for column in zip(*rows, strict=True)]

    def unpack(self, columns: Sequence[Any]) -> list[int]:
        """From u64 (n, 4)."""
        packed = columns[0].astype("<u8", copy=False).tobytes()
        return [int.from_bytes(packed[at : at + WORD], "little") for at in range(0, len(packed), WORD)]


class Recovery(Operation):
    """Who signed: `{"hash": 32 bytes, "v": 27 or 28, "r": int, "s": int}` to an address, None where there is none."""

    fields = ("hash", "v", "r", "s")

    def __init__(self, name: str, precompile: Callable[[bytes], bytes]) -> None:
        super().__init__(name)
        self._precompile = precompile

    def read(self, item: Mapping[str, Any]) -> bytes:
        """The input of the precompile: four words."""
        digest = requests.data(item["hash"], "hash")
        if len(digest) != WORD:
            raise InputError(f"hash: {WORD} bytes are needed, got {len(digest)}")
        numbers = (requests.number(item[field], field, U256_MAX) for field in ("v", "r", "s"))
        return digest + b"".join(number.to_bytes(WORD, "big") for number in numbers)

    def compute(self, operands: bytes) -> bytes | None:
        """The address, 20 bytes."""
        return self._precompile(operands)[12:] or None

    def pack(self, rows: Sequence[bytes]) -> Sequence[Any]:
        """Rows of 128 bytes."""
        return byte_columns(rows)

    def unpack(self, columns: Sequence[Any]) -> list[bytes | None]:
        """From addresses u8 (n, 20) and whether there is one."""
        addresses, found = columns
        return [address.tobytes() if there else None for address, there in zip(addresses, found, strict=True)]


class MerkleRoot(Operation):
    """The root of a tree over `{"leaves": [bytes, ...]}`, by RFC 6962, 2.1, with the operation's hash function.

    A leaf's hash is that of 00 and the leaf, a node's that of 01 and its children; what is left over moves up. The root
    of no leaves is the hash of nothing.
    """

    fields = ("leaves",)

    def __init__(self, name: str, function: Callable[[bytes], bytes]) -> None:
        super().__init__(name)
        self._function = function

    def read(self, item: Mapping[str, Any]) -> list[bytes]:
        """The leaves."""
        leaves = item["leaves"]
        if isinstance(leaves, (str, bytes)) or not isinstance(leaves, Sequence):
            raise InputError(f"leaves: a list of bytes is needed, got {type(leaves).__name__}")
        return [requests.data(leaf, f"leaves[{index}]") for index, leaf in enumerate(leaves)]

    def size(self, operands: Sequence[bytes]) -> int:
        """Of all leaves."""
        return sum(map(len, operands))

    def compute(self, operands: Sequence[bytes]) -> bytes:
        """The root."""
        hash_of = self._function
        level = [hash_of(b"\0" + leaf) for leaf in operands]
        if not level:
            return hash_of(b"")
        while len(level) > 1:
            odd = [level[-1]] if len(level) & 1 else []
            pairs = zip(level[0::2], level[1::2], strict=False)
            level = [hash_of(b"\1" + left + right) for left, right in pairs] + odd
        return level[0]

    def pack(self, rows: Sequence[Sequence[bytes]]) -> Sequence[Any]:
        """Bytes and offsets of all leaves, and u64 (n + 1), at which leaf each tree begins and the last one ends."""
        import numpy as np

        sizes = [len(leaves) for leaves in rows]
        trees = np.zeros(len(rows) + 1, np.uint64)
        np.cumsum(sizes, out=trees[1:])
        return [*byte_columns([leaf for leaves in rows for leaf in leaves]), trees]

    def unpack(self, columns: Sequence[Any]) -> list[bytes]:
        """From u8 (n, 32)."""
        packed = columns[0].tobytes()
        return [packed[at : at + WORD] for at in range(0, len(packed), WORD)]


def known_operations(sets: Sequence[PrecompileSet]) -> dict[str, Operation]:
    """All operations by name; `ecrecover` where one of the EVM's precompile `sets` has it."""
    found: list[Operation] = [
        Digest("keccak256", keccak256),
        Digest("sha256", lambda data: hashlib.sha256(data).digest()),
        Digest("blake2b_256", lambda data: hashlib.blake2b(data, digest_size=32).digest()),
        MerkleRoot("merkle_sha256", lambda data: hashlib.sha256(data).digest()),
        MerkleRoot("merkle_keccak256", keccak256),
        Arithmetic("u256_add", ("a", "b"), lambda a, b: (a + b) & U256_MAX),
        Arithmetic("u256_sub", ("a", "b"), lambda a, b: (a - b) & U256_MAX),
        Arithmetic("u256_mul", ("a", "b"), lambda a, b: (a * b) & U256_MAX),
        Arithmetic("u256_div", ("a", "b"), lambda a, b: a // b if b else 0),
        Arithmetic("u256_mod", ("a", "b"), lambda a, b: a % b if b else 0),
        Arithmetic("u256_exp", ("a", "b"), lambda a, b: pow(a, b, 1 << 256)),
        Arithmetic("u256_addmod", ("a", "b", "modulus"), lambda a, b, m: (a + b) % m if m else 0),
        Arithmetic("u256_mulmod", ("a", "b", "modulus"), lambda a, b, m: (a * b) % m if m else 0),
    ]
    for one in sets:
        for precompile in one.at(Revision("frontier", ("frontier",))).values():
            if precompile.name == "ECRECOVER" and isinstance(precompile, PurePrecompile):
                found.append(Recovery("ecrecover", precompile.compute))  # noqa: PERF401 - one at most
    return {operation.name: operation for operation in found}


def byte_columns(rows: Sequence[bytes]) -> list[Any]:
    """Rows of bytes, one behind the other, and where each begins and the last one ends."""
    import numpy as np

    offsets = np.zeros(len(rows) + 1, np.uint64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return [np.frombuffer(b"".join(rows), np.uint8), offsets]


def word_column(numbers: Sequence[int]) -> Any:
    """Integers of 256 bits as u64 (n, 4), least significant first."""
    import numpy as np

    packed = b"".join(number.to_bytes(WORD, "little") for number in numbers)
    return np.frombuffer(packed, "<u8").reshape(-1, 4)
