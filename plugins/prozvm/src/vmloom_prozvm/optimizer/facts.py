"""What is known wherever an instruction is about to run, on every path that leads there.

A forward analysis of the whole body: which names are certainly bound, which names and values on the stack are certainly
integers, and between which bounds the depth of the stack lies. Everything is an under-statement; where the work would
grow out of hand nothing is known. Used through `Code.facts`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..bytecode.opcodes import Opcode
from ..bytecode.program import stack_effect
from .constants import ConstantPool
from .graph import ControlFlow, Instruction

DEEP: Final = 1 << 32
"""A depth of the stack that stands for any."""
_WATCHED: Final = (1 << 64) - 1
"""The values on the stack whose type is followed: the topmost 64."""
_VISITS: Final = 8
"""Visits of a block after which a depth that still grows is taken to grow for ever."""

FORGETTING: Final = frozenset(
    (
        Opcode.CALL_NAME,
        Opcode.CALL_FUNC_CONST,
        Opcode.CALL_TOP,
        Opcode.SPAWN,
        Opcode.AWAIT,
        Opcode.CALL_CONTRACT,
    )
)
"""The instructions that let other code run: what is known of names ends there."""
_INTEGERS: Final = frozenset(
    (
        *(Opcode.SUB, Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW, Opcode.NEG),
        *(Opcode.LENGTH, Opcode.TO_INTEGER, Opcode.VALUE),
    )
)
"""The instructions that either fail or make an integer."""


class Facts(NamedTuple):
    """What holds before an instruction. Sets are bits of whole numbers: names have the bit `ConstantPool.name_bit`."""

    bound: int
    """names that LOAD_NAME certainly finds in this frame"""
    integer_names: int
    """those among them that are integers (a bool is none)"""
    integers: int
    """values on the stack that are certainly integers; bit 0 is the top"""
    low: int
    """the least depth of the stack"""
    high: int
    """the greatest depth of the stack, `DEEP` if there is no bound"""

    def top_is_integer(self, below: int = 0) -> bool:
        """Whether the value `below` places under the top is certainly an integer."""
        return bool(self.integers >> below & 1)


UNKNOWN: Final = Facts(0, 0, 0, 0, DEEP)


class Analysis:
    """The facts about one state of the code. They are kept for the start of each block, and worked out from there."""

    def __init__(
        self, instructions: Sequence[Instruction], graph: ControlFlow, constants: ConstantPool, parameters: int = 0
    ) -> None:
        """`parameters` are the names, as a set of bits, that are bound at the start."""
        self._instructions = instructions
        self._graph = graph
        self._constants = constants
        self._arrivals = _arrivals(instructions, graph, constants, Facts(parameters, 0, 0, 0, 0))
        self._starts = [block.start for block in graph.blocks]
        self._in_block = -1, [UNKNOWN]

    def before(self, index: int) -> Facts:
        """What holds before instruction `index`; `UNKNOWN` where it cannot be reached. Quick within one block."""
        start = self._starts[bisect_right(self._starts, index) - 1]
        if start not in self._arrivals:
            return UNKNOWN
        if self._in_block[0] != start:
            self._in_block = start, [self._arrivals[start]]
        states = self._in_block[1]
        while len(states) <= index - start:
            states.append(step(states[-1], self._instructions[start + len(states) - 1], self._constants))
        return states[index - start]

    def peak(self) -> int:
        """The greatest depth that the code certainly does not exceed, 0 if there is no such bound."""
        peak = 0
        for block in self._graph.blocks:
            if block.start not in self._arrivals:
                continue
            state = self._arrivals[block.start]
            for index in range(block.start, block.stop):
                peak = max(peak, state.high)
                state = step(state, self._instructions[index], self._constants)
            peak = max(peak, state.high)
        return peak if 0 < peak < DEEP else 0


def step(state: Facts, instruction: Instruction, constants: ConstantPool) -> Facts:
    """The facts after an instruction that did not fail."""
    opcode, operand = instruction
    bound, integer_names, integers, low, high = state
    match opcode:
        case Opcode.STORE_NAME:
            bit = constants.name_bit(operand)
            bound, integer_names = bound | bit, integer_names | bit if integers & 1 else integer_names & ~bit
        case Opcode.STORE_GLOBAL:  # in the main program it stores what STORE_NAME would; in a function it may not
            integer_names &= ~constants.name_bit(operand)
        case Opcode.STORE_CONST:
            bit = constants.name_bit(operand[0])
            integer = type(constants.values[operand[1]]) is int
            bound, integer_names = bound | bit, integer_names | bit if integer else integer_names & ~bit
        case _ if opcode in FORGETTING:
            bound = integer_names = 0
    taken, made = stack_effect(opcode, operand)
    integers = ((integers >> min(taken, 64)) << made | _made(state, instruction, constants)) & _WATCHED
    # It did not fail, so there were at least `taken` values.
    high = min(DEEP, max(high, taken) - taken + made) if high < DEEP else DEEP
    return Facts(bound, integer_names, integers, max(low, taken) - taken + made, high)


def _made(state: Facts, instruction: Instruction, constants: ConstantPool) -> int:
    """The bits of `Facts.integers` for what the instruction puts on the stack."""
    opcode, operand = instruction
    match opcode:
        case Opcode.LOAD_CONST:
            return int(type(constants.values[operand]) is int)
        case Opcode.LOAD_NAME:
            return int(state.integer_names & constants.name_bit(operand) != 0)
        case Opcode.DUP:
            return 3 * (state.integers & 1)
        case Opcode.ADD:  # adds two of one type, so one integer is enough
            return int(state.integers & 3 != 0)
    return int(opcode in _INTEGERS)


def _arrivals(
    instructions: Sequence[Instruction], graph: ControlFlow, constants: ConstantPool, entry: Facts
) -> dict[int, Facts]:
    """The facts at the start of each reachable block, by its first index. Empty if they were not found in time."""
    by_start = {block.start: block for block in graph.blocks}
    arrivals = {0: entry} if by_start else {}
    visits: dict[int, int] = {}
    waiting = deque(arrivals)
    queued = set(waiting)
    budget = 16 * len(instructions) + 64  # steps, for a long block may be the one that is visited often
    while waiting:
        start = waiting.popleft()
        budget -= by_start[start].stop - start
        if budget < 0:
            return {}
        queued.discard(start)
        visits[start] = visits.get(start, 0) + 1
        state = arrivals[start]
        for index in range(start, by_start[start].stop):
            state = step(state, instructions[index], constants)
        for follower in graph.successors(by_start[start].stop - 1):
            if follower not in by_start:
                continue
            joined = _join(arrivals.get(follower), state, visits.get(follower, 0) >= _VISITS)
            if joined != arrivals.get(follower):
                arrivals[follower] = joined
                if follower not in queued:
                    waiting.append(follower)
                    queued.add(follower)
    return arrivals


def _join(first: Facts | None, second: Facts, widen: bool) -> Facts:
    """What holds on both paths."""
    if first is None:
        return second
    high = max(first.high, second.high)
    if widen and high > first.high:
        high = DEEP
    return Facts(
        first.bound & second.bound,
        first.integer_names & second.integer_names,
        first.integers & second.integers,
        min(first.low, second.low),
        high,
    )
