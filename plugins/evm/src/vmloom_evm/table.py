"""The op table as data: one row for each instruction, collected by the `@op` decorator.

Every driver (CPython loop, native interpreter, JIT, GPU) is generated from these rows and from the static
gas of a fork. Stack checks and static gas are never written in an op's body.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

OpFunction = Callable[..., Any]
F = TypeVar("F", bound=OpFunction)

MACHINE_PARAMETER = "m"


class OpKind(IntEnum):
    """What a driver must do around an op's body."""

    VALUE = 0
    """Operands in, at most one result out; nothing else of the frame changes but what verbs change."""
    PUSH = 1
    """Push the `immediate` bytes after the opcode; no body."""
    DUP = 2
    """Copy stack item number `pops` to the top; no body."""
    SWAP = 3
    """Exchange the top with stack item number `pops`; no body."""
    FLOW = 4
    """The body reads or writes `m.pc`, which the driver sets to the next instruction and goes on from."""
    FRAME = 5
    """The body may open or close a frame: the driver spills pc and gas before it and goes on with the current frame."""


@dataclass(frozen=True, slots=True)
class OpRow:
    """One instruction. `pops` and `pushes` count stack items; `immediate` counts bytes after the opcode."""

    code: int
    name: str
    function: OpFunction | None
    kind: OpKind
    pops: int
    pushes: int
    immediate: int = 0
    takes_machine: bool = False


OPS: dict[str, OpRow] = {}
"""Every op that ships with this package, by name."""


def op(code: int, name: str, *, kind: OpKind = OpKind.VALUE, pushes: int | None = None) -> Callable[[F], F]:
    """Declare a kernel function as the body of an instruction.

    Operands are its parameters, top of stack first, after an optional machine parameter called `m`; the
    result is pushed. `pushes` overrides the count for frame ops, which push when the child frame ends.
    Raises `ValueError` if `name` or `code` is taken.
    """

    def declare(function: F) -> F:
        add_row(OPS, row_of(function, code, name, kind=kind, pushes=pushes))
        return function

    return declare


def row_of(
    function: OpFunction, code: int, name: str, *, kind: OpKind = OpKind.VALUE, pushes: int | None = None
) -> OpRow:
    """The row that `function`'s signature implies: parameters are pops, a result annotation is a push."""
    if not 0 <= code <= 0xFF:
        raise ValueError(f"{name}: opcode {code:#x} is outside 0x00 .. 0xff")
    signature = inspect.signature(function)
    names = list(signature.parameters)
    takes_machine = names[:1] == [MACHINE_PARAMETER]
    returns = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    return OpRow(
        code=code,
        name=name,
        function=function,
        kind=kind,
        pops=len(names) - takes_machine,
        pushes=int(returns) if pushes is None else pushes,
        takes_machine=takes_machine,
    )


def add_row(rows: dict[str, OpRow], row: OpRow) -> None:
    """Put `row` into `rows`; `ValueError` if its name or its code is taken there."""
    for other in rows.values():
        if other.name == row.name or other.code == row.code:
            raise ValueError(f"opcode {row.code:#04x} {row.name}: already declared as {other.code:#04x} {other.name}")
    rows[row.name] = row


for _n in range(33):
    add_row(OPS, OpRow(0x5F + _n, f"PUSH{_n}", None, OpKind.PUSH, pops=0, pushes=1, immediate=_n))
for _n in range(1, 17):
    add_row(OPS, OpRow(0x7F + _n, f"DUP{_n}", None, OpKind.DUP, pops=_n, pushes=_n + 1))
    add_row(OPS, OpRow(0x8F + _n, f"SWAP{_n}", None, OpKind.SWAP, pops=_n + 1, pushes=_n + 1))
