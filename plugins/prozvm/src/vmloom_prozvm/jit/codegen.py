"""Python text made from a loaded program: one function of Python for each of its functions.

Stack slots and registers become local variables, jumps `while` and `if`. Integers of one limb are computed in place,
everything else by `runtime.operations`; gas is charged ahead for as many instructions as are certain to run, what sizes
add when it is known. Wherever a line cannot go on as the interpreter would (gas runs short, an operation fails, a name
has no value), the interpreter takes over *before* the instruction, from the state that `text.Resume` describes: so
results, errors, gas and effects are its own.

`compiled` makes functions of the text and runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..bytecode.opcodes import ARITHMETIC, OPERATIONS, Opcode
from ..runtime.loaded import Loaded, LoadedFunction
from ..values import Function
from .computing import RESULTS, SIGNS, OperationWriter
from .kinds import (
    ANY,
    OPPOSITE,
    OTHER,
    Kind,
    after_comparison,
)
from .state import Conflict, DepthMismatch, State, at_boundary
from .structure import Again, Block, Choice, Leave, Loop, Node, Straight, Unstructured, structured
from .text import MAX_SIZE, Constants, Entry, Failure, Resume, Text, TooLong
from .writing import Mode, taken_by

MAX_INSTRUCTIONS: Final = 20_000
"""of a program with its functions; a larger one is not compiled"""
MAX_BLOCKS: Final = 2_000
"""of a function; the time that jumps take to be made into statements grows with their square"""
_MAX_WORK: Final = 500_000
"""Instructions and known values gone through while kinds are found out."""
_LINES_EACH: Final = 4
"""Lines of text that take as long as an instruction."""
_WIDEN_AFTER: Final = 3

_CALLS: Final = frozenset((Opcode.CALL_NAME, Opcode.CALL_FUNC_CONST, Opcode.CALL_TOP))
_STEPS: Final = frozenset((Opcode.EMIT, Opcode.CALL_CONTRACT, Opcode.REVERT))
"""Done by the interpreter's own instruction."""
_SEES_GAS: Final = _CALLS | _STEPS
"""Gas must be exact when one of these runs, so nothing behind it is charged ahead."""
_CONTEXT: Final[Mapping[Opcode, str]] = {
    Opcode.INPUT: "input",
    Opcode.CALLER: "caller",
    Opcode.ADDRESS: "address",
    Opcode.VALUE: "value",
}


class Uncompilable(Exception):
    """The program stays with the interpreter, for the reason in the message."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The text, the values that it has names for, and by number of line how the interpreter goes on."""

    sources: Sequence[str]
    """By function."""
    constants: Mapping[str, Any]
    resumes: Sequence[Mapping[int, Resume]]
    functions: Sequence[LoadedFunction]
    """`f0`, `f1` and so on."""
    keys: Sequence[Sequence[str]]
    """By function, the keys of the state that it keeps in variables."""
    changed: Collection[int]
    """Registers of the main program that functions may store to."""


def generate(loaded: Loaded, mode: Mode) -> Generated:
    """Write the text of a program. Raises `Uncompilable`."""
    functions = list(loaded.functions())
    if sum(len(function.instructions) for function in functions) > MAX_INSTRUCTIONS:
        raise Uncompilable(f"more than {MAX_INSTRUCTIONS} instructions")
    program = _Program(loaded, functions, mode)
    writers = [_Writer(program, number) for number in range(len(functions))]
    try:
        for writer in writers:
            writer.find_kinds()
        texts = [writer.write() for writer in writers]
    except TooLong:
        raise Uncompilable(f"the text of a function has more than {MAX_SIZE} characters") from None
    keys = [writer.keys for writer in writers]
    return Generated(
        [text.source() for text in texts],
        program.constants.values,
        [text.resumes() for text in texts],
        functions,
        keys,
        frozenset(program.changed),
    )


