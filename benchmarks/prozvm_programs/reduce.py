"""Makes a program that runs in two ways differently smaller, as long as it does, and writes it down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from difflib import ndiff
from typing import Any, Final

from vmloom.errors import CodeError
from vmloom_prozvm.bytecode.opcodes import OPERATIONS, Opcode, Operand
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.errors import OutOfGas
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.values import Function

from .cases import AMPLE, INTERPRETED, Case, Ways, bodies
from .compare import Difference, Tally, compare

PATIENCE: Final = 60.0
"""s"""
JUMPS: Final = ("JUMP", "JUMP_IF_FALSE")


def replay(case: Case) -> Difference | None:
    """How the ways differ in this case; None if they do not, or if it is no program any more."""
    try:
        if not case.source and not case.setting.priced and not _ends(case):
            return None
        compare(case, Tally())
    except Difference as difference:
        return difference
    except (CodeError, LanguageError):
        return None
    except Exception as error:  # a fault of ours, which is a difference, too
        return Difference(type(error).__name__, 0, "", str(error), case)
    return None


def _ends(case: Case) -> bool:
    """Whether the program ends soon, which one has to know before one runs it without prices."""
    return Ways(case.program, replace(case.setting, priced=True)).run(INTERPRETED, 10 * AMPLE).error is not OutOfGas


def reduced(difference: Difference, patience: float = PATIENCE) -> Difference:
    """A smaller program that differs in the same respect, after at most `patience` seconds."""
    until = time.monotonic() + patience
    progress = True
    while progress and time.monotonic() < until:
        progress = False
        for candidate in _smaller_cases(difference.case):
            if time.monotonic() > until:
                break
            found = replay(candidate)
            if found is not None and found.what == difference.what:
                found.number = difference.number
                difference, progress = found, True
                break
    return difference


def report(difference: Difference) -> str:
    """The program as assembly, both outcomes, and how to see it again."""
    changes = [
        line for line in ndiff(difference.expected.split("\n"), difference.found.split("\n")) if line[0] in "-+ "
    ]
    return "\n".join(
        (
            f"difference: {difference.what}, with {difference.gas} gas; {difference.case.setting}",
            difference.case.text,
            "outcomes (- as it must be, + as it was):",
            *changes,
            "again: uv run python benchmarks/differential_prozvm.py --only " + difference.number,
        )
    )


def _smaller_cases(case: Case) -> Iterator[Case]:
    if not case.source:
        yield from (replace(case, program=program) for program in _smaller(case.program))
        return
    lines = case.source.split("\n")
    size = len(lines) - 1
    while size > 0:
        for start in range(0, len(lines) - size + 1, max(1, size // 4)):
            yield replace(case, source="\n".join([*lines[:start], *lines[start + size :]]) or "0")
        size = size // 2 if size > 16 else size - 1


def _smaller(program: Bytecode) -> Iterator[Bytecode]:
    """What to try, in order of how much it takes away."""
    for body in sorted(bodies(program), key=len, reverse=True):
        yield from _without_constants(program, body)
        size = len(body)
        while size:
            for start in range(0, len(body) - size + 1, max(1, size // 4)):
                for replacement in _replacements(body, size):
                    yield _rebuilt(program, body, _cut(body, start, start + size, replacement), {})
            size = size // 2 if size > 16 else size - 1


def _without_constants(program: Bytecode, body: Bytecode) -> Iterator[Bytecode]:
    """The program without the constants of the body that none of its instructions uses."""
    used = sorted({index for instruction in body.instructions for index in _constants(instruction)})
    if len(used) < len(body.constants):
        places = {index: place for place, index in enumerate(used)}
        instructions = [_with_constants(instruction, places) for instruction in body.instructions]
        constants = [body.constants[index] for index in used]
        yield _rebuilt(program, body, Bytecode(constants, instructions, dict(body.metadata)), {})


def _constants(instruction: tuple[str, Any]) -> tuple[int, ...]:
    """The indices of constants in its operand."""
    name, operand = instruction
    kind = OPERATIONS[Opcode[name]].operand
    if kind in (Operand.CONSTANT, Operand.NAME):
        return (operand,)
    if kind is Operand.NAME_AND_CONSTANT:
        return tuple(operand)
    return (operand[0],) if kind in (Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT) else ()


def _with_constants(instruction: tuple[str, Any], places: dict[int, int]) -> tuple[str, Any]:
    name, operand = instruction
    indices = tuple(places[index] for index in _constants(instruction))
    if not indices:
        return instruction
    return (name, (*indices, *operand[len(indices) :])) if isinstance(operand, tuple) else (name, indices[0])


def _replacements(body: Bytecode, size: int) -> Iterator[list[tuple[str, Any]]]:
    yield []
    if size > 1 and body.constants:  # an expression can become a constant
        yield [("LOAD_CONST", len(body.constants))]


def _cut(body: Bytecode, start: int, stop: int, replacement: list[tuple[str, Any]]) -> Bytecode:
    """The body with other instructions at `start` to `stop`; jumps into them lead to the first of them."""
    removed = stop - start - len(replacement)
    instructions = [*body.instructions[:start], *replacement, *body.instructions[stop:]]
    for index, (name, operand) in enumerate(instructions):
        if name in JUMPS and operand >= stop:
            instructions[index] = (name, operand - removed)
        elif name in JUMPS and operand > start:
            instructions[index] = (name, start)
    return Bytecode([*body.constants, 1] if replacement else list(body.constants), instructions, dict(body.metadata))


def _rebuilt(program: Bytecode, old: Bytecode, new: Bytecode, done: dict[int, Function]) -> Bytecode:
    """The program with `new` wherever `old` is; one function stays one."""
    if program is old:
        return new
    constants = []
    for constant in program.constants:
        if isinstance(constant, Function):
            if id(constant) not in done:
                done[id(constant)] = replace(constant, bytecode=_rebuilt(constant.bytecode, old, new, done))
            constants.append(done[id(constant)])
        else:
            constants.append(constant)
    return Bytecode(constants, list(program.instructions), dict(program.metadata))
