"""What generated text calls for instructions that it cannot do in place: operations, and what they cost beside.

Each function that charges takes the gas that is left and gives back what then is, for sizes alone: what is fixed has
been charged. Where gas runs short, or anything else is not as usual, it raises `Leave` and has done nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..errors import ProzError
from ..gas import SIZED_AFTER, SIZED_BEFORE, GasSchedule
from ..runtime import operations
from ..runtime.hashes import hash_block, merkle_root
from ..runtime.signatures import verify_signature
from ..runtime.transactions import TransactionStack
from ..runtime.world import Path, path_of
from ..values import DEFAULT_LIMITS, Value, ValueLimits, check, is_key

_PATHS: Final = 1024
"""Paths whose price is remembered."""
_LONG: Final = 64
"""Characters or bytes of a key that is not remembered, so that all of them take little."""


class Leave(Exception):
    """The interpreter is to go on."""


def uncharged(limits: ValueLimits) -> Mapping[Opcode, Callable[..., Value]]:
    """What computes from values alone, by opcode; takes the values that the instruction takes."""
    found: dict[Opcode, Callable[..., Value]] = {
        Opcode.BUILD_LIST: lambda *items: operations.build_list(items, limits),
        Opcode.BUILD_MAP: lambda *pairs: operations.build_map(pairs, limits),
        Opcode.HASH_BLOCK: _bound(hash_block, limits),
        Opcode.MERKLE_ROOT: lambda *leaves: merkle_root(leaves, limits),
        Opcode.VERIFY_SIGNATURE: verify_signature,
    }
    for table in (operations.UNARY, operations.BINARY, operations.TERNARY):
        found.update((opcode, _bound(operation, limits)) for opcode, operation in table.items())
    return found


def charged(schedule: GasSchedule, limits: ValueLimits) -> dict[Opcode, Callable[..., Any]]:
    """The same with their prices, as (value, gas) from gas and values; and what reads and writes the state."""
    found: dict[Opcode, Callable[..., Any]] = {
        opcode: _charging(opcode, operation, schedule)
        for opcode, operation in uncharged(limits).items()
        if opcode in SIZED_BEFORE or opcode in SIZED_AFTER
    }
    found |= {opcode: _charging_value(opcode, schedule) for opcode in (Opcode.STATE_WRITE, Opcode.LEDGER_APPEND)}
    found[Opcode.STATE_READ] = read = _reading(schedule, limits)
    found[Opcode.STATE_READ_AT] = _reading_path(schedule, read)
    found[Opcode.STATE_WRITE_AT] = _writing_path(schedule)
    return found


def reading(limits: ValueLimits) -> Callable[[TransactionStack, Path], Value]:
    """Reads the state for nothing."""

    def read(transactions: TransactionStack, path: Path) -> Value:
        value = transactions.read(path)
        check(value, limits)  # the workbench's state is whatever its owner put there
        return value

    return read


def path(*keys: Value) -> Path:
    """As `path_of`."""
    return path_of(keys)


def _bound(operation: Callable[..., Value], limits: ValueLimits) -> Callable[..., Value]:
    if limits == DEFAULT_LIMITS:
        return operation
    return lambda *taken: operation(*taken, limits)


def _charging(
    opcode: Opcode, operation: Callable[..., Value], schedule: GasSchedule
) -> Callable[..., tuple[Value, int]]:
    def both(gas: int, *taken: Value) -> tuple[Value, int]:
        gas -= schedule.sizes(opcode, taken)
        if gas < 0:
            raise Leave
        result = operation(*taken)
        gas -= schedule.after(opcode, result)
        if gas < 0:
            raise Leave
        return result, gas

    def before(gas: int, *taken: Value) -> tuple[Value, int]:
        gas -= schedule.sizes(opcode, taken)
        if gas < 0:
            raise Leave
        return operation(*taken), gas

    def after(gas: int, *taken: Value) -> tuple[Value, int]:
        result = operation(*taken)
        gas -= schedule.after(opcode, result)
        if gas < 0:
            raise Leave
        return result, gas

    if opcode not in SIZED_BEFORE:
        return after
    return both if opcode in SIZED_AFTER else before


def _charging_value(opcode: Opcode, schedule: GasSchedule) -> Callable[[int, Value], int]:
    """For what is written."""

    def charge(gas: int, value: Value) -> int:
        gas -= schedule.sizes(opcode, (value,))
        if gas < 0:
            raise Leave
        return gas

    return charge


def _reading(schedule: GasSchedule, limits: ValueLimits) -> Callable[[int, TransactionStack, Path], tuple[Value, int]]:
    read_free = reading(limits)

    def read(gas: int, transactions: TransactionStack, path: Path) -> tuple[Value, int]:
        gas -= schedule.reading(transactions.size(path))
        if gas < 0:
            raise Leave
        return read_free(transactions, path), gas

    return read


def _reading_path(
    schedule: GasSchedule, read: Callable[[int, TransactionStack, Path], tuple[Value, int]]
) -> Callable[..., tuple[Value, int]]:
    price = _path_prices(lambda keys: schedule.sizes(Opcode.STATE_READ_AT, keys))

    def read_path(gas: int, transactions: TransactionStack, *keys: Value) -> tuple[Value, int]:
        cost, found = price(keys)
        gas -= cost
        if gas < 0:
            raise Leave
        return read(gas, transactions, found)

    return read_path


def _writing_path(schedule: GasSchedule) -> Callable[..., tuple[Path, int]]:
    price = _path_prices(lambda keys: schedule.sizes(Opcode.STATE_WRITE_AT, (*keys, None)))

    def write_path(gas: int, transactions: TransactionStack, value: Value, *keys: Value) -> tuple[Path, int]:
        cost, found = price(keys)
        if value is not None and (type(value) is not int or value.bit_length() > 64):
            cost = schedule.sizes(Opcode.STATE_WRITE_AT, (*keys, value))
        if value is not None and not transactions.has(found):
            cost += schedule.creating(keys)
        gas -= cost
        if gas < 0:
            raise Leave
        return found, gas

    return write_path


def _path_prices(
    price: Callable[[tuple[Value, ...]], int],
) -> Callable[[tuple[Value, ...]], tuple[int, Path]]:
    """What the keys of a path cost, and the path; known at once for those that came before."""
    known: dict[tuple[Value, ...], tuple[int, Path]] = {}

    def look_up(keys: tuple[Value, ...]) -> tuple[int, Path]:
        for key in keys:
            if not is_key(key):  # 1 and True would be the same one
                raise Leave
        found = known.get(keys)
        if found is None:
            try:
                found = price(keys), path_of(keys)
            except ProzError:  # the interpreter charges before it fails
                raise Leave from None
            if len(known) < _PATHS and all(map(_is_short, keys)):
                known[keys] = found
        return found

    return look_up


def _is_short(key: Value) -> bool:
    return key.bit_length() <= _LONG if type(key) is int else len(key) <= _LONG  # type: ignore[arg-type]  # a key
