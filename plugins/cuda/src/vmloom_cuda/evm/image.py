"""What lanes read of a state: its tables, without what runs have noted in them, at other addresses.

An image is of a native state as it is now. Whether it still is that of the state is found by looking, not by trust:
who changes a state does not tell us.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout
from vmloom_evm.native.lane_build import PRECOMPILES, lane_precompiles
from vmloom_evm.native.memory import WORDS
from vmloom_evm.native.packing import pack_block

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom import BlockContext
    from vmloom_evm.native.memory import NativeMemory
    from vmloom_evm.native.state import NativeState
    from vmloom_evm.specification import Specification

    Words = NDArray[np.uint64]

WORD: Final = 8
ALIGNMENT: Final = 64
NOTED: Final[Mapping[type, tuple[str, ...]]] = {
    layout.Account: ("marks", "stamp", "listed", "read_stamp", "base_row"),
    layout.Slot: ("original", "warm_stamp", "original_stamp", "read_stamp"),
}
"""Fields in which runs have noted something, which is nothing to other ones."""
CODE_BEGINS: Final = fields_of(layout.Code)["data"].offset // WORD
CODE_SIZE: Final = fields_of(layout.Code)["size"].offset // WORD
CODE_DESTINATIONS: Final = fields_of(layout.Code)["jump_destinations"].offset // WORD
CODE_COMPILED: Final = fields_of(layout.Code)["compiled"].offset // WORD
CODE_HASH_WORD: Final = fields_of(layout.Code)["hash"].offset // WORD
KEPT: Final = ("secret", "second_secret", "is_complete", "last_epoch", "account_mask", "slot_mask")
"""Fields of the run that lanes read as they are."""
RING: Final = 256
"""Block hashes that contracts can ask for."""
NEAR: Final = 1024
"""Addresses below this are those of near precompiles."""


class StateImage:
    """The tables of `state`: `parts` by the names of the run's fields that point to them, one behind the other.

    Where each begins is `offsets`; codes and bits of jump destinations are parts, too, of which rows know.
    """

    def __init__(self, state: NativeState) -> None:
        memory = state.memory
        codes = _rows(memory, "codes", layout.Code, "code_count")
        data, begins = _code_bytes(codes)
        self.codes = codes
        self._begins = begins
        self._destinations = _rising(codes[:, CODE_SIZE] // 8 + 1)
        self.code_count = len(codes)
        self.fields = {name: memory.get(name) for name in KEPT}
        self.parts: dict[str, NDArray[Any]] = {
            "accounts": _rows(memory, "accounts", layout.Account, "account_count"),
            "account_index": _bytes(memory.get("account_index"), 4 * (memory.get("account_mask") + 1)),
            "slots": _rows(memory, "slots", layout.Slot, "slot_count"),
            "slot_index": _bytes(memory.get("slot_index"), 4 * (memory.get("slot_mask") + 1)),
            "code_bytes": data,
            "destinations": np.zeros(int(self._destinations[-1]), np.uint8),
            "codes": codes,
        }
        self.offsets: dict[str, int] = {}
        self.size = 0
        for name, part in self.parts.items():
            self.offsets[name] = self.size
            self.size += -(-max(part.nbytes, 1) // ALIGNMENT) * ALIGNMENT

    def is_that_of(self, other: StateImage | None) -> bool:
        """Whether there is no difference."""
        return self is other or (
            other is not None
            and self.fields == other.fields
            and all(np.array_equal(part, other.parts[name]) for name, part in self.parts.items())
        )

    def code_hash(self, row: int) -> bytes:
        """The hash of a code as its row has it: a number, the least byte first."""
        return self.codes[row, CODE_HASH_WORD : CODE_HASH_WORD + 4].tobytes()

    def code(self, row: int) -> bytes:
        """A code."""
        begin = int(self._begins[row])
        return self.parts["code_bytes"][begin : begin + int(self.codes[row, CODE_SIZE])].tobytes()

    def bytes_at(self, address: int, compiled: Mapping[bytes, int]) -> NDArray[np.uint8]:
        """The bytes of the image, for `address`. Of jump destinations there are no bits yet.

        `compiled` are the numbers of contracts that the kernels have compiled, by `code_hash`.
        """
        codes = self.codes.copy()
        if compiled:
            codes[:, CODE_COMPILED] = [compiled.get(self.code_hash(row), 0) for row in range(self.code_count)]
        codes[:, CODE_BEGINS] = self._begins[:-1] + np.uint64(address + self.offsets["code_bytes"])
        codes[:, CODE_DESTINATIONS] = self._destinations[:-1] + np.uint64(address + self.offsets["destinations"])
        image = np.zeros(self.size, np.uint8)
        for name, part in {**self.parts, "codes": codes}.items():
            begin = self.offsets[name]
            image[begin : begin + part.nbytes] = part.reshape(-1).view(np.uint8)
        return image


def _rows(memory: NativeMemory, table: str, kind: Any, count: str) -> Words:
    """The rows of a table that there are, as words, without what runs have noted."""
    rows = _bytes(memory.get(table), size_of(kind) * memory.get(count)).view(np.uint64).reshape(-1, size_of(kind) // 8)
    for name in NOTED.get(kind, ()):
        field = fields_of(kind)[name]
        rows[:, field.offset // WORD : (field.offset + size_of(field.kind)) // WORD] = 0
    return rows


def _bytes(address: int, size: int) -> NDArray[np.uint8]:
    """A copy of bytes of the process."""
    return np.frombuffer(ctypes.string_at(address, size), np.uint8).copy()


def _code_bytes(codes: Words) -> tuple[NDArray[np.uint8], Words]:
    """The codes with their padding, one behind the other, and where each begins. Rows lose what only we can use."""
    sizes = codes[:, CODE_SIZE] + np.uint64(layout.CODE_PADDING)
    parts = [ctypes.string_at(int(row[CODE_BEGINS]), int(row[CODE_SIZE])) + bytes(layout.CODE_PADDING) for row in codes]
    for name in ("data", "jump_destinations", "compiled", "patience"):
        codes[:, fields_of(layout.Code)[name].offset // WORD] = 0
    return np.frombuffer(b"".join(parts), np.uint8), _rising(sizes)


def _rising(sizes: Words) -> Words:
    """Where each of so many bytes begins, one behind the other, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])


