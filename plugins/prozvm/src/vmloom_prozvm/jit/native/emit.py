"""LLVM IR of a program, from its `facts`: two functions for each of its own at most, and one that Python calls.

`f1` is function 1 as native code calls it: its parameters are integers. `o1` is the same entered by Python, at its
beginning or at a loop, with registers from memory. Registers and stack slots are `alloca`s, which LLVM puts into
processor registers; where native code leaves, one block for each function writes them to memory, called a *spill*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ... import cbor
from ...bytecode.opcodes import ENDING, Opcode
from . import layout as at_
from .encodings import power, put_digest, put_integer
from .facts import Facts, FunctionFacts, Kind, State, map_order, successors
from .kernels import symbol
from .layout import ANY, BOOL, CELL, DIGEST, INT, LIST, MAP, NONE, OBJECT, UNSET
from .slots import append, begin, commit, need, read, revert, write

MAX_REGISTERS: Final = 96
"""of one function that is compiled"""
MAX_ENTRIES: Final = 16
"""loops of one function at which Python can enter"""
LARGE: Final = 4_000
"""Instructions times registers of small programs, at most."""
LONG: Final = 250_000
"""Characters of the text from which on LLVM runs no passes."""
RETURNED: Final = "{i64, i64, i64}"
"""Kind or `LEFT`, word, gas."""


class Uncompilable(Exception):
    """The program is too large, or there is nothing in it that native code can do."""


class EntryPoint(NamedTuple):
    """Where Python can enter: at an instruction of a function, with these kinds of registers and stack."""

    function: int
    at: int
    state: State


@dataclass(frozen=True, slots=True, eq=False)
class Val:
    """A value in generated code: its kind, the operand that has it if it is `ANY`, and one or four words."""

    tag: int
    kind: str
    words: tuple[str, ...]
    constant: int | None = None
    """The number of an object, if it is known."""
    items: tuple[Val, ...] = ()

    @property
    def cells(self) -> int:
        """Cells of a stack that is spilled."""
        return 1 + sum(item.cells for item in self.items)


class Module:
    """The text of a program's module, and what Python must know of it. Raises `Uncompilable`."""

    def __init__(self, facts: Facts) -> None:
        self.facts: Final = facts
        self.wide: Final = any(
            opcode is Opcode.HASH_BLOCK for it in facts.functions for opcode, _ in it.function.instructions
        )
        """Whether words of digests must be kept."""
        self.large: Final = sum(len(it.steps) * len(it.function.registers) for it in facts.functions) > LARGE
        """Whether registers stay in memory, so that LLVM takes no longer than in proportion to the code."""
        self.entries: Final[list[EntryPoint]] = []
        self.spilled = 0
        """The most cells that a frame has which is spilled."""
        self.values = 0
        """The most values and places that a function has, each of which is on the native stack without passes."""
        self.places = 0
        """The most words of registers and stack slots."""
        self._constants: Final[dict[bytes, str]] = {}
        self._wanted: list[int] = []
        self._made: set[int] = set()
        texts = [self._entered(facts.functions[0])]
        texts += [self._entered(it) for it in facts.functions[1:] if it.headers or it.calls]
        while self._wanted:
            texts.append(self._called(facts.functions[self._wanted.pop()]))
        self.text: Final = "\n".join((*self._tables(), *texts, self._enter()))

    @property
    def level(self) -> int:
        """How much LLVM is to do, 0 to 2, so that it takes a second at most, mostly a tenth."""
        return 2 if not self.large else 1 if len(self.text) < LONG else 0

    @property
    def frame_size(self) -> int:
        """Bytes of the native stack that a call takes, with much to spare."""
        return 8 * (self.values if self.level == 0 else min(self.values, 4 * self.places + 128)) + 64

    def want(self, function: int) -> None:
        """Native code calls the function."""
        if function not in self._made:
            self._made.add(function)
            self._wanted.append(function)

    def bytes(self, data: bytes) -> str:
        """The symbol of constant bytes."""
        return self._constants.setdefault(data, f"@bytes.{len(self._constants)}")

    def _tables(self) -> list[str]:
        return [
            f'{name} = private unnamed_addr constant [{len(data)} x i8] c"{_quoted(data)}", align 1'
            for data, name in self._constants.items()
        ]

    def _entered(self, it: FunctionFacts) -> str:
        return Function(self, it, entered=True).text()

    def _called(self, it: FunctionFacts) -> str:
        return Function(self, it, entered=False).text()

    def _enter(self) -> str:
        """The function that Python calls with the address of the memory: 1 if the interpreter is to go on."""
        lines = [
            "define i64 @enter(ptr %m) {",
            *_loads("m", (("gas", at_.GAS), ("depth", at_.DEPTH), ("entry", at_.ENTRY))),
            "  switch i64 %entry, label %bad [",
            *(f"    i64 {number}, label %e{number}" for number in range(len(self.entries))),
            "  ]",
            "bad:",
            "  ret i64 1",
        ]
        results = []
        for number, entry in enumerate(self.entries):
            call = f"call {RETURNED} @o{entry.function}(ptr %m, i64 %gas, i64 %depth, i64 {number})"
            lines += [f"e{number}:", f"  %r{number} = {call}", "  br label %over"]
            results.append(f"[%r{number}, %e{number}]")
        lines += [
            "over:",
            f"  %r = phi {RETURNED} {', '.join(results)}",
            f"  %kind = extractvalue {RETURNED} %r, 0",
            f"  %left = icmp eq i64 %kind, {at_.LEFT}",
            "  br i1 %left, label %stopped, label %ended",
            "stopped:",
            "  ret i64 1",
            "ended:",
            f"  %word = extractvalue {RETURNED} %r, 1",
            f"  %rest = extractvalue {RETURNED} %r, 2",
            f"  %p.0 = getelementptr i64, ptr %m, i64 {at_.RESULT}",
            "  store i64 %kind, ptr %p.0",
            f"  %p.1 = getelementptr i64, ptr %m, i64 {at_.RESULT + 1}",
            "  store i64 %word, ptr %p.1",
            f"  %p.2 = getelementptr i64, ptr %m, i64 {at_.GAS}",
            "  store i64 %rest, ptr %p.2",
            "  ret i64 0",
            "}",
        ]
        return "\n".join(lines)


