"""Calls made of what applications hand in: dictionaries and objects in, checked `Call`s out.

Whatever is wrong with an item is an `InputError` that names the key; nothing here runs code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias

from ..context import ADDRESS_SIZE, ZERO_ADDRESS, BlockContext, ExecutionContext
from ..errors import InputError, VmloomError
from ..state import NO_ACCOUNT, StateAccess
from ..suggest import nearest
from ..vm import VmHost, VmType
from .contract import SmartContract

DEFAULT_GAS_LIMIT: Final = 10_000_000
DEFAULT_BLOCK: Final = BlockContext()
MAX_GAS_LIMIT: Final = (1 << 63) - 1
MAX_VALUE: Final = (1 << 256) - 1
_BLOCK_FIELDS: Final = {one.name: one.default for one in fields(BlockContext)}
_CALL_KEYS: Final = ("caller", "value", "data", "gas_limit", "gas_price", "origin", "is_static", "block_context")

_SHOWN: Final = 60
"""Characters of what was handed in that a message repeats."""

AddressLike: TypeAlias = bytes | str
"""20 bytes, or 40 hexadecimal digits with or without 0x in front."""
BlockLike: TypeAlias = BlockContext | Mapping[str, Any] | None


class UnknownContract(VmloomError):
    """A contract without code: none was handed in, and the state has none at its address."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is to run: `code` on the VM called `vm`, as the call `context`."""

    vm: VmType
    code: bytes
    context: ExecutionContext


@dataclass(frozen=True, slots=True)
class Request:
    """A call whose code and VM are those that the state has when it is its turn: calls before it may change them."""

    contract: SmartContract
    context: ExecutionContext


def address(value: Any, key: str) -> bytes:
    """The address that `value` is. Raises `InputError` with `key`."""
    if isinstance(value, (bytes, bytearray)) and len(value) == ADDRESS_SIZE:
        return bytes(value)
    if isinstance(value, str):
        found = _bytes_of(value)
        if found is not None and len(found) == ADDRESS_SIZE:
            return found
    raise InputError(
        f"{key}: an address of {ADDRESS_SIZE} bytes or 40 hexadecimal digits is needed, got {_shown(value)}"
    )


def block(value: BlockLike) -> BlockContext:
    """The block that `value` describes: a `BlockContext`, its fields by name, or None for the defaults.

    Raises `InputError` for a field that does not exist or has the wrong kind.
    """
    if value is None:
        return DEFAULT_BLOCK
    if isinstance(value, BlockContext):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"block_context: a mapping is needed, got {_shown(value)}")
    made: dict[str, Any] = {}
    for name, given in value.items():
        if not isinstance(name, str) or name not in _BLOCK_FIELDS:
            raise _unknown("block_context.", name, tuple(_BLOCK_FIELDS))
        key = f"block_context.{name}"
        made[name] = address(given, key) if name == "coinbase" else number(given, key, MAX_VALUE)
    return BlockContext(**made)


def number(value: Any, key: str, limit: int) -> int:
    """An integer from 0 to `limit`. Raises `InputError` with `key`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{key}: a whole number is needed, got {_shown(value)}")
    if not 0 <= value <= limit:
        raise InputError(f"{key}: must be from 0 to {limit}, got {_shown(value)}")
    return int(value)


def contract_of(value: Any) -> SmartContract:
    """A contract: itself, an address, or a mapping with `address` and maybe `code` and `vm`. Raises `InputError`."""
    if isinstance(value, SmartContract):
        return value
    if not isinstance(value, (bytes, str)) and isinstance(value, Mapping):
        for name in value:
            if name not in ("address", "code", "vm"):
                raise _unknown("contract.", name, ("address", "code", "vm"))
        if "address" not in value:
            raise InputError("contract: the key 'address' is missing")
        code = value.get("code")
        vm = value.get("vm", "")
        if not isinstance(vm, str):
            raise InputError(f"contract.vm: a name is needed, got {_shown(vm)}")
        return SmartContract(
            address(value["address"], "contract.address"), None if code is None else data(code, "contract.code"), vm
        )
    return SmartContract(address(value, "contract"))


def data(value: Any, key: str) -> bytes:
    """Bytes, or what hexadecimal digits stand for. Raises `InputError` with `key`."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        found = _bytes_of(value)
        if found is not None:
            return found
    raise InputError(f"{key}: bytes or hexadecimal digits are needed, got {_shown(value)}")