class Surroundings:
    """What lanes see besides the state: the run that they take for their base, the block, and precompiles.

    `names` are those of precompiles that lanes run themselves.
    """

    def __init__(
        self, specification: Specification, state: NativeState, block: BlockContext, names: Set[str] = PRECOMPILES
    ) -> None:
        self.run = np.zeros(size_of(layout.Run) // WORD, np.uint64)
        hashes, numbers = _block_hashes(state, block.number)
        precompiles, near, far = _precompiles(specification, names)
        self.parts: dict[str, NDArray[np.uint8]] = {
            "block": np.frombuffer(pack_block(block, specification.rules.proof_of_stake), np.uint8),
            "block_hashes": hashes,
            "block_hash_numbers": numbers.view(np.uint8),
            "near_precompiles": near,
            "precompiles": precompiles.reshape(-1).view(np.uint8),
        }
        self._set("precompile_count", len(specification.precompiles))
        self._set("far_precompiles", far)

    def _set(self, name: str, value: int) -> None:
        self.run[WORDS[name]] = value

    def bytes_at(self, address: int, image: StateImage, image_address: int) -> NDArray[np.uint8]:
        """The run, which comes first, and what it points to, for `address`, with the state's image elsewhere."""
        for name, value in image.fields.items():
            self._set(name, value)
        for name in ("accounts", "account_index", "slots", "slot_index", "codes"):
            self._set(name, image_address + image.offsets[name])
        end = self.run.nbytes
        for name, part in self.parts.items():
            self._set(name, address + end)
            end += part.nbytes
        return np.concatenate([self.run.view(np.uint8), *self.parts.values()])


def _block_hashes(state: NativeState, number: int) -> tuple[NDArray[np.uint8], Words]:
    """The hashes of the last blocks that the state has at hand, and 1 plus their numbers."""
    hashes, numbers = np.zeros((RING, 32), np.uint8), np.zeros(RING, np.uint64)
    for one in range(max(0, number - RING), number) if state.block_hashes else ():
        found = state.block_hashes.get(one)
        if found is not None:
            hashes[one % RING] = np.frombuffer(found[::-1], np.uint8)
            numbers[one % RING] = one + 1
    return hashes.reshape(-1), numbers


def _precompiles(specification: Specification, names: Set[str]) -> tuple[Words, NDArray[np.uint8], int]:
    """Rows of precompiles, the numbers of those with near addresses, and how many others there are."""
    words = size_of(layout.Precompile) // WORD
    rows = np.zeros((max(1, len(specification.precompiles)), words), np.uint64)
    near, far = np.zeros(NEAR, np.uint8), 0
    kernels = lane_precompiles(specification, names)
    place = fields_of(layout.Precompile)["address"].offset // WORD
    for number, address in enumerate(sorted(specification.precompiles)):
        for part in range(3):
            rows[number, place + part] = address >> (64 * part) & layout.NO_EPOCH
        rows[number, fields_of(layout.Precompile)["is_kernel"].offset // WORD] = number in kernels
        if address < NEAR:
            near[address] = number + 1
        else:
            far += 1
    return rows, near, far