def _quoted(data: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in data)


def _loads(pointer: str, places: Sequence[tuple[str, int]]) -> list[str]:
    lines = []
    for name, place in places:
        lines.append(f"  %{name}.at = getelementptr i64, ptr %{pointer}, i64 {place}")
        lines.append(f"  %{name} = load i64, ptr %{name}.at")
    return lines


class Function:
    """Writes one function."""

    def __init__(self, module: Module, it: FunctionFacts, *, entered: bool) -> None:
        self.module, self.facts, self.it = module, module.facts, it
        self.entered = entered
        self.registers = len(it.function.registers)
        self.used = it.used
        if len(self.used) > MAX_REGISTERS:
            raise Uncompilable(f"more than {MAX_REGISTERS} names")
        self.width = 5 if module.wide else 2
        """Words of a cell that are kept."""
        self.lines: list[str] = []
        self.late: list[str] = []
        self.count = 0
        self.at = 0
        self.depth = 0
        """The most cells that a stack has where it is spilled."""
        self.slots = 0
        self.stack: list[Val] = []
        self.state = State([], [])
        self._exits: dict[tuple[int, int], str] = {}
        self._paid: dict[int, int] = {}
        self._total = 0

    # Text

    def text(self) -> str:
        """The definition."""
        starts, entries = self._entry_blocks()
        self._blocks(starts)
        text = "\n".join((*self._head(entries), *self.lines, *self.late, *self._spill(), "}"))
        places = (len(self.used) + self.slots) * self.width
        values = self.count + places
        self.module.values = max(self.module.values, values)
        self.module.places = max(self.module.places, places)
        return text

    def name(self) -> str:
        """A new name."""
        self.count += 1
        return f"%v{self.count}"

    def op(self, text: str) -> str:
        """An instruction that has a result; its name."""
        name = self.name()
        self.lines.append(f"  {name} = {text}")
        return name

    def call(self, type_: str, kernel: Callable[..., Any], given: str) -> str:
        """A call of a kernel; the name of its result."""
        return self.op(f"call {type_} {symbol(kernel)}({given})")

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def label(self) -> str:
        """A new label."""
        self.count += 1
        return f"l{self.count}"

    def begin(self, label: str) -> None:
        """Begin LLVM's block of this label."""
        self.lines.append(f"{label}:")

    def get(self, base: str, number: int, type_: str = "i64") -> str:
        """A word of memory."""
        return self.op(f"load {type_}, ptr {self.op(f'getelementptr i64, ptr {base}, i64 {number}')}")

    def field(self, number: int, type_: str = "i64") -> str:
        """A word of the head of the memory."""
        return self.get("%m", number, type_)

    def put(self, base: str, first: int, words: Sequence[str]) -> None:
        """Write words to memory."""
        for number, word in enumerate(words, first):
            self.do(f"store i64 {word}, ptr {self.op(f'getelementptr i64, ptr {base}, i64 {number}')}")

    def guard(self, condition: str, leave: str) -> None:
        """Go on if the condition holds, as it nearly always does, and to `leave` otherwise."""
        on = self.label()
        self.do(f"br i1 {condition}, label %{on}, label %{leave}, !prof !0")
        self.begin(on)

    def guard_not(self, condition: str, leave: str) -> None:
        """The same with a condition that is not to hold."""
        self.guard(self.op(f"xor i1 {condition}, true"), leave)

    # Beginning and end

    def _entry_blocks(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Blocks at which the function can begin; (number of the entry, block) for those of Python."""
        if not self.entered:
            return [0], []
        places = [0]
        places += [start for start in self.it.headers[:MAX_ENTRIES] if start in self.it.entry and start not in places]
        entries = []
        for place in places:
            entries.append((len(self.module.entries), place))
            self.module.entries.append(EntryPoint(self.it.number, place, self.it.entry[place]))
        return places, entries

    def _head(self, entries: Sequence[tuple[int, int]]) -> list[str]:
        it, parameters = self.it, len(self.it.function.parameters)
        kinds = enumerate(it.parameters)
        words = (f"i64 %p{n}" if kind.tag == INT else f"i64 %k{n}, i64 %p{n}" for n, kind in kinds)
        given = "i64 %entry" if self.entered else ", ".join(words)
        name = f"@{'o' if self.entered else 'f'}{it.number}"
        given = f", {given}" if given else ""
        lines = [f"define internal {RETURNED} {name}(ptr %m, i64 %gas0, i64 %frames{given}) {{"]
        lines += ["  %gas = alloca i64", "  store i64 %gas0, ptr %gas", "  %pc = alloca i64", "  %high = alloca i64"]
        lines += [
            f"  %globals.at = getelementptr i64, ptr %m, i64 {at_.GLOBALS}",
            "  %globals = load ptr, ptr %globals.at",
        ]
        if self.module.large:
            lines.append(f"  %home = alloca i64, i64 {max(1, self.registers) * self.width}")
            lines.append('  call void asm sideeffect "", "r,~{memory}"(ptr %home)')
        for register in self.used:
            shared = it.number == 0 and register in self.facts.shared
            for word in range(self.width):
                place = "alloca i64"
                if shared or self.module.large:
                    base, offset = ("globals", CELL) if shared else ("home", self.width)
                    place = f"getelementptr i64, ptr %{base}, i64 {offset * register + word}"
                lines.append(f"  %r{register}.{word} = {place}")
        for slot in range(self.slots):
            lines += [f"  %s{slot}.{word} = alloca i64" for word in range(self.width)]
        if not self.entered:
            for register in range(self.registers):
                tag = (
                    UNSET if register >= parameters else INT if it.parameters[register].tag == INT else f"%k{register}"
                )
                lines.append(f"  store i64 {tag}, ptr %r{register}.0")
                if register < parameters:
                    lines.append(f"  store i64 %p{register}, ptr %r{register}.1")
            return [*lines, "  br label %begin", *self._poll_at_call()]
        lines += ["  switch i64 %entry, label %bad [", *(f"    i64 {n}, label %in{n}" for n, _ in entries), "  ]"]
        lines += ["bad:", "  unreachable"]
        for number, start in entries:
            lines += [f"in{number}:", *self._incoming(number, start), f"  br label %b{start}"]
        return lines

    def _poll_at_call(self) -> list[str]:
        """A call is a turn, too, for it may be all that a program does."""
        kept, self.lines = self.lines, []
        self.begin("begin")
        self.stack = []
        self._poll(0)
        self.do("br label %b0")
        lines, self.lines = self.lines, kept
        return lines

    def _incoming(self, number: int, place: int) -> list[str]:
        """Registers and stack from memory."""
        lines = [
            f"  %i{number}.at = getelementptr i64, ptr %m, i64 {at_.INCOMING}",
            f"  %i{number} = load ptr, ptr %i{number}.at",
        ]
        names = [(register, f"r{register}") for register in self.used]
        names += [(self.registers + slot, f"s{slot}") for slot in range(len(self.it.entry[place].stack))]
        for cell, name in names:
            if self.it.number == 0 and name[0] == "r" and cell in self.facts.shared:
                continue
            for word in range(min(self.width, 2)):  # no digest comes from Python
                place_ = f"%i{number}.{name}.{word}"
                lines.append(f"  {place_}.p = getelementptr i64, ptr %i{number}, i64 {CELL * cell + word}")
                lines.append(f"  {place_} = load i64, ptr {place_}.p")
                lines.append(f"  store i64 {place_}, ptr %{name}.{word}")
        return lines

    def _spill(self) -> list[str]:
        """Where all exits end: the frame goes to memory."""
        cells = self.registers + self.depth
        self.module.spilled = max(self.module.spilled, cells)
        lines = [
            "leave:",
            f"  %x.gas.at = getelementptr i64, ptr %m, i64 {at_.GAS}",
            "  %x.gas = load i64, ptr %gas",
            "  store i64 %x.gas, ptr %x.gas.at",
            "  br label %spill",
            "spill:",
            f"  %x.at = getelementptr i64, ptr %m, i64 {at_.SPILL}",
            "  %x = load ptr, ptr %x.at",
            f"  store i64 {self.it.number}, ptr %x",
            "  %x.pc = load i64, ptr %pc",
            "  %x.1 = getelementptr i64, ptr %x, i64 1",
            "  store i64 %x.pc, ptr %x.1",
            "  %x.high = load i64, ptr %high",
            "  %x.2 = getelementptr i64, ptr %x, i64 2",
            "  store i64 %x.high, ptr %x.2",
            "  %x.3 = getelementptr i64, ptr %x, i64 3",
            f"  store i64 {at_.FRAME_HEAD + CELL * cells}, ptr %x.3",
        ]
        lines += self._cells_to("x", self.depth)
        lines += [
            f"  %x.next = getelementptr i64, ptr %x, i64 {at_.FRAME_HEAD + CELL * cells}",
            "  store ptr %x.next, ptr %x.at",
            f"  ret {RETURNED} {{i64 {at_.LEFT}, i64 0, i64 0}}",
        ]
        return lines + (self._finish() if self.it.number == 0 else [])

    def _finish(self) -> list[str]:
        """The end of the main program, whose variables outlive it: they go where a spill has them."""
        return [
            "finish:",
            f"  %y.at = getelementptr i64, ptr %m, i64 {at_.SPILL}",
            "  %y = load ptr, ptr %y.at",
            *self._cells_to("y", 0),
            "  %y.kind = load i64, ptr %pc",
            "  %y.word = load i64, ptr %high",
            "  %y.gas = load i64, ptr %gas",
            f"  %y.r1 = insertvalue {RETURNED} poison, i64 %y.kind, 0",
            f"  %y.r2 = insertvalue {RETURNED} %y.r1, i64 %y.word, 1",
            f"  %y.r3 = insertvalue {RETURNED} %y.r2, i64 %y.gas, 2",
            f"  ret {RETURNED} %y.r3",
        ]

    def _cells_to(self, base: str, depth: int) -> list[str]:
        """Registers, and `depth` cells of the stack, to a frame in memory."""
        lines = []
        names = [(register, f"r{register}") for register in self.used]
        names += [(self.registers + slot, f"s{slot}") for slot in range(depth)]
        for cell, name in names:
            if name[0] == "r" and self.it.number == 0 and cell in self.facts.shared:
                continue  # it is in memory already
            for word in range(self.width):
                place = f"%{base}.{name}.{word}"
                offset = at_.FRAME_HEAD + CELL * cell + word
                lines.append(f"  {place} = load i64, ptr %{name}.{word}")
                lines.append(f"  {place}.p = getelementptr i64, ptr %{base}, i64 {offset}")
                lines.append(f"  store i64 {place}, ptr {place}.p")
        return lines

    # Leaving

    def leave(self, *, paid: bool = True) -> str:
        """The label that leaves before the present instruction, whose stack must still be as it was.

        `paid` says that its block has been paid for, so that the rest of the block is given back.
        """
        back = self._total - self._paid.get(self.at, 0) if paid else 0
        return self.leave_to(self.at, self.stack, back)

    def leave_to(self, at: int, stack: Sequence[Val], back: int, *, gas: bool = True) -> str:
        """The label that leaves before `at`. Without `gas` a function that was called has left, and said its gas."""
        key = (at, back if gas else -1)
        if key in self._exits:
            return self._exits[key]
        label = self._exits[key] = self.label()
        kept, self.lines = self.lines, self.late
        self.begin(label)
        self.do(f"store i64 {at}, ptr %pc")
        self.do(f"store i64 {len(stack)}, ptr %high")
        self._store_stack(stack)
        if back and gas:
            left = self.op(f"add i64 {self.op('load i64, ptr %gas')}, {back}")
            self.do(f"store i64 {left}, ptr %gas")
        self.do(f"br label %{'leave' if gas else 'spill'}")
        self.lines = kept
        return label

    def _store_stack(self, stack: Sequence[Val]) -> None:
        slot = 0
        for value in stack:
            slot = self._store_slot(slot, value)
        self.depth = max(self.depth, slot)
        self.slots = max(self.slots, slot)

    def _store_slot(self, slot: int, value: Val) -> int:
        """Put a value into cells from `slot` on; the first one behind it."""
        self._store_cell(f"s{slot}", value)
        slot += 1
        for item in value.items:
            slot = self._store_slot(slot, item)
        return slot

    def _store_cell(self, name: str, value: Val) -> None:
        self.do(f"store i64 {value.kind}, ptr %{name}.0")
        for number, word in enumerate(value.words[: self.width - 1], 1):
            self.do(f"store i64 {word}, ptr %{name}.{number}")

    # Values

    def integer(self, word: str) -> Val:
        """An integer."""
        return Val(INT, str(INT), (word,))

    def truth(self, bit: str) -> Val:
        """A bool of an i1."""
        return Val(BOOL, str(BOOL), (self.op(f"zext i1 {bit} to i64"),))

    def constant(self, kind: Kind) -> Val:
        """A value that is known."""
        number = kind.constant
        return Val(kind.tag, str(kind.tag), (str(number),), number if kind.tag == OBJECT else None)

    def loaded(self, name: str, kind: Kind) -> Val:
        """The value of a register or slot, of which `kind` is known."""
        if kind.tag == OBJECT and kind.known:
            return self.constant(kind)
        tag = self.op(f"load i64, ptr %{name}.0") if kind.tag == ANY else str(kind.tag)
        count = self.width - 1 if kind.tag in (ANY, DIGEST) else 1
        words = [self.op(f"load i64, ptr %{name}.{number}") for number in range(1, count + 1)]
        return Val(kind.tag, tag, ("0",) if kind.tag == NONE else tuple(words))

    def global_value(self, register: int) -> Val:
        """The value of one of the main program's registers, from memory."""
        kind, *words = (self.get("%globals", CELL * register + word) for word in range(self.width))
        return Val(ANY, kind, tuple(words))

    def word_of(self, value: Val, leave: str) -> str:
        """The word of what must be an integer."""
        if value.tag == ANY:
            self.guard(self.op(f"icmp eq i64 {value.kind}, {INT}"), leave)
        return value.words[0]

    def is_scalar(self, kind: str, most: int = NONE) -> str:
        """Whether a kind is that of an integer, or another up to `most`, as an i1."""
        return self.op(f"icmp ult i64 {self.op(f'sub i64 {kind}, {INT}')}, {most}")

    def is_true(self, value: Val, leave: str) -> str:
        """Whether the value is true, as an i1."""
        if value.tag == DIGEST:
            return "true"
        if value.tag == OBJECT:
            assert value.constant is not None
            return "true" if self.facts.objects[value.constant] else "false"
        if value.tag == ANY:
            most = DIGEST if self.module.wide else NONE
            self.guard(self.is_scalar(value.kind, most), leave)
            some = self.op(f"icmp ne i64 {value.words[0]}, 0")
            return self.op(f"or i1 {some}, {self.op(f'icmp eq i64 {value.kind}, {DIGEST}')}")
        return self.op(f"icmp ne i64 {value.words[0]}, 0")

    # Blocks

    def _blocks(self, starts: Sequence[int]) -> None:
        pending, seen = list(starts), set(starts)
        while pending:
            start = pending.pop()
            for following in self._block(start):
                if following not in seen:
                    seen.add(following)
                    pending.append(following)

    def _block(self, start: int) -> list[int]:
        """Write a block; where it goes on natively."""
        it, end = self.it, self.it.end_of(start)
        self.state = it.entry[start].copy()
        self.slots = max(self.slots, len(self.state.stack))
        self._exits, self._paid, self._total = {}, {}, 0
        self.at = start
        self.begin(f"b{start}")
        self.stack = [self.loaded(f"s{slot}", kind) for slot, kind in enumerate(self.state.stack)]
        if start in it.headers:
            self._poll(start)
        if start == it.size:
            self._return()
            return []
        self._pay(start, end)
        for at in range(start, end):
            self.at = at
            step = it.steps[at]
            if not step.native:
                self.do(f"br label %{self.leave()}")
                return []
            opcode, _ = it.function.instructions[at]
            WRITERS[opcode](self, *it.function.instructions[at])
            self.facts.step(it, at, self.state)
            if step.callee is not None:
                self._pay(at + 1, end)
        if it.function.instructions[end - 1].opcode not in (*ENDING, Opcode.JUMP_IF_FALSE):
            if any(value.tag in (LIST, MAP) for value in self.stack):
                self.do(f"br label %{self.leave_to(end, self.stack, 0)}")
                return []
            self._go_to(end)
        return list(successors(it, start, end))

    def _pay(self, start: int, end: int) -> None:
        """Charge for the instructions up to the next call, the end, or what the interpreter does."""
        self._paid, self._total = {}, 0
        for at in range(start, end):
            step = self.it.steps[at]
            self._paid[at] = self._total
            if not step.native:
                break
            self._total += step.price
            if step.callee is not None:
                break
        self.at = start
        if not self.facts.metered or not self._total:
            return
        if self._total > at_.MAX_PRICE:
            raise Uncompilable("a block that costs more than there can be")
        gas = self.op("load i64, ptr %gas")
        self.guard(self.op(f"icmp sge i64 {gas}, {self._total}"), self.leave(paid=False))
        self.do(f"store i64 {self.op(f'sub i64 {gas}, {self._total}')}, ptr %gas")

    def _poll(self, start: int) -> None:
        """Ask Python now and then whether to go on."""
        fuel_at = self.op(f"getelementptr i64, ptr %m, i64 {at_.FUEL}")
        fuel = self.op(f"sub i64 {self.op(f'load i64, ptr {fuel_at}')}, {self.it.weights.get(start, 1)}")
        self.do(f"store i64 {fuel}, ptr {fuel_at}")
        ask, on = self.label(), self.label()
        self.do(f"br i1 {self.op(f'icmp sgt i64 {fuel}, 0')}, label %{on}, label %{ask}, !prof !0")
        self.begin(ask)
        answer = self.call("i1", need, f"ptr %m, i64 {at_.POLL}, i64 0")
        self.at = start
        leave = self.leave_to(start, self.stack, 0)
        self.do(f"br i1 {answer}, label %{on}, label %{leave}")
        self.begin(on)

    def _go_to(self, target: int) -> None:
        self._store_stack(self.stack)
        self.do(f"br label %b{target}")

    def _return(self) -> None:
        value = self.stack[-1] if self.stack else Val(NONE, str(NONE), ("0",))
        self.put("%m", at_.DIGEST_WORDS + 1, value.words[1:])
        if self.it.number == 0:
            self.do(f"store i64 {value.kind}, ptr %pc")
            self.do(f"store i64 {value.words[0]}, ptr %high")
            self.do("br label %finish")
            return
        first = self.op(f"insertvalue {RETURNED} poison, i64 {value.kind}, 0")
        second = self.op(f"insertvalue {RETURNED} {first}, i64 {value.words[0]}, 1")
        third = self.op(f"insertvalue {RETURNED} {second}, i64 {self.op('load i64, ptr %gas')}, 2")
        self.do(f"ret {RETURNED} {third}")

    def pop(self) -> Val:
        """The value on top of the stack."""
        return self.stack.pop()


# Instructions


def _load_constant(f: Function, _: Opcode, operand: object) -> None:
    f.stack.append(f.constant(f.facts.constant(operand)))


def _load_name(f: Function, _: Opcode, register: int) -> None:
    kind = f.state.registers[register]
    outer = f.it.function.globals[register]
    value = f.global_value(outer) if kind.tag == UNSET else f.loaded(f"r{register}", kind)
    if value.tag == ANY:
        f.guard(f.op(f"icmp ne i64 {value.kind}, {UNSET}"), f.leave())
    f.stack.append(value)


def _store_name(f: Function, _: Opcode, register: int) -> None:
    f._store_cell(f"r{register}", f.pop())


def _store_constant(f: Function, _: Opcode, operand: tuple[int, object]) -> None:
    f._store_cell(f"r{operand[0]}", f.constant(f.facts.constant(operand[1])))


def _store_global(f: Function, _: Opcode, _operand: object) -> None:
    register, value = f.facts.global_register(f.it, f.at), f.pop()
    f.put("%globals", CELL * register, (value.kind, *value.words)[: f.width])


def _pop(f: Function, _: Opcode, _operand: object) -> None:
    f.pop()


def _duplicate(f: Function, _: Opcode, _operand: object) -> None:
    f.stack.append(f.stack[-1])


def _integers(f: Function) -> tuple[str, str, str]:
    """The label to leave by, and the words of the two integers on the stack, which stay there."""
    leave = f.leave()
    return leave, f.word_of(f.stack[-2], leave), f.word_of(f.stack[-1], leave)


def _replace(f: Function, taken: int, value: Val) -> None:
    del f.stack[len(f.stack) - taken :]
    f.stack.append(value)


def _checked(f: Function, opcode: Opcode, _: object) -> None:
    """ADD, SUB, MUL: leave where the result has more than 64 bits."""
    leave, left, right = _integers(f)
    name = {Opcode.ADD: "sadd", Opcode.SUB: "ssub", Opcode.MUL: "smul"}[opcode]
    _replace(f, 2, f.integer(_exact(f, name, left, right, leave)))


def _exact(f: Function, name: str, left: str, right: str, leave: str) -> str:
    pair = f.op(f"call {{i64, i1}} @llvm.{name}.with.overflow.i64(i64 {left}, i64 {right})")
    f.guard_not(f.op(f"extractvalue {{i64, i1}} {pair}, 1"), leave)
    return f.op(f"extractvalue {{i64, i1}} {pair}, 0")


def _division(f: Function, opcode: Opcode, _: object) -> None:
    """DIV and MOD, rounded down. Leave for a divisor of 0, and where the quotient has more than 64 bits."""
    leave, left, right = _integers(f)
    f.guard(f.op(f"icmp ne i64 {right}, 0"), leave)
    least = f.op(f"icmp eq i64 {left}, {-(1 << 63)}")
    beyond = f.op(f"and i1 {least}, {f.op(f'icmp eq i64 {right}, -1')}")
    f.guard_not(beyond, leave)
    rest = f.op(f"srem i64 {left}, {right}")
    some = f.op(f"icmp ne i64 {rest}, 0")
    signs = f.op(f"icmp slt i64 {f.op(f'xor i64 {rest}, {right}')}, 0")
    down = f.op(f"and i1 {some}, {signs}")
    if opcode is Opcode.MOD:
        result = f.op(f"add i64 {rest}, {f.op(f'select i1 {down}, i64 {right}, i64 0')}")
    else:
        quotient = f.op(f"sdiv i64 {left}, {right}")
        result = f.op(f"sub i64 {quotient}, {f.op(f'zext i1 {down} to i64')}")
    _replace(f, 2, f.integer(result))


def _power(f: Function, _: Opcode, _operand: object) -> None:
    leave, left, right = _integers(f)
    pair = f.call("{i64, i64}", power, f"i64 {left}, i64 {right}")
    f.guard(f.op(f"icmp eq i64 {f.op(f'extractvalue {{i64, i64}} {pair}, 0')}, 0"), leave)
    _replace(f, 2, f.integer(f.op(f"extractvalue {{i64, i64}} {pair}, 1")))


def _negate(f: Function, _: Opcode, _operand: object) -> None:
    leave = f.leave()
    word = f.word_of(f.stack[-1], leave)
    _replace(f, 1, f.integer(_exact(f, "ssub", "0", word, leave)))


_ORDERS: Final = {Opcode.LT: "slt", Opcode.GT: "sgt", Opcode.LTE: "sle", Opcode.GTE: "sge"}


def _order(f: Function, opcode: Opcode, _: object) -> None:
    _, left, right = _integers(f)
    _replace(f, 2, f.truth(f.op(f"icmp {_ORDERS[opcode]} i64 {left}, {right}")))


def _equality(f: Function, opcode: Opcode, _: object) -> None:
    """Of integers, bools and None; two of different kinds are different."""
    left, right = f.stack[-2:]
    leave = f.leave()
    for value in (left, right):
        if value.tag == ANY:
            f.guard(f.is_scalar(value.kind), leave)
    kinds = f.op(f"icmp eq i64 {left.kind}, {right.kind}")
    words = f.op(f"icmp eq i64 {left.words[0]}, {right.words[0]}")
    same = f.op(f"and i1 {kinds}, {words}")
    _replace(f, 2, f.truth(same if opcode is Opcode.EQ else f.op(f"xor i1 {same}, true")))


def _logic(f: Function, opcode: Opcode, _: object) -> None:
    leave = f.leave()
    left, right = (f.is_true(value, leave) for value in f.stack[-2:])
    _replace(f, 2, f.truth(f.op(f"{'and' if opcode is Opcode.AND else 'or'} i1 {left}, {right}")))


def _negation(f: Function, _: Opcode, _operand: object) -> None:
    value = f.is_true(f.stack[-1], f.leave())
    _replace(f, 1, f.truth(f.op(f"xor i1 {value}, true")))


def _jump(f: Function, _: Opcode, target: int) -> None:
    f._go_to(target)


def _jump_if_false(f: Function, _: Opcode, target: int) -> None:
    condition = f.is_true(f.stack[-1], f.leave())
    f.pop()
    f._store_stack(f.stack)
    f.do(f"br i1 {condition}, label %b{f.at + 1}, label %b{target}")


def _return(f: Function, _: Opcode, _operand: object) -> None:
    f._return()


def _call(f: Function, _: Opcode, operand: object) -> None:
    """CALL_CONST and CALL_TOP, whose callee is known."""
    count = operand[1] if isinstance(operand, tuple) else operand
    assert isinstance(count, int)
    below = 1 if f.it.function.instructions[f.at].opcode is Opcode.CALL_TOP else 0
    _call_known(f, count, below)


def _call_name(f: Function, _: Opcode, operand: tuple[int, int]) -> None:
    register, count = operand
    kind, leave = f.state.registers[register], f.leave()
    if not (kind.tag == OBJECT and kind.known):
        outer = f.it.function.globals[register]
        value = f.global_value(outer) if kind.tag == UNSET else f.loaded(f"r{register}", kind)
        if value.tag == ANY:
            f.guard(f.op(f"icmp eq i64 {value.kind}, {OBJECT}"), leave)
        f.guard(f.op(f"icmp eq i64 {value.words[0]}, {f.facts.named[outer]}"), leave)
    _call_known(f, count, 0)


def _call_known(f: Function, count: int, above: int) -> None:
    """Call with `count` arguments, above which there are `above` values more."""
    callee = f.it.steps[f.at].callee
    assert callee is not None
    leave = f.leave()
    f.guard(f.op("icmp sgt i64 %frames, 0"), leave)
    values = f.stack[len(f.stack) - count - above : len(f.stack) - above]
    given = "".join(
        _argument(f, value, kind, leave)
        for value, kind in zip(values, f.facts.functions[callee].parameters, strict=True)
    )
    del f.stack[len(f.stack) - count - above :]
    f.module.want(callee)
    gas, frames = f.op("load i64, ptr %gas"), f.op("sub i64 %frames, 1")
    result = f.op(f"call {RETURNED} @f{callee}(ptr %m, i64 {gas}, i64 {frames}{given})")
    tag = f.op(f"extractvalue {RETURNED} {result}, 0")
    left = f.leave_to(f.at + 1, f.stack, 0, gas=False)
    f.guard(f.op(f"icmp ne i64 {tag}, {at_.LEFT}"), left)
    f.do(f"store i64 {f.op(f'extractvalue {RETURNED} {result}, 2')}, ptr %gas")
    word = f.op(f"extractvalue {RETURNED} {result}, 1")
    kind = f.facts.functions[callee].result
    f.stack.append(_result(f, kind, tag, word))


def _argument(f: Function, value: Val, kind: Kind, leave: str) -> str:
    """An argument, with its kind before it where the function takes any; digests have too many words."""
    if kind.tag == INT:
        return f", i64 {f.word_of(value, leave)}"
    if value.tag == ANY and f.module.wide:
        f.guard(f.op(f"icmp ne i64 {value.kind}, {DIGEST}"), leave)
    return f", i64 {value.kind}, i64 {value.words[0]}"


def _result(f: Function, kind: Kind | None, tag: str, word: str) -> Val:
    if kind is None:  # the function never returns
        return f.integer(word)
    if kind.tag == OBJECT and kind.known:
        return f.constant(kind)
    words = [word]
    if kind.tag in (ANY, DIGEST):
        words += [f.field(at_.DIGEST_WORDS + number) for number in range(1, f.width - 1)]
    return Val(kind.tag, tag if kind.tag == ANY else str(kind.tag), tuple(words))


def _build(f: Function, opcode: Opcode, count: int) -> None:
    """BUILD_LIST and BUILD_MAP, which has two values for each item."""
    tag, taken = (LIST, count) if opcode is Opcode.BUILD_LIST else (MAP, 2 * count)
    items = _scalars(f, f.stack[len(f.stack) - taken :])
    _replace(f, taken, Val(tag, str(tag), (str(taken),), items=items))


def _scalars(f: Function, values: Sequence[Val]) -> tuple[Val, ...]:
    """The values, of which those that may be of any kind must be integers."""
    leave = f.leave()
    return tuple(f.integer(f.word_of(value, leave)) if value.tag == ANY else value for value in values)


def _hash_block(f: Function, _: Opcode, _operand: object) -> None:
    (value,) = _scalars(f, f.stack[-1:])
    parts: list[bytes | Val] = []
    _encoded(f, value, f.state.stack[-1], parts)
    scratch = f.field(at_.SCRATCH, "ptr")
    end = scratch
    for part in _merged(parts):
        end = _put(f, end, part)
    size = f.op(f"sub i64 {f.op(f'ptrtoint ptr {end} to i64')}, {f.op(f'ptrtoint ptr {scratch} to i64')}")
    digest = f.op(f"getelementptr i64, ptr %m, i64 {at_.DIGEST_WORDS}")
    f.do(f"call void {f.field(at_.SHA256, 'ptr')}(ptr {scratch}, i64 {size}, ptr {digest})")
    words = tuple(f.field(at_.DIGEST_WORDS + number) for number in range(4))
    _replace(f, 1, Val(DIGEST, str(DIGEST), words))


def _encoded(f: Function, value: Val, kind: Kind, parts: list[bytes | Val]) -> None:
    """Take the canonical encoding apart: bytes that are known, and values that are not."""
    if value.tag == LIST:
        parts.append(_head_of(4, len(value.items)))
        for item, item_kind in zip(value.items, kind.items, strict=True):
            _encoded(f, item, item_kind, parts)
    elif value.tag == MAP:
        order = map_order(f.facts, kind.items)
        assert order is not None
        parts.append(_head_of(5, len(order)))
        for position in order:
            for place in (2 * position, 2 * position + 1):
                _encoded(f, value.items[place], kind.items[place], parts)
    elif value.tag == OBJECT:
        assert value.constant is not None
        parts.append(cbor.encode(f.facts.objects[value.constant]))
    elif value.tag == INT and not value.words[0].startswith("%"):
        parts.append(cbor.encode(int(value.words[0])))
    elif value.tag == NONE:
        parts.append(cbor.encode(None))
    else:
        parts.append(value)


def _head_of(major: int, count: int) -> bytes:
    """The head of a list or map in CBOR: that of an integer of another major type."""
    head = bytearray(cbor.encode(count))
    head[0] |= major << 5
    return bytes(head)


def _merged(parts: Sequence[bytes | Val]) -> list[bytes | Val]:
    merged: list[bytes | Val] = []
    for part in parts:
        if merged and isinstance(part, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _put(f: Function, end: str, part: bytes | Val) -> str:
    """Write a part of an encoding at `end`; where it ends now."""
    if isinstance(part, bytes):
        f.do(f"call void @llvm.memcpy.p0.p0.i64(ptr {end}, ptr {f.module.bytes(part)}, i64 {len(part)}, i1 false)")
        return f.op(f"getelementptr i8, ptr {end}, i64 {len(part)}")
    if part.tag == DIGEST:
        words = ", ".join(f"i64 {word}" for word in part.words)
        return f.call("ptr", put_digest, f"ptr {end}, {words}")
    if part.tag == BOOL:
        byte = f.op(f"trunc i64 {f.op(f'add i64 {part.words[0]}, 244')} to i8")
        f.do(f"store i8 {byte}, ptr {end}")
        return f.op(f"getelementptr i8, ptr {end}, i64 1")
    return f.call("ptr", put_integer, f"ptr {end}, i64 {part.words[0]}")


def _state_read(f: Function, _: Opcode, key: str) -> None:
    number, leave = f.facts.slot(key), f.leave()
    slot = f.op(f"getelementptr i64, ptr {f.field(at_.SLOTS, 'ptr')}, i64 {at_.SLOT * number}")
    ask, good, here, on = f.label(), f.label(), f.label(), f.label()
    kind = f.op(f"load i64, ptr {slot}")
    known = f.is_scalar(kind)
    f.do(f"br label %{here}")
    f.begin(here)
    f.do(f"br i1 {known}, label %{on}, label %{ask}, !prof !0")
    f.begin(ask)
    asked = f.call("i64", read, f"ptr %m, i64 {number}")
    f.do(f"br i1 {f.op(f'icmp ne i64 {asked}, 0')}, label %{good}, label %{leave}")
    f.begin(good)
    f.do(f"br label %{on}")
    f.begin(on)
    tag = f.op(f"phi i64 [{kind}, %{here}], [{asked}, %{good}]")
    word = f.get(slot, at_.SLOT_WORD)
    f.stack.append(Val(ANY, tag, (word, *["0"] * (f.width - 2))))


def _state_write(f: Function, _: Opcode, key: str) -> None:
    value, leave = f.stack[-1], f.leave()
    if value.tag == ANY:
        f.guard(f.is_scalar(value.kind, BOOL), leave)
    given = f"ptr %m, i64 {f.facts.slot(key)}, i64 {value.kind}, i64 {value.words[0]}"
    f.guard(f.call("i1", write, given), leave)
    f.pop()


_TRANSACTIONS: Final = {Opcode.TX_BEGIN: begin, Opcode.TX_COMMIT: commit, Opcode.TX_REVERT: revert}


def _transaction(f: Function, opcode: Opcode, _: object) -> None:
    f.guard(f.call("i1", _TRANSACTIONS[opcode], "ptr %m"), f.leave())


def _charge(_: Function, _opcode: Opcode, _operand: object) -> None:
    """The amount is in the price of the block."""


def _append_ledger(f: Function, _: Opcode, _operand: object) -> None:
    (value,) = _scalars(f, f.stack[-1:])
    objects = len(f.facts.objects)
    check = value.constant if value.constant is not None else objects + (value.tag == DIGEST)
    cell = f.call("ptr", append, f"ptr %m, i64 {check}")
    f.guard(f.op(f"icmp ne ptr {cell}, null"), f.leave())
    f.put(cell, 0, (value.kind, *value.words))
    f.pop()


WRITERS: Final[Mapping[Opcode, Callable[[Function, Opcode, Any], None]]] = {
    Opcode.LOAD_CONST: _load_constant,
    Opcode.LOAD_NAME: _load_name,
    Opcode.STORE_NAME: _store_name,
    Opcode.STORE_CONST: _store_constant,
    Opcode.STORE_GLOBAL: _store_global,
    Opcode.POP: _pop,
    Opcode.DUP: _duplicate,
    Opcode.ADD: _checked,
    Opcode.SUB: _checked,
    Opcode.MUL: _checked,
    Opcode.DIV: _division,
    Opcode.MOD: _division,
    Opcode.POW: _power,
    Opcode.NEG: _negate,
    Opcode.LT: _order,
    Opcode.GT: _order,
    Opcode.LTE: _order,
    Opcode.GTE: _order,
    Opcode.EQ: _equality,
    Opcode.NEQ: _equality,
    Opcode.AND: _logic,
    Opcode.OR: _logic,
    Opcode.NOT: _negation,
    Opcode.JUMP: _jump,
    Opcode.JUMP_IF_FALSE: _jump_if_false,
    Opcode.RETURN: _return,
    Opcode.CALL_NAME: _call_name,
    Opcode.CALL_FUNC_CONST: _call,
    Opcode.CALL_TOP: _call,
    Opcode.BUILD_LIST: _build,
    Opcode.BUILD_MAP: _build,
    Opcode.HASH_BLOCK: _hash_block,
    Opcode.STATE_READ: _state_read,
    Opcode.STATE_WRITE: _state_write,
    Opcode.TX_BEGIN: _transaction,
    Opcode.TX_COMMIT: _transaction,
    Opcode.TX_REVERT: _transaction,
    Opcode.GAS_CHARGE: _charge,
    Opcode.LEDGER_APPEND: _append_ledger,
}
