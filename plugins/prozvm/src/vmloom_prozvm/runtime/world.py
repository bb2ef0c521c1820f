"""What programs keep: values by key, and a ledger that only grows.

`StateWorld` is a contract's, on the records of its account; `DictWorld` is the workbench's, on a dictionary. Programs
reach either through a `TransactionStack`.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from vmloom.context import BlockContext
from vmloom.errors import StateError
from vmloom.state import StateAccess

from .. import cbor
from ..errors import NotCanonical, ProzError, ReadOnlyState, TypeMismatch, ValueTooLarge
from ..values import (
    DEFAULT_LIMITS,
    Key,
    Value,
    ValueLimits,
    canonical,
    cells,
    check,
    check_storable,
    is_key,
    kind_of,
    parse_canonical,
)

STATE_KEY: Final = "_blockchain_state"
"""Where `DictWorld` keeps values."""
LEDGER_KEY: Final = "_ledger"
"""Where `DictWorld` keeps the ledger."""
TIME_KEY: Final = "_block_timestamp"
"""Where `DictWorld` finds the block's time."""
TIMESTAMP: Final = "timestamp"
"""The key of the block's time in every entry of a ledger."""

Path: TypeAlias = "str | tuple[Key, ...]"
"""Where a value is: under a name, or under keys, one inside the other. One string is always a name, never a tuple."""

PATH_CELLS: Final = 128
"""Cells of 8 bytes that the keys of a path have together at most."""
_VALUE: Final = b"s"
_AT_PATH: Final = b"k"
_COUNT: Final = b"n"
_ENTRY: Final = b"l"
_COUNT_SIZE: Final = 8
"""bytes"""


class World(Protocol):
    """Committed values and the ledger."""

    @property
    def timestamp(self) -> int:
        """The block's, in UNIX seconds."""

    def read(self, key: Path) -> Value:
        """The value under `key`, None if there is none."""

    def size(self, key: Path) -> int:
        """Bytes of the canonical encoding of what `read` gives, known without decoding it; 0 if there is nothing."""

    def has(self, key: Path) -> bool:
        """Whether there is a value under `key`."""

    def write(self, key: Path, value: Value) -> None:
        """Set the value under `key`; None removes it. Raises what `check` does."""

    def append(self, entry: Value) -> None:
        """Add `entry`, stamped with the block's time, to the ledger. Raises what `check` does."""

    def put(self, key: Path, value: Value) -> None:
        """As `write`, of what `check` has passed."""

    def add(self, entries: Sequence[Value]) -> None:
        """As `append` of each, of entries that are stamped and that `check` has passed.

        One that is there many times takes hardly longer than once.
        """

    def check(self, value: Value) -> None:
        """Raise now what writing `value` would.

        That is `NotStorable` for a function or task, `ValueTooLarge`, and `ReadOnlyState` where nothing can be written.
        """


def stamped(entry: Value, timestamp: int) -> dict[Key, Value]:
    """`entry` as the ledger has it: a map with "timestamp" set to the block's, another value as {"entry": it}.

    Doing it twice is doing it once.
    """
    if type(entry) is dict:
        return {**entry, TIMESTAMP: timestamp}
    return {"entry": entry, TIMESTAMP: timestamp}


class StateWorld:
    """The records of the account `address`, 20 bytes, in the block `block`.

    | Record | Value |
    |---|---|
    | `s` and a name's UTF-8 | a value's canonical encoding; none for None |
    | `k` and the canonical encoding of the list of a path's keys | the same |
    | `n` | how many entries the ledger has, 8 bytes, big-endian; none for 0 |
    | `l` and a position, 8 bytes, big-endian | an entry's canonical encoding |

    Nothing here changes an entry. Reverting the state to a checkpoint takes back what was written since.
    """

    def __init__(
        self,
        state: StateAccess,
        address: bytes,
        block: BlockContext,
        *,
        limits: ValueLimits = DEFAULT_LIMITS,
        read_only: bool = False,
    ) -> None:
        self._state: Final = state
        self._address: Final = address
        self._timestamp: Final = block.timestamp
        self._limits: Final = limits
        self._read_only: Final = read_only

    @property
    def timestamp(self) -> int:
        """The block's, in UNIX seconds."""
        return self._timestamp

    def read(self, key: Path) -> Value:
        """The value under `key`, None if there is none. Raises `StateError` for a record that is no value."""
        return self._parse(self._record(key))

    def size(self, key: Path) -> int:
        """Bytes of the record that `read` decodes; 0 if there is none."""
        return len(self._state.get_record(self._address, self._record(key)) or b"")

    def has(self, key: Path) -> bool:
        """Whether there is a value under `key`."""
        return self._state.get_record(self._address, self._record(key)) is not None

    def write(self, key: Path, value: Value) -> None:
        """Set the value under `key`; None removes it. Raises what `check` does."""
        self.check(value)
        self.put(key, value)

    def append(self, entry: Value) -> None:
        """Add `entry`, stamped with the block's time, to the ledger. Raises what `check` does."""
        made = stamped(entry, self._timestamp)
        self.check(made)
        self.add((made,))

    def put(self, key: Path, value: Value) -> None:
        """As `write`, of what `check` has passed."""
        self._state.set_record(self._address, self._record(key), None if value is None else cbor.encode(value))

    def add(self, entries: Sequence[Value]) -> None:
        """As `append` of each, of entries that are stamped and that `check` has passed."""
        encoded: dict[int, bytes] = {}  # by identity: `entries` holds them all
        position = self.ledger_size()
        for entry in entries:
            if id(entry) not in encoded:
                encoded[id(entry)] = cbor.encode(entry)
            self._state.set_record(self._address, _entry_key(position), encoded[id(entry)])
            position += 1
        self._state.set_record(self._address, _COUNT, position.to_bytes(_COUNT_SIZE, "big"))

    def check(self, value: Value) -> None:
        """Raise now what writing `value` would: `NotStorable`, `ValueTooLarge` or `ReadOnlyState`."""
        self._refuse_if_read_only()
        check_storable(value, self._limits)

    def ledger_size(self) -> int:
        """How many entries the ledger has."""
        count = self._state.get_record(self._address, _COUNT)
        if count is not None and len(count) != _COUNT_SIZE:
            raise self._fault(_COUNT, f"a count has {_COUNT_SIZE} bytes, this one has {len(count)}")
        return int.from_bytes(count or b"", "big")

    def ledger_entry(self, position: int) -> Value:
        """The entry at `position`, 0 being the first. Raises `IndexError` if there is none."""
        if not 0 <= position < self.ledger_size():
            raise IndexError(f"ledger entry {position}: there are {self.ledger_size()}")
        return self._parse(_entry_key(position))

    def _record(self, key: Path) -> bytes:
        return _VALUE + key.encode() if type(key) is str else _AT_PATH + canonical(list(key), self._limits)

    def _refuse_if_read_only(self) -> None:
        if self._read_only:
            raise ReadOnlyState("STATE_WRITE or LEDGER_APPEND in a static call: it must not change anything")

    def _parse(self, record: bytes) -> Value:
        encoded = self._state.get_record(self._address, record)
        if encoded is None:
            return None
        try:
            return parse_canonical(encoded, self._limits)
        except (NotCanonical, ProzError) as error:  # a contract cannot have written it
            raise self._fault(record, str(error)) from error

    def _fault(self, record: bytes, cause: str) -> StateError:
        return StateError(f"record 0x{record.hex()} of 0x{self._address.hex()}: {cause}")


