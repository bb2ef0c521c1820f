"""Packed transactions, made ready for another memory: sorted, and with all that they point to in one piece."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout
from vmloom_evm.native.memory import address_of_bytes
from vmloom_evm.native.packing import TRANSACTION_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.packing import PackedCalls

    Words = NDArray[np.uint64]

FIELD: Final = {name: one.offset // 8 for name, one in fields_of(layout.Transaction).items()}
"""Where the fields of a transaction are, in words."""
WORDS: Final = TRANSACTION_SIZE // 8
SELECTOR: Final = 4
"""Bytes of the input that say which function of a contract is called."""
ACCESS_WORDS: Final = size_of(layout.AccessEntry) // 8
ACCESS_SLOTS: Final = fields_of(layout.AccessEntry)["slots"].offset // 8
ACCESS_COUNT: Final = fields_of(layout.AccessEntry)["count"].offset // 8


@dataclass(frozen=True, slots=True)
class Placed:
    """`rows` of `layout.Transaction`, as words, in the order `order` of those that were given.

    What they point to is at offsets in `arena`; so is what words `inner` of the arena point to.
    """

    rows: Words
    order: NDArray[np.intp]
    arena: bytes
    inner: tuple[int, ...] = ()

    def rows_at(self, address: int) -> Words:
        """The rows, whose arena is at `address`."""
        rows = self.rows.copy()
        for name in POINTERS:
            rows[:, FIELD[name]] += np.uint64(address)
        return rows

    @property
    def arena_size(self) -> int:
        """Bytes of the arena, a multiple of 8 and not 0."""
        return max(8, -(-len(self.arena) // 8) * 8)

    def arena_at(self, address: int) -> NDArray[np.uint8]:
        """The arena, for `address`."""
        arena = np.frombuffer(self.arena.ljust(self.arena_size, b"\0"), np.uint8).copy()
        words = arena.view(np.uint64)
        for place in self.inner:
            words[place] += np.uint64(address)
        return arena


POINTERS: Final = ("data", "blob_hashes", "access", "authorizations")
"""Fields that are offsets in the arena until the arena has an address."""


def calls_to_place(packed: PackedCalls) -> Placed:
    """Packed calls, sorted by code and selector, so that neighbours run the same instructions."""
    rows = np.frombuffer(packed.batch, np.uint64).reshape(-1, WORDS)
    inputs = np.frombuffer(packed.inputs, np.uint8)
    begins = rows[:, FIELD["data"]] - np.uint64(address_of_bytes(packed.inputs))
    selectors = _selectors(inputs, begins, rows[:, FIELD["data_size"]])
    order = np.lexsort((selectors, rows[:, FIELD["code"]]))
    placed = rows[order]
    placed[:, FIELD["data"]] = begins[order]
    return Placed(placed, order, packed.inputs)


def _selectors(inputs: NDArray[np.uint8], begins: Words, sizes: Words) -> NDArray[np.uint32]:
    """The first four bytes of each input, with zeros where there are fewer."""
    found = np.zeros(len(begins), np.uint32)
    for place in range(SELECTOR):
        there = sizes > place
        byte = np.zeros(len(begins), np.uint32)
        byte[there] = inputs[begins[there] + np.uint64(place)]
        found = (found << np.uint32(8)) | byte
    return found


def transactions_to_place(batch: bytearray, count: int, gas_available: int) -> Placed:
    """The first `count` packed transactions of `batch`, sorted by receiver and selector.

    What they point to is still there. Each finds `gas_available` left in the block, and blob gas without a limit.
    """
    rows = np.frombuffer(batch, np.uint64)[: count * WORDS].reshape(count, WORDS).copy()
    rows[:, FIELD["gas_available"]] = min(gas_available, layout.NO_EPOCH)
    rows[:, FIELD["blob_gas_available"]] = layout.NO_EPOCH
    arena = _Arena()
    selectors = np.zeros(count, np.uint32)
    for number, row in enumerate(rows):
        data = _taken(row, "data", int(row[FIELD["data_size"]]))
        selectors[number] = int.from_bytes(data[:SELECTOR].ljust(SELECTOR, b"\0"), "big")
        row[FIELD["data"]] = arena.put(data)
        row[FIELD["blob_hashes"]] = arena.put(_taken(row, "blob_hashes", 32 * int(row[FIELD["blob_count"]])))
        row[FIELD["access"]] = arena.put_access(
            _taken(row, "access", 8 * ACCESS_WORDS * int(row[FIELD["access_count"]]))
        )
        size = size_of(layout.Authorization) * int(row[FIELD["authorization_count"]])
        row[FIELD["authorizations"]] = arena.put(_taken(row, "authorizations", size))
    first = FIELD["given_to"]
    order = np.lexsort((selectors, rows[:, first], rows[:, first + 1], rows[:, first + 2]))
    return Placed(rows[order], order, bytes(arena.data), tuple(arena.inner))


def _taken(row: Words, name: str, size: int) -> bytes:
    """What a row points to in this process."""
    return ctypes.string_at(int(row[FIELD[name]]), size) if size else b""


class _Arena:
    """What rows point to, one piece behind the other, each from a multiple of 8."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.inner: list[int] = []

    def put(self, piece: bytes) -> int:
        """Returns where the piece begins."""
        begin = len(self.data)
        self.data += piece.ljust(-(-len(piece) // 8) * 8, b"\0")
        return begin

    def put_access(self, entries: bytes) -> int:
        """An access list, whose entries point to slots."""
        words = np.frombuffer(entries, np.uint64).reshape(-1, ACCESS_WORDS).copy()
        for entry in words:
            size = 32 * int(entry[ACCESS_COUNT])
            slots = ctypes.string_at(int(entry[ACCESS_SLOTS]), size) if size else b""
            entry[ACCESS_SLOTS] = self.put(slots)
        begin = self.put(words.tobytes())
        self.inner += [begin // 8 + ACCESS_WORDS * number + ACCESS_SLOTS for number in range(len(words))]
        return begin