class _Program:
    """What the writers of all functions share."""

    def __init__(self, loaded: Loaded, functions: Sequence[LoadedFunction], mode: Mode) -> None:
        self.mode = mode
        self.functions = functions
        self.constants = Constants()
        self.limits = loaded.limits
        self._loaded = loaded
        self._numbers = {id(function): number for number, function in enumerate(functions)}
        self.shared = {
            function.globals[register] for function in functions[1:] for register in range(len(function.registers))
        }
        """Registers of the main program that functions may read."""
        self.changed = {
            function.globals[operand]
            for function in functions[1:]
            for opcode, operand in function.instructions
            if opcode is Opcode.STORE_GLOBAL
        }
        """Those that functions may change."""
        self.defined = set(_defined(functions))
        """Those of names that the program defines somewhere."""
        if any(
            opcode is Opcode.CALL_NAME and function.globals[operand[0]] not in self.defined
            for function in functions
            for opcode, operand in function.instructions
        ):  # the host's functions may give us functions of other programs, which know all names
            self.changed = self.shared = set(range(len(functions[0].registers)))
        self.likely = dict(_likely(functions[0]))
        """The function that a name of the main program most likely has, by register."""

    def number(self, callee: Any) -> int | None:
        """Which of the functions CALL_FUNC_CONST means."""
        if isinstance(callee, Function):
            callee = self._loaded.function(callee)
        return self._numbers.get(id(callee))


