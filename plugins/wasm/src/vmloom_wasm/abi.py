"""The list of host functions, which the modules of `host` fill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .binary.module import F32, F64, I32, I64, FunctionType
from .engine.signature import Signature, signature

MODULE: Final = "env"
"""Name under which modules import all of them."""

_CODES: Final = {"i": I32, "I": I64, "f": F32, "F": F64}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One of them. It is called with the `Run`, then the parameters, integers unsigned."""

    name: str
    types: str
    """Letters as in `engine.signature`: `"iI:i"` takes an i32 and an i64 and returns an i32."""
    function: Callable[..., Any]
    module: str = MODULE

    @property
    def qualified_name(self) -> str:
        """As in an import list: `env.caller`."""
        return f"{self.module}.{self.name}"

    @property
    def signature(self) -> Signature:
        """The types, taken apart."""
        return signature(self.types)

    @property
    def function_type(self) -> FunctionType:
        """The types as a module has them."""
        sides = (self.signature.parameters, self.signature.results)
        return FunctionType(*(bytes(_CODES[letter] for letter in side) for side in sides))


FUNCTIONS: Final[dict[str, HostFunction]] = {}
"""By name."""


def offered(types: str) -> Callable[[F], F]:
    """Put a function on the list under its own name."""

    def add(function: F) -> F:
        FUNCTIONS[function.__name__] = HostFunction(function.__name__, types, function)
        return function

    return add
