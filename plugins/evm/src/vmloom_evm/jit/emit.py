"""LLVM's text of a contract: one function among the interpreter's handlers, entered at any of a few instructions.

Items of the stack are values from block to block, and go to memory only where control leaves. It may leave before any
instruction: the stack is written out, and the interpreter's handler of the instruction runs with exact gas. Gas and
depth of the stack are checked once for each block, and a block whose check fails is the interpreter's, which finds the
instruction that fails. So nothing that is slow or rare is written here, and no rule stands in two places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vmloom.kernel.structs import fields_of

from ..analysis.instructions import ENDING, JUMP, JUMPI, Item
from ..native.driver import NEEDING
from ..native.layout import Frame, Run
from ..native.machine import ITEM, NativeMachine
from ..table import OpKind, OpRow
from .blocks import Block, Blocks
from .facts import UNKNOWN, Guard, Known
from .linkage import CALL, HALT, LEAVE, Linkage
from .specialise import (
    Fields,
    FrameValue,
    MachineValue,
    Rare,
    Registers,
    Specialiser,
    Unsuited,
)
from .support import symbol
from .values import Given, Value, Writer, number

if TYPE_CHECKING:
    from vmloom_native.program import FunctionRef, Program

COLD: Final = '!prof !{!"branch_weights", i32 1, i32 4000}'
MACHINE: Final = MachineValue({field.offset: name for name, field in fields_of(NativeMachine).items()})
FRAME: Final = FrameValue("%frame", 0)
TOGETHER: Final = 64
"""Ways that come to one end: LLVM looks at all of them each time that it changes one."""
GUARD: Final = """define internal i1 @guard(ptr %sp, i64 %depth, ptr %rows, i64 %count) noinline nounwind {
start:
  br label %row
row:
  %number = phi i64 [0, %start], [%next, %go_on]
  %first = mul i64 %number, 40
  %place_at = getelementptr i8, ptr %rows, i64 %first
  %place = load i64, ptr %place_at
  %low_at = getelementptr i8, ptr %place_at, i64 8
  %low = load i64, ptr %low_at
  %high_at = getelementptr i8, ptr %place_at, i64 16
  %high = load i64, ptr %high_at
  %then_at = getelementptr i8, ptr %place_at, i64 24
  %then = load i64, ptr %then_at
  %otherwise_at = getelementptr i8, ptr %place_at, i64 32
  %otherwise = load i64, ptr %otherwise_at
  %is_there = icmp ule i64 %place, %depth
  br i1 %is_there, label %look, label %go_on
look:
  %back = sub i64 0, %place
  %item = getelementptr i8, ptr %sp, i64 %back
  %word = load i256, ptr %item, align 32
  %low_word = zext i64 %low to i256
  %high_word = zext i64 %high to i256
  %is_low = icmp uge i256 %word, %low_word
  %is_high = icmp ule i256 %word, %high_word
  %is_good = and i1 %is_low, %is_high
  %chosen = select i1 %is_good, i64 %then, i64 %otherwise
  br label %go_on
go_on:
  %next = phi i64 [%then, %row], [%chosen, %look]
  %is_over = icmp uge i64 %next, %count
  br i1 %is_over, label %over, label %row
over:
  %is_fine = icmp eq i64 %next, %count
  ret i1 %is_fine
}"""
"""Whether items of the stack lie where they have to. A row has an item's place, the least and the greatest that it may
be, and the numbers of the rows to go on with if it is so, and if not: that after the last one says yes, others no."""
CHANGING: Final = frozenset({"memory_words", "refund", "pc", "gas", "top"})
"""Fields of a frame that change while it runs. The others stay as they are until native code is left."""
PRODUCT: Final = 30
"""Lines that a product of words counts as."""
LEAST_LINES: Final = 20_000
LINES_PER_BYTE: Final = 6
"""Of LLVM's text, about: blocks after so many lines are the interpreter's. Contracts have 2 to 4 for each byte."""
MOST_GIVEN: Final = 24
"""Items that a block hands on to the only one after it."""
UNWRITTEN: Final = 2
"""Items that a block takes in registers alone; those below are in memory, too, so that exits write few."""


def _at(struct: type, name: str) -> int:
    return fields_of(struct)[name].offset


WORDS: Final = ("%frame", _at(Frame, "memory_words"))
"""The field that only grows while a frame runs: what one block has seen of it holds in all that it dominates."""
_FIXED: Final = frozenset(("%frame", field.offset) for name, field in fields_of(Frame).items() if name not in CHANGING)


@dataclass(slots=True)
class Exit:
    """A way out: the interpreter goes on at `offset`, once `stores` have been made."""

    label: str
    offset: int
    stores: list[tuple[int, Value]]
    base: str
    depth: int
    gas: str
    more_gas: int


class Way(NamedTuple):
    """A way to a common end, from the block `label`: the offset in the code, where the stack ends, and the gas.

    Constants are apart from what they are added to: LLVM would look at all ways again for each that it simplifies.
    """

    label: str
    offset: str
    sp: str
    gas: str
    depth: int = 0
    more_gas: int = 0


@dataclass(slots=True)
class Edge:
    """A way into a block."""

    label: str
    gas: str
    sp: str
    values: list[str]


@dataclass(slots=True)
class State:
    """All that is known where the only way into a block begins."""

    base: str
    bottom: int
    stack: list[Value]
    memory: dict[int, Value]
    gas: str
    paid: int
    fields: Fields


class Emitter:
    """Writes the function of `linkage` for `blocks`."""

    def __init__(
        self,
        program: Program,
        rows: dict[int, OpRow],
        blocks: Blocks,
        stack_limit: int,
        gas: Mapping[str, int],
        linkage: Linkage,
    ) -> None:
        self.program = program
        self.linkage = linkage
        self.build = linkage.build
        self.item_size: Final = linkage.build.item_size
        self.rows = rows
        self.rows_gas = gas
        self.blocks = blocks
        self.stack_limit = stack_limit
        self.writer = Writer(packed=program.packed)
        self.items = Items(self.writer, self.item_size)
        self.edges: dict[int, list[Edge]] = {number: [] for number in blocks.reached}
        self.exits: list[Exit] = []
        self.counted = 0
        self.ends: dict[str, list[Way]] = {LEAVE: [], CALL: [], HALT: []}
        """Ways out of the function, by what they come to."""
        self.jumping: list[tuple[str, str, str, str, str, str, str]] = []
        """Jumps by table: label, target, stack and gas after the jump; offset, stack and gas before it."""
        self.least_words: dict[int, int] = {}
        """The least memory in words at the end of each block."""
        self.tables: list[str] = []
        """Of guards."""
        self.called: dict[str, OpRow] = {}
        """By their symbols, instructions whose bodies are called out of line."""
        before = Counter(way for number_ in blocks.reached for way in blocks.blocks[number_].successors)
        self.single = {it for it, count in before.items() if count == 1 and not blocks.blocks[it].is_entry}
        """Blocks into which there is one way, which gives them all that it has."""
        self.states: dict[int, State] = {}
        self.unsuited: set[str] = set()

    def text(self, check: Callable[[], None]) -> str:
        """A module of the function alone. Before each block `check` is called, which may raise."""
        lines = self.lines(check)
        steps = [
            f"declare {'{i64, i64}' if row.takes_machine else 'void'} @{name}(ptr{', i64, ptr' * row.takes_machine})"
            for name, row in self.called.items()
        ]
        guard = [GUARD] if self.tables else []
        head = (
            *self.linkage.declarations(),
            *guard,
            *self.tables,
            *self.writer.tables,
            *steps,
            *self.writer.intrinsics,
        )
        return "\n".join((*head, *lines)) + "\n"

    def lines(self, check: Callable[[], None]) -> list[str]:
        """The function. What it refers to is in `tables`, `called` and the writer's `intrinsics` then."""
        bodies = []
        budget = LEAST_LINES + LINES_PER_BYTE * len(self.blocks.code)
        for number_ in self.blocks.reached:
            check()
            self.writer.lines = []
            block = _BlockWriter(self, self.blocks.blocks[number_])
            if budget > 0:
                block.write()
            else:
                block.give_up()
            budget -= weight(self.writer.lines) + sum(len(exit_.stores) for exit_ in self.exits[self.counted :])
            self.counted = len(self.exits)
            bodies.append((number_, self.writer.lines))
        self.writer.lines = []
        self._write_exits()
        self._write_dispatch()
        tail = self.writer.lines
        self.writer.lines = lines = []
        lines.append(self.linkage.head())
        lines.append("start:")
        for name in ("code", "memory", "run"):
            lines.append(f"  %at_{name} = getelementptr i8, ptr %frame, i64 {_at(Frame, name)}")
            lines.append(f"  %{name} = load ptr, ptr %at_{name}, align 8")
        lines.append(self.linkage.granted())
        lines.append(f"  %countdown = getelementptr i8, ptr %run, i64 {_at(Run, 'countdown')}")
        lines.append("  %code_from = ptrtoint ptr %code to i64")
        lines.append("  %code_to = ptrtoint ptr %pc to i64")
        lines.append("  %entry_offset = sub i64 %code_to, %code_from")
        lines.append("  br label %dispatch")
        for number_, body in bodies:
            lines += self._head(number_)
            lines += body
        lines += tail
        lines.append("}")
        return lines

    def function(self, row: OpRow) -> FunctionRef:
        """The body of an instruction, with its typed tree."""
        assert row.function is not None
        return self.kernel(row.function)

    def kernel(self, function: Callable[..., Any]) -> FunctionRef:
        """The same of a kernel function."""
        found = self.program.function(function)
        self.program.translate()
        return found

    def may_need(self, row: OpRow) -> bool:
        """Whether the body may stop for what native code does not have."""
        assert row.function is not None
        return row.takes_machine and self.program.reaches(row.function, NEEDING)

    def _head(self, number_: int) -> list[str]:
        """The beginning of a block: what it takes from each way into it."""
        edges = self.edges[number_]
        lines = []
        if not edges:  # no run gets through what leads to it
            lines += [f"u{number_}:", f"  br label %b{number_}"]
            edges = [Edge(f"u{number_}", "0", "null", ["0"] * self.blocks.blocks[number_].parameters)]
        lines.append(f"b{number_}:")
        if number_ in self.states:
            return [*lines, f"  br label %c{number_}", f"c{number_}:"]
        block = self.blocks.blocks[number_]
        widths = [width_of(block, index) for index in range(block.parameters)]
        kinds = ["i64", "ptr", *(f"i{width}" for width in widths)]
        names = ["gas", "sp", *(f"p{index}" for index in range(block.parameters))]
        for position, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            if name[0] == "p" and not widths[position - 2]:
                continue
            ways = ", ".join(f"[{(edge.gas, edge.sp, *edge.values)[position]}, %{edge.label}]" for edge in edges)
            lines.append(f"  %b{number_}.{name} = phi {kind} {ways}")
        lines.append(f"  br label %c{number_}")
        lines.append(f"c{number_}:")
        return lines

    # Ways out

    def _write_exits(self) -> None:
        writer = self.writer
        for exit_ in self.exits:
            writer.begin(exit_.label)
            for place, value in exit_.stores:
                self.items.store(exit_.base, place, value)
            self.end(LEAVE, Way(writer.label, str(exit_.offset), exit_.base, exit_.gas, exit_.depth, exit_.more_gas))

    def _write_dispatch(self) -> None:
        """Where control comes from the interpreter or from jumps by table, and the common ends of ways out."""
        writer = self.writer
        entries = [self.blocks.blocks[number_] for number_ in self.blocks.reached]
        entries = [block for block in entries if block.is_entry]
        writer.begin("dispatch")
        cases = " ".join(f"i64 {block.offset}, label %e{block.number}" for block in entries)
        writer.put(f"switch i64 %entry_offset, label %nowhere [{cases}]")
        if self.jumping:
            self._write_jumps([block for block in entries if block.is_destination])
        for block in entries:
            self._write_entry(block)
        writer.begin("nowhere")
        if self.jumping:
            for name, kind, plain in (("from", "i64", "%entry_offset"), ("sp", "ptr", "%sp"), ("gas", "i64", "%gas")):
                whence = name if name == "from" else f"{name}_from"
                writer.put(f"%n.{name} = phi {kind} [{plain}, %dispatch], [%j.{whence}, %jump]")
            self.end(LEAVE, Way("nowhere", "%n.from", "%n.sp", "%n.gas"))
        else:
            self.end(LEAVE, Way("nowhere", "%entry_offset", "%sp", "%gas"))
        for kind, ways in self.ends.items():
            for first in range(0, len(ways), TOGETHER):
                self._write_end(f"{kind}{first // TOGETHER}", kind, ways[first : first + TOGETHER])

    def end(self, kind: str, way: Way) -> None:
        """Go the way out."""
        ways = self.ends[kind]
        self.writer.put(f"br label %{kind}{len(ways) // TOGETHER}")
        self.writer.label = ""
        ways.append(way)

    def _write_jumps(self, entries: Sequence[Block]) -> None:
        """Jumps by table."""
        writer = self.writer
        writer.begin("jump")
        names = (("to", "i64"), ("sp", "ptr"), ("gas", "i64"), ("from", "i64"), ("sp_from", "ptr"), ("gas_from", "i64"))
        for position, (name, kind) in enumerate(names, 1):
            found = ", ".join(f"[{way[position]}, %{way[0]}]" for way in self.jumping)
            writer.put(f"%j.{name} = phi {kind} {found}")
        cases = " ".join(f"i64 {block.offset}, label %e{block.number}" for block in entries)
        writer.put(f"switch i64 %j.to, label %nowhere [{cases}]")

    def _write_entry(self, block: Block) -> None:
        """A way in from the interpreter or from a jump by table, if the stack is as it is known to be elsewhere."""
        writer = self.writer
        writer.begin(f"e{block.number}")
        sp, gas = "%sp", "%gas"
        if self.jumping and block.is_destination:
            sp, gas = f"%e{block.number}.sp", f"%e{block.number}.gas"
            writer.put(f"{sp} = phi ptr [%sp, %dispatch], [%j.sp, %jump]")
            writer.put(f"{gas} = phi i64 [%gas, %dispatch], [%j.gas, %jump]")
        least, most = block.least_depth, block.greatest_depth
        is_sure = least == 0 and most >= self.stack_limit
        rows = guard_rows(block.guards, self.item_size)
        if rows or not is_sure:
            place = writer.emit(f"ptrtoint ptr {sp} to i64")
            depth = writer.emit(f"and i64 {place}, {self.build.depth_mask}")
        if not is_sure:
            beyond = writer.emit(f"sub i64 {depth}, {self.item_size * least}") if least else depth
            self._admit(block, writer.emit(f"icmp ule i64 {beyond}, {self.item_size * (most - least)}"), sp, gas)
        least = self.least_words.get(self.blocks.dominators.get(block.number, -1), 0)
        if least:
            at = writer.emit(f"getelementptr i8, ptr %frame, i64 {WORDS[1]}")
            words = writer.emit(f"load i64, ptr {at}, align 8")
            self._admit(block, writer.emit(f"icmp uge i64 {words}, {least}"), sp, gas)
        if rows:
            table = f"@{self.linkage.symbol}.guards{block.number}"
            numbers = ", ".join(f"i64 {number_}" for row in rows for number_ in row)
            self.tables.append(f"{table} = internal constant [{5 * len(rows)} x i64] [{numbers}]")
            asked = f"ptr {sp}, i64 {depth}, ptr {table}, i64 {len(rows)}"
            self._admit(block, writer.emit(f"call i1 @guard({asked})"), sp, gas)
        values = [
            writer.cast(self.items.load(sp, place - block.parameters), width) if width else "0"
            for place in range(block.parameters)
            for width in (width_of(block, place),)
        ]
        self.edges[block.number].append(Edge(writer.label, gas, sp, values))
        writer.put(f"br label %b{block.number}")

    def _admit(self, block: Block, condition: str, sp: str, gas: str) -> None:
        """Go on if the condition holds, else stay in the interpreter."""
        writer = self.writer
        refused, admitted = writer.new_label(), writer.new_label()
        writer.put(f"br i1 {condition}, label %{admitted}, label %{refused}")
        writer.begin(refused)
        self.end(LEAVE, Way(refused, str(block.offset), sp, gas))
        writer.begin(admitted)

    def _write_end(self, label: str, kind: str, ways: Sequence[Way]) -> None:
        """A common end: go on in a handler, or in `stop`."""
        writer = self.writer
        writer.begin(label)
        names = []
        for type_, place in (("i64", 1), ("ptr", 2), ("i64", 3), ("i64", 4), ("i64", 5)):
            unit = self.item_size
            found = ", ".join(f"[{unit * way.depth if place == 4 else way[place]}, %{way.label}]" for way in ways)
            names.append(writer.emit(f"phi {type_} {found}"))
        offset, base, left, size, more = names
        sp = writer.emit(f"getelementptr i8, ptr {base}, i64 {size}")
        gas = writer.emit(f"add i64 {left}, {more}")
        pc = writer.emit(f"getelementptr i8, ptr %code, i64 {offset}")
        self.linkage.end(writer, kind, pc, sp, gas)


