"""What is known of a program before it is compiled: kinds of values, prices, and where native code stops.

An abstract run of every function: each instruction is looked at with the kinds that its operands can have. What it does
with them natively is decided here, once, and is what `emit` writes down; the kinds that it leaves are right whether
native code or the interpreter has run it, so that native code can begin again behind what it cannot do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from ... import cbor
from ...bytecode.opcodes import ARITHMETIC, COMPARISON, ENDING, LOGIC, Opcode
from ...bytecode.program import stack_effect
from ...gas import GasSchedule
from ...runtime.instructions import static_price
from ...runtime.loaded import REGISTERED, Loaded, LoadedFunction
from ...values import Function, Key, Value, cells, check_storable
from .layout import ANY, BOOL, DIGEST, INT, LIST, MAP, NONE, OBJECT, UNSET

INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 63) - 1
MAX_ENCODING: Final = 2048
"""Bytes of an encoding that is hashed natively."""
MAX_WORK: Final = 200_000
"""Steps of the abstract run."""
_DIGEST_CELLS: Final = 9
_DIGEST_ENCODING: Final = 66
_INTEGER_ENCODING: Final = 9


class TooMuch(Exception):
    """The program is not worth the time that looking at it takes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a value: its kind by number, or `ANY`."""

    tag: int
    constant: Any = None
    """The value of an integer, a bool or None that is known; the number of an object that is known."""
    known: bool = False
    """Whether `constant` is one."""
    items: tuple[Kind, ...] = ()
    """Of a list that was just built; of a map, keys and values in turn, in canonical order."""

    @property
    def built(self) -> bool:
        """Whether it is a list or map that was just built, which lives no longer than the block."""
        return self.tag in (LIST, MAP)

    def loose(self) -> Kind:
        """The same as it is kept across blocks and in registers."""
        if self.built:
            return ANYTHING
        return self if self.tag == OBJECT else _LOOSE[self.tag]

    def join(self, other: Kind) -> Kind:
        """What is known of a value that is either of the two."""
        if self == other:
            return self
        return _LOOSE[self.tag] if self.tag == other.tag and not self.built else ANYTHING


ANYTHING: Final = Kind(ANY)
_LOOSE: Final[Mapping[int, Kind]] = {tag: Kind(tag) for tag in (UNSET, INT, BOOL, NONE, DIGEST, OBJECT, ANY)}
INTEGER: Final = _LOOSE[INT]
TRUTH: Final = _LOOSE[BOOL]
NOTHING: Final = _LOOSE[NONE]
HASH: Final = _LOOSE[DIGEST]
NEVER_SET: Final = _LOOSE[UNSET]

SCALARS: Final = (INT, BOOL, NONE)
"""Kinds that one word holds."""


@dataclass(slots=True)
class Step:
    """What native code does with an instruction."""

    native: bool
    """False where it leaves before."""
    price: int
    """Gas, with what sizes add."""
    callee: int | None = None
    """The function that is called, by number."""


@dataclass(slots=True)
class State:
    """The kinds of a frame's registers and stack."""

    registers: list[Kind]
    stack: list[Kind]

    def copy(self) -> State:
        """Another one, that can be changed by itself."""
        return State(list(self.registers), list(self.stack))

    def loosen(self) -> None:
        """Forget of the stack what does not outlive a block."""
        self.stack = [kind.loose() for kind in self.stack]


