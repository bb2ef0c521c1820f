"""Calls of what is handed in for a batch whose items do not depend on one another.

Making the call is the largest part of a small item. So a contract is looked up once, for the state stays as it is, and
data of the plainest types go into a context at once, or, where neighbours are alike, from column to column with no
object for a call; all else goes the way of single calls, which says what is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ..context import ADDRESS_SIZE, BlockContext, ExecutionContext
from ..state import StateAccess
from ..vm import VmHost, VmType
from . import requests
from .columns import CallColumns
from .requests import DEFAULT_BLOCK, DEFAULT_GAS_LIMIT, MAX_GAS_LIMIT, MAX_VALUE, Call

_KINDS: Final[dict[str, Sequence[type]]] = {
    **dict.fromkeys(("caller", "data"), (bytes,)),
    **dict.fromkeys(("value", "gas_limit", "gas_price"), (int,)),
    "block_context": (BlockContext, type(None)),
}
"""Of what the columns of plain calls may be, all entries alike."""
_PLAIN_KEYS: Final = frozenset(_KINDS)
_VM: Final = itemgetter(0)
_CODE: Final = itemgetter(1)
"""Of what is known of a contract."""
_MOST_CONTRACTS: Final = 4096
"""Contracts whose code is remembered."""
_SETTERS: Final = [ExecutionContext.__dict__[name].__set__ for name in ExecutionContext.__slots__]
"""Of the fields in their order. Half of the time of making a context is what frozen classes do to set them."""


class Given(NamedTuple):
    """What was handed in for an item."""

    contract: Any
    data: Any


class Givens:
    """What was handed in for neighbours: each has its place in `contracts` and in `data`."""

    __slots__ = ("contracts", "data")

    def __init__(self, contracts: Sequence[Any], data: Sequence[Any]) -> None:
        self.contracts, self.data = contracts, data

    def __len__(self) -> int:
        return min(len(self.contracts), len(self.data))


class Intake:
    """Makes calls on a `state` that stays as it is, and that is read under `lock`. Safe to share by threads."""

    def __init__(self, state: StateAccess, host: VmHost, lock: threading.Lock) -> None:
        self._state, self._host, self._lock = state, host, lock
        self._known: dict[bytes, tuple[VmType, bytes]] = {}

    def item(self, given: Given) -> Call | Exception:
        """The call, or why there is none."""
        try:
            return self._call(*given)
        except Exception as error:  # a mapping of the application's own may raise anything
            return error

    def met(self, given: Givens) -> tuple[VmType, CallColumns] | None:
        """`columns`, after having looked up contracts that are not known yet."""
        for contract, data in zip(given.contracts, given.data, strict=False):
            if type(contract) is bytes and contract not in self._known and len(self._known) < _MOST_CONTRACTS:
                self.item(Given(contract, data))
        return self.columns(given)

    def columns(self, given: Givens) -> tuple[VmType, CallColumns] | None:
        """The calls and their VM if all are plain and alike, and what is known of their contracts; else None.

        Those are left for `item`, and so is saying what is wrong.
        """
        try:
            return self._columns(given.contracts, given.data)
        except Exception:  # a key of the application's own may raise anything
            return None

    def _columns(self, contracts: Sequence[Any], data: Sequence[Any]) -> tuple[VmType, CallColumns] | None:
        count = len(data)
        if len(contracts) != count or not _are_all(contracts, type, bytes):
            return None
        first = contracts[0]
        vm, code = self._known[first]  # raises for one that is not known
        if contracts.count(first) == count:
            codes = [code] * count
        else:
            found = list(map(self._known.__getitem__, contracts))
            codes = list(map(_CODE, found))
            if not _are_all(found, _VM, vm):
                return None
        made = _plain_columns(contracts, codes, data)
        return None if made is None else (vm, made)

    def _call(self, contract: Any, data: Any) -> Call:
        known = self._known.get(contract) if type(contract) is bytes else None
        if known is not None:
            context = _plain_context(contract, data)
            if context is not None:
                return Call(*known, context)
        found = requests.contract_of(contract)
        context = requests.context_of(found, data)
        with self._lock:  # items that came before may be running
            call = requests.call_of(found, context, self._state, self._host)
        if type(contract) is bytes and len(self._known) < _MOST_CONTRACTS:
            self._known[contract] = call.vm, call.code
        return call


def _plain_columns(addresses: Sequence[bytes], codes: Sequence[bytes], data: Sequence[Any]) -> CallColumns | None:
    """What `_plain_context` makes of each of `data`, or None where one may be otherwise or they are not alike.

    Those are alike that have the same keys, gas price and block, and send nothing. Each step here goes over a whole
    column without a step of Python for each call.
    """
    count, first = len(data), data[0]
    if not _are_all(data, type, dict) or not _PLAIN_KEYS.issuperset(first) or not _are_all(data, len, len(first)):
        return None
    columns = {key: list(map(itemgetter(key), data)) for key in first}
    for key, column in columns.items():
        kind = type(column[0])
        if kind not in _KINDS[key] or not _are_all(column, type, kind):
            return None
    callers, inputs = columns["caller"], columns.get("data") or [b""] * count
    gas_limits, prices = columns.get("gas_limit") or [DEFAULT_GAS_LIMIT] * count, columns.get("gas_price", [0])
    blocks = columns.get("block_context", [None])
    price, block = prices[0], DEFAULT_BLOCK if blocks[0] is None else blocks[0]
    different = gas_limits[:1] if gas_limits.count(gas_limits[0]) == count else gas_limits
    if (
        not _are_all(callers, len, ADDRESS_SIZE)
        or any(columns.get("value", ()))
        or not 0 <= min(different) <= max(different) <= MAX_GAS_LIMIT
        or not 0 <= price <= MAX_VALUE
        or prices.count(price) != len(prices)
        or blocks.count(blocks[0]) != len(blocks)
    ):
        return None
    return CallColumns(addresses, codes, callers, inputs, gas_limits, gas_price=price, block=block)


def _are_all(column: Sequence[Any], what: Callable[[Any], Any], value: object) -> bool:
    """Whether `what` is this of all items. To count takes less than to make a set."""
    return list(map(what, column)).count(value) == len(column)


def _plain_context(address: bytes, data: Any) -> ExecutionContext | None:
    """What `requests.context_of` makes of `data`, or None where it may be otherwise: its keys, types or values."""
    if type(data) is not dict or not data.keys() <= _PLAIN_KEYS:
        return None
    get = data.get
    caller, value, input_data, block = get("caller"), get("value", 0), get("data", b""), get("block_context")
    gas_limit, gas_price = get("gas_limit", DEFAULT_GAS_LIMIT), get("gas_price", 0)
    if (
        type(caller) is not bytes
        or type(input_data) is not bytes
        or not type(value) is type(gas_limit) is type(gas_price) is int
        or len(caller) != ADDRESS_SIZE
        or not 0 <= value <= MAX_VALUE
        or not 0 <= gas_limit <= MAX_GAS_LIMIT
        or not 0 <= gas_price <= MAX_VALUE
    ):
        return None
    if block is None:
        block = DEFAULT_BLOCK
    elif type(block) is not BlockContext:
        return None
    context: ExecutionContext = _new(ExecutionContext)
    _set_caller(context, caller)
    _set_address(context, address)
    _set_origin(context, caller)
    _set_value(context, value)
    _set_input(context, input_data)
    _set_gas_limit(context, gas_limit)
    _set_gas_price(context, gas_price)
    _set_depth(context, 0)
    _set_is_static(context, False)
    _set_blob_hashes(context, ())
    _set_block(context, block)
    _set_code_address(context, None)
    return context


_new: Final = object.__new__
(
    _set_caller,
    _set_address,
    _set_origin,
    _set_value,
    _set_input,
    _set_gas_limit,
    _set_gas_price,
    _set_depth,
    _set_is_static,
    _set_blob_hashes,
    _set_block,
    _set_code_address,
) = _SETTERS
