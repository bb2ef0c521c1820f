"""Reads how much gas each function of a module used, from a build that `instrument` made with `profile`.

Called after a run, also after one that trapped. Only the module's own code counts: what host functions charge is for
the host to add, so that the sum is the gas of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..binary.module import Kind, Module
from ..binary.names import function_names
from .instrument import FUNCTION_CALLS_EXPORT, FUNCTION_GAS_EXPORT

if TYPE_CHECKING:
    from ..engine.instance import Instance


@dataclass(frozen=True, slots=True)
class FunctionProfile:
    """What one function took.

    Attributes:
        index: Of the function, imported ones first.
        name: From the name section, exports or imports, None if it has none. Whatever the author of the module wrote:
            of any length, with any character.
        calls: Frames of it that began.
        gas: Units of the gas table that it paid itself, without the functions that it called.
    """

    index: int
    name: str | None
    calls: int
    gas: int


def read_profile(instance: Instance, module: Module) -> list[FunctionProfile]:
    """What the functions of `instance` took since it was made, the dearest first; those never called are left out.

    `module` is what was instrumented, or the result. Raises `MissingRequiredExport` if it was not made with `profile`.
    """
    names = function_names(module)
    first = len(module.imported(Kind.FUNCTION))
    found = []
    for index in range(first, first + len(module.functions)):
        if calls := instance.variable(f"{FUNCTION_CALLS_EXPORT}{index}").get():
            gas = instance.variable(f"{FUNCTION_GAS_EXPORT}{index}").get()
            found.append(FunctionProfile(index, names.get(index), calls, gas))
    return sorted(found, key=lambda function: (-function.gas, function.index))