class _BlockWriter:
    """Writes one block. Places on the stack are counted from `base`, where it ended when a block before began."""

    def __init__(self, emitter: Emitter, block: Block) -> None:
        self.emitter = emitter
        self.writer = emitter.writer
        self.block = block
        self.base = f"%b{block.number}.sp"
        self.bottom = -block.parameters
        self.stack = [parameter(block, index) for index in range(block.parameters)]
        self.memory: dict[int, Value] = {
            self.bottom + index: value for index, value in enumerate(self.stack[: max(0, len(self.stack) - UNWRITTEN)])
        }
        """What is in memory at places of the stack, where that is known."""
        self.gas = f"%b{block.number}.gas"
        """What is left, once `paid` is taken from it and with it all of the block paid for."""
        self.paid = 0
        emitter.least_words[block.number] = 0
        self.suffix = block.gas
        """What of that is for instructions from the present one on."""
        self.registers = Registers(self.writer, {"frame": FRAME}, _FIXED)
        dominator = emitter.blocks.dominators.get(block.number)
        if dominator is not None and dominator in emitter.least_words:
            self.registers.least[WORDS] = emitter.least_words[dominator]
        self.registers.fields = {
            ("%frame", _at(Frame, "run")): FrameValue("%run", 0),
            ("%frame", _at(Frame, "memory")): Value("%memory", 0),
        }
        state = emitter.states.get(block.number)
        if state is not None:
            self.base, self.bottom, self.stack, self.memory = state.base, state.bottom, state.stack, state.memory
            self.gas, self.paid = state.gas, state.paid
            self.registers.restore(state.fields)

    def refine(self) -> None:
        """Let items that come from the only block before be no larger than they are known to be."""
        for index, known in enumerate(self.block.known[: len(self.stack)], 1):
            value = self.stack[-index]
            if value.constant is not None or known.high >= value.high:
                continue
            narrow = Value(value.text, value.width, max(known.low, value.low), known.high)
            narrow = number(known.low) if known.low == known.high else self.writer.fitted(narrow)
            self.stack[-index] = narrow
            if self.memory.get(self.depth - index) is value:
                self.memory[self.depth - index] = narrow

    @property
    def depth(self) -> int:
        """Where the stack ends."""
        return self.bottom + len(self.stack)

    def write(self) -> None:
        """All of the block."""
        self.writer.label = f"c{self.block.number}"
        self.refine()
        self.run()
        self.emitter.least_words[self.block.number] = self.registers.least.get(WORDS, 0)

    def give_up(self) -> None:
        """Leave all of the block to the interpreter."""
        self.writer.label = f"c{self.block.number}"
        self.leave_now()

    def run(self) -> None:
        """Instruction by instruction."""
        if not self.check():
            return
        for it in self.block.items:
            row = it.row
            if row is None or row.kind is OpKind.FRAME:
                self.hand_over(it.offset, self.suffix)
                return
            cost = self.emitter.rows_gas[row.name]
            if it.code in (JUMP, JUMPI):
                self.jump(it, cost)
                return
            self.instruction(it, row, cost)
            if self.writer.label == "":
                return
        assert self.block.items
        if self.block.following is None:
            self.hand_over(len(self.emitter.blocks.code), 0)
        else:
            self.go_to(self.block.following)

    # Checks

    def check(self) -> bool:
        """Gas and depth of the stack for all of the block. False if no run gets through it."""
        block, writer = self.block, self.writer
        conditions = []
        room = self.emitter.stack_limit - block.growth
        if max(block.needs, block.least_depth) > min(room, block.greatest_depth):
            self.leave_now()
            return False
        if block.needs > block.least_depth or room < block.greatest_depth:
            place = writer.emit(f"ptrtoint ptr {self.base} to i64")
            size = self.emitter.item_size
            depth = writer.emit(f"and i64 {place}, {self.emitter.build.depth_mask}")
            if block.needs != self.depth:
                depth = writer.emit(f"add i64 {depth}, {size * (self.depth - block.needs)}")
            conditions.append(writer.emit(f"icmp ugt i64 {depth}, {size * (room - block.needs)}"))
        if block.gas + block.ahead and not block.is_covered:
            conditions.append(writer.emit(f"icmp slt i64 {self.gas}, {self.paid + block.gas + block.ahead}"))
        if conditions:
            failed = conditions[0]
            if len(conditions) == 2:
                failed = writer.emit(f"or i1 {failed}, {conditions[1]}")
            self.leave_if(failed, block.offset, 0)
        self.paid += block.gas
        return True

    # The stack

    def pop(self) -> Value:
        """Take the top."""
        if self.stack:
            return self.stack.pop()
        self.bottom -= 1
        return self.in_memory(self.bottom)

    def in_memory(self, place: int) -> Value:
        """What is in memory at a place."""
        if place not in self.memory:
            self.memory[place] = self.emitter.items.load(self.base, place)
        return self.memory[place]

    def reach(self, count: int) -> None:
        """Have at least `count` items at hand."""
        while len(self.stack) < count:
            self.bottom -= 1
            self.stack.insert(0, self.in_memory(self.bottom))

    def unwritten(self, first: int = 0) -> list[tuple[int, Value]]:
        """Items, from number `first`, that memory does not have."""
        places = range(self.bottom + first, self.depth)
        return [
            (place, value)
            for place, value in zip(places, self.stack[first:], strict=True)
            if self.memory.get(place) is not value
        ]

    def flush(self, first: int = 0) -> None:
        """Let memory have all items, from number `first`."""
        for place, value in self.unwritten(first):
            self.emitter.items.store(self.base, place, value)
            self.memory[place] = value

    def sp(self, depth: int | None = None) -> str:
        """Where the stack ends, as a pointer."""
        return self.emitter.items.address(self.base, self.depth if depth is None else depth)

    # Leaving

    def left(self, more: int = 0) -> str:
        """The gas that is left, and `more`."""
        return self.writer.emit(f"add i64 {self.gas}, {more - self.paid}") if more != self.paid else self.gas

    def exit(self, offset: int, more: int) -> str:
        """A way to the interpreter's instruction at `offset`, with the stack as it is now and `more` gas than left."""
        label = self.writer.new_label()
        found = Exit(label, offset, self.unwritten(), self.base, self.depth, self.gas, more - self.paid)
        self.emitter.exits.append(found)
        return label

    def leave_if(self, condition: str, offset: int, more: int) -> None:
        label = self.exit(offset, more)
        after = self.writer.new_label()
        self.writer.put(f"br i1 {condition}, label %{label}, label %{after}, {COLD}")
        self.writer.begin(after)

    def leave_now(self) -> None:
        self.writer.put(f"br label %{self.exit(self.block.offset, 0)}")
        self.writer.label = ""

    def hand_over(self, offset: int, more: int) -> None:
        """Let the interpreter go on at `offset`, whose instruction it is anyway."""
        self.flush()
        way = Way(self.writer.label, str(offset), self.base, self.gas, self.depth, more - self.paid)
        self.emitter.end(CALL, way)

    # Instructions

    def instruction(self, it: Item, row: OpRow, cost: int) -> None:
        """One that is not the last of its block."""
        if row.kind is OpKind.PUSH:
            assert it.value is not None
            self.stack.append(number(it.value))
        elif row.kind is OpKind.DUP:
            self.reach(row.pops)
            self.stack.append(self.stack[-row.pops])
        elif row.kind is OpKind.SWAP:
            self.reach(row.pops)
            self.stack[-1], self.stack[-row.pops] = self.stack[-row.pops], self.stack[-1]
        elif not self.written_out(it, row, cost):
            self.call(it, row, cost)
        self.suffix -= cost

    def written_out(self, it: Item, row: OpRow, cost: int) -> bool:
        """Write the body here, if it is one for that."""
        if row.name in self.emitter.unsuited or row.function is None:
            return False
        if self.emitter.may_need(row):
            self.emitter.unsuited.add(row.name)
            return False
        self.reach(row.pops)
        operands = self.stack[len(self.stack) - row.pops :][::-1]
        if not row.takes_machine and row.pushes and row.pops and all(one.constant is not None for one in operands):
            del self.stack[len(self.stack) - row.pops :]
            self.stack.append(number(int(row.function(*(one.low for one in operands)))))
            return True
        writer = self.writer
        mark, label = len(writer.lines), writer.label
        fields = self.registers.copy()
        ways: list[str] = []

        def leave() -> str:
            if not ways:
                ways.append(writer.new_label())
            return ways[0]

        values = self.registers.values
        values["pc"] = number(it.offset + 1)
        values.pop("gas", None)
        if row.takes_machine:
            values["gas"] = Value(self.left(self.suffix - cost), 64, -(1 << 63), (1 << 63) - 1)
        arguments: list[Given] = [MACHINE, *operands] if row.takes_machine else list(operands)
        function = self.emitter.function(row)
        try:
            result = Specialiser(writer, leave, self.registers, self.emitter.kernel).call(function, arguments)
        except (Rare, Unsuited):
            del writer.lines[mark:]
            writer.label = label
            self.registers.restore(fields)
            return False
        if ways:
            result = self.otherwise_called(it, row, cost, ways[0], result)
        del self.stack[len(self.stack) - row.pops :]
        if row.pushes:
            assert isinstance(result, Value)
            self.stack.append(result)
        return True

    def otherwise_called(self, it: Item, row: OpRow, cost: int, label: str, result: Given) -> Given:
        """Control is where the body has been written out; at `label` it is called instead. The result of either."""
        writer = self.writer
        written = writer.cast(result, 256) if isinstance(result, Value) else ""
        fast, gas, paid = writer.label, self.gas, self.paid
        stack, memory, registers = list(self.stack), dict(self.memory), self.registers.copy()
        after = writer.new_label()
        writer.put(f"br label %{after}")
        writer.begin(label)
        self.call(it, row, cost)
        called = writer.cast(self.stack[-1], 256) if written else ""
        slow, slow_gas = writer.label, self.left(paid)
        writer.put(f"br label %{after}")
        writer.begin(after)
        self.gas, self.paid = writer.emit(f"phi i64 [{gas}, %{fast}], [{slow_gas}, %{slow}]"), paid
        if written:
            met = writer.emit(f"phi i256 [{written}, %{fast}], [{called}, %{slow}]")
            result = Value(met, 256, 0, (1 << 256) - 1)
        self.stack = stack
        end = self.depth - row.pops
        items = dict(enumerate(stack, self.bottom))
        self.memory = {
            place: value
            for place, value in memory.items()
            if place < end and (place < self.bottom or items[place] is value)
        }
        self.registers.restore(registers)
        self.registers.forget()
        return result

    def call(self, it: Item, row: OpRow, cost: int) -> None:
        """Call the body out of line, on the stack in memory."""
        writer = self.writer
        self.reach(row.pops)
        name = symbol(row)
        self.emitter.called[name] = row
        if not row.takes_machine:
            self.flush(len(self.stack) - row.pops)
            writer.put(f"call void @{name}(ptr {self.sp()}) nounwind")
        else:
            self.flush()
            sp = self.sp()
            later = self.suffix - cost
            gas = self.left(later)
            both = writer.emit(f"call {{i64, i64}} @{name}(ptr {sp}, i64 {gas}, ptr %frame) nounwind")
            status = writer.emit(f"extractvalue {{i64, i64}} {both}, 0")
            halts = writer.emit(f"icmp ne i64 {status}, 0")
            bad, good = writer.new_label(), writer.new_label()
            writer.put(f"br i1 {halts}, label %{bad}, label %{good}, {COLD}")
            writer.begin(bad)
            way = Way(bad, str(it.offset), self.base, self.gas, self.depth, self.suffix - self.paid)
            self.emitter.end(HALT, way)
            writer.begin(good)
            left = writer.emit(f"extractvalue {{i64, i64}} {both}, 1")
        operands = row.pops
        del self.stack[len(self.stack) - operands :]
        if row.pushes:
            place = self.depth
            value = self.emitter.items.load(self.base, place)
            self.stack.append(value)
            self.memory[place] = value
        self.registers.forget()
        if row.takes_machine:
            self.gas, self.paid = left, 0
            wanted = later + self.block.ahead
            if wanted:
                self.leave_if(writer.emit(f"icmp slt i64 {left}, {wanted}"), it.offset + it.size, 0)
            self.paid = later

    # Jumps and ends

    def jump(self, it: Item, cost: int) -> None:
        """JUMP or JUMPI, the last instruction."""
        writer = self.writer
        self.reach(2 if it.code == JUMPI else 1)
        if it.code == JUMPI:
            condition = self.stack[-2]
            decided = condition.constant
            if decided is None:
                text = condition.text
                if condition.width != 1:
                    text = writer.emit(f"icmp ne i{condition.width} {text}, 0")
                taken, not_taken = writer.new_label(), writer.new_label()
                writer.put(f"br i1 {text}, label %{taken}, label %{not_taken}")
                state = list(self.stack), dict(self.memory), self.bottom
                fields = self.registers.copy()
                writer.begin(not_taken)
                del self.stack[-2:]
                self.fall_through()
                self.stack, self.memory, self.bottom = state
                self.registers.restore(fields)
                writer.begin(taken)
            elif not decided:
                del self.stack[-2:]
                self.fall_through()
                return
        self.take(it, cost)

    def fall_through(self) -> None:
        if self.block.following is None:
            self.hand_over(len(self.emitter.blocks.code), 0)
        else:
            self.go_to(self.block.following)

    def take(self, it: Item, cost: int) -> None:
        """The jump is taken."""
        writer = self.writer
        target = self.stack[-1]
        count = 2 if it.code == JUMPI else 1
        targets = self.block.targets
        known = target.constant
        if known is not None:
            targets = tuple(number_ for number_ in targets if self.emitter.blocks.blocks[number_].offset == known)
        if targets and (known is not None or not self.block.is_open):
            if targets[0] <= self.block.number:
                self.pause(it, cost)
            del self.stack[len(self.stack) - count :]
            self.go_to_one_of(target, targets)
            return
        if known is not None:  # it fails, or goes where nothing is compiled
            writer.put(f"br label %{self.exit(it.offset, cost)}")
            writer.label = ""
            return
        if target.high >> 64:
            wide = writer.emit(f"icmp ugt i{target.width} {target.text}, {(1 << 64) - 1}")
            self.leave_if(wide, it.offset, cost)
        self.pause(it, cost)
        self.flush()
        to = writer.cast(target, 64)
        after = self.sp(self.depth - count), self.left()
        self.emitter.jumping.append((writer.label, to, *after, str(it.offset), self.sp(), self.left(cost)))
        writer.put("br label %jump")
        writer.label = ""

    def go_to_one_of(self, target: Value, numbers: tuple[int, ...]) -> None:
        """Go on in that one of some blocks which `target` names."""
        writer = self.writer
        labels = [writer.new_label() for _ in numbers]
        if len(numbers) > 1:
            cases = " ".join(
                f"i64 {self.emitter.blocks.blocks[number_].offset}, label %{label}"
                for number_, label in zip(numbers[1:], labels[1:], strict=True)
            )
            writer.put(f"switch i64 {writer.cast(target, 64)}, label %{labels[0]} [{cases}]")
        else:
            writer.put(f"br label %{labels[0]}")
        state = list(self.stack), dict(self.memory), self.bottom
        for number_, label in zip(numbers, labels, strict=True):
            stack, memory, self.bottom = state
            self.stack, self.memory = list(stack), dict(memory)
            writer.begin(label)
            self.go_to(number_)

    def pause(self, it: Item, cost: int) -> None:
        """Count down to the next pause, which is the interpreter's."""
        writer = self.writer
        left = writer.emit("load i64, ptr %countdown, align 8")
        less = writer.emit(f"sub i64 {left}, 1")
        over = writer.emit(f"icmp eq i64 {less}, 0")
        self.leave_if(over, it.offset, cost)
        writer.put(f"store i64 {less}, ptr %countdown, align 8")

    def go_to(self, number_: int) -> None:
        """Go on in a block, which gets what it wants in registers."""
        writer = self.writer
        block = self.emitter.blocks.blocks[number_]
        if number_ not in self.emitter.edges:  # nothing is known of it, so nothing is compiled
            self.hand_over(block.offset, 0)
            return
        wanted = block.parameters
        self.reach(wanted)
        kept = len(self.stack) - wanted
        for place, value in self.unwritten():
            if place < self.bottom + max(kept, len(self.stack) - UNWRITTEN):
                self.emitter.items.store(self.base, place, value)
                self.memory[place] = value
        if number_ in self.emitter.single and number_ not in self.emitter.least_words:
            self.give_all(number_)
            return
        values = [
            writer.cast(value, width_of(block, index)) if width_of(block, index) else "0"
            for index, value in enumerate(self.stack[kept:])
        ]
        gas, sp = self.left(), self.sp()
        self.emitter.edges[number_].append(Edge(writer.label, gas, sp, values))
        writer.put(f"br label %b{number_}")
        writer.label = ""

    def give_all(self, number_: int) -> None:
        """Go on in a block into which there is no other way."""
        spare = max(0, len(self.stack) - MOST_GIVEN)
        while spare and self.memory.get(self.bottom) is self.stack[0]:
            self.stack.pop(0)
            self.bottom += 1
            spare -= 1
        self.emitter.edges[number_].append(Edge(self.writer.label, "", "", []))
        self.emitter.states[number_] = State(
            self.base,
            self.bottom,
            list(self.stack),
            dict(self.memory),
            self.gas,
            self.paid,
            self.registers.copy(),
        )
        self.writer.put(f"br label %b{number_}")
        self.writer.label = ""


