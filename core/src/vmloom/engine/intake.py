"""Calls of what is handed in for a batch whose items do not depend on one another.

Making the call is the largest part of a small item. So a contract is looked up once, for the state stays as it is, and
data of the plainest types go into a context at once; all else goes the way of single calls, which says what is wrong.
"""

from __future__ import annotations

import threading
from typing import Any, Final, NamedTuple

from ..context import ADDRESS_SIZE, BlockContext, ExecutionContext
from ..state import StateAccess
from ..vm import VmHost, VmType
from . import requests
from .requests import DEFAULT_BLOCK, DEFAULT_GAS_LIMIT, MAX_GAS_LIMIT, MAX_VALUE, Call

_PLAIN_KEYS: Final = frozenset(("caller", "value", "data", "gas_limit", "gas_price", "block_context"))
_MOST_CONTRACTS: Final = 4096
"""Contracts whose code is remembered."""
_SETTERS: Final = [ExecutionContext.__dict__[name].__set__ for name in ExecutionContext.__slots__]
"""Of the fields in their order. Half of the time of making a context is what frozen classes do to set them."""


class Given(NamedTuple):
    """What was handed in for an item."""

    contract: Any
    data: Any


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