class _Writer(OperationWriter):
    """Writes one function. Each block is gone through with what is known where it begins, first only to find kinds."""

    def __init__(self, program: _Program, number: int) -> None:
        function = program.functions[number]
        super().__init__(program.mode, program.constants, program.limits, function.instructions)
        self._program = program
        self._number = number
        self._function = function
        self._count_keys(self._instructions)
        if len(self._flow.order) > MAX_BLOCKS:
            raise Uncompilable(f"more than {MAX_BLOCKS} blocks in a function")
        self._prepaid = self._find_prepaid()
        self._plans = self._make_plans()
        self._states: dict[int, State] = {}
        self._conditions: dict[int, str] = {}
        self._own = {
            operand if opcode is Opcode.STORE_NAME else operand[0]
            for opcode, operand in self._instructions
            if opcode in (Opcode.STORE_NAME, Opcode.STORE_CONST)
        }
        """Registers that instructions of this function store to."""
        self._stored: set[int] = set()
        self._uncertain: set[int] = set()

    # Kinds

    def find_kinds(self) -> None:
        """Go through the blocks until nothing new is learned. Raises `Uncompilable`."""
        self._work = 0
        while True:
            try:
                self._find_states()
            except Conflict as conflict:
                self._refuse(conflict)
            else:
                break
        for state in self._states.values():
            self._note_uncertain(state)

    def _find_states(self) -> None:
        """One attempt at it. Raises `Conflict`."""
        flow = self._flow
        self._states = {0: State([], dict.fromkeys(range(len(self._function.parameters)), ANY))}
        visits = dict.fromkeys(flow.order, 0)
        pending = {0}
        while pending:
            start = min(pending, key=flow.rank.__getitem__)
            pending.discard(start)
            visits[start] += 1
            state, block = self._states[start], flow.blocks[start]
            self._work += state.size + block.end - block.start
            if self._work > _MAX_WORK:
                raise Uncompilable("too much to find out about its values")
            self._text = Text()
            for successor, state in self._block(start):
                known = self._states.get(successor)
                # Every loop has a jump back; widening at other blocks would forget what a condition has shown.
                widen = flow.rank[successor] <= flow.rank[start] and visits[successor] > _WIDEN_AFTER
                try:
                    joined = state if known is None else known.join(state, widen=widen)
                except DepthMismatch as error:
                    raise Uncompilable(str(error)) from None
                if joined != known:
                    self._states[successor] = joined
                    pending.add(successor)
            self._work += len(self._text.lines) // _LINES_EACH

    # The function and its statements

    def write(self) -> Text:
        """The text of the function."""
        self._text = inner = Text()
        self._body()
        text = Text()
        parameters = len(self._function.parameters)
        names = ["m", "d", *(f"n{slot}" for slot in range(parameters))]
        with text.suite(f"def f{self._number}({', '.join(names)}):"):
            if self._mode.metered:
                text.line("gas = m.gas")
            needed = inner.names()
            slots = [slot for slot in sorted(self._stored | self._uncertain) if slot >= parameters]
            for name, attribute in (("G", "globals"), ("T", "transactions"), ("X", "context")):
                if name in needed or (name == "G" and slots):
                    text.line(f"{name} = m.{attribute}")
            for slot in slots:
                own = self._number and self._function.globals[slot] in self._program.changed
                text.line(f"n{slot} = {'UNSET' if own else f'G[{self._function.globals[slot]}]'}")
            self._text = text
            self._declare()
            with text.suite("try:"):
                text.append(inner)
            with text.suite("except Exception as error:"):
                text.line("failed = error")
            text.line(f"return resume(m, d, {self._number}, failed, locals())")
        return text

    def _body(self) -> None:
        try:
            nodes = structured(self._flow)
        except Unstructured:
            self._dispatch()
        else:
            self._nodes(nodes)

    def _nodes(self, nodes: Sequence[Node]) -> None:
        text = self._text
        for node in nodes:
            match node:
                case Straight(block):
                    self._conditions.pop(block, None)
                    if block in self._states:
                        self._block(block)
                case Choice(block, when_true, when_false) if block in self._conditions:
                    condition = self._conditions[block]
                    if when_true:
                        with text.suite(f"if {condition}:"):
                            self._nodes(when_true)
                        if when_false:
                            with text.suite("else:"):
                                self._nodes(when_false)
                    elif when_false:
                        with text.suite(f"if not ({condition}):"):
                            self._nodes(when_false)
                case Loop(body):
                    with text.suite("while True:"):
                        self._nodes(body)
                case Leave():
                    text.line("break")
                case Again():
                    text.line("continue")

    def _dispatch(self) -> None:
        """A loop that runs the block whose number `b` has: for jumps that make no statements."""
        reached = sorted(start for start in self._flow.order if start in self._states)
        self._text.line("b = 0")
        with self._text.suite("while True:"):
            self._find_block(reached)

    def _find_block(self, starts: Sequence[int]) -> None:
        if len(starts) > 1:
            middle = len(starts) // 2
            with self._text.suite(f"if b < {starts[middle]}:"):
                self._find_block(starts[:middle])
            with self._text.suite("else:"):
                self._find_block(starts[middle:])
            return
        block = self._flow.blocks[starts[0]]
        self._conditions.pop(block.start, None)
        if not self._block(block.start):
            return
        if len(block.successors) == 2:
            following, target = block.successors
            self._text.line(f"b = {following} if {self._conditions[block.start]} else {target}")
        else:
            self._text.line(f"b = {block.successors[0]}")

    # Blocks

    def _block(self, start: int) -> list[tuple[int, State]]:
        """Write a block; what is known where it may go on, nothing if it ends the function."""
        block = self._flow.blocks[start]
        self._state = self._states[start].copy()
        self._charges = self._plans[start]
        self._comparison = None
        for at in range(block.start, block.end):
            opcode, operand = self._instructions[at]
            self._at = at
            self._arrive(self._charges[at])
            if start not in self._prepaid if at == start else self._instructions[at - 1][0] in _SEES_GAS:
                self._charge_ahead()
            pops = taken_by(opcode, operand)
            if len(self._state.stack) < pops or (opcode is Opcode.RETURN and not self._state.stack):
                return self._short(opcode)
            if not self._instruction(opcode, operand):
                return []
            if len(self._state.stack) > self._program.limits.stack:
                raise Uncompilable("more values on the stack than the limit")
        if not block.successors:
            self._return(self._state.stack[-1].text if self._state.stack else "None")
            return []
        return self._transfer(block)

    def _make_plans(self) -> dict[int, dict[int, int]]:
        """For each block, `_plan`; those that charge for the one behind them after that one."""
        plans: dict[int, dict[int, int]] = {}
        for start in self._flow.order:
            chain: list[int] = []
            following: int | None = start
            while following is not None and following not in plans:
                chain.append(following)
                following = self._following(self._flow.blocks[following])
            for one in reversed(chain):
                block = self._flow.blocks[one]
                behind = self._following(block)
                plans[one] = self._plan(block, 0 if behind is None else plans[behind].get(behind, 0))
        return plans

    def _plan(self, block: Block, behind: int) -> dict[int, int]:
        """For each instruction, what it and those after it cost that are charged at once; `behind` follows the last."""
        total = behind
        charges = {}
        for at in reversed(range(block.start, block.end)):
            opcode, operand = self._instructions[at]
            if opcode in _SEES_GAS:
                total = 0
            total += self._price(opcode, operand)
            charges[at] = total
        return charges

    def _following(self, block: Block) -> int | None:
        """The block behind this one, if it is charged for here."""
        return block.successors[0] if len(block.successors) == 1 and block.successors[0] in self._prepaid else None

    def _find_prepaid(self) -> set[int]:
        """The blocks that nothing but jumps without a condition leads to: those who jump charge for them.

        So the head of a loop is charged together with the body.
        """
        flow = self._flow
        found = {
            start
            for start in flow.order[1:]
            if all(
                len(flow.blocks[one].successors) == 1
                and self._instructions[flow.blocks[one].end - 1][0] not in _SEES_GAS
                for one in flow.predecessors[start]
            )
        }
        clear: set[int] = set()
        for start in flow.order:  # those that lead to themselves pay for themselves
            passed: set[int] = set()
            block = flow.blocks[start]
            while block.start not in clear and len(block.successors) == 1 and block.successors[0] in found:
                if block.start in passed:
                    found.discard(block.start)
                    break
                passed.add(block.start)
                block = flow.blocks[block.successors[0]]
            clear |= passed
        return found

    def _charge_ahead(self) -> None:
        charge = self._charges[self._at]
        if charge:
            self._text.line(f"gas -= {charge}")
            self._text.line("if gas < 0: raise LEAVE", self._here)

    def _short(self, opcode: Opcode) -> list[tuple[int, State]]:
        """The stack has too little: nothing, for a RETURN of the workbench; otherwise the interpreter says so."""
        if opcode is Opcode.RETURN and not self._mode.strict:
            self._return("None")
        else:
            self._leave()
        return []

    def _transfer(self, block: Block) -> list[tuple[int, State]]:
        state = self._state
        condition: Entry | None = None
        if len(block.successors) == 2:
            condition = state.stack.pop()
        elif self._instructions[block.end - 1][0] is Opcode.JUMP_IF_FALSE:
            state.stack.pop()  # both ways lead to the same place
            self._comparison = None
        moves = [(f"s{depth}", entry.text) for depth, entry in enumerate(state.stack) if entry.text != f"s{depth}"]
        if condition is not None:
            if moves:  # they may replace what the condition is about
                self._text.line(f"c = {condition.text}")
            self._conditions[block.start] = "c" if moves else condition.text
        if moves:
            self._text.line(f"{', '.join(name for name, _ in moves)} = {', '.join(value for _, value in moves)}")
        return [(target, self._outcome(taken)) for target, taken in zip(block.successors, (True, False), strict=False)]

    def _outcome(self, taken: bool) -> State:
        """What is known once the comparison at the end of a block was true, or was not."""
        state = self._state.copy()
        if self._comparison is not None:
            opcode, left, right = self._comparison
            kinds = after_comparison(opcode if taken else OPPOSITE[opcode], left.kind, right.kind)
            for entry, kind in zip((left, right), kinds, strict=True):
                state.learn(entry.text, kind)
        state.stack = at_boundary([entry.kind for entry in state.stack])
        return state

    # Instructions

    def _instruction(self, opcode: Opcode, operand: Any) -> bool:
        """Write an instruction. Whether the next one is reached."""
        if opcode in _SIMPLE:
            _SIMPLE[opcode](self, operand)
        elif opcode in ARITHMETIC:
            self._arithmetic(opcode)
        elif opcode in SIGNS:
            self._compare(opcode)
        elif opcode in _STEPS:
            self._step(opcode, operand)
            return opcode is not Opcode.REVERT
        elif opcode in _CONTEXT:
            self._surroundings(opcode)
        elif opcode in _CALLS:
            return self._call(opcode, operand)
        elif opcode is Opcode.AWAIT:  # frames of other tasks come next
            self._leave()
            return False
        elif opcode is Opcode.RETURN:
            self._return(self._state.stack[-1].text)
            return False
        elif opcode not in (Opcode.JUMP, Opcode.JUMP_IF_FALSE):
            self._operation(opcode, self._pop(taken_by(opcode, operand)))
        return True

    def _return(self, value: str) -> None:
        self._settle()
        if self._number == 0:
            self._flush(self._stored)
        if self._mode.metered:
            self._text.line("m.gas = gas")
        self._text.line(f"return {value}")

    def _flush(self, registers: set[int]) -> None:
        for register in sorted(registers):
            self._text.line(f"G[{register}] = n{register}")

    def _leave(self) -> None:
        self._text.line("raise LEAVE", self._here)

    def _load_constant(self, value: Any) -> None:
        self._state.stack.append(self._constants.entry(value))

    def _load(self, register: int) -> None:
        value = self._variable(register)
        self._state.stack.append(Entry(value, self._state.registers[register] if value[0] == "n" else ANY))

    def _variable(self, register: int) -> str:
        """Where the register's value is. Leave if it has none, unless it is certain to have one."""
        name = f"n{register}"
        if register in self._state.registers:
            return name
        number = self._function.globals[register]
        if self._number and number in self._program.changed:
            value = f"G[{number}]"
            if register in self._own:
                self._uncertain.add(register)
                value = f"{name} if {name} is not UNSET else {value}"
            name = f"g{self._at}"
            self._text.line(f"{name} = {value}")
            self._text.line(f"if {name} is UNSET: raise LEAVE", self._here)
            return name
        self._uncertain.add(register)
        self._text.line(f"if {name} is UNSET: raise LEAVE", self._here)
        self._state.registers[register] = ANY
        return name

    def _store(self, register: int) -> None:
        self._assign(register, *self._pop(1))

    def _store_global(self, register: int) -> None:
        if not self._number:
            self._store(register)
        else:
            (entry,) = self._pop(1)
            self._text.line(f"G[{self._function.globals[register]}] = {entry.text}")

    def _store_constant(self, operand: tuple[int, Any]) -> None:
        self._assign(operand[0], self._constants.entry(operand[1]))

    def _assign(self, register: int, value: Entry) -> None:
        name = f"n{register}"
        self._stored.add(register)
        stack = self._state.stack
        if any(entry.text == name for entry in stack):  # they mean the value that it had
            self._text.line(f"t{self._at} = {name}")
            stack[:] = [entry._replace(text=f"t{self._at}") if entry.text == name else entry for entry in stack]
        if value.text != name:
            self._text.line(f"{name} = {value.text}")
            if value.literal is None:  # the same value: what is learned of one holds for the other
                stack[:] = [entry._replace(text=name) if entry.text == value.text else entry for entry in stack]
        self._state.registers[register] = value.kind

    def _drop(self, _: None) -> None:
        self._pop(1)

    def _duplicate(self, _: None) -> None:
        self._state.stack.append(self._state.stack[-1])

    def _nothing(self, _: Any) -> None:
        """What costs gas at most, and that was charged ahead."""

    # Functions, tasks and cells

    def _spawn(self, count: int) -> None:
        taken = ", ".join(entry.text for entry in self._pop(count + 1))
        final = self._final(Opcode.SPAWN, count)
        self._text.line(f"{self._push(Kind(OTHER))} = step(m, i_SPAWN, {count}, [{taken}])", final)

    def _closure(self, operand: tuple[Function, int]) -> None:
        self._pure(Opcode.CLOSURE, operand, Kind(OTHER))

    def _new_cell(self, _: None) -> None:
        (entry,) = self._pop(1)
        self._text.line(f"{self._push(Kind(OTHER))} = Cell({entry.text})")

    def _read_cell(self, _: None) -> None:
        (cell,) = self._pop(1)
        name = self._push(ANY)
        if self._may_be_cell(cell):
            self._text.line(f"{name} = {cell.text}.value")

    def _write_cell(self, _: None) -> None:
        cell, value = self._pop(2)
        if self._may_be_cell(cell):
            self._text.line(f"{cell.text}.value = {value.text}")

    def _may_be_cell(self, entry: Entry) -> bool:
        """Leave if it is none; whether it may be one."""
        if not entry.kind.mask & OTHER:
            self._leave()
            return False
        self._text.line(f"if type({entry.text}) is not Cell: raise LEAVE", self._here)
        return True

    # The surroundings and calls

    def _surroundings(self, opcode: Opcode) -> None:
        self._text.line("if X is None: raise LEAVE", self._here)
        name = self._push(ANY)
        self._text.line(f"{name} = X.{_CONTEXT[opcode]}")
        if opcode is Opcode.INPUT:
            self._text.line(f"check({name})", self._here)

    def _block_field(self, name: str) -> None:
        self._text.line("if X is None: raise LEAVE", self._here)
        self._text.line(f"{self._push(ANY)} = X.block_field({self._constants.entry(name).text})", self._here)

    def _step(self, opcode: Opcode, operand: Any) -> None:
        """Let the interpreter's own instruction do it."""
        taken = ", ".join(entry.text for entry in self._pop(taken_by(opcode, operand)))
        self._settle()
        self._show_gas()
        pushes = OPERATIONS[opcode].pushes
        text = f"step(m, i_{opcode.name}, None, [{taken}])"
        self._text.line(f"{self._push(ANY)} = {text}" if pushes else text, self._here._replace(failure=Failure.STEP))
        self._see_gas()
        self._forget()

    def _call(self, opcode: Opcode, operand: Any) -> bool:
        callee, count = operand if isinstance(operand, tuple) else (None, operand)
        value = host = ""
        if opcode is Opcode.CALL_NAME and self._function.globals[callee] not in self._program.defined:
            host = f"host(m, {self._number}, {callee}, "
            value = self._undefined(callee)
        elif opcode is Opcode.CALL_NAME:
            value = self._variable(callee)
            callee = self._program.likely.get(self._function.globals[callee])
        elif opcode is Opcode.CALL_TOP:
            value = self._pop(1)[0].text
        arguments = [entry.text for entry in self._pop(count)]
        number = None if host else self._program.number(callee)
        fits = number is not None and len(self._program.functions[number].parameters) == count
        direct = f"f{number}({', '.join(('m', 'd + 1', *arguments))})"
        if opcode is Opcode.CALL_FUNC_CONST:
            if not fits:
                self._leave()
                return False
            self._text.line(f"if d >= {self._mode.depth}: raise LEAVE", self._here)
            text = direct
        else:
            text = f"call({', '.join(('m', 'd', value, *arguments))})"
            if host:
                text = f"{text} if {value} is not UNSET else {host}[{', '.join(arguments)}])"
            elif fits:
                test = f"{value} is {self._constants.entry(callee).text} and d < {self._mode.depth}"
                text = f"{direct} if {test} else {text}"
        self._settle()
        if self._number == 0:
            self._flush(self._stored & self._program.shared)
        self._show_gas()
        self._text.line(f"{self._push(ANY)} = {text}", self._here._replace(failure=Failure.CALL))
        self._see_gas()
        self._read_again()
        self._forget()
        return True

    def _undefined(self, register: int) -> str:
        """Where the value of a name is that only the host may have given one."""
        if self._number:
            return f"G[{self._function.globals[register]}]"
        self._uncertain.add(register)
        return f"n{register}"

    def _read_again(self) -> None:
        """Behind a call: what functions may have stored in variables of the main program."""
        if self._number:
            return
        stack, registers = self._state.stack, self._state.registers
        for register in sorted(self._program.changed & (self._stored | self._uncertain)):
            name = f"n{register}"
            if any(entry.text == name for entry in stack):  # they mean the value that it had
                old = f"r{self._at}_{register}"
                self._text.line(f"{old} = {name}")
                stack[:] = [entry._replace(text=old) if entry.text == name else entry for entry in stack]
            self._text.line(f"{name} = G[{register}]")
            if register in registers:
                registers[register] = ANY

    def _show_gas(self) -> None:
        if self._mode.metered:
            self._text.line("m.gas = gas")

    def _see_gas(self) -> None:
        if self._mode.metered:
            self._text.line("gas = m.gas")


