"""Machine code for native states and for the interpreters of forks: made once, kept in the object cache."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from vmloom.object_keys import source_digest
from vmloom_native.build import compiled

from ..machine import Machine, TransactionData, TransactionMachine
from .access import FUNCTIONS
from .driver import Threaded
from .each import perform_each
from .machine import Build, NativeMachine
from .run import finish_guest, perform_all, perform_call

if TYPE_CHECKING:
    from vmloom_native.library import Library

    from ..specification import Specification
    from ..table import OpRow

SOURCES: Final = (
    "vmloom_evm.native",
    "vmloom_evm.ops",
    "vmloom_evm.frames",
    "vmloom_evm.gas",
    "vmloom_evm.halts",
    "vmloom_evm.fees",
    "vmloom_evm.machine",
    "vmloom_evm.table",
    "vmloom_evm.transaction.checks",
    "vmloom_evm.transaction.life",
    "vmloom_evm.trie.kernels",
)
"""Modules whose kernel functions go into the code."""
BINDINGS: Final[dict[type, type]] = {
    Machine: NativeMachine,
    TransactionData: NativeMachine,
    TransactionMachine: NativeMachine,
}


@cache
def sources() -> bytes:
    """Digest of `SOURCES`: of the code as it was imported, so what becomes of the files later is of no concern."""
    return source_digest(*SOURCES)


@cache
def state_library() -> Mapping[str, Callable[..., int]]:
    """The functions of `access`, by name: each takes the address of a `Run` and returns 0 or a need."""

    def make() -> str:
        from vmloom_native.program import Program

        program = Program(bindings=BINDINGS, constants={"build": Build(traced=False)})
        for function in FUNCTIONS:
            program.export(function.__name__, function)
        return program.ir()

    library = compiled((sources(), "state"), make, subject="the native state")
    return {f.__name__: _nullary(library, f.__name__) for f in FUNCTIONS}


def _nullary(library: Library, name: str) -> Callable[..., int]:
    """A function of the run alone. Those that cannot have a need return nothing, which counts as 0."""
    function = library.function(name, ctypes.c_uint64, ctypes.c_void_p)
    function.library = library  # the code lives as long as what calls it
    return function  # type: ignore[no-any-return]


class Interpreter:
    """The interpreter of a specification: entry points, each of which takes the address of a `Run`."""

    def __init__(self, specification: Specification, *, traced: bool) -> None:
        fork = specification.fork
        rows = [row for row in specification.rows.values() if row.code not in specification.disabled_opcodes]
        self.recipe: Final = _key(specification, rows, traced)
        """What its code depends on besides the computer; None if nobody can tell."""
        library = compiled(
            self.recipe,
            lambda: interpreter_ir(specification, traced=traced),
            subject=f"the EVM of {fork.name}" + (" with tracing" if traced else ""),
        )
        self.specification = specification
        self.traced = traced
        self.library = library
        self.perform_call = library.function("perform_call", ctypes.c_uint64, ctypes.c_void_p)
        self.perform_all = library.function("perform_all", ctypes.c_uint64, ctypes.c_void_p)
        self.perform_each = library.function("perform_each", ctypes.c_uint64, ctypes.c_void_p)
        u64, pointer = ctypes.c_uint64, ctypes.c_void_p
        self.finish_guest = library.function("finish_guest", u64, pointer, u64, u64, ctypes.c_int64, u64)
        self.interpret = library.address("interpret")


def _key(specification: Specification, rows: list[OpRow], traced: bool) -> tuple[str | bytes, ...] | None:
    """What the code depends on; None where there are instructions whose source has no module of ours."""
    if any(row.function is not None and not row.function.__module__.startswith("vmloom_evm.") for row in rows):
        return None
    prices = sorted((row.code, row.name, specification.fork.gas[row.name]) for row in rows)
    return (sources(), "interpreter", repr(specification.rules), repr(prices), str(traced))


def interpreter_ir(specification: Specification, *, traced: bool) -> str:
    """LLVM IR of the interpreter of `specification`."""
    from vmloom_native.llvm import present_features
    from vmloom_native.program import Program

    build = Build(traced=traced)
    constants: dict[str, Any] = {"rules": specification.rules, "build": build}
    program = Program(bindings=BINDINGS, constants=constants, cpu_features=present_features())
    rows = [row for row in specification.rows.values() if row.code not in specification.disabled_opcodes]
    Threaded(program, rows, specification.fork.gas, build, specification.rules.stack_limit).write()
    for function in (perform_call, perform_all, perform_each, finish_guest):
        program.export(function.__name__, function)
    return program.ir()
