"""How large a running program may get. Data only; the loader, the interpreter and generated code all keep to it."""

from __future__ import annotations

from dataclasses import dataclass

from ..bytecode.verify import CodeLimits


@dataclass(frozen=True)
class Limits(CodeLimits):
    """Bounds on a program and on one run of it. All are at least 1; `ValueError` otherwise."""

    frames: int = 256
    """calls and begun tasks that wait for one another, with the main program"""
    tasks: int = 1024
    """tasks spawned that have not begun"""
    registers: int = 1024
    """names of one function; for the main program, of all functions together"""
