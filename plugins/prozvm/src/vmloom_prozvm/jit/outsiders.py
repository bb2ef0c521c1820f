"""Functions of other programs that a run finds among the host's variables.

They may read and store any variable of the main program by its name. Compiled, the main program keeps those in
variables of Python while it waits for a function, so a run that could meet one is left to the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..runtime.loaded import Loaded
from ..values import Cell, Function

_MANY: Final = 10_000
"""Parts of values that are looked at; where there are more, there may be a function among them."""


def calls_unknown(loaded: Loaded) -> bool:
    """Whether functions of the program call what is known only when they run."""
    return any(
        opcode is Opcode.CALL_NAME or opcode is Opcode.CALL_TOP
        for function in loaded.functions()
        if function is not loaded.main
        for opcode, _ in function.instructions
    )


def brings_functions(loaded: Loaded, values: Iterable[Any]) -> bool:
    """Whether a function that is not the program's may be among `values`, or anywhere inside them."""
    pending = [value for value in values if type(value) in _HOLDERS]
    seen: set[int] = set()
    looked = 0
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is Function and loaded.function(value) is None:
            return True
        parts = _parts(value)
        looked += len(parts)
        if looked > _MANY:
            return True
        pending += [part for part in parts if type(part) in _HOLDERS]
    return False


def _parts(value: Any) -> list[Any]:
    if type(value) is Function:
        return list(value.bound)
    if type(value) is Cell:
        return [value.value]
    return list(value.values()) if type(value) is dict else list(value)


_HOLDERS: Final = frozenset((Function, Cell, list, dict))