class DictWorld:
    """A dictionary: values under "_blockchain_state", the ledger under "_ledger", both made when first written.

    Whoever owns the dictionary may replace either at any time. Entries cannot be changed, and are copies, so that
    what they were made from can.
    """

    def __init__(self, env: MutableMapping[str, Any], *, limits: ValueLimits = DEFAULT_LIMITS) -> None:
        self._env: Final = env
        self._limits: Final = limits

    @property
    def timestamp(self) -> int:
        """The dictionary's "_block_timestamp" in UNIX seconds, 0 if it has none: never the clock of this machine."""
        timestamp: int = self._env.get(TIME_KEY, 0)
        return timestamp

    def read(self, key: Path) -> Value:
        """The value under `key`, None if there is none. Raises `TypeMismatch` for what is no value, such as a float."""
        values = self._env.get(STATE_KEY)
        value: Value = None if values is None else values.get(key)
        check(value, self._limits)
        return value

    def size(self, key: Path) -> int:
        """Bytes of the canonical encoding of what `read` gives; 0 if there is nothing."""
        value = self.read(key)
        return 0 if value is None else cbor.size(value)

    def has(self, key: Path) -> bool:
        """Whether there is anything under `key`."""
        values = self._env.get(STATE_KEY)
        return values is not None and values.get(key) is not None

    def write(self, key: Path, value: Value) -> None:
        """Set the value under `key`; None removes it. Raises what `check` does."""
        self.check(value)
        self.put(key, value)

    def append(self, entry: Value) -> None:
        """Add `entry`, stamped with the block's time, to the ledger. Raises what `check` does."""
        made = stamped(entry, self.timestamp)
        self.check(made)
        self.add((made,))

    def put(self, key: Path, value: Value) -> None:
        """As `write`, of what `check` has passed."""
        values = self._env.setdefault(STATE_KEY, {})
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value

    def add(self, entries: Sequence[Value]) -> None:
        """As `append` of each, of entries that are stamped and that `check` has passed."""
        ledger = self._env.setdefault(LEDGER_KEY, [])
        frozen: dict[int, Any] = {}  # by identity: `entries` holds them all, and no copy can be changed
        for entry in entries:
            if id(entry) not in frozen:
                frozen[id(entry)] = _frozen(entry)
            ledger.append(frozen[id(entry)])

    def check(self, value: Value) -> None:
        """Raise now what writing `value` would: `NotStorable` or `ValueTooLarge`."""
        check_storable(value, self._limits)


def path_of(keys: Sequence[Value]) -> Path:
    """The path of these keys, at least one. Raises `TypeMismatch` for what can be no key, and `ValueTooLarge`."""
    size = 0
    for key in keys:
        if not is_key(key):
            raise TypeMismatch(f"the state has strings, integers and bytes as keys, not {kind_of(key)}")
        size += cells(key)
    if size > PATH_CELLS:
        raise ValueTooLarge(f"a path of {size} cells; the limit is {PATH_CELLS}")
    first = keys[0]
    return first if len(keys) == 1 and type(first) is str else tuple(keys)  # type: ignore[arg-type]  # all are keys


def _entry_key(position: int) -> bytes:
    return _ENTRY + position.to_bytes(8, "big")


def _frozen(value: Value) -> Any:
    """A copy that cannot be changed: maps are read-only, lists are tuples."""
    kind = type(value)
    if kind is dict:
        return MappingProxyType({key: _frozen(item) for key, item in value.items()})  # type: ignore[union-attr]
    if kind is list:
        return tuple(map(_frozen, value))  # type: ignore[arg-type]
    return value