@dataclass
class FunctionFacts:
    """What is known of one function."""

    number: int
    function: LoadedFunction
    entry: dict[int, State] = field(default_factory=dict)
    """By the first instruction of a block: what is known before it."""
    steps: dict[int, Step] = field(default_factory=dict)
    result: Kind | None = None
    """None as long as nothing returns."""
    starts: Sequence[int] = ()
    """Where blocks begin; the end is one, too."""
    headers: Sequence[int] = ()
    """Where loops begin."""
    parameters: Sequence[Kind] = ()
    """What native code calls it with."""
    calls: bool = False
    """Whether it calls others, or itself."""
    weights: Mapping[int, int] = field(default_factory=dict)
    """What a turn of each loop counts for: 1, and more if it takes long."""

    @property
    def used(self) -> Sequence[int]:
        """The registers that its instructions name; the main program has those of all functions."""
        if self.number:
            return range(len(self.function.registers))
        found = set()
        for opcode, operand in self.function.instructions:
            if opcode in REGISTERED:
                found.add(operand[0] if isinstance(operand, tuple) else operand)
        return sorted(found)

    @property
    def size(self) -> int:
        """How many instructions it has."""
        return len(self.function.instructions)

    def end_of(self, at: int) -> int:
        """Where the block ends that `at` is in."""
        after = bisect_right(self.starts, at)
        return self.starts[after] if after < len(self.starts) else self.size


