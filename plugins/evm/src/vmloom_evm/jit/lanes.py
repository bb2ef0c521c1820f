"""Contracts compiled into the program of lanes: what `compile` makes for the host, for other processors.

There is nothing of the host in what `emit` writes, but for the ways in and out. Here the loop of the switch driver
calls the function and goes on where it has left, and the bodies that are called out of line are in the same module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..native.driver import NEEDING, text_of_step
from ..native.run import begin_op
from .compile import check_time, checked_blocks
from .emit import GUARD, Emitter
from .linkage import InLoop
from .support import active_rows

if TYPE_CHECKING:
    from vmloom_native.program import Program

    from ..native.machine import Build
    from ..specification import Specification
    from ..table import OpRow


def define_contracts(
    program: Program, specification: Specification, build: Build, codes: Sequence[bytes], deadline: float = math.inf
) -> dict[int, str]:
    """Define a function for each of `codes` in the program of lanes. Returns their symbols by numbers from 1.

    Raises `compile.Uncompilable`, also if their text is not written by `deadline`, a time of `time.thread_time`.
    """
    rows = active_rows(specification)
    limit = min(specification.rules.stack_limit, build.stack_spacing - 1)
    called: dict[str, OpRow] = {}
    symbols = {}
    is_guarded = False
    for number, code in enumerate(codes, 1):
        blocks = checked_blocks(specification, code, limit)
        linkage = InLoop(build, number)
        emitter = Emitter(program, rows, blocks, limit, specification.fork.gas, linkage)
        lines = emitter.lines(lambda: check_time(deadline))
        program.define("\n".join((*emitter.tables, *lines)))
        for text in (*linkage.declarations(), *emitter.writer.tables, *emitter.writer.intrinsics):
            program.declare(text)
        called |= emitter.called
        is_guarded = is_guarded or bool(emitter.tables)
        symbols[number] = linkage.symbol
    if is_guarded:
        program.define(GUARD)
    for symbol, row in called.items():
        program.define(_step(program, build, symbol, row))
    return symbols


def _step(program: Program, build: Build, symbol: str, row: OpRow) -> str:
    """The body of an instruction, out of line."""
    assert row.function is not None
    begun = row.takes_machine and program.reaches(row.function, NEEDING)
    text = text_of_step(
        build, symbol, row, program.function(row.function), program.function(begin_op) if begun else None
    )
    return text.replace("define ", "define internal ", 1).replace(" nounwind {", " noinline nounwind {", 1)
