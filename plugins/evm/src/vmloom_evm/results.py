"""Results whose fields are read when somebody asks for them.

For engines that have them in a form of their own. To users they are the classes that they extend: they compare, print,
pickle and can be replaced as those. What reads must not depend on the state, which goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol, TypeVar

from vmloom import ExecutionResult

from .transaction.outcome import TransactionResult


class Reader(Protocol):
    """Knows what came of a run."""

    def read(self, name: str) -> Any:
        """The field `name` of the result."""


Late = TypeVar("Late", bound="_Late")


class _Late:
    """What late results have in common. Fields are slots, so that one that is not set yet is looked for here."""

    __slots__ = ()

    plain: type[Any]
    """The class that it extends."""
    names: frozenset[str]
    """Of its fields."""
    _given: tuple[Any, ...]
    """What makes the reader, and its arguments."""
    _reader: Reader

    def __getattr__(self, name: str) -> Any:
        if name == "_reader":
            make, *arguments = self._given
            value: Any = make(*arguments)
        elif name in self.names:
            value = self._reader.read(name)
        else:
            raise AttributeError(f"{self.plain.__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)  # as frozen dataclasses do it
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
    """An `ExecutionResult`."""

    __slots__ = ("_given", "_reader")
    plain = ExecutionResult
    names = frozenset(field.name for field in fields(ExecutionResult))


class LateTransactionResult(_Late, TransactionResult):
    """A `TransactionResult`."""

    __slots__ = ("_given", "_reader")
    plain = TransactionResult
    names = frozenset(field.name for field in fields(TransactionResult))


def late(kind: type[Late], make: Callable[..., Reader], *arguments: Any) -> Late:
    """A result of `kind` whose fields are read from `make(*arguments)`, each when it is first asked for."""
    result = kind.__new__(kind)
    object.__setattr__(result, "_given", (make, *arguments))
    return result


def _values(result: Any) -> tuple[Any, ...]:
    return tuple(getattr(result, field.name) for field in fields(result))