def weight(lines: Iterable[str]) -> int:
    """What lines cost to compile, in lines of the usual kind: a product of words is many instructions."""
    return sum(_weight(line) for line in lines)


def _weight(line: str) -> int:
    if " = mul " not in line:
        return 1
    return PRODUCT if " i256 " in line else 2 * PRODUCT if " i512 " in line else 1


# Items of the stack


def guard_rows(guards: Sequence[Guard], item_size: int = ITEM) -> list[tuple[int, int, int, int, int]]:
    """The rows of the guard's table: all of one of `guards` have to hold, or there are none to look at.

    Places on the stack are in bytes, of which an item takes `item_size`.
    """
    total = sum(map(len, guards))
    rows: list[tuple[int, int, int, int, int]] = []
    for guard in guards:
        following = len(rows) + len(guard)
        otherwise = following if following < total else total + 1
        for place, low, high in guard:
            is_last = len(rows) + 1 == following
            rows.append((item_size * (place + 1), low, high, total if is_last else len(rows) + 1, otherwise))
    return rows


def known_of(block: Block, index: int) -> Known:
    """What is known of a parameter."""
    place = block.parameters - 1 - index
    return block.known[place] if place < len(block.known) else UNKNOWN


def width_of(block: Block, index: int) -> int:
    """Bits in which a block takes a parameter; 0 if it is a constant."""
    known = known_of(block, index)
    if known.low == known.high:
        return 0
    return 64 if known.high >> 64 == 0 else 256


def parameter(block: Block, index: int) -> Value:
    """A parameter as the block has it."""
    known = known_of(block, index)
    width = width_of(block, index)
    if not width:
        return number(known.low)
    return Value(f"%b{block.number}.p{index}", width, known.low, known.high)


class Items:
    """Reads and writes items of the stack, which lie at addresses that are `size` apart."""

    def __init__(self, writer: Writer, size: int) -> None:
        self.writer = writer
        self.size = size

    def address(self, base: str, place: int) -> str:
        """Of the item at `place`, counted from `base`."""
        return self.writer.emit(f"getelementptr i8, ptr {base}, i64 {self.size * place}") if place else base

    def load(self, base: str, place: int) -> Value:
        """Read an item."""
        text = self.writer.emit(f"load i256, ptr {self.address(base, place)}, align {ITEM}")
        return Value(text, 256, 0, (1 << 256) - 1)

    def store(self, base: str, place: int, value: Value) -> None:
        """Write an item."""
        self.writer.put(f"store i256 {self.writer.cast(value, 256)}, ptr {self.address(base, place)}, align {ITEM}")


assert ENDING  # what ends a run ends a block
