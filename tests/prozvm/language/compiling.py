"""Sources for the tests of lowering and compilation: run as bytecode on a workbench, listed, or found wrong."""

from __future__ import annotations

from typing import Any

from vmloom_prozvm.bytecode import Bytecode
from vmloom_prozvm.language.bytecode_compiler import EvaluatorBytecodeCompiler
from vmloom_prozvm.language.diagnostics import Diagnostic
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.vm import VM

_NUMBERED = frozenset({"JUMP", "JUMP_IF_FALSE", "GAS_CHARGE", "BUILD_LIST", "BUILD_MAP", "CALL_TOP", "SPAWN"})
"""Instructions whose operand is a number that is no constant's index, with those of `_AT` and MERKLE_ROOT."""


def compiled(code: str, *, source_map: bool = False) -> Bytecode:
    """The program of a source that has no errors."""
    compiler = EvaluatorBytecodeCompiler(source_map=source_map)
    bytecode = compiler.compile(parse(code))
    assert bytecode is not None, compiler.errors
    return bytecode


def run(code: str, vm: VM | None = None, **names: Any) -> Any:
    """What a program gives among `names`, on a workbench of its own unless there is one."""
    vm = vm or VM()
    vm.env.update(names)
    return vm.execute(compiled(code))


def instructions(code: str | Bytecode) -> list[str]:
    """The main program's instructions, each with the constants that its operand stands for."""
    bytecode = compiled(code) if isinstance(code, str) else code
    return [shown(bytecode, name, operand) for name, operand in bytecode.instructions]


def shown(bytecode: Bytecode, name: str, operand: Any) -> str:
    """`LOAD_CONST 1`, `CALL_NAME f 2`, `JUMP 7`: as one would write it."""
    constants: list[Any] = bytecode.constants
    if operand is None:
        return name
    if isinstance(operand, tuple):
        return f"{name} {_constant(constants[operand[0]])} {operand[1]}"
    if name in _NUMBERED or name.endswith(("_AT", "_ROOT")):
        return f"{name} {operand}"
    return f"{name} {_constant(constants[operand])}"


def errors(code: str, *, strict_names: bool = False) -> list[Diagnostic]:
    """What is wrong with a source that the parser takes."""
    compiler = EvaluatorBytecodeCompiler(strict_names=strict_names)
    assert compiler.compile(parse(code)) is None
    return compiler.errors


def messages(code: str, *, strict_names: bool = False) -> list[str]:
    """The messages of `errors`."""
    return [error.message for error in errors(code, strict_names=strict_names)]


def _constant(value: Any) -> str:
    return str(getattr(value, "name", value))