class Facts:
    """What is known of all functions of `loaded`; the main program is number 0. Raises `TooMuch`."""

    def __init__(self, loaded: Loaded, schedule: GasSchedule | None, *, metered: bool) -> None:
        self.loaded: Final = loaded
        self.schedule: Final = schedule
        self.metered: Final = metered
        self.objects: Final[list[Any]] = []
        self._numbers: Final[dict[int, int]] = {}
        self.functions: Final = [FunctionFacts(n, it) for n, it in enumerate(loaded.functions())]
        self._by_identity: Final = {id(it.function): it.number for it in self.functions}
        self.slots: Final[dict[str, int]] = {}
        """Keys of the state, by number."""
        self.shared: Final = self._shared_registers() | self._stored_registers()
        """The main program's registers that functions can see; they are in memory."""
        self.stored: Final = self._stored_registers()
        """Those of them that functions change."""
        self.named: Final = self._named_functions()
        self._work = 0
        for facts in self.functions:
            _divide(facts)
        self._settle()

    def number(self, value: Any) -> int:
        """The number of an object."""
        found = self._numbers.get(id(value))
        if found is None:
            found = self._numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return found

    def slot(self, key: str) -> int:
        """The number of a key of the state."""
        return self.slots.setdefault(key, len(self.slots))

    def constant(self, value: Any) -> Kind:
        """The kind of a constant."""
        if type(value) is int and INT_MIN <= value <= INT_MAX:
            return Kind(INT, value, known=True)
        if type(value) is bool:
            return Kind(BOOL, int(value), known=True)
        if value is None:
            return Kind(NONE, 0, known=True)
        return Kind(OBJECT, self.number(value), known=True)

    def callee(self, function: Any) -> int | None:
        """The number of a function of the program that native code can call."""
        if type(function) is not Function or function.bound:
            return None
        found = self.loaded.function(function)
        return None if found is None else self._by_identity.get(id(found))

    def pays(self) -> bool:
        """Whether loops that hold no others, or else functions that call, are native from end to end.

        If not, native code would leave in each turn, and generated Python is the better choice.
        """
        clean = [all(step.native or _ends(it, at) for at, step in it.steps.items()) for it in self.functions]
        loops = [(it, body) for it in self.functions for body in _innermost(it)]
        if not loops:
            return any(it.calls and clean[it.number] for it in self.functions)
        return all(
            (step.native and (step.callee is None or clean[step.callee])) or _ends(it, at)
            for it, body in loops
            for at, step in ((at, it.steps[at]) for at in body if at in it.steps)
        )

    # The abstract run

    def _settle(self) -> None:
        """Run everything until the kinds of results stay as they are."""
        while True:
            before = [facts.result for facts in self.functions]
            for facts in self.functions:
                self._run(facts)
            if [facts.result for facts in self.functions] == before:
                return

    def _run(self, facts: FunctionFacts) -> None:
        function = facts.function
        registers = [NEVER_SET] * len(function.registers)
        if facts.number == 0:
            registers = [ANYTHING] * len(function.registers)
        else:
            registers[: len(function.parameters)] = facts.parameters
        pending: list[int] = []
        self._reach(facts, 0, State(registers, []), pending)
        pending[:] = list(facts.entry)
        while pending:
            start = pending.pop()
            state = facts.entry[start].copy()
            end = facts.end_of(start)
            self._work += (end - start) + len(state.registers) // 8 + 1
            if self._work > MAX_WORK:
                raise TooMuch
            for at in range(start, end):
                facts.steps[at] = self.step(facts, at, state)
            for following in successors(facts, start, end):
                self._reach(facts, following, state, pending)

    def _returns(self, facts: FunctionFacts, state: State) -> None:
        kind = state.stack[-1].loose() if state.stack else NOTHING
        facts.result = kind if facts.result is None else facts.result.join(kind)

    def _reach(self, facts: FunctionFacts, start: int, state: State, pending: list[int]) -> None:
        reached = state.copy()
        reached.loosen()
        known = facts.entry.get(start)
        if known is None:
            facts.entry[start] = reached
        else:
            joined = State(
                [one.join(other) for one, other in zip(known.registers, reached.registers, strict=True)],
                [one.join(other) for one, other in zip(known.stack, reached.stack, strict=True)],
            )
            if joined == known:
                return
            facts.entry[start] = joined
        if start not in pending and start < facts.size:
            pending.append(start)
        elif start == facts.size:
            self._returns(facts, facts.entry[start])

    def step(self, facts: FunctionFacts, at: int, state: State) -> Step:
        """Do an instruction with kinds; what native code does with it."""
        opcode, operand = facts.function.instructions[at]
        price = static_price(opcode, operand, self.schedule) if self.metered else 0
        before = state.stack[:]
        step = Step(native=True, price=price)
        handler = _HANDLERS.get(opcode)
        native = handler is not None and handler(self, facts, operand, state, step)
        if not native:
            step.native = False
            state.stack[:] = before
            self._unknown(facts, opcode, operand, state)
        return step

    def _unknown(self, facts: FunctionFacts, opcode: Opcode, operand: Any, state: State) -> None:
        """What the interpreter leaves when it does the instruction."""
        if opcode is Opcode.RETURN:
            self._returns(facts, state)
            return
        if opcode is Opcode.STORE_NAME:
            state.registers[operand] = ANYTHING
        taken, put = stack_effect(opcode, operand)
        taken = min(taken, len(state.stack))
        del state.stack[len(state.stack) - taken :]
        if opcode in COMPARISON or opcode in LOGIC or opcode is Opcode.NOT:
            kind = TRUTH
        else:
            kind = INTEGER if opcode in _INTEGERS else ANYTHING
        state.stack += [kind] * put

    # Registers of the main program

    def global_register(self, facts: FunctionFacts, at: int) -> int:
        """The main program's register that the STORE_GLOBAL at `at` stores in."""
        register: int = facts.function.instructions[at].operand
        return facts.function.globals[register]

    def _shared_registers(self) -> frozenset[int]:
        found = set()
        for facts in self.functions[1:]:
            function = facts.function
            for at, (opcode, operand) in enumerate(function.instructions):
                if opcode in (Opcode.LOAD_NAME, Opcode.CALL_NAME):
                    register = operand if opcode is Opcode.LOAD_NAME else operand[0]
                    if register >= len(function.parameters):
                        found.add(function.globals[register])
                elif opcode is Opcode.STORE_GLOBAL:
                    found.add(self.global_register(facts, at))
        return frozenset(found)

    def _stored_registers(self) -> frozenset[int]:
        return frozenset(
            self.global_register(facts, at)
            for facts in self.functions
            for at, (opcode, _) in enumerate(facts.function.instructions)
            if opcode is Opcode.STORE_GLOBAL
        )

    def _named_functions(self) -> Mapping[int, int]:
        """By a main program's register: the number of the object that a call by this name probably calls."""
        found: dict[int, int] = {}
        instructions = self.functions[0].function.instructions
        for at, (opcode, operand) in enumerate(instructions):
            if opcode is Opcode.STORE_CONST and type(operand[1]) is Function:
                found.setdefault(operand[0], self.number(operand[1]))
            elif opcode is Opcode.STORE_NAME and at and instructions[at - 1].opcode is Opcode.LOAD_CONST:
                value = instructions[at - 1].operand
                if type(value) is Function:
                    found.setdefault(operand, self.number(value))
        return found


