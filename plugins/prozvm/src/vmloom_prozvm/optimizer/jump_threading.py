"""Jump threading: a jump to a jump goes where that one leads, and a jump to a RETURN returns.

Chains that run in a circle are left alone: they are programs that end for want of gas.
"""

from __future__ import annotations

from ..bytecode.opcodes import Opcode
from .code import Code, Edit
from .graph import JUMPS, Instruction


def thread_jumps(code: Code) -> int:
    """Retarget jumps. Returns how many were."""
    final = _final_targets(code)
    edits = []
    for index, instruction in enumerate(code.instructions):
        if instruction.opcode in JUMPS:
            better = _better(code, index, instruction, final)
            if better != [instruction] and code.no_dearer([instruction], better):
                returns = better[0].opcode is Opcode.RETURN  # and is the RETURN that the jump led to
                place = final.get(instruction.operand, instruction.operand) if returns else index
                edits.append(Edit(index, index + 1, better, (place,)))
    code.apply(edits)
    return len(edits)


def _better(code: Code, index: int, instruction: Instruction, final: dict[int, int]) -> list[Instruction]:
    target = final.get(instruction.operand, instruction.operand)
    if instruction.opcode is Opcode.JUMP:
        if target < len(code.instructions) and code.instructions[target].opcode is Opcode.RETURN:
            return [Instruction(Opcode.RETURN)]
    elif final.get(index + 1, index + 1) == target:  # it goes there whether the condition holds or not
        return [Instruction(Opcode.POP)]
    return [Instruction(instruction.opcode, target)]


def _final_targets(code: Code) -> dict[int, int]:
    """For each JUMP, where one that jumps to it ends up: behind all JUMPs, or at it if they run in a circle."""
    final: dict[int, int] = {}
    for start, (opcode, _) in enumerate(code.instructions):
        if opcode is not Opcode.JUMP or start in final:
            continue
        path: list[int] = []
        on_path: set[int] = set()
        at = start
        while _is_jump(code, at) and at not in final and at not in on_path:
            path.append(at)
            on_path.add(at)
            at = code.instructions[at].operand
        end = final.get(at, at)
        circle = _is_jump(code, end)
        final.update((jump, jump if circle else end) for jump in path)
    return final


def _is_jump(code: Code, index: int) -> bool:
    return index < len(code.instructions) and code.instructions[index].opcode is Opcode.JUMP
