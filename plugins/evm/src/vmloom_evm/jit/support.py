"""What compiled code calls out of line: bodies of instructions over the stack in memory, made once per specification.

`step_NAME(sp, gas, frame) -> {status, gas}` runs an instruction whose operands are the items below `sp`, and puts its
result in their place; with a status other than 0 it has said what `stop` has to know. `pure_NAME(sp)` does the same for
those that need nothing but operands.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from vmloom.object_keys import source_digest
from vmloom_native.build import compiled

from ..native.build import BINDINGS, SOURCES
from ..native.driver import NEEDING, text_of_step
from ..native.machine import Build
from ..native.run import begin_op
from ..table import OpKind, OpRow

if TYPE_CHECKING:
    from vmloom_native.library import Library
    from vmloom_native.program import Program

    from ..specification import Specification

UNTRACED: Final = Build(traced=False)
OWN_SOURCES: Final = (*SOURCES, "vmloom_evm.jit.support")


def make_program(specification: Specification) -> Program:
    """The kernel functions of a specification, for an untraced build."""
    from vmloom_native.llvm import present_features
    from vmloom_native.program import Program

    constants = {"rules": specification.rules, "build": UNTRACED}
    return Program(bindings=BINDINGS, constants=constants, cpu_features=present_features())


def active_rows(specification: Specification) -> dict[int, OpRow]:
    """The instructions that are not disabled, by code."""
    return {code: row for code, row in specification.rows.items() if code not in specification.disabled_opcodes}


def symbol(row: OpRow) -> str:
    """Of the body out of line."""
    return f"{'step' if row.takes_machine else 'pure'}_{row.name}"


def has_body(row: OpRow) -> bool:
    """Whether there is one: instructions that go elsewhere are the interpreter's."""
    return row.kind is OpKind.VALUE and row.function is not None


@cache
def own_sources() -> bytes:
    """Digest of `OWN_SOURCES`: of the code as it was imported."""
    return source_digest(*OWN_SOURCES)


def support_library(specification: Specification) -> Library:
    """The bodies of a specification's instructions; from this process, the object cache, or made now."""
    rows = [row for row in active_rows(specification).values() if has_body(row)]
    parts: tuple[str | bytes, ...] | None = None
    if all(row.function is None or row.function.__module__.startswith("vmloom_evm.") for row in rows):
        names = repr(sorted((row.code, row.name) for row in rows))
        parts = (own_sources(), "compiler support", repr(specification.rules), names)

    def make() -> str:
        program = make_program(specification)
        begin = program.function(begin_op)
        for row in rows:
            assert row.function is not None
            body = program.function(row.function)
            begun = row.takes_machine and program.reaches(row.function, NEEDING)
            program.define(text_of_step(UNTRACED, symbol(row), row, body, begin if begun else None))
        return program.ir()

    return compiled(parts, make, subject=f"the EVM of {specification.fork.name} for compiled contracts")
