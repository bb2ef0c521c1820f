"""Programs written as steps, and what the interpreter makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.errors import ProzError
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function, Value


def body(*steps: tuple[Any, ...]) -> Bytecode:
    """A program from (name, operands...), where `("label", name)` sets a label."""
    builder = BytecodeBuilder()
    for name, *operands in steps:
        if name == "label":
            builder.label(*operands)
        else:
            builder.emit(name, *operands)
    return builder.build()


def const(*values: Value) -> list[tuple[Any, ...]]:
    return [("LOAD_CONST", value) for value in values]


def function(name: str, parameters: tuple[str, ...], *steps: tuple[Any, ...]) -> Function:
    return Function(name, parameters, body(*steps))


def run(*steps: tuple[Any, ...], **options: Any) -> Value:
    """What the program returns."""
    program = body(*steps)
    strict = options.get("strict", True)
    world = options.pop("world", None) or DictWorld({})
    limits = options.setdefault("limits", Limits())
    return Machine(world, **options).run(load(program, limits, strict=strict))


def fails(error: type[ProzError], at: int | None, *steps: tuple[Any, ...], **options: Any) -> ProzError:
    """The error, which must be of this kind and at this instruction."""
    with pytest.raises(ProzError) as caught:
        run(*steps, **options)
    assert (type(caught.value), caught.value.at) == (error, at)
    return caught.value
