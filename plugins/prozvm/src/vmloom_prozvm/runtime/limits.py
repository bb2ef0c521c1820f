"""How large a running program may get. Data only; the loader, the interpreter and generated code all keep to it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ..values import ValueLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one run. All are at least 1; `ValueError` otherwise."""

    values: ValueLimits = field(default_factory=ValueLimits)
    """of each value"""
    stack: int = 1024
    """values on the stack of one frame"""
    frames: int = 256
    """calls and begun tasks that wait for one another, with the main program"""
    tasks: int = 1024
    """tasks spawned that have not begun"""
    registers: int = 1024
    """names of one function; for the main program, of all functions together"""

    def __post_init__(self) -> None:
        for name in (entry.name for entry in fields(self) if entry.name != "values"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be at least 1, got {getattr(self, name)}")
