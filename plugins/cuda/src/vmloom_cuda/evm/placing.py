"""Packed transactions, made ready for another memory: sorted, and with all that they point to in one piece."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Columns:
    """Transactions as a device makes them: `template` has what they have in common, for an arena at address 0.

    `places` are words that differ, each before the row of `columns` that has it, u64 (columns, n), in the order in
    which transactions are to run. `pointers` are words of the template, and `pointing` rows of `columns`, that are
    offsets in the arena.
    """

    template: Words
    places: Words
    columns: Words
    pointers: tuple[int, ...]
    pointing: tuple[int, ...]

    def at(self, arena: int) -> Columns:
        """The same for an arena at this address."""
        template, columns = self.template.copy(), self.columns.copy() if self.pointing else self.columns
        template[list(self.pointers)] += np.uint64(arena)
        columns[list(self.pointing)] += np.uint64(arena)
        return Columns(template, self.places, columns, (), ())


@dataclass(frozen=True, slots=True)
class Placed:
    """`rows` of `layout.Transaction`, as words, as they were given, and the `order` in which they are to run.

    `order` is None for the one given. What they point to is at offsets in `arena`, and so is what words `inner` of the
    arena point to. `moved` has columns that count in place of those in `rows`.
    """

    rows: Words
    order: NDArray[np.intp] | None
    arena: bytes
    inner: tuple[int, ...] = ()
    moved: Mapping[int, Words] = field(default_factory=dict)

    def columns(self) -> Columns:
        """What a device is to be told of the rows: what all have in common once, and of each what is its own."""
        template = self.rows[0].copy()
        columns: list[Words] = []
        places: list[tuple[int, int]] = []
        for word in self._varying():
            column = self.moved.get(word, self.rows[:, word])
            number = next((n for n, other in enumerate(columns) if np.array_equal(other, column)), len(columns))
            if number == len(columns):
                columns.append(column)
            places.append((word, number))
        for word, column in self.moved.items():
            template[word] = column[0]
        found = np.empty((len(columns), len(self.rows)), np.uint64)
        for number, column in enumerate(columns):
            found[number] = column if self.order is None else column[self.order]
        own = dict(places)
        words = [FIELD[name] for name in POINTERS]
        return Columns(
            template,
            np.array(places, np.uint64).reshape(-1),
            found,
            tuple(word for word in words if word not in own),
            tuple({own[word] for word in words if word in own}),
        )

    def _varying(self) -> list[int]:
        """The words in which rows differ."""
        differ = np.zeros(WORDS, bool)
        first = self.rows[0]
        for at in range(0, len(self.rows), CHUNK):
            differ |= (self.rows[at : at + CHUNK] != first).any(axis=0)
        for word, column in self.moved.items():
            differ[word] = bool((column != column[0]).any())
        return [int(word) for word in np.flatnonzero(differ)]

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


CHUNK: Final = 1 << 11
"""Rows that are looked at at a time: they fit into a processor's cache."""
POINTERS: Final = ("data", "blob_hashes", "access", "authorizations")
"""Fields that are offsets in the arena until the arena has an address."""


def calls_to_place(packed: PackedCalls) -> Placed:
    """Packed calls, sorted by code and selector, so that neighbours run the same instructions."""
    rows = np.frombuffer(packed.batch, np.uint64).reshape(-1, WORDS)
    inputs = np.frombuffer(packed.inputs, np.uint8)
    begins = rows[:, FIELD["data"]] - np.uint64(address_of_bytes(packed.inputs))
    selectors = _selectors(inputs, begins, rows[:, FIELD["data_size"]])
    codes = rows[:, FIELD["code"]]
    order = None
    if (selectors != selectors[0]).any() or (codes != codes[0]).any():
        order = np.lexsort((selectors, codes))
    return Placed(rows, order, packed.inputs, moved={FIELD["data"]: begins})


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
    return Placed(rows, order, bytes(arena.data), tuple(arena.inner))


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
