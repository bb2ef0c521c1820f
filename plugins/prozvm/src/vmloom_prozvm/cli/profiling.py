"""Gas by source line: an engine that runs a program as the interpreter does, and looks at the gas around each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..bytecode.opcodes import Opcode
from ..errors import ProzError
from ..language.sourcemap import SourceMap
from ..runtime.instructions import INSTRUCTIONS, static_price
from ..runtime.interpreter import Frame, Machine
from ..runtime.loaded import UNSET

if TYPE_CHECKING:
    from rich.table import Table

    from ..language.tree import Source

_BAR: Final = 20
"""Columns of the longest bar."""


@dataclass
class Profile:
    """What each instruction cost: by function, "" the program, and index. Calls do not count what they call."""

    gas: Counter[tuple[str, int]] = field(default_factory=Counter)
    runs: Counter[tuple[str, int]] = field(default_factory=Counter)

    def by_line(self, places: SourceMap) -> dict[int, tuple[int, int]]:
        """Gas, and how many instructions ran, by line of the source; line 0 has what stems from no line."""
        lines: dict[int, tuple[int, int]] = {}
        for key, gas in self.gas.items():
            line = places.line_of(*key) or 0
            before = lines.get(line, (0, 0))
            lines[line] = before[0] + gas, before[1] + self.runs[key]
        return dict(sorted(lines.items()))


class Profiler:
    """An engine for `Machine.run`: `machine.run(loaded, profiler)`."""

    def __init__(self) -> None:
        self.profile: Final = Profile()

    def __call__(self, machine: Machine, frame: Frame) -> None:
        """Run to the end. Raises `ProzError`, located."""
        running: Frame | None = frame
        while running is not None:
            frame, at = running, running.next
            before = machine.gas
            frame.next = at + 1
            try:
                running = _step(machine, frame, at)
            except ProzError as error:
                self._locate(error, machine, frame, at)
                raise
            finally:
                key = frame.function.name, at
                self.profile.gas[key] += before - max(0, machine.gas)
                self.profile.runs[key] += 1

    def _locate(self, error: ProzError, machine: Machine, frame: Frame, at: int) -> None:
        if error.at is None:
            error.locate(frame.function.name, at)
            for waiting in reversed(machine.frames):
                if waiting is not frame:
                    error.locate(waiting.function.name, waiting.next - 1)


def _step(machine: Machine, frame: Frame, at: int) -> Frame | None:
    """Do one instruction; the frame that goes on, None at the end of the run."""
    instructions = frame.function.instructions
    if at >= len(instructions):
        return machine.leave(frame.stack[-1] if frame.stack else None)
    opcode, operand = instructions[at]
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


def profile_table(lines: Mapping[int, tuple[int, int]], source: Source) -> Table:
    """The source, with the gas of each line beside it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..language.highlight import highlight

    table = Table(title="gas by line", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, side in (("line", "right"), ("gas", "right"), ("", "right"), ("", "left"), ("runs", "right")):
        table.add_column(column, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("source", overflow="fold")
    total = sum(gas for gas, _ in lines.values()) or 1
    most = max((gas for gas, _ in lines.values()), default=0) or 1
    coloured = Text.from_ansi(highlight(source.text)).split("\n", allow_blank=True)
    for number in range(0 if 0 in lines else 1, source.lines + 1):
        gas, runs = lines.get(number, (0, 0))
        text = Text("of no line", "dim") if number == 0 else coloured[number - 1] if number <= len(coloured) else ""
        cells = (f"{gas:,}", f"{gas / total:.1%}", "█" * round(_BAR * gas / most), f"{runs:,}")
        table.add_row(str(number or ""), *(cells if runs else ("", "", "", "")), text)
    return table
