"""What programs of the language find and leave: variables, functions of the host, and the workbench's reserved names.

An `Environment` outlives programs: a function that one of them left is there for the next, with the variables that it
shares with others. How programs run is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from ..values import DEFAULT_LIMITS, Value, ValueLimits, check
from ..vm import GAS_KEY, RESERVED, UNLIMITED

_TEMPORARY: Final = "~"
"""In names that the lowering makes up: they are nobody's after the program."""


class Environment(MutableMapping[str, Any]):
    """Names by what they stand for. The outermost one also has what the workbench's `VM.env` has:

    | key | |
    |---|---|
    | `_blockchain_state` | values by key |
    | `_ledger` | entries, read-only and stamped |
    | `_block_timestamp` | the time of the stamps, in UNIX seconds; 0 if it is not there |
    | `_gas_remaining` | gas that is left, `float("inf")` for no bound |
    | any other | a variable of programs, or a function of Python that they can call |

    A child sees what is around it; what is set there is its own. Setting what is no value raises `TypeMismatch`, a
    value beyond `limits` `ValueTooLarge`.
    """

    def __init__(
        self,
        variables: Mapping[str, Any] | None = None,
        *,
        outer: Environment | None = None,
        limits: ValueLimits = DEFAULT_LIMITS,
    ) -> None:
        self.outer: Final[Environment | None] = outer
        self.limits: Final[ValueLimits] = limits if outer is None else outer.limits
        self._names: dict[str, Any] = {} if outer is not None else {GAS_KEY: UNLIMITED}
        self._constants: set[str] = set()
        self.update(variables or {})

    def child(self) -> Environment:
        """An environment inside this one: state, ledger and gas are the same."""
        return Environment(outer=self)

    def set(self, name: str, value: Any) -> Any:
        """Set a name here, whatever is around; gives the value back."""
        self[name] = value
        return value

    def declare(self, name: str, value: Value, *, constant: bool = False) -> None:
        """Set a variable here, as `let` and `const` do."""
        self[name] = value
        (self._constants.add if constant else self._constants.discard)(name)

    def assign(self, name: str, value: Value) -> None:
        """Set a variable where it is, here if it is nowhere."""
        self._owner(name)[name] = value

    @property
    def constants(self) -> frozenset[str]:
        """The names that programs declared with `const`, which later ones cannot assign."""
        around = self.outer.constants - self._names.keys() if self.outer is not None else frozenset()
        return around | self._constants

    @property
    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions of the host."""
        return {name: value for name, value in self.items() if callable(value)}

    @property
    def variables(self) -> dict[str, Value]:
        """What programs can read by name."""
        return {name: value for name, value in self.items() if name not in RESERVED and not callable(value)}

    def __getitem__(self, name: str) -> Any:
        return self._owner(name)._names[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in RESERVED:
            self._outermost()._names[name] = value
        elif _TEMPORARY not in name:
            if not callable(value):
                check(value, self.limits)
            self._names[name] = value

    def __delitem__(self, name: str) -> None:
        owner = self._owner(name)
        del owner._names[name]
        owner._constants.discard(name)

    def __iter__(self) -> Iterator[str]:
        seen = dict.fromkeys(self.outer) if self.outer is not None else {}
        return iter(seen | dict.fromkeys(self._names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} names>"

    def _owner(self, name: str) -> Environment:
        """The innermost environment that has the name, this one if none has."""
        found: Environment | None = self
        while found is not None:
            if name in found._names:
                return found
            found = found.outer
        return self._outermost() if name in RESERVED else self

    def _outermost(self) -> Environment:
        found = self
        while found.outer is not None:
            found = found.outer
        return found


class Scope(MutableMapping[str, Any]):
    """An environment as one program uses it: `declared` are the program's own variables, and whether each is constant.

    Its other variables are those of the environment, wherever in it they are.
    """

    __slots__ = ("_declared", "_environment")

    def __init__(self, environment: Environment, declared: Mapping[str, bool]) -> None:
        self._environment = environment
        self._declared = declared

    def __getitem__(self, name: str) -> Any:
        return self._environment[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._declared:
            self._environment.declare(name, value, constant=self._declared[name])
        else:
            self._environment.assign(name, value)

    def __delitem__(self, name: str) -> None:
        del self._environment[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)
