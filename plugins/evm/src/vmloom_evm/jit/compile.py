"""From a contract's code to machine code: `emit` makes object code, `link` puts it beside an interpreter.

Object code holds no addresses, so that it may be kept. What the interpreter and the compiler's support have is bound
when it is linked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from vmloom.object_keys import source_digest

from ..native.build import SOURCES as NATIVE_SOURCES
from .blocks import Blocks, blocks_of
from .emit import Emitter, weight
from .linkage import AmongHandlers
from .products import WRAPPING
from .support import UNTRACED, active_rows, has_body, make_program, support_library, symbol

if TYPE_CHECKING:
    from vmloom_native.library import Library
    from vmloom_native.program import Program

    from ..native.build import Interpreter
    from ..specification import Specification

SOURCES: Final = (
    *NATIVE_SOURCES,
    "vmloom_evm.analysis.instructions",
    "vmloom_evm.jit.blocks",
    "vmloom_evm.jit.compile",
    "vmloom_evm.jit.divisors",
    "vmloom_evm.jit.dominators",
    "vmloom_evm.jit.emit",
    "vmloom_evm.jit.facts",
    "vmloom_evm.jit.linkage",
    "vmloom_evm.jit.narrow",
    "vmloom_evm.jit.products",
    "vmloom_evm.jit.specialise",
    "vmloom_evm.jit.support",
    "vmloom_evm.jit.values",
)
"""Modules on which object code depends, besides the specification."""
CODE_LIMIT: Final = 49152
"""Bytes of code."""


MOST_LINES: Final = 20_000
"""Of LLVM's text: what is longer is compiled plainly, in linear time. Contracts have 2 to 4 for each byte."""
FULL_OVER_PASSES: Final = 10
"""LLVM makes machine code in full for so many times as long as its passes over the text took, at most."""
QUICK_OVER_PASSES: Final = 3
"""The same of machine code that is made quickly, and that many times more where lines count for several."""
QUICK: Final = 0
"""The level of machine code that takes little to make: half the time of the other, for three quarters of what it
gains."""
FULL: Final = 1
"""The level of machine code as good as it gets."""


class Uncompilable(Exception):
    """The code is beyond the compiler's limits; `reason` is a word for statistics."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class CompiledCode:
    """Machine code of a contract. `address` is what rows of codes point to, and valid as long as `library` lives."""

    address: int
    size: int
    library: Library


@cache
def sources() -> bytes:
    """Digest of `SOURCES`: of the compiler as it was imported."""
    return source_digest(*SOURCES)


def emit(specification: Specification, code: bytes, *, deadline: float = math.inf, level: int = FULL) -> bytes:
    """Object code for `code` by `specification`. Raises `Uncompilable`, also if it is not done by `deadline`.

    That is a time of `time.thread_time`, and looked at as blocks are found and text is written, and before LLVM begins
    with what would take longer: then machine code is made quickly if there is time for that, or not at all.
    """
    return emit_object(ir(specification, code, deadline, level), deadline, level)


def best_level(text: str) -> int:
    """The level at which LLVM's text is compiled if there is all the time for it."""
    return QUICK if _is_long(text) else FULL


def _is_long(text: str) -> bool:
    return weight(text.splitlines()) > MOST_LINES


def _density(text: str) -> float:
    """Lines that one of the text counts as."""
    lines = text.splitlines()
    return weight(lines) / max(len(lines), 1)


def ir(specification: Specification, code: bytes, deadline: float = math.inf, level: int = FULL) -> str:
    """LLVM's text for `code`. Raises `Uncompilable`, also if it is not written by `deadline`.

    For machine code that is to be made quickly, it leaves more to LLVM.
    """
    from vmloom_native.codegen import host_header

    limit = specification.rules.stack_limit
    blocks = checked_blocks(specification, code, limit, lambda: check_time(deadline))
    rows, gas = active_rows(specification), specification.fork.gas
    emitter = Emitter(_program(specification), rows, blocks, limit, gas, AmongHandlers(UNTRACED))
    if level == QUICK:
        emitter.writer.products = 0
    return f"{host_header()}\n{emitter.text(lambda: check_time(deadline))}"


def checked_blocks(
    specification: Specification, code: bytes, stack_limit: int, check: Callable[[], None] = lambda: None
) -> Blocks:
    """The blocks of `code`. Raises `Uncompilable` for code that is too long, or none, and what `check` raises."""
    if len(code) > CODE_LIMIT:
        raise Uncompilable("size", f"{len(code)} bytes of code, at most {CODE_LIMIT} are compiled")
    blocks = blocks_of(code, active_rows(specification), specification.fork.gas, stack_limit, check)
    if not blocks.reached:
        raise Uncompilable("empty", "there is no code")
    return blocks


def emit_object(text: str, deadline: float = math.inf, level: int = FULL) -> bytes:
    """Object code of LLVM's text. Raises `Uncompilable` if it is not done by `deadline`."""
    from vmloom_native.codegen import target_machine

    check_time(deadline)
    is_long = _is_long(text)
    machine = target_machine(QUICK if is_long else level)
    begun = time.thread_time()
    module = optimised(text, machine, is_long=is_long)
    took = time.thread_time() - begun
    check_time(deadline, QUICK_OVER_PASSES * took * _density(text))
    if begun + (1 + FULL_OVER_PASSES) * took > deadline:
        machine = target_machine(QUICK)
    return bytes(machine.emit_object(module))


def check_time(deadline: float, wanted: float = 0.0) -> None:
    """Raises `Uncompilable` if what takes so many seconds would not be done by `deadline`."""
    if time.thread_time() + wanted > deadline:
        raise Uncompilable("time", "compiling takes longer than it may")


def optimised(text: str, machine: Any, *, is_long: bool = False) -> Any:
    """The parsed module after the passes that pay here: of those that are not linear none at all, if it is long."""
    from llvmlite import binding

    module = binding.parse_assembly(text)
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=1))
    manager = binding.create_new_function_pass_manager()
    manager.add_simplify_cfg_pass()
    if not is_long:
        manager.add_instruction_combine_pass()
        manager.add_dead_store_elimination_pass()
        manager.add_aggressive_dce_pass()
        manager.add_simplify_cfg_pass()
    for function in module.functions:
        if not function.is_declaration and function.name != WRAPPING:
            manager.run(function, passes)
    if f"@{WRAPPING}(" in text:
        inliner = binding.create_new_module_pass_manager()
        inliner.add_always_inliner_pass()
        inliner.run(module, passes)
    return module


def link(interpreter: Interpreter, object_bytes: bytes) -> CompiledCode:
    """Make object code of the interpreter's specification ready to run; the interpreter must not be traced."""
    from vmloom_native.library import Library

    library = Library(object_bytes, imports=_imports(interpreter))
    return CompiledCode(library.address("compiled"), len(object_bytes), library)


def _imports(interpreter: Interpreter) -> Mapping[str, int]:
    found: Mapping[str, int] | None = interpreter.specification.built.get("evm compiler imports")
    if found is None:
        support = support_library(interpreter.specification)
        addresses = {name: interpreter.library.address(name) for name in ("handlers", "stop")}
        for row in active_rows(interpreter.specification).values():
            if has_body(row):
                addresses[symbol(row)] = support.address(symbol(row))
        interpreter.specification.built["evm compiler support"] = support
        found = interpreter.specification.built["evm compiler imports"] = addresses
    return found


def _program(specification: Specification) -> Program:
    found: Program | None = specification.built.get("evm compiler program")
    if found is None:
        found = specification.built["evm compiler program"] = make_program(specification)
    return found