LEFT_TO_OTHERS: Final = frozenset((Opcode.REVERT, Opcode.SPAWN, Opcode.AWAIT))
"""What native code does not do, and generated Python hardly better."""
CALLS: Final = frozenset((Opcode.CALL_NAME, Opcode.CALL_FUNC_CONST, Opcode.CALL_TOP))
_ORDER: Final = (Opcode.LT, Opcode.GT, Opcode.LTE, Opcode.GTE)
_TAKES_INTEGERS: Final = frozenset((*ARITHMETIC, Opcode.NEG, *_ORDER))
"""More or less: strings are ordered and joined, too, which native code does not do."""
_INTEGERS: Final = frozenset(ARITHMETIC) - {Opcode.ADD} | {Opcode.NEG, Opcode.LENGTH, Opcode.TO_INTEGER}


def _divide(facts: FunctionFacts) -> None:
    instructions = facts.function.instructions
    starts, headers = {0, len(instructions)}, set()
    for at, (opcode, operand) in enumerate(instructions):
        if opcode in (Opcode.JUMP, Opcode.JUMP_IF_FALSE):
            starts.update((operand, at + 1))
            if operand <= at:
                headers.add(operand)
        elif opcode in ENDING:
            starts.add(at + 1)
    facts.starts, facts.headers = sorted(starts), sorted(headers)
    hashes = list(accumulate((opcode is Opcode.HASH_BLOCK for opcode, _ in instructions), initial=0))
    facts.weights = {}
    for at, (opcode, operand) in enumerate(instructions):
        if opcode in (Opcode.JUMP, Opcode.JUMP_IF_FALSE) and operand <= at:
            weight = (at + 1 - operand) // 32 + 4 * (hashes[at + 1] - hashes[operand])
            facts.weights[operand] = facts.weights.get(operand, 1) + weight
    facts.calls = any(opcode in CALLS for opcode, _ in instructions)
    count = len(facts.function.parameters)
    integers = {operand for at, operand in _parameters(facts, count) if _used_as_integer(facts, at)}
    facts.parameters = [INTEGER if number in integers else ANYTHING for number in range(count)]


def _ends(facts: FunctionFacts, at: int) -> bool:
    """Whether a run ends there anyway, or is one that generated Python does not do either."""
    return facts.function.instructions[at].opcode in LEFT_TO_OTHERS


def _innermost(facts: FunctionFacts) -> Iterator[range]:
    """The bodies of loops that hold no others, by the instructions between their begin and the jumps back."""
    ends: dict[int, int] = {}
    for at, (opcode, operand) in enumerate(facts.function.instructions):
        if opcode in (Opcode.JUMP, Opcode.JUMP_IF_FALSE) and operand <= at and at in facts.steps:
            ends[operand] = at + 1
    begins = sorted(ends)
    for number, begin in enumerate(begins):
        if number + 1 == len(begins) or begins[number + 1] >= ends[begin]:
            yield range(begin, ends[begin])


def _parameters(facts: FunctionFacts, count: int) -> Iterator[tuple[int, int]]:
    """Where parameters are loaded, and which."""
    for at, (opcode, operand) in enumerate(facts.function.instructions):
        if opcode is Opcode.LOAD_NAME and operand < count:
            yield at, operand


