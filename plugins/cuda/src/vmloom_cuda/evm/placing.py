"""Calls and transactions, made ready for another memory: sorted, and with all that they point to in one piece."""

from __future__ import annotations

import ctypes
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout
from vmloom_evm.native.packing import TRANSACTION_SIZE

from ..device.column import DeviceColumn

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom_evm.native.state import NativeState

    from .arrays import CallArrays
    from .image import StateImage

    Words = NDArray[np.uint64]

FIELD: Final = {name: one.offset // 8 for name, one in fields_of(layout.Transaction).items()}
"""Where the fields of a transaction are, in words."""
WORDS: Final = TRANSACTION_SIZE // 8
SELECTOR: Final = 4
"""Bytes of the input that say which function of a contract is called."""
ACCESS_WORDS: Final = size_of(layout.AccessEntry) // 8
ACCESS_SLOTS: Final = fields_of(layout.AccessEntry)["slots"].offset // 8
ACCESS_COUNT: Final = fields_of(layout.AccessEntry)["count"].offset // 8
ACCOUNT_CODE: Final = fields_of(layout.Account)["code"].offset // 8
LEAST: Final = 32
"""Executions of a contract in a batch, a warp's, below which they do not count."""
DIGIT: Final = 16
"""Bits of a key by which NumPy sorts in linear time."""


@dataclass(frozen=True, slots=True)
class PlacedCalls:
    """Calls, the rows of the codes of their contracts, u64, and the `order` in which they are to run, u32 (n,).

    `order` is None for the one given.
    """

    calls: CallArrays
    codes: Words
    order: NDArray[np.uint32] | None

    def codes_called(self, _image: StateImage) -> list[tuple[int, int]]:
        """Rows of codes that they begin with, and how often each."""
        if isinstance(self.calls.contract, int):
            return [(int(self.codes[self.calls.contract]), len(self))]
        found: Counter[int] = Counter()
        for row, times in zip(self.codes, np.bincount(self.calls.contract, minlength=len(self.codes)), strict=True):
            found[int(row)] += int(times)
        return list(found.items())

    def __len__(self) -> int:
        return len(self.calls)


def calls_to_place(calls: CallArrays, state: NativeState) -> PlacedCalls:
    """Calls, sorted by contract and selector, so that neighbours run the same instructions.

    Selectors of inputs that are on a device are not known. Raises `ValueError` for contracts that the EVM cannot run.
    """
    codes = [state.code_row(calls.code_of(number, state)) for number in range(len(calls.contracts))]
    keys = None if isinstance(calls.data, DeviceColumn) else _selectors(calls.data, calls.offsets)
    if not isinstance(calls.contract, int):
        contracts = calls.contract.astype(np.uint64) << np.uint64(8 * SELECTOR)
        keys = contracts if keys is None else contracts | keys
    return PlacedCalls(calls, np.array(codes, np.uint64), None if keys is None else order_of(keys))


def order_of(keys: Words) -> NDArray[np.uint32] | None:
    """The places of `keys`, the least one first and equal ones as they stand; None if that is how all stand."""
    if not len(keys) or (keys == keys[0]).all():
        return None
    order = np.arange(len(keys), dtype=np.uint32)
    for shift in range(0, 64, DIGIT):
        digits = (keys >> np.uint64(shift)).astype(np.uint16)
        if (digits != digits[0]).any():
            order = order[np.argsort(digits[order], kind="stable")]
    return order


def _selectors(data: NDArray[np.uint8], offsets: Words | None) -> Words:
    """The first four bytes of each input, with zeros where there are fewer."""
    if offsets is None:
        count, width = data.shape
        if width < SELECTOR:
            width, data = SELECTOR, np.pad(data, ((0, 0), (0, SELECTOR - width)))
        return np.ndarray(count, ">u4", data, strides=(width,)).astype(np.uint64)
    found = np.zeros(len(offsets) - 1, np.uint64)
    sizes = np.diff(offsets)
    for place in range(SELECTOR):
        there = sizes > place
        byte = np.zeros(len(found), np.uint64)
        byte[there] = data[offsets[:-1][there] + np.uint64(place)]
        found = (found << np.uint64(8)) | byte
    return found


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
class PlacedTransactions:
    """`rows` of `layout.Transaction`, as words, as they were given, and the `order` in which they are to run.

    `order` is None for the one given. What they point to is at offsets in `arena`, and so is what words `inner` of the
    arena point to.
    """

    rows: Words
    order: NDArray[np.intp] | None
    arena: bytes
    inner: tuple[int, ...] = ()

    def columns(self) -> Columns:
        """What a device is to be told of the rows: what all have in common once, and of each what is its own."""
        template = self.rows[0].copy()
        columns: list[Words] = []
        places: list[tuple[int, int]] = []
        for word in self._varying():
            column = self.rows[:, word]
            number = next((n for n, other in enumerate(columns) if np.array_equal(other, column)), len(columns))
            if number == len(columns):
                columns.append(column)
            places.append((word, number))
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

    def codes_called(self, image: StateImage) -> list[tuple[int, int]]:
        """Rows of codes of receivers that are called often enough to be counted, and how often each."""
        found: Counter[int] = Counter()
        first = FIELD["given_to"]
        called = np.ascontiguousarray(self.rows[:, first : first + 3]).view(np.uint8).reshape(-1, 24)[:, :20]
        keys = np.ascontiguousarray(image.parts["accounts"][:, :3]).view(np.uint8).reshape(-1, 24)[:, :20]
        for address, times in zip(*np.unique(called, axis=0, return_counts=True), strict=True):
            if times < LEAST:
                continue
            places = np.flatnonzero((keys == address[::-1]).all(axis=1))
            if len(places):
                found[int(image.parts["accounts"][places[0], ACCOUNT_CODE])] += int(times)
        return list(found.items())

    def __len__(self) -> int:
        return len(self.rows)

    def _varying(self) -> list[int]:
        """The words in which rows differ."""
        differ = np.zeros(WORDS, bool)
        first = self.rows[0]
        for at in range(0, len(self.rows), CHUNK):
            differ |= (self.rows[at : at + CHUNK] != first).any(axis=0)
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


def transactions_to_place(batch: bytearray, count: int, gas_available: int) -> PlacedTransactions:
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
    return PlacedTransactions(rows, order, bytes(arena.data), tuple(arena.inner))


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


Placed: TypeAlias = PlacedCalls | PlacedTransactions
