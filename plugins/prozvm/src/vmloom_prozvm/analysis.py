"""What can be told of a container without running it, and what optimising it came to, in the core's words.

Offsets are those of the disassembly: bytes of the container at which an instruction begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vmloom.bytecode import Applied, BasicBlock, CodeAnalysis, OptimisationReport, Refusal

from .bytecode.container import pack, unpack
from .bytecode.program import Bytecode, stack_effect
from .bytecode.verify import CodeLimits, parse_instruction, stack_depths
from .disassembly import Body, bodies
from .gas import GasSchedule
from .optimizer import BytecodeOptimizer
from .optimizer.graph import Block, ControlFlow, Instruction

RULES: Final = {
    "constant_folds": "Compute operations and branches on constants beforehand.",
    "jumps_threaded": "Jump at once to where a jump leads to that does nothing but jump.",
    "dead_code_removed": "Drop what no run gets to.",
    "peephole_opts": "Drop sequences that do nothing, such as LOAD_CONST and POP.",
    "instructions_combined": "Make LOAD_CONST and STORE_NAME one STORE_CONST.",
    "copies_eliminated": "Keep on the stack what was stored and is loaded at once.",
    "common_subexpressions": "Compute once what is computed twice.",
    "strength_reductions": "Replace integer arithmetic by cheaper arithmetic with the same result.",
}
"""The optimiser's passes, by their keys in its statistics."""


def analyse(code: bytes, limits: CodeLimits) -> CodeAnalysis:
    """Blocks of the program and its functions, and how deep their stacks get. Raises `CodeError`."""
    found = list(bodies(unpack(code, limits), code))
    depths = [depth for body in found for depth in stack_depths(body.bytecode, limits) if depth is not None]
    return CodeAnalysis(
        size=len(code),
        blocks=tuple(block for body in found for block in _blocks(body)),
        jump_destinations=tuple(sorted({at for body in found for at in _targets(body)})),
        stack_low=min(depths),
        stack_high=max(depths),
    )


def _instructions(bytecode: Bytecode) -> list[Instruction]:
    return [Instruction(parse_instruction(entry)[0], entry[1]) for entry in bytecode.instructions]


def _targets(body: Body) -> Iterator[int]:
    """Offsets that some jump names; the end of the code, which is a target, too, has none."""
    for index in ControlFlow(_instructions(body.bytecode)).targets:
        if index < len(body.bytecode.instructions):
            yield body.offsets[index]


def _blocks(body: Body) -> Iterator[BasicBlock]:
    instructions = _instructions(body.bytecode)
    flow = ControlFlow(instructions)
    reachable = set(flow.reachable_blocks())
    for block in flow.blocks if instructions else ():
        needs, changes = _stack(instructions, block)
        following = flow.successors(block.stop - 1)
        yield BasicBlock(
            body.offsets[block.start],
            body.offsets[block.stop],
            needs,
            changes,
            tuple(body.offsets[index] for index in following if index < len(instructions)),
            block in reachable,
        )


def _stack(instructions: Sequence[Instruction], block: Block) -> tuple[int, int]:
    """How many values the block has to find, and how many more there are after it."""
    needs = depth = 0
    for opcode, operand in instructions[block.start : block.stop]:
        taken, put = stack_effect(opcode, operand)
        needs = max(needs, taken - depth)
        depth += put - taken
    return needs, depth


def optimise(
    code: bytes, limits: CodeLimits, schedule: GasSchedule, *, rules: Sequence[str] | None, level: int
) -> OptimisationReport:
    """See `VirtualMachine.optimise`. Raises `CodeError`, and `ValueError` for a rule or level that does not exist.

    A result is shorter, or it is not taken: each byte costs gas in every run.
    """
    optimizer = BytecodeOptimizer(
        level,
        rules=rules,
        keeps_origins=False,
        schedule=schedule,
        limits=limits.values,
        stack_limit=limits.stack,
        constant_limit=limits.constants,
    )
    made = pack(optimizer.optimize_bytecode(unpack(code, limits)))
    stats = optimizer.get_stats()
    applied = tuple(Applied(rule, None, None, None) for rule in RULES for _ in range(int(stats[rule])))
    if applied and len(made) > len(code):
        longer = Refusal("", f"the result has {len(made)} bytes, the original {len(code)}")
        return OptimisationReport(code, code, refused=(longer,))
    return OptimisationReport(code, made, applied)