def _used_as_integer(facts: FunctionFacts, at: int) -> bool:
    """Whether an instruction of the same block takes what is loaded at `at`, and takes nothing but integers."""
    above = 0
    for opcode, operand in facts.function.instructions[at + 1 : facts.end_of(at)]:
        taken, put = stack_effect(opcode, operand)
        if taken > above:
            return opcode in _TAKES_INTEGERS
        above += put - taken
    return False


def successors(facts: FunctionFacts, start: int, end: int) -> Iterator[int]:
    """Where the block goes on."""
    if start == end:
        return
    opcode, operand = facts.function.instructions[end - 1]
    if opcode not in ENDING:
        yield end
    if opcode in (Opcode.JUMP, Opcode.JUMP_IF_FALSE):
        yield operand


# Instructions: each takes kinds from the stack and puts some there; False where native code does not do it


def _integer(kind: Kind) -> bool:
    return kind.tag in (INT, ANY)


def _load_constant(facts: Facts, _f: FunctionFacts, operand: Any, state: State, _s: Step) -> bool:
    state.stack.append(facts.constant(operand))
    return True


def _load_name(_: Facts, function: FunctionFacts, operand: int, state: State, _s: Step) -> bool:
    kind = state.registers[operand]
    if function.number == 0:
        state.stack.append(kind)
        return kind.tag != UNSET
    state.stack.append(ANYTHING if kind.tag == UNSET else kind)
    return True


def _kept(facts: Facts, function: FunctionFacts, register: int, kind: Kind) -> Kind:
    """What is known of a register once a value is stored there."""
    return ANYTHING if function.number == 0 and register in facts.stored else kind.loose()


def _store_name(facts: Facts, function: FunctionFacts, operand: int, state: State, _s: Step) -> bool:
    kind = state.stack.pop()
    state.registers[operand] = _kept(facts, function, operand, kind)
    return not kind.built


def _store_constant(facts: Facts, function: FunctionFacts, operand: Any, state: State, _s: Step) -> bool:
    state.registers[operand[0]] = _kept(facts, function, operand[0], facts.constant(operand[1]))
    return True


def _store_global(_: Facts, _f: FunctionFacts, _operand: int, state: State, _s: Step) -> bool:
    kind = state.stack.pop()  # the register is one of those that are known to change, even of the main program
    return not kind.built


