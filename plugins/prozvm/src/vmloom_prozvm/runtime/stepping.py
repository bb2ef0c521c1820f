"""An engine that runs a program instruction by instruction, as the interpreter does, and tells somebody of each.

For traces and profiles: it is slow, and gives the same results, errors and gas as the interpreter's loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..errors import ProzError
from ..values import Value
from .instructions import INSTRUCTIONS, static_price
from .interpreter import Frame, Machine
from .loaded import UNSET


@dataclass(frozen=True, slots=True)
class Stepped:
    """An instruction that has run, or failed. `opcode` is None for the end of a function without RETURN."""

    function: str
    """Its name, "" for the main program."""
    at: int
    """Index in the function, as it is, optimised or not."""
    original: int
    """The index that it had before the program was optimised."""
    opcode: Opcode | None
    gas: int
    """What was left before."""
    cost: int
    """What it took; calls of functions do not count what runs in them, those of contracts do."""
    depth: int
    """Calls that wait, with this one."""
    stack: tuple[Value, ...]
    """What was on it before, the top last; empty unless stacks were asked for."""


class Stepping:
    """An engine for `Machine.run`: `watch` is told of every instruction, after it."""

    def __init__(self, watch: Callable[[Stepped], None], *, with_stacks: bool = False) -> None:
        self._watch: Final = watch
        self._with_stacks: Final = with_stacks

    def __call__(self, machine: Machine, frame: Frame) -> None:
        """Run to the end. Raises `ProzError`, located."""
        running: Frame | None = frame
        while running is not None:
            running = self._step(machine, running)

    def _step(self, machine: Machine, frame: Frame) -> Frame | None:
        at, gas, depth = frame.next, machine.gas, len(machine.frames)
        instructions = frame.function.instructions
        opcode, operand = instructions[at] if at < len(instructions) else (None, None)
        stack = tuple(frame.stack) if self._with_stacks else ()
        frame.next = at + 1
        try:
            return _do(machine, frame, opcode, operand, at)
        except ProzError as error:
            _locate(error, machine, frame, at)
            raise
        finally:
            original = frame.function.original(at)
            cost = gas - max(0, machine.gas)
            self._watch(Stepped(frame.function.name, at, original, opcode, gas, cost, depth, stack))


def _locate(error: ProzError, machine: Machine, frame: Frame, at: int) -> None:
    if error.at is not None:
        return
    error.locate(frame.function.name, frame.function.original(at))
    for waiting in reversed(machine.frames):
        if waiting is not frame:
            error.locate(waiting.function.name, waiting.function.original(waiting.next - 1))


def _do(machine: Machine, frame: Frame, opcode: Opcode | None, operand: Any, at: int) -> Frame | None:
    """Do one instruction; the frame that goes on, None at the end of the run."""
    if opcode is None:
        return machine.leave(frame.stack[-1] if frame.stack else None)
    machine.charge(static_price(opcode, operand, machine.schedule))
    plain = INSTRUCTIONS.get(opcode)
    if plain is not None:
        plain(machine, frame.stack, operand)
    elif opcode in _NAMES_AND_JUMPS:
        _NAMES_AND_JUMPS[opcode](machine, frame, operand)
    else:  # those that end or begin frames
        _, (transfer, argument), _ = frame.code[at]
        following: Frame | None = transfer(machine, frame, argument)
        return following
    return frame


def _load(machine: Machine, frame: Frame, register: int) -> None:
    value = frame.registers[register]
    frame.stack.append(value if value is not UNSET else machine.read_global(frame, register))


def _store(_: Machine, frame: Frame, register: int) -> None:
    frame.registers[register] = frame.stack.pop()


def _store_global(machine: Machine, frame: Frame, register: int) -> None:
    machine.globals[frame.function.globals[register]] = frame.stack.pop()


def _store_constant(_: Machine, frame: Frame, operand: tuple[int, Any]) -> None:
    frame.registers[operand[0]] = operand[1]


def _jump(_: Machine, frame: Frame, target: int) -> None:
    frame.next = target


def _jump_if_false(_: Machine, frame: Frame, target: int) -> None:
    if not frame.stack.pop():
        frame.next = target


_NAMES_AND_JUMPS: Final[Mapping[Opcode, Any]] = {
    Opcode.LOAD_NAME: _load,
    Opcode.STORE_NAME: _store,
    Opcode.STORE_GLOBAL: _store_global,
    Opcode.STORE_CONST: _store_constant,
    Opcode.JUMP: _jump,
    Opcode.JUMP_IF_FALSE: _jump_if_false,
}
"""What the loop of the interpreter does itself, for it is frequent."""