def _defined(functions: Sequence[LoadedFunction]) -> Iterator[int]:
    for function in functions:
        yield from function.globals[: len(function.parameters)]
        for opcode, operand in function.instructions:
            if opcode is Opcode.STORE_NAME or opcode is Opcode.STORE_GLOBAL:
                yield function.globals[operand]
            elif opcode is Opcode.STORE_CONST:
                yield function.globals[operand[0]]


def _likely(main: LoadedFunction) -> Iterator[tuple[int, Function]]:
    """What the main program stores under names, as far as those are functions."""
    before: Any = None
    for opcode, operand in main.instructions:
        if opcode is Opcode.STORE_NAME and type(before) is Function:
            yield operand, before
        elif opcode is Opcode.STORE_CONST and type(operand[1]) is Function:
            yield operand
        before = operand if opcode is Opcode.LOAD_CONST else None


_SIMPLE: Final[Mapping[Opcode, Callable[[_Writer, Any], None]]] = {
    Opcode.LOAD_CONST: _Writer._load_constant,
    Opcode.LOAD_NAME: _Writer._load,
    Opcode.STORE_NAME: _Writer._store,
    Opcode.STORE_CONST: _Writer._store_constant,
    Opcode.STORE_GLOBAL: _Writer._store_global,
    Opcode.POP: _Writer._drop,
    Opcode.DUP: _Writer._duplicate,
    Opcode.NEG: _Writer._negate,
    Opcode.AND: lambda writer, _: writer._logic("and"),
    Opcode.OR: lambda writer, _: writer._logic("or"),
    Opcode.NOT: _Writer._not,
    Opcode.BUILD_LIST: _Writer._build_list,
    Opcode.HASH_BLOCK: lambda writer, _: writer._hash(),
    Opcode.LENGTH: _Writer._length,
    Opcode.INDEX: _Writer._index,
    Opcode.CLOSURE: _Writer._closure,
    Opcode.SPAWN: _Writer._spawn,
    Opcode.NEW_CELL: _Writer._new_cell,
    Opcode.CELL_READ: _Writer._read_cell,
    Opcode.CELL_WRITE: _Writer._write_cell,
    Opcode.BLOCK: _Writer._block_field,
    Opcode.STATE_READ_AT: _Writer._read_path,
    Opcode.STATE_WRITE_AT: _Writer._write_path,
    Opcode.STATE_READ: _Writer._read_state,
    Opcode.STATE_WRITE: _Writer._write_state,
    Opcode.TX_BEGIN: _Writer._begin,
    Opcode.TX_COMMIT: _Writer._commit,
    Opcode.TX_REVERT: _Writer._revert,
    Opcode.LEDGER_APPEND: _Writer._append_ledger,
    Opcode.GAS_CHARGE: _Writer._nothing,
}
_OTHERS: Final = frozenset((Opcode.AWAIT, Opcode.POW, Opcode.JUMP, Opcode.JUMP_IF_FALSE, Opcode.RETURN))
assert set(_SIMPLE) | set(SIGNS) | set(RESULTS) | set(_CONTEXT) | _SEES_GAS | _OTHERS == set(Opcode)