def _pop(_: Facts, _f: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
    state.stack.pop()
    return True


def _duplicate(_: Facts, _f: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
    state.stack.append(state.stack[-1])
    return not state.stack[-1].built


def _has_equality(kind: Kind) -> bool:
    return kind.tag in (*SCALARS, ANY)


def has_truth(kind: Kind) -> bool:
    """Whether native code can tell whether it is true."""
    return kind.tag in (*SCALARS, DIGEST, ANY) or (kind.tag == OBJECT and kind.known)


def _operation(taken: int, takes: Callable[[Kind], bool], result: Kind) -> _Handler:
    """An instruction that makes one value of as many that are all alike."""

    def handle(_: Facts, _f: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
        kinds = state.stack[-taken:]
        state.stack[-taken:] = [result]
        return all(map(takes, kinds))

    return handle


def _jump(_: Facts, _f: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
    return not any(kind.built for kind in state.stack)


def _jump_if_false(_: Facts, _f: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
    kind = state.stack.pop()
    return has_truth(kind) and not any(kind.built for kind in state.stack)


def _return(facts: Facts, function: FunctionFacts, _operand: Any, state: State, _s: Step) -> bool:
    kind = state.stack[-1] if state.stack else NOTHING
    facts._returns(function, state)
    return not kind.built


def _call(facts: Facts, state: State, step: Step, callee: int | None, count: int) -> bool:
    """Take the arguments, give the result."""
    arguments = state.stack[len(state.stack) - count :]
    del state.stack[len(state.stack) - count :]
    if callee is None or callee == 0 or len(facts.functions[callee].function.parameters) != count:
        return False
    step.callee = callee
    state.stack.append(facts.functions[callee].result or INTEGER)
    wanted = facts.functions[callee].parameters
    if any(kind.built for kind in (*state.stack, *arguments)):
        return False
    return all(
        _integer(kind) if want.tag == INT else kind.tag != DIGEST for kind, want in zip(arguments, wanted, strict=True)
    )


def _call_name(facts: Facts, function: FunctionFacts, operand: Any, state: State, step: Step) -> bool:
    register, count = operand
    kind = state.registers[register]
    named = kind.constant if kind.tag == OBJECT and kind.known else None
    if named is None and kind.tag in (UNSET, ANY, OBJECT):
        named = facts.named.get(function.function.globals[register])
    return named is not None and _call(facts, state, step, facts.callee(facts.objects[named]), count)


def _call_constant(facts: Facts, _f: FunctionFacts, operand: Any, state: State, step: Step) -> bool:
    return _call(facts, state, step, facts.callee(operand[0]), operand[1])


def _call_top(facts: Facts, _f: FunctionFacts, operand: int, state: State, step: Step) -> bool:
    kind = state.stack.pop()
    callee = facts.callee(facts.objects[kind.constant]) if kind.tag == OBJECT and kind.known else None
    return _call(facts, state, step, callee, operand)


def size_of(facts: Facts, kind: Kind) -> tuple[int, int]:
    """(cells, the most bytes of the encoding) of a value; of what is only known when it runs, as of an integer."""
    if kind.tag == OBJECT:
        value = facts.objects[kind.constant]
        return cells(value), cbor.size(value) + 16
    if kind.tag == DIGEST:
        return _DIGEST_CELLS, _DIGEST_ENCODING
    if kind.built:
        sizes = [size_of(facts, item) for item in kind.items]
        return 1 + sum(size[0] for size in sizes), 9 + sum(size[1] for size in sizes)
    return 1, _INTEGER_ENCODING


def _height(kind: Kind) -> int:
    return 1 + max(map(_height, kind.items), default=0) if kind.built else 0


def encodable(facts: Facts, kind: Kind) -> bool:
    """Whether native code can make the encoding: of constants and scalars, and collections of them."""
    if kind.tag == OBJECT:
        return kind.known and _storable(facts, facts.objects[kind.constant])
    if kind.built:
        return all(encodable(facts, item) for item in kind.items)
    return kind.tag in (*SCALARS, DIGEST, ANY)


def _storable(facts: Facts, value: Value) -> bool:
    try:
        check_storable(value, facts.loaded.limits.values)
    except Exception:
        return False
    return type(value) in (int, str, bytes)


def _build(facts: Facts, state: State, step: Step, made: Kind, taken: int) -> bool:
    del state.stack[len(state.stack) - taken :]
    state.stack.append(made)
    limits = facts.loaded.limits.values
    if not encodable(facts, made):
        return False
    size, encoding = size_of(facts, made)
    items = taken if made.tag == LIST else taken // 2
    if items > limits.items or _height(made) > limits.nesting or size > limits.cells or encoding > MAX_ENCODING:
        return False
    if facts.schedule is not None and facts.metered:
        step.price += facts.schedule.per_cell * (size - 1)
    return True


def _build_list(facts: Facts, _f: FunctionFacts, count: int, state: State, step: Step) -> bool:
    items = tuple(state.stack[len(state.stack) - count :]) if count else ()
    return _build(facts, state, step, Kind(LIST, items=items), count)


def map_order(facts: Facts, kinds: Sequence[Kind]) -> list[int] | None:
    """Positions of the pairs in canonical order; None if keys are not known or not different."""
    keys: list[Key] = []
    for kind in kinds[::2]:
        if not kind.known or kind.tag not in (INT, OBJECT):
            return None
        key = kind.constant if kind.tag == INT else facts.objects[kind.constant]
        if type(key) not in (int, str, bytes):
            return None
        keys.append(key)
    if len(set(keys)) != len(keys):
        return None
    places = {key: place for place, key in enumerate(keys)}
    return [places[key] for key in cbor.in_order(keys)]


def _build_map(facts: Facts, _f: FunctionFacts, count: int, state: State, step: Step) -> bool:
    kinds = state.stack[len(state.stack) - 2 * count :] if count else []
    if map_order(facts, kinds) is None:
        return False
    if sum(kind.tag == INT for kind in kinds[::2]) > facts.loaded.limits.values.integer_keys:
        return False
    # The interpreter's map has them as they were pushed, so they are kept in that order, and sorted to be hashed.
    return _build(facts, state, step, Kind(MAP, items=tuple(kinds)), 2 * count)


def _hash_block(facts: Facts, _f: FunctionFacts, _operand: Any, state: State, step: Step) -> bool:
    kind = state.stack.pop()
    state.stack.append(HASH)
    if not encodable(facts, kind):
        return False
    size, encoding = size_of(facts, kind)
    if facts.schedule is not None and facts.metered:
        step.price += facts.schedule.hash_cell * (size - 1)
    return encoding <= MAX_ENCODING


def _state_read(facts: Facts, _f: FunctionFacts, key: str, state: State, _s: Step) -> bool:
    facts.slot(key)
    state.stack.append(ANYTHING)
    return True


def _state_write(facts: Facts, _f: FunctionFacts, key: str, state: State, _s: Step) -> bool:
    facts.slot(key)
    return state.stack.pop().tag in (INT, BOOL, ANY)


def _plain(_: Facts, _f: FunctionFacts, _operand: Any, _state: State, _s: Step) -> bool:
    return True


def _append_ledger(facts: Facts, _f: FunctionFacts, _operand: Any, state: State, step: Step) -> bool:
    kind = state.stack.pop()
    if kind.tag not in (INT, DIGEST, ANY) and not (kind.tag == OBJECT and kind.known):
        return False
    if facts.schedule is not None and facts.metered:
        step.price += facts.schedule.ledger_cell * (size_of(facts, kind)[0] - 1)
    return True


_Handler = Callable[[Facts, FunctionFacts, Any, State, Step], bool]
_HANDLERS: Final[Mapping[Opcode, _Handler]] = {
    Opcode.LOAD_CONST: _load_constant,
    Opcode.LOAD_NAME: _load_name,
    Opcode.STORE_NAME: _store_name,
    Opcode.STORE_CONST: _store_constant,
    Opcode.STORE_GLOBAL: _store_global,
    Opcode.POP: _pop,
    Opcode.DUP: _duplicate,
    **dict.fromkeys(ARITHMETIC, _operation(2, _integer, INTEGER)),
    Opcode.NEG: _operation(1, _integer, INTEGER),
    **dict.fromkeys(_ORDER, _operation(2, _integer, TRUTH)),
    **dict.fromkeys((Opcode.EQ, Opcode.NEQ), _operation(2, _has_equality, TRUTH)),
    **dict.fromkeys(LOGIC, _operation(2, has_truth, TRUTH)),
    Opcode.NOT: _operation(1, has_truth, TRUTH),
    Opcode.JUMP: _jump,
    Opcode.JUMP_IF_FALSE: _jump_if_false,
    Opcode.RETURN: _return,
    Opcode.CALL_NAME: _call_name,
    Opcode.CALL_FUNC_CONST: _call_constant,
    Opcode.CALL_TOP: _call_top,
    Opcode.BUILD_LIST: _build_list,
    Opcode.BUILD_MAP: _build_map,
    Opcode.HASH_BLOCK: _hash_block,
    Opcode.STATE_READ: _state_read,
    Opcode.STATE_WRITE: _state_write,
    **dict.fromkeys((Opcode.TX_BEGIN, Opcode.TX_COMMIT, Opcode.TX_REVERT, Opcode.GAS_CHARGE), _plain),
    Opcode.LEDGER_APPEND: _append_ledger,
}
NATIVE: Final = frozenset(_HANDLERS)
"""The instructions that native code can do."""
