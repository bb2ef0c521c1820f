"""The threaded driver: from the op table to an interpreter of one function for each opcode, each calling the next.

Four values live in registers through the whole run: where the code goes on, where the stack ends, the gas left and
the frame. Stack checks and static gas are made here from the row, alike for this driver and for that of
`switch`; the bodies are the op functions. Everything that is slow or rare is a kernel function of `run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final

from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom_native.program import FunctionRef, Program

from ..halts import INVALID_OPCODE, OUT_OF_GAS, STACK_OVERFLOW, STACK_UNDERFLOW
from ..table import OpFunction, OpKind, OpRow
from .arena import add_log, give_output
from .journal import record, reserve_journal
from .layout import NEED, NEED_STACK_ROOM, Frame, Run
from .machine import ITEM, Build, NativeMachine
from .run import begin_op, halted, trace_after, trace_next
from .table import find_account, locate_account, locate_slot, locate_transient

SIGNATURE = "(ptr %pc, ptr %sp, i64 %gas, ptr %frame)"
COLD = '!{!"branch_weights", i32 1, i32 4000}'

JUMPS: Final = ("JUMP", "JUMPI")
NEEDING: Final[frozenset[OpFunction]] = frozenset(
    {find_account, locate_account, locate_slot, locate_transient, add_log, give_output, reserve_journal, record}
)
"""Instructions that reach any of these may change something before they have a need."""


class Driver(ABC):
    """Writes an interpreter into `program`: entry `interpret(frame) -> 0 or a need`.

    What is abstract here is how one instruction is followed by the next: each writes the end of a block.
    """

    enters_compiled = False
    """Whether code that is compiled runs as that."""

    def __init__(self, program: Program, rows: Iterable[OpRow], gas: Mapping[str, int], build: Build, limit: int):
        self.program = program
        self.rows = {row.code: row for row in rows}
        self.gas = gas
        self.build = build
        self.limit = limit
        self.halted = program.function(halted)
        self.begin = program.function(begin_op)
        self.trace_next = program.function(trace_next) if build.traced else None
        self.trace_after = program.function(trace_after) if build.traced else None

    def room(self, row: OpRow) -> int:
        """Greatest stack depth, in bytes, at which the instruction may run."""
        return self.build.item_size * (min(self.limit, self.build.stack_spacing - 1) - max(0, row.pushes - row.pops))

    def check_tables(self) -> str:
        """For each opcode how deep the stack has to be, and may be, in bytes."""
        needs = ", ".join(
            f"i64 {self.build.item_size * self.rows[c].pops if c in self.rows else 0}" for c in range(256)
        )
        rooms = ", ".join(f"i64 {self.room(self.rows[c]) if c in self.rows else 0}" for c in range(256))
        return (
            f"@stack_needs = internal constant [256 x i64] [{needs}]\n"
            f"@stack_rooms = internal constant [256 x i64] [{rooms}]"
        )

    def failed_check(self) -> str:
        """Find %reason: which check the instruction at %pc has failed; only then does it matter."""
        overflow = STACK_OVERFLOW if self.limit < self.build.stack_spacing else NEED_STACK_ROOM
        return f"""  %op = load i8, ptr %pc
  %number = zext i8 %op to i64
  %needs = getelementptr [256 x i64], ptr @stack_needs, i64 0, i64 %number
  %need = load i64, ptr %needs
  %rooms = getelementptr [256 x i64], ptr @stack_rooms, i64 0, i64 %number
  %room = load i64, ptr %rooms
  %place = ptrtoint ptr %sp to i64
  %depth = and i64 %place, {self.build.depth_mask}
  %under = icmp ult i64 %depth, %need
  %over = icmp ugt i64 %depth, %room
  %full = select i1 %over, i64 {overflow}, i64 {OUT_OF_GAS}
  %reason = select i1 %under, i64 {STACK_UNDERFLOW}, i64 %full"""

    def instruction(self, row: OpRow) -> str:
        """The function of one instruction."""
        return _Handler(self, row).text()

    @abstractmethod
    def write(self) -> None:
        """All of it."""

    @abstractmethod
    def head(self, name: str) -> str:
        """The first line of the instruction `name`."""

    @abstractmethod
    def jump_to_next(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """Run the instruction at `pc`."""

    @abstractmethod
    def enter(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """Run the instruction at `pc`, to which a frame comes from elsewhere, as compiled if that `enters_compiled`.

        Then the block `interpret` runs it as it is.
        """

    @abstractmethod
    def fail(self) -> str:
        """An instruction has failed a check, and nothing has changed: say which, and halt."""

    @abstractmethod
    def stop(self, sp: str, gas: str, label: str) -> str:
        """`Run.halt` says why the instruction halts."""

    @abstractmethod
    def leave(self, stopped: str) -> str:
        """Return `stopped` from the interpreter: 0, or a need."""


class Threaded(Driver):
    """One function for each opcode, whose last step is a call of the next one's."""

    def __init__(self, program: Program, rows: Iterable[OpRow], gas: Mapping[str, int], build: Build, limit: int):
        super().__init__(program, rows, gas, build, limit)
        self.enters_compiled = not build.traced

    def write(self) -> None:
        """See `Driver.write`."""
        define = self.program.define
        handlers = []
        for code in range(256):
            row = self.rows.get(code)
            if row is None:
                handlers.append("@op_invalid")
                continue
            handlers.append(f"@op_{row.name}")
            define(self.instruction(row))
        entries = ", ".join(f"ptr {name}" for name in handlers)
        linkage = "internal " if self.build.traced else ""
        define(f"@handlers = {linkage}constant [256 x ptr] [{entries}], align 64")
        define(self._checks())
        define(self._stopping())
        define(self._entry())

    # What handlers begin and go on with

    def head(self, name: str) -> str:
        """See `Driver.head`."""
        return f"define internal preserve_nonecc i64 @op_{name}{SIGNATURE} nounwind {{"

    def fail(self) -> str:
        """See `Driver.fail`."""
        return _tail("@check_failed", "%pc", "%sp", "%gas", "%frame", "failed")

    def stop(self, sp: str, gas: str, label: str) -> str:
        """See `Driver.stop`."""
        return _tail("@stop", "%pc", sp, gas, "%frame", label)

    def leave(self, stopped: str) -> str:
        """See `Driver.leave`."""
        return f"  ret i64 {stopped}"

    def jump_to_next(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """See `Driver.jump_to_next`."""
        if self.build.traced:
            return _tail("@traced", pc, sp, gas, frame)
        return _fetch(pc, sp, gas, frame)

    def enter(self, pc: str, sp: str, gas: str, frame: str) -> str:
        """See `Driver.enter`."""
        if not self.enters_compiled:
            return self.jump_to_next(pc, sp, gas, frame)
        return (
            f"  %compiled_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'compiled')}\n"
            "  %compiled_address = load i64, ptr %compiled_place\n"
            "  %is_compiled = icmp ne i64 %compiled_address, 0\n"
            "  br i1 %is_compiled, label %enter, label %interpret\n"
            "enter:\n"
            "  %compiled = inttoptr i64 %compiled_address to ptr\n"
            f"{_tail('%compiled', pc, sp, gas, frame, 'compiled')}\n"
            "interpret:\n"
            f"{_fetch(pc, sp, gas, frame)}"
        )

    def _checks(self) -> str:
        """What fails at once."""
        return f"""
{self.check_tables()}
define internal preserve_nonecc i64 @check_failed{SIGNATURE} noinline cold nounwind {{
{self.failed_check()}
{set_halt("%reason", begun=False)}
{_tail("@stop", "%pc", "%sp", "%gas", "%frame")}
}}
define internal preserve_nonecc i64 @op_invalid{SIGNATURE} noinline cold nounwind {{
{set_halt(str(INVALID_OPCODE), begun=False)}
{_tail("@stop", "%pc", "%sp", "%gas", "%frame")}
}}"""

    def _stopping(self) -> str:
        """What follows a halt: the parent goes on, or native code stops."""
        traced = ""
        if self.trace_next is not None:
            traced = f"""
define internal preserve_nonecc i64 @traced{SIGNATURE} noinline nounwind {{
{spill("%pc", "%sp", "%gas", "%frame")}
  %stopped = call i64 @{self.trace_next.symbol}(ptr %frame)
  %is_stopped = icmp ne i64 %stopped, 0
  br i1 %is_stopped, label %exit, label %run
exit:
  ret i64 %stopped
run:
{_fetch("%pc", "%sp", "%gas", "%frame")}
}}"""
        return f"""{traced}
define {"internal " if self.build.traced else ""}preserve_nonecc i64 @stop{SIGNATURE} noinline nounwind {{
{spill("%pc", "%sp", "%gas", "%frame")}
  %stopped = call i64 @{self.halted.symbol}(ptr %frame)
  %is_stopped = icmp ne i64 %stopped, 0
  br i1 %is_stopped, label %exit, label %go_on
exit:
  ret i64 %stopped
go_on:
  %run_place = getelementptr i8, ptr %frame, i64 {at(Frame, "run")}
  %run = load ptr, ptr %run_place
  %now_place = getelementptr i8, ptr %run, i64 {at(Run, "frame")}
  %now = load ptr, ptr %now_place
{self.resume("%now")}
}}"""

    def resume(self, frame: str) -> str:
        """Go on with a frame that does not run, or leave if it is not EVM code."""
        return f"""  %kind_place = getelementptr i8, ptr {frame}, i64 {at(Frame, "kind")}
  %kind = load i64, ptr %kind_place
  %is_code = icmp eq i64 %kind, 0
  br i1 %is_code, label %resume, label %leave
leave:
  ret i64 0
resume:
{load_registers(frame)}
{self.enter("%r_pc", "%r_sp", "%r_gas", frame)}"""

    def _entry(self) -> str:
        first = "@traced" if self.build.traced else "%first"
        fetch = ""
        if not self.build.traced:
            fetch = f"""  %op = load i8, ptr %r_pc
  %number = zext i8 %op to i64
  %place = getelementptr [256 x ptr], ptr @handlers, i64 0, i64 %number
  %handler = load ptr, ptr %place
  %compiled_place = getelementptr i8, ptr %frame, i64 {at(Frame, "compiled")}
  %compiled_address = load i64, ptr %compiled_place
  %compiled = inttoptr i64 %compiled_address to ptr
  %is_compiled = icmp ne i64 %compiled_address, 0
  %first = select i1 %is_compiled, ptr %compiled, ptr %handler
"""
        return f"""
define i64 @interpret(ptr %frame) nounwind {{
{load_registers("%frame")}
{fetch}  %stopped = call preserve_nonecc i64 {first}(ptr %r_pc, ptr %r_sp, i64 %r_gas, ptr %frame)
  ret i64 %stopped
}}"""


class _Handler:
    """One instruction."""

    def __init__(self, driver: Driver, row: OpRow) -> None:
        self.driver = driver
        self.row = row
        self.lines: list[str] = []

    def text(self) -> str:
        row = self.row
        self.emit(self.driver.head(row.name))
        if row.takes_machine:  # before any branch: what is inlined into a loop must not take more stack each time
            self.emit(f"  %m = alloca [{size_of(NativeMachine)} x i8], align 8")
        self.checks()
        if row.kind is OpKind.PUSH:
            self.push()
        elif row.kind is OpKind.DUP:
            self.word("%item", -row.pops)
            self.store("%item", 0)
            self.next_instruction(1, 1)
        elif row.kind is OpKind.SWAP:
            self.word("%top", -1)
            self.word("%other", -row.pops)
            self.store("%other", -1)
            self.store("%top", -row.pops)
            self.next_instruction(1, 0)
        else:
            self.call(self.driver.program.function(_body(row)))
        self.emit("}")
        return "\n".join(self.lines)

    def emit(self, text: str) -> None:
        self.lines.append(text)

    def checks(self) -> None:
        """Enough on the stack, room on it, and static gas."""
        row = self.row
        cost = self.driver.gas[row.name]
        conditions = []
        if row.pops or row.pushes > row.pops:
            self.emit("  %place = ptrtoint ptr %sp to i64")
            self.emit(f"  %depth = and i64 %place, {self.driver.build.depth_mask}")
        if row.pops:
            self.emit(f"  %under = icmp ult i64 %depth, {self.driver.build.item_size * row.pops}")
            conditions.append("%under")
        if row.pushes > row.pops:
            self.emit(f"  %over = icmp ugt i64 %depth, {self.driver.room(row)}")
            conditions.append("%over")
        if cost:
            self.emit(f"  %broke = icmp slt i64 %gas, {cost}")
            conditions.append("%broke")
        if conditions:
            bad = conditions[0]
            for number, condition in enumerate(conditions[1:]):
                self.emit(f"  %bad{number} = or i1 {bad}, {condition}")
                bad = f"%bad{number}"
            self.emit(f"  br i1 {bad}, label %fail, label %paid, !prof {COLD}")
            self.emit("fail:")
            self.emit(self.driver.fail())
            self.emit("paid:")
        self.emit(f"  %left = sub nsw i64 %gas, {cost}")

    # The stack; places count items from its end

    def word(self, name: str, place: int) -> None:
        self.emit(item(self.driver.build, f"{name}_place", place))
        self.emit(f"  {name} = load i256, ptr {name}_place, align {ITEM}")

    def store(self, value: str, place: int) -> None:
        name = f"%kept{len(self.lines)}"
        self.emit(item(self.driver.build, name, place))
        self.emit(f"  store i256 {value}, ptr {name}, align {ITEM}")

    def next_instruction(self, size: int, growth: int, gas: str = "%left") -> None:
        """Go on `size` bytes of code further, with `growth` more items on the stack."""
        self.emit(f"  %next = getelementptr i8, ptr %pc, i64 {size}")
        self.emit(item(self.driver.build, "%end", growth))
        self.emit(self.driver.jump_to_next("%next", "%end", gas, "%frame"))

    def push(self) -> None:
        size = self.row.immediate
        if not size:
            self.store("0", 0)
        else:
            bits = next(width for width in (8, 16, 32, 64, 128, 256) if width >= 8 * size)
            self.emit("  %data = getelementptr i8, ptr %pc, i64 1")
            replacement = self.driver.program.packed.get(("load", bits))
            read = f"call i{bits} @{replacement}(ptr %data)" if replacement else f"load i{bits}, ptr %data, align 1"
            self.emit(f"  %raw = {read}")
            value = "%raw"
            if bits > 8:
                self.emit(f"  %swapped = call i{bits} @llvm.bswap.i{bits}(i{bits} %raw)")
                value = "%swapped"
            if bits > 8 * size:
                self.emit(f"  %shifted = lshr i{bits} {value}, {bits - 8 * size}")
                value = "%shifted"
            if bits < 256:
                self.emit(f"  %wide = zext i{bits} {value} to i256")
                value = "%wide"
            self.store(value, 0)
        self.next_instruction(1 + size, 1)

    # Bodies

    def call(self, body: FunctionRef) -> None:
        """Call the op function on its operands, and go on as its kind wants it."""
        row = self.row
        machine = row.takes_machine
        if machine:
            self.set_register("gas", "i64", "%left")
            self.set_register("frame", "ptr", "%frame")
        if row.kind in (OpKind.FLOW, OpKind.FRAME):
            self.emit(offset_of("%pc", "%frame", "%offset"))
            self.emit("  %following = add i64 %offset, 1")
            self.set_register("pc", "i64", "%following")
        if row.kind is OpKind.FRAME:
            self.emit(item(self.driver.build, "%rest", -row.pops))
            self.set_register("top", "ptr", "%rest")
        for number in range(row.pops):
            self.word(f"%a{number}", -1 - number)
        begun = machine and self.may_need()
        if begun:
            self.emit(f"  %begun = call i64 @{self.driver.begin.symbol}(ptr %frame) alwaysinline")
            self.halting("%begun", "begun", begun=True)
        operands = [f"i256 %a{number}" for number in range(row.pops)]
        arguments = ", ".join(["ptr %m", *operands] if machine else operands)
        result = self.body_call(body, arguments, begun)
        if row.kind is OpKind.FLOW:
            self.flow(result)
        elif row.kind is OpKind.FRAME:
            self.frame()
        else:
            gas = "%left"
            if machine:
                gas = self.register("gas", "i64")
            if result:
                self.store(result, -row.pops)
            self.next_instruction(1, row.pushes - row.pops, gas)

    def body_call(self, body: FunctionRef, arguments: str, begun: bool) -> str:
        """Call, and stop if it halts. Returns the name of the result, or nothing."""
        returned = body.returns.llvm if body.returns is not None else ""
        if not body.may_halt:
            if not returned:
                self.emit(f"  call void @{body.symbol}({arguments}) alwaysinline")
                return ""
            self.emit(f"  %result = call {returned} @{body.symbol}({arguments}) alwaysinline")
        elif not returned:
            self.emit(f"  %status = call i64 @{body.symbol}({arguments}) alwaysinline")
            self.halting("%status", "halt", begun=begun)
            return ""
        else:
            self.emit(f"  %both = call {{i64, {returned}}} @{body.symbol}({arguments}) alwaysinline")
            self.emit(f"  %status = extractvalue {{i64, {returned}}} %both, 0")
            self.halting("%status", "halt", begun=begun)
            self.emit(f"  %result = extractvalue {{i64, {returned}}} %both, 1")
        if returned == "i256":
            return "%result"
        self.emit(f"  %word = zext {returned} %result to i256")
        return "%word"

    def halting(self, status: str, label: str, begun: bool) -> None:
        """Stop if `status` is not 0. For a need the gas is that before the instruction."""
        self.emit(f"  %is_{label} = icmp ne i64 {status}, 0")
        self.emit(f"  br i1 %is_{label}, label %on_{label}, label %no_{label}, !prof {COLD}")
        self.emit(f"on_{label}:")
        self.emit(set_halt(status, begun, label))
        gas, sp = "%gas", "%sp"
        if self.driver.build.traced:
            now = self.register("gas", "i64", f"{label}_")
            self.emit(f"  %{label}_is_need = icmp uge i64 {status}, {NEED}")
            self.emit(f"  %{label}_gas = select i1 %{label}_is_need, i64 %gas, i64 {now}")
            self.emit(item(self.driver.build, f"%{label}_rest", -self.row.pops))
            self.emit(f"  %{label}_sp = select i1 %{label}_is_need, ptr %sp, ptr %{label}_rest")
            gas, sp = f"%{label}_gas", f"%{label}_sp"
        self.emit(self.driver.stop(sp, gas, label))
        self.emit(f"no_{label}:")

    def may_need(self) -> bool:
        """Whether the body may have a need, other than for the memory that it grows once."""
        return self.driver.program.reaches(_body(self.row), NEEDING)

    def set_register(self, name: str, kind: str, value: str) -> None:
        self.emit(f"  %set_{name} = getelementptr i8, ptr %m, i64 {at(NativeMachine, name)}")
        self.emit(f"  store {kind} {value}, ptr %set_{name}, align 8")

    def register(self, name: str, kind: str, prefix: str = "") -> str:
        self.emit(f"  %{prefix}at_{name} = getelementptr i8, ptr %m, i64 {at(NativeMachine, name)}")
        self.emit(f"  %{prefix}now_{name} = load {kind}, ptr %{prefix}at_{name}, align 8")
        return f"%{prefix}now_{name}"

    def flow(self, result: str) -> None:
        """Go on where the body has set pc."""
        row = self.row
        if result:
            self.store(result, -row.pops)
        offset = self.register("pc", "i64")
        self.emit(f"  %code_place = getelementptr i8, ptr %frame, i64 {at(Frame, 'code')}")
        self.emit("  %code_now = load ptr, ptr %code_place")
        self.emit(f"  %next = getelementptr i8, ptr %code_now, i64 {offset}")
        self.emit(item(self.driver.build, "%end", row.pushes - row.pops))
        gas = self.register("gas", "i64")
        if row.name in JUMPS and self.driver.enters_compiled:
            self.emit(f"  %is_near = icmp eq i64 {offset}, %following")
            self.emit("  br i1 %is_near, label %interpret, label %jumped\njumped:")
            self.emit(self.driver.enter("%next", "%end", gas, "%frame"))
            return
        self.emit(self.driver.jump_to_next("%next", "%end", gas, "%frame"))

    def frame(self) -> None:
        """Go on with the frame that is current now."""
        now = self.register("frame", "ptr")
        registers = [self.register("pc", "i64"), self.register("top", "ptr"), self.register("gas", "i64")]
        offset, top, gas = registers
        self.emit(spill_offset(offset, top, gas, now))
        if self.driver.trace_after is not None:
            self.emit(f"  %aborted = call i64 @{self.driver.trace_after.symbol}(ptr %frame)")
            self.emit("  %is_aborted = icmp ne i64 %aborted, 0")
            self.emit("  br i1 %is_aborted, label %abort, label %shown")
            self.emit(f"abort:\n{self.driver.leave('%aborted')}\nshown:")
        self.emit(f"  %kind_place = getelementptr i8, ptr {now}, i64 {at(Frame, 'kind')}")
        self.emit("  %kind = load i64, ptr %kind_place")
        self.emit("  %is_code = icmp eq i64 %kind, 0")
        self.emit(f"  br i1 %is_code, label %resume, label %leave\nleave:\n{self.driver.leave('0')}\nresume:")
        self.emit(f"  %code_place = getelementptr i8, ptr {now}, i64 {at(Frame, 'code')}")
        self.emit("  %code_now = load ptr, ptr %code_place")
        self.emit(f"  %next = getelementptr i8, ptr %code_now, i64 {offset}")
        self.emit(self.driver.enter("%next", top, gas, now))


# Text of what several handlers do


def at(struct: type, field: str) -> int:
    """Offset of a field in bytes."""
    return fields_of(struct)[field].offset


def item(build: Build, name: str, place: int, sp: str = "%sp") -> str:
    """Let `name` be the address of an item of the stack; places count from its end, `sp`."""
    return f"  {name} = getelementptr i8, ptr {sp}, i64 {build.item_size * place}"


def _body(row: OpRow) -> OpFunction:
    assert row.function is not None, f"{row.name} has no body"
    return row.function


def _tail(target: str, pc: str, sp: str, gas: str, frame: str, label: str = "") -> str:
    """Go on in another handler."""
    name = f"%tail_{label}"
    return (
        f"  {name} = musttail call preserve_nonecc i64 {target}(ptr {pc}, ptr {sp}, i64 {gas}, ptr {frame})\n"
        f"  ret i64 {name}"
    )


def _fetch(pc: str, sp: str, gas: str, frame: str) -> str:
    """Run the instruction at `pc`."""
    return (
        f"  %opcode = load i8, ptr {pc}\n"
        "  %opcode_number = zext i8 %opcode to i64\n"
        "  %handler_place = getelementptr [256 x ptr], ptr @handlers, i64 0, i64 %opcode_number\n"
        "  %handler = load ptr, ptr %handler_place\n" + _tail("%handler", pc, sp, gas, frame)
    )


def offset_of(pc: str, frame: str, name: str) -> str:
    """The offset in the frame's code at which `pc` points."""
    return (
        f"  {name}_code_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'code')}\n"
        f"  {name}_code = load ptr, ptr {name}_code_place\n"
        f"  {name}_from = ptrtoint ptr {name}_code to i64\n"
        f"  {name}_to = ptrtoint ptr {pc} to i64\n"
        f"  {name} = sub i64 {name}_to, {name}_from"
    )


def spill(pc: str, sp: str, gas: str, frame: str) -> str:
    """Write the registers to the frame."""
    return offset_of(pc, frame, "%offset") + "\n" + spill_offset("%offset", sp, gas, frame)


def spill_offset(offset: str, sp: str, gas: str, frame: str) -> str:
    """`_spill` where the offset in code is at hand."""
    return (
        f"  %spill_pc = getelementptr i8, ptr {frame}, i64 {at(Frame, 'pc')}\n"
        f"  store i64 {offset}, ptr %spill_pc\n"
        f"  %spill_gas = getelementptr i8, ptr {frame}, i64 {at(Frame, 'gas')}\n"
        f"  store i64 {gas}, ptr %spill_gas\n"
        f"  %spill_top = getelementptr i8, ptr {frame}, i64 {at(Frame, 'top')}\n"
        f"  store ptr {sp}, ptr %spill_top"
    )


def load_registers(frame: str, prefix: str = "r_") -> str:
    """Read %r_pc, %r_sp and %r_gas, or what they are called with another prefix, from a frame that does not run."""
    return (
        f"  %{prefix}offset_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'pc')}\n"
        f"  %{prefix}offset = load i64, ptr %{prefix}offset_place\n"
        f"  %{prefix}code_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'code')}\n"
        f"  %{prefix}code = load ptr, ptr %{prefix}code_place\n"
        f"  %{prefix}pc = getelementptr i8, ptr %{prefix}code, i64 %{prefix}offset\n"
        f"  %{prefix}sp_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'top')}\n"
        f"  %{prefix}sp = load ptr, ptr %{prefix}sp_place\n"
        f"  %{prefix}gas_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'gas')}\n"
        f"  %{prefix}gas = load i64, ptr %{prefix}gas_place"
    )


def set_halt(status: str, begun: bool, label: str = "halt", frame: str = "%frame") -> str:
    """Say why the instruction halts, and whether it can be taken back."""
    return (
        f"  %{label}_run_place = getelementptr i8, ptr {frame}, i64 {at(Frame, 'run')}\n"
        f"  %{label}_run = load ptr, ptr %{label}_run_place\n"
        f"  %{label}_place = getelementptr i8, ptr %{label}_run, i64 {at(Run, 'halt')}\n"
        f"  store i64 {status}, ptr %{label}_place\n"
        f"  %{label}_begun = getelementptr i8, ptr %{label}_run, i64 {at(Run, 'begun')}\n"
        f"  store i64 {int(begun)}, ptr %{label}_begun"
    )


# Bodies for compiled code


def text_of_step(build: Build, symbol: str, row: OpRow, body: FunctionRef, begin: FunctionRef | None) -> str:
    """A function that runs the body of `row` on the stack in memory; see `jit.support`.

    One whose body takes the machine has `(sp, gas, frame)` and returns the status and the gas left; else it has `sp`.
    `begin` notes where things stand, for bodies that may have a need.
    """
    loads = "\n".join(
        f"{item(build, f'%p{index}', -1 - index)}\n  %a{index} = load i256, ptr %p{index}, align {ITEM}"
        for index in range(row.pops)
    )
    operands = [f"i256 %a{index}" for index in range(row.pops)]
    returned = body.returns.llvm if body.returns is not None else ""
    kept = ""
    if returned:
        widened = "" if returned == "i256" else f"  %word = zext {returned} %result to i256\n"
        kept = (
            f"{widened}{item(build, '%kept', -row.pops)}\n"
            f"  store i256 {'%word' if widened else '%result'}, ptr %kept, align {ITEM}\n"
        )
    if not row.takes_machine:
        call = f"call {returned or 'void'} @{body.symbol}({', '.join(operands)})"
        assign = "%result = " if returned else ""
        return f"define void @{symbol}(ptr %sp) nounwind {{\n{loads}\n  {assign}{call}\n{kept}  ret void\n}}"
    begun = f"  %begun = call i64 @{begin.symbol}(ptr %frame)\n" if begin is not None else "  %begun = add i64 0, 0\n"
    arguments = ", ".join(["ptr %m", *operands])
    if not body.may_halt:
        call = f"  {'%result = ' if returned else ''}call {returned or 'void'} @{body.symbol}({arguments})\n"
        call += "  br label %done\n"
    elif not returned:
        call = f"  %status = call i64 @{body.symbol}({arguments})\n"
    else:
        call = (
            f"  %both = call {{i64, {returned}}} @{body.symbol}({arguments})\n"
            f"  %status = extractvalue {{i64, {returned}}} %both, 0\n"
            f"  %result = extractvalue {{i64, {returned}}} %both, 1\n"
        )
    if body.may_halt:
        call += "  %is_halt = icmp ne i64 %status, 0\n"
        call += f"  br i1 %is_halt, label %halts, label %done, !prof {COLD}\n"
        call += f"halts:\n{set_halt('%status', begin is not None)}\n"
        call += "  %halted = insertvalue {i64, i64} zeroinitializer, i64 %status, 0\n  ret {i64, i64} %halted\n"
    return f"""
define {{i64, i64}} @{symbol}(ptr %sp, i64 %gas, ptr %frame) nounwind {{
{loads}
  %m = alloca [{size_of(NativeMachine)} x i8], align 8
  %set_gas = getelementptr i8, ptr %m, i64 {at(NativeMachine, "gas")}
  store i64 %gas, ptr %set_gas, align 8
  %set_frame = getelementptr i8, ptr %m, i64 {at(NativeMachine, "frame")}
  store ptr %frame, ptr %set_frame, align 8
{begun}  %is_begun = icmp eq i64 %begun, 0
  br i1 %is_begun, label %run, label %unbegun
unbegun:
{set_halt("%begun", True, "begin")}
  %stopped = insertvalue {{i64, i64}} zeroinitializer, i64 %begun, 0
  ret {{i64, i64}} %stopped
run:
{call}done:
{kept}  %left = load i64, ptr %set_gas, align 8
  %result_gas = insertvalue {{i64, i64}} zeroinitializer, i64 %left, 1
  ret {{i64, i64}} %result_gas
}}"""
