"""What is given to a batch, on its device: uploaded once, and made transactions of there, launch by launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_evm.native import layout

from ..device.column import DeviceColumn
from .given import WORDS, GivenCalls
from .placing import FIELD, PlacedCalls, PlacedTransactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..device.interface import Allocation, Array, Device
    from .placing import Placed

    Words = NDArray[np.uint64]

ALIGNMENT: Final = 256
"""Bytes, of what is uploaded in one piece."""
COLUMN: Final = {name: one.offset // 8 for name, one in fields_of(GivenCalls).items()}
"""Where the fields of given calls are, in words."""
ADDRESS_ELEMENTS: Final = 5
"""Numbers of 32 bits in an address."""
VALUE_ELEMENTS: Final = 4

CopyIn = Callable[[int, "Array"], None]
Start = Callable[..., None]
"""Launches a kernel: its name, how many rows, and its arguments."""


class Given(Protocol):
    """Calls or transactions on a device."""

    def spread(self, first: int, end: int, transactions: int) -> None:
        """Make those from `first` to `end`, in the order in which they are to run, at an address of the device."""


def given_to(device: Device, placed: Placed, copy_in: CopyIn, start: Start) -> Given:
    """What has been placed, on its way to a device. Raises `DeviceError`."""
    if isinstance(placed, PlacedCalls):
        return _CallsThere(device, placed, copy_in, start)
    return _TransactionsThere(device, placed, copy_in, start)


class _CallsThere:
    """Columns of calls: those that are on the device are used where they are."""

    def __init__(self, device: Device, placed: PlacedCalls, copy_in: CopyIn, start: Start) -> None:
        self._start = start
        self._kept: list[Any] = []
        """What must not be let go of while it is used there."""
        self._pieces: list[tuple[str, Array]] = []
        """What is to be uploaded, by the fields that point to it."""
        self._words = np.zeros(size_of(GivenCalls) // 8, np.uint64)
        calls = placed.calls
        self._put("template", _template(calls.gas_price))
        self._put("contracts", np.frombuffer(b"".join(calls.contracts), np.uint8))
        self._put("codes", placed.codes)
        if placed.order is not None:
            self._put("order", placed.order)
            self._words[COLUMN["is_ordered"]] = 1
        self._put("data", calls.data)
        if calls.offsets is None:
            self._words[COLUMN["width"]] = calls.data.shape[1]
        else:
            self._put("offsets", calls.offsets)
            self._words[COLUMN["is_ragged"]] = 1
        self._column("callers", "caller_step", calls.callers, ADDRESS_ELEMENTS)
        self._column("values", "value_step", calls.value, VALUE_ELEMENTS)
        self._column("gas", "gas_step", calls.gas, 1)
        self._column("contract", "contract_step", calls.contract, 1)
        self._upload(device, copy_in)

    def _put(self, name: str, column: Array | DeviceColumn) -> None:
        if isinstance(column, DeviceColumn):
            self._kept.append(column)
            self._words[COLUMN[name]] = column.address
        else:
            self._pieces.append((name, column.reshape(-1).view(np.uint8)))

    def _column(self, name: str, step: str, column: Any, elements: int) -> None:
        """A column, or what stands in it for all calls."""
        if isinstance(column, bytes):
            self._put(name, np.frombuffer(column, np.uint8))
        elif isinstance(column, int):
            self._put(name, np.frombuffer(column.to_bytes(32, "little"), np.uint8))
        else:
            self._put(name, column)
            self._words[COLUMN[step]] = elements

    def _upload(self, device: Device, copy_in: CopyIn) -> None:
        """All pieces in memory of one allocation, behind `GivenCalls`."""
        places, end = [], _after(self._words.nbytes)
        for _, piece in self._pieces:
            places.append(end)
            end = _after(end + piece.nbytes)
        self._memory: Allocation = device.allocate(end)
        for (name, piece), place in zip(self._pieces, places, strict=True):
            self._words[COLUMN[name]] = self._memory.address + place
            if piece.nbytes:
                copy_in(self._memory.address + place, piece)
        copy_in(self._memory.address, self._words)

    def spread(self, first: int, end: int, transactions: int) -> None:
        """See `Given.spread`."""
        self._start("spread_call", end - first, transactions, self._memory.address, first)


class _TransactionsThere:
    """What transactions have in common, what they point to, and columns of what is each one's own, by launches."""

    def __init__(self, device: Device, placed: PlacedTransactions, copy_in: CopyIn, start: Start) -> None:
        self._start, self._copy_in = start, copy_in
        self._arena = device.allocate(placed.arena_size)
        copy_in(self._arena.address, placed.arena_at(self._arena.address))
        self._columns = columns = placed.columns().at(self._arena.address)
        self._template = device.allocate(columns.template.nbytes + columns.places.nbytes)
        copy_in(self._template.address, np.concatenate([columns.template, columns.places]))
        self._own = device.allocate(max(8, columns.columns.nbytes))

    def spread(self, first: int, end: int, transactions: int) -> None:
        """See `Given.spread`."""
        columns = self._columns
        own = np.ascontiguousarray(columns.columns[:, first:end])
        if own.size:
            self._copy_in(self._own.address, own)
        places = self._template.address + columns.template.nbytes
        addresses = transactions, self._template.address, places, len(columns.places) // 2
        self._start("spread_transaction", end - first, *addresses, self._own.address)


def _template(gas_price: int) -> Words:
    """A transaction with what all calls have in common."""
    words = np.zeros(WORDS, np.uint64)
    words[FIELD["mode"]] = layout.EXECUTION
    words[FIELD["max_fee"] : FIELD["max_fee"] + 4] = np.frombuffer(gas_price.to_bytes(32, "little"), np.uint64)
    return words


def _after(end: int) -> int:
    """Where the next piece begins."""
    return -(-end // ALIGNMENT) * ALIGNMENT