def context_of(contract: SmartContract, call: Mapping[str, Any] | ExecutionContext) -> ExecutionContext:
    """The context of a call of `contract` from its data, whose keys are those of `execute_contract`.

    Only `caller` has to be there. An `ExecutionContext` is taken as it is, for `contract.address`. Raises `InputError`.
    """
    if isinstance(call, ExecutionContext):
        if call.address != contract.address:
            raise InputError(
                f"context.address: 0x{call.address.hex()} is not the contract's, 0x{contract.address.hex()}"
            )
        if call.depth:
            raise InputError(
                f"context.depth: a call of the engine is a transaction of its own, of depth 0, got {call.depth}"
            )
        return _sendable(call)
    if not isinstance(call, (dict, Mapping)):  # in an order in which most are found out at once
        raise InputError(f"a mapping or an ExecutionContext is needed, got {_shown(call)}")
    for name in call:
        if name not in _CALL_KEYS:
            raise _unknown("", name, _CALL_KEYS)
    if "caller" not in call:
        raise InputError("caller: is missing")
    caller = address(call["caller"], "caller")
    is_static = call.get("is_static", False)
    if not isinstance(is_static, bool):
        raise InputError(f"is_static: true or false is needed, got {_shown(is_static)}")
    context = ExecutionContext(
        caller=caller,
        address=contract.address,
        origin=address(call["origin"], "origin") if "origin" in call else caller,
        value=number(call.get("value", 0), "value", MAX_VALUE),
        input=data(call.get("data", b""), "data"),
        gas_limit=number(call.get("gas_limit", DEFAULT_GAS_LIMIT), "gas_limit", MAX_GAS_LIMIT),
        gas_price=number(call.get("gas_price", 0), "gas_price", MAX_VALUE),
        is_static=is_static,
        block=block(call.get("block_context")),
    )
    return _sendable(context)


def request_of(contract: Any, call: Any) -> Request | Exception:
    """The call of a contract from its data, or why there is none."""
    try:
        found = contract_of(contract)
        return Request(found, context_of(found, call))
    except Exception as error:  # a mapping of the application's own may raise anything
        return error


def _sendable(context: ExecutionContext) -> ExecutionContext:
    """`context`, unless it is a static call that sends something. Raises `InputError`."""
    if context.is_static and context.value:
        raise InputError(f"value: a static call cannot send any, got {_shown(context.value)}")
    return context


def call_of(contract: SmartContract, context: ExecutionContext, state: StateAccess, host: VmHost) -> Call:
    """The call of `contract`, with its code and VM found. Raises `UnknownContract`."""
    account = state.get_account(contract.address) or NO_ACCOUNT
    code = account.code if contract.code is None else contract.code
    if not code:
        raise UnknownContract(
            f"0x{contract.address.hex()} has no code: deploy it to the state, or hand its code in with the contract"
        )
    vm = contract.vm or (account.vm if contract.code is None else "")
    return Call(vm or host.vm_of_code(code), code, context)


def _bytes_of(text: str) -> bytes | None:
    """What hexadecimal digits, with or without 0x in front, stand for; None for other text."""
    digits = text.removeprefix("0x")
    if not digits.isalnum() and digits:  # `bytes.fromhex` passes over spaces
        return None
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None


def _unknown(place: str, name: object, known: tuple[str, ...]) -> InputError:
    if not isinstance(name, str):
        return InputError(f"{place}{_shown(name)}: keys are names")
    near = nearest(name[:_SHOWN], known)
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return InputError(f"{place}{short}: there is no such key" + (f" (did you mean {near!r}?)" if near else ""))


def _shown(value: Any) -> str:
    """`value` for a message: short, whatever it is and however it is written."""
    if isinstance(value, (str, bytes, bytearray)):
        text = repr(value[:_SHOWN])
    elif isinstance(value, int) and value.bit_length() > 4 * _SHOWN:
        return f"a number of {value.bit_length()} bits"
    else:
        try:
            text = repr(value)
        except Exception:  # applications' objects are theirs to describe
            return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


__all__ = [
    "ZERO_ADDRESS",
    "AddressLike",
    "BlockLike",
    "Call",
    "Request",
    "UnknownContract",
    "address",
    "block",
    "call_of",
    "context_of",
    "contract_of",
    "request_of",
]
