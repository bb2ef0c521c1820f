"""Results whose events and state changes are read when somebody asks for them.

For engines that have them in a form of their own. To users they are the classes that they extend: they compare, print,
pickle and can be replaced as those. What reads must not depend on the state, which goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from vmloom import Event, ExecutionResult, StateChange

from .transaction.outcome import TransactionResult

ReadEvents = Callable[[], tuple[Event, ...]]
ReadChanges = Callable[[], tuple[StateChange, ...]]
Late = TypeVar("Late", bound="_Late")


class _Late:
    """What late results have in common. Fields are slots, so that one that is not set yet is looked for here."""

    __slots__ = ()

    plain: type[Any]
    """The class that it extends."""
    _read_events: ReadEvents
    _read_changes: ReadChanges

    def __getattr__(self, name: str) -> Any:
        if name == "events":
            value: Any = self._read_events()
        elif name == "state_changes":
            value = self._read_changes()
        else:
            raise AttributeError(f"{self.plain.__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.plain) and _values(self) == _values(other)

    def __hash__(self) -> int:
        return hash(_values(self))

    def __repr__(self) -> str:
        return repr(self.plain(*_values(self)))

    def __reduce__(self) -> tuple[type[Any], tuple[Any, ...]]:
        return self.plain, _values(self)


class LateExecutionResult(_Late, ExecutionResult):
    """An `ExecutionResult`; see `late_execution_result`."""

    __slots__ = ("_read_changes", "_read_events")
    plain = ExecutionResult


class LateTransactionResult(_Late, TransactionResult):
    """A `TransactionResult`; see `late_transaction_result`."""

    __slots__ = ("_read_changes", "_read_events")
    plain = TransactionResult


def late_execution_result(read_events: ReadEvents, read_changes: ReadChanges, **known: Any) -> ExecutionResult:
    """An `ExecutionResult` with the fields `known`, which are all but `events` and `state_changes`."""
    return _late(LateExecutionResult, read_events, read_changes, known)


def late_transaction_result(read_events: ReadEvents, read_changes: ReadChanges, **known: Any) -> TransactionResult:
    """A `TransactionResult` with the fields `known`, which are all but `events` and `state_changes`."""
    return _late(LateTransactionResult, read_events, read_changes, known)


def _late(kind: type[Late], read_events: ReadEvents, read_changes: ReadChanges, known: dict[str, Any]) -> Late:
    result = kind.__new__(kind)
    put = object.__setattr__  # as frozen dataclasses do it
    put(result, "_read_events", read_events)
    put(result, "_read_changes", read_changes)
    for name, value in known.items():
        put(result, name, value)
    return result


def _values(result: Any) -> tuple[Any, ...]:
    return tuple(getattr(result, field.name) for field in fields(result))
