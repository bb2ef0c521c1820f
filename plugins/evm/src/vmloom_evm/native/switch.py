"""The switch driver: from the op table to one function with one loop and one `switch`.

For targets that know neither tail calls nor jumps to addresses that are computed. What an instruction does is written
by `driver.Driver`, as for the threaded driver; here its function is inlined into the loop, and comes back with a
signal that says how to go on, and with the registers in `%registers`, which are none in memory once all is inlined. All
instructions meet in one block before the next one is fetched, so that threads of a warp which took different ways go on
together.

Contracts may have been compiled into the module (`jit.lanes`). Where a frame comes to code that has a number in
`Frame.compiled`, the function of that number runs it, until it comes back with registers with which the loop goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vmloom_native.program import Program

from ..halts import INVALID_OPCODE
from ..table import OpRow
from .driver import COLD, Driver, at, load_registers, set_halt, spill
from .layout import Frame, Run
from .machine import Build

GO_ON: Final = 0
"""Signals of an instruction: `%registers` has the registers with which the next one runs."""
HALTED: Final = 1
"""`%registers` has the registers of the frame, whose instruction has halted for `Run.halt`."""
FAILED_CHECK: Final = 2
"""A check of the instruction that the frame is at has failed; nothing has changed."""
LEFT: Final = 3
"""The current frame is none that the interpreter runs."""
ENTERED: Final = 4
"""As `GO_ON`, but the frame comes from elsewhere: what is compiled of its code may run."""

REGISTERS: Final = {"pc": "ptr", "sp": "ptr", "gas": "i64", "frame": "ptr"}
"""By name their types, in the order in which they lie in `%registers`, 8 bytes each."""
LEFT_WITH: Final = "{i64, ptr, ptr, i64}"
"""What a compiled contract comes back with: a signal, where the code goes on, where the stack ends, and gas."""
PARAMETERS: Final = "(ptr %pc, ptr %sp, i64 %gas, ptr %frame, ptr %registers)"


class Switch(Driver):
    """Calls nothing that is not in the module, nor anything by its address: for processors that are not the host's.

    `contracts` are the symbols of compiled ones, by their numbers, which are not 0.
    """

    def __init__(
        self,
        program: Program,
        rows: Iterable[OpRow],
        gas: Mapping[str, int],
        build: Build,
        limit: int,
        contracts: Mapping[int, str] | None = None,
    ):
        super().__init__(program, rows, gas, build, limit)
        self.contracts = dict(contracts or {})
        self.enters_compiled = bool(self.contracts)

    def write(self) -> None:
        """See `Driver.write`. Raises `ValueError` for a traced build, whose tracers are Python's."""
        if self.build.traced:
            raise ValueError("a traced build needs the threaded driver")
        define = self.program.define
        for row in self.rows.values():
            define(self.instruction(row))
        halt = set_halt(str(INVALID_OPCODE), begun=False)
        define(f"{self.head('invalid')}\n{halt}\n{self.stop('%sp', '%gas', 'invalid')}\n}}")
        define(self._checks())
        define(self._loop())

    def head(self, name: str) -> str:
        """See `Driver.head`."""
        return f"define internal i64 @op_{name}{PARAMETERS} alwaysinline nounwind {{"

    def jump_to_next(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """See `Driver.jump_to_next`."""
        return _ends(GO_ON, pc, sp, gas, frame, "go")

    def enter(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """See `Driver.enter`."""
        if not self.enters_compiled:
            return self.jump_to_next(pc, sp, gas, frame)
        return f"{_ends(ENTERED, pc, sp, gas, frame, 'enter')}\ninterpret:\n{self.jump_to_next(pc, sp, gas, frame)}"

    def fail(self) -> str:
        """See `Driver.fail`."""
        return _ends(FAILED_CHECK, "%pc", "%sp", "%gas", "%frame", "failed")

    def stop(self, sp: str, gas: str, label: str) -> str:
        """See `Driver.stop`."""
        return _ends(HALTED, "%pc", sp, gas, "%frame", label)

    def leave(self, stopped: str) -> str:
        """See `Driver.leave`."""
        return f"  ret i64 {LEFT}"

    def _checks(self) -> str:
        """A function that says which check the instruction at `%pc` has failed."""
        return f"""
{self.check_tables()}
define internal i64 @check_failed(ptr %pc, ptr %sp) noinline cold nounwind {{
{self.failed_check()}
  ret i64 %reason
}}"""

    def _loop(self) -> str:
        """`interpret`."""
        names = {code: row.name for code, row in self.rows.items()}
        cases = " ".join(f"i8 {code}, label %at_{name}" for code, name in names.items())
        called = "(" + ", ".join(f"{kind} %{name}" for name, kind in REGISTERS.items()) + ", ptr %registers)"
        blocks = [
            f"at_{name}:\n  %signal_{name} = call i64 @op_{name}{called}\n  br label %ran"
            for name in (*names.values(), "invalid")
        ]
        came_back = ", [%came_back_for, %came_back]" if self.contracts else ""
        first = "enter" if self.contracts else "loop"
        others = f" i64 {ENTERED}, label %enter" if self.contracts else ""
        signals = ", ".join(f"[%signal_{name}, %at_{name}]" for name in (*names.values(), "invalid"))
        return f"""
define internal i64 @interpret(ptr %first) noinline nounwind {{
start:
  %registers = alloca [{8 * len(REGISTERS)} x i8], align 8
{load_registers("%first")}
{_stores("%r_pc", "%r_sp", "%r_gas", "%first", "begin")}
  br label %{first}
loop:
{_loads()}
  %op = load i8, ptr %pc
  switch i8 %op, label %at_invalid [{cases}]
{chr(10).join(blocks)}
ran:
  %signal = phi i64 {signals}
  %goes_on = icmp eq i64 %signal, {GO_ON}
  br i1 %goes_on, label %loop, label %stop, !prof !{{!"branch_weights", i32 4000, i32 1}}
stop:
  %why = phi i64 [%signal, %ran]{came_back}
{_loads("s_")}
  switch i64 %why, label %left [i64 {HALTED}, label %halted i64 {FAILED_CHECK}, label %failed{others}]
left:
  ret i64 0
failed:
  %reason = call i64 @check_failed(ptr %s_pc, ptr %s_sp)
{set_halt("%reason", begun=False, frame="%s_frame")}
  br label %halted
halted:
{spill("%s_pc", "%s_sp", "%s_gas", "%s_frame")}
  %stopped = call i64 @{self.halted.symbol}(ptr %s_frame)
  %is_stopped = icmp ne i64 %stopped, 0
  br i1 %is_stopped, label %exit, label %go_on, !prof {COLD}
exit:
  ret i64 %stopped
go_on:
  %run_place = getelementptr i8, ptr %s_frame, i64 {at(Frame, "run")}
  %run = load ptr, ptr %run_place
  %now_place = getelementptr i8, ptr %run, i64 {at(Run, "frame")}
  %now = load ptr, ptr %now_place
  %kind_place = getelementptr i8, ptr %now, i64 {at(Frame, "kind")}
  %kind = load i64, ptr %kind_place
  %is_code = icmp eq i64 %kind, 0
  br i1 %is_code, label %resume, label %left
resume:
{load_registers("%now", "n_")}
{_stores("%n_pc", "%n_sp", "%n_gas", "%now", "resume")}
  br label %{first}{self._compiled()}
}}"""

    def _compiled(self) -> str:
        """Block `enter`, from which the function of the code runs, if there is one, and else the loop goes on."""
        if not self.contracts:
            return ""
        cases = " ".join(f"i64 {number}, label %run_{number}" for number in self.contracts)
        called = ", ".join(f"{kind} %e_{name}" for name, kind in REGISTERS.items())
        blocks = "\n".join(
            f"run_{number}:\n  %left_{number} = call {LEFT_WITH} @{symbol}({called})\n  br label %came_back"
            for number, symbol in self.contracts.items()
        )
        ways = ", ".join(f"[%left_{number}, %run_{number}]" for number in self.contracts)
        registers = "\n".join(
            f"  %c_{name} = extractvalue {LEFT_WITH} %left_with, {place}"
            for place, name in enumerate(("pc", "sp", "gas"), 1)
        )
        return f"""
enter:
{_loads("e_")}
  %number_place = getelementptr i8, ptr %e_frame, i64 {at(Frame, "compiled")}
  %number = load i64, ptr %number_place, align 8
  switch i64 %number, label %loop [{cases}]
{blocks}
came_back:
  %left_with = phi {LEFT_WITH} {ways}
  %came_back_for = extractvalue {LEFT_WITH} %left_with, 0
{registers}
{_stores("%c_pc", "%c_sp", "%c_gas", "%e_frame", "back")}
  %stays = icmp eq i64 %came_back_for, {GO_ON}
  br i1 %stays, label %loop, label %stop"""


def _stores(pc: str, sp: str, gas: str, frame: str, label: str) -> str:
    """Write the registers to `%registers`."""
    return "\n".join(
        f"  %{label}_at_{name} = getelementptr i8, ptr %registers, i64 {8 * place}\n"
        f"  store {REGISTERS[name]} {value}, ptr %{label}_at_{name}, align 8"
        for place, (name, value) in enumerate(zip(REGISTERS, (pc, sp, gas, frame), strict=True))
    )


def _loads(prefix: str = "") -> str:
    """Read the registers from `%registers`."""
    return "\n".join(
        f"  %{prefix}from_{name} = getelementptr i8, ptr %registers, i64 {8 * place}\n"
        f"  %{prefix}{name} = load {kind}, ptr %{prefix}from_{name}, align 8"
        for place, (name, kind) in enumerate(REGISTERS.items())
    )


def _ends(signal: int, pc: str, sp: str, gas: str, frame: str, label: str) -> str:
    """Come back from an instruction."""
    return f"{_stores(pc, sp, gas, frame, label)}\n  ret i64 {signal}"
