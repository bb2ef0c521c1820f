"""The table of methods: which function answers to which names, and with which parameters.

The modules of `methods` fill it with `@method`; `dispatcher` reads it, and so does the page that documents it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, get_type_hints

from vmloom.errors import InputError

from .parameters import Shape, shape_of
from .protocol import Code, RpcError

if TYPE_CHECKING:
    from .session import Session

Function = TypeVar("Function", bound=Callable[..., Any])

IsShort: TypeAlias = Callable[["Session", list[Any]], bool]

REQUIRED: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method; `default` is `REQUIRED` for one that may not be left out."""

    name: str
    shape: Shape
    default: Any

    def read(self, value: Any, position: int) -> Any:
        """The argument that JSON's `value` stands for. Raises `RpcError`."""
        if value is None:
            if self.default is REQUIRED:
                raise RpcError(Code.INVALID_PARAMS, f"missing value for required argument {position}")
            return self.default
        try:
            return self.shape.read(value, self.name)
        except InputError as error:
            raise RpcError(Code.INVALID_PARAMS, f"invalid argument {position}: {error}") from None


@dataclass(frozen=True, slots=True)
class Method:
    """What answers to a name: `function(session, *arguments)` returns what is JSON-ready, or raises."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    aliases: tuple[str, ...]
    """All other names of the function."""
    is_short: IsShort | None = None
    """Whether a call with these parameters, as they came, takes so little time that no other client need notice."""

    @property
    def namespace(self) -> str:
        """The part of the name before `_`."""
        return self.name.partition("_")[0]

    @property
    def documentation(self) -> str:
        """What the method does, in words."""
        return inspect.getdoc(self.function) or ""

    def arguments(self, params: list[Any]) -> list[Any]:
        """The arguments that `params` stand for. Raises `RpcError`."""
        if len(params) > len(self.parameters):
            raise RpcError(Code.INVALID_PARAMS, f"too many arguments, want at most {len(self.parameters)}")
        given = len(params)
        return [parameter.read(params[i] if i < given else None, i) for i, parameter in enumerate(self.parameters)]


METHODS: Final[dict[str, Method]] = {}
"""By name; a function with several names is here under each."""


def method(*names: str, is_short: IsShort | None = None) -> Callable[[Function], Function]:
    """Let the function answer to `names`. Its first parameter is the `Session`; the others are read from JSON.

    Without `is_short` it is never called where others would have to wait for it.
    Raises `ValueError` for a name that is taken, `TypeError` for a parameter without a JSON shape.
    """

    def add(function: Function) -> Function:
        parameters = tuple(_parameters(function))
        for name in names:
            if name in METHODS:
                raise ValueError(f"two functions answer to {name}")
            others = tuple(one for one in names if one != name)
            METHODS[name] = Method(name, function, parameters, others, is_short)
        return function

    return add


def _parameters(function: Callable[..., Any]) -> Iterable[Parameter]:
    hints = get_type_hints(function, include_extras=True)
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        yield Parameter(parameter.name, shape_of(hints[parameter.name]), parameter.default)
