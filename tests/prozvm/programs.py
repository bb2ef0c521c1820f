"""Programs that do something, at random, for tests that compare two ways of running them.

All of them are verified and end: loops count to a small bound, and a function calls only later ones. Most run
through; some fail on purpose, with every kind of error that operations have. `generate` takes a `random.Random`, so
that a command can make a hundred thousand from one seed; `programs` is the same as a strategy, which shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from hypothesis import strategies as st
from vmloom import BlockContext
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.errors import ProzError, UserRevert
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.context import CallContext
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Cell, Function, Value, ValueLimits

INTEGERS: Final = (
    0,
    1,
    2,
    3,
    7,
    -1,
    -2,
    10,
    255,
    1 << 31,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    1 << 64,
    -(1 << 64),
    1 << 90,
)
TEXTS: Final = ("", "a", "zoë", "abcdefgh", "0123456789")
BYTES: Final = (b"", b"\0", b"abcdefghi")
KEY: Final = b"\x58" + 31 * b"\x66"
"""A point of ed25519: the base point."""
NAMES: Final = {int: ("a", "b", "c"), str: ("s", "t"), bytes: ("d",), list: ("l", "k"), dict: ("m",), bool: ("p",)}
"""Names of variables by the kind of value that they always have."""
CELL: Final = "cell"
"""A variable that always has a cell, with an integer in it; a function that has it as a parameter has its own."""
ITEM: Final = "item"
"""A variable that has anything that a collection can have."""
STATE_KEYS: Final = ("x", "y")
"""Keys under which programs keep integers."""
STATE_PATHS: Final = (("x",), ("balances", b"who"), ("table", 1, "row"), (7, 1 << 64))
"""Paths under which programs keep integers; the first one is also a key."""
DEFAULT_LIMITS: Final = Limits()
SMALL_LIMITS: Final = Limits(values=ValueLimits(integer_bits=256, string_size=64, bytes_size=64, items=12, cells=64))
"""So small that programs reach them."""


@dataclass(frozen=True)
class Shape:
    """What programs may have in them. `wrong` is how often something of the wrong kind is used on purpose, 0 to 1."""

    functions: bool = True
    tasks: bool = True
    state: bool = True
    closures: bool = True
    """Closures, cells, and variables of the main program that functions change."""
    conversions: bool = True
    """Conversions between kinds, parts of collections, and loops over their items."""
    paths: bool = True
    """Paths into the state, if there is `state`."""
    contract: bool = False
    """Instructions that need the surroundings of a contract."""
    wrong: float = 0.01
    statements: int = 24


def generate(random: Random, shape: Shape = Shape()) -> Bytecode:
    """A program of this shape."""
    functions: list[Function] = []
    for number in reversed(range(random.randint(1, 3) if shape.functions or shape.tasks else 0)):
        parameters = tuple(NAMES[int][: random.randint(0, 2)])
        if shape.closures and random.random() < 0.5:
            parameters = (CELL, *parameters)
        body = _Writer(random, shape, list(functions), inside=True)
        functions.insert(0, Function(f"f{number}", parameters, body.write(random.randint(1, 5))))
    return _Writer(random, shape, functions, inside=False).write(random.randint(1, shape.statements))


def programs(shape: Shape = Shape()) -> st.SearchStrategy[Bytecode]:
    """`generate` as a strategy."""
    return st.randoms(use_true_random=False).map(lambda random: generate(random, shape))


GAS: Final = st.one_of(st.none(), st.integers(0, 30_000))
"""Gas for a run: often too little."""


@dataclass(repr=False, eq=False)
class Outcome:
    """All that can be seen of a run. Two are equal if their `repr` is: to Python, True is 1, and maps have no order."""

    result: Any = None
    error: type[ProzError] | None = None
    at: int | None = None
    function: str = ""
    trace: list[tuple[str, int]] = field(default_factory=list)
    output: Any = None
    gas_left: int | None = None
    state: dict[str, Any] = field(default_factory=dict)
    ledger: list[Any] = field(default_factory=list)
    events: list[tuple[list[int], bytes]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other) if isinstance(other, Outcome) else NotImplemented

    def __repr__(self) -> str:
        error = self.error.__name__ if self.error else None
        seen = {**vars(self), "error": error}
        for name in ("state", "variables"):
            seen[name] = dict(sorted(seen[name].items(), key=repr))
        cells: dict[int, int] = {}
        return "\n".join(f"{name}: {_picture(value, cells)}" for name, value in seen.items())


def _picture(value: Any, cells: dict[int, int]) -> str:
    """`value` as text that is the same in each run; `cells` has a number for each cell seen."""
    kind = type(value)
    if kind is Cell:
        if id(value) in cells:
            return f"cell {cells[id(value)]}"
        cells[id(value)] = len(cells)
        return f"cell {cells[id(value)]} of {_picture(value.value, cells)}"
    if kind is Function:
        bound = _picture(list(value.bound), cells)
        return f"function {value.name!r} {value.parameters} {bound}"
    if kind in (list, tuple):
        return f"[{', '.join(_picture(item, cells) for item in value)}]"
    if kind is dict:
        pairs = (f"{_picture(key, cells)}: {_picture(item, cells)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def interpret(
    program: Bytecode,
    *,
    schedule: GasSchedule | None = None,
    gas: int | None = None,
    strict: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Outcome:
    """Run `program` in the interpreter."""
    loaded = load(program, limits, strict=strict)
    return observe(
        lambda env, context, variables: Machine(
            DictWorld(env), schedule=schedule, gas=gas, strict=strict, context=context, globals=variables, limits=limits
        ),
        lambda machine: machine.run(loaded),
    )


def observe(make: Callable[[dict[str, Any], CallContext, dict[str, Any]], Any], run: Callable[[Any], Value]) -> Outcome:
    """The outcome of `run` on what `make` makes from a world's dictionary, a context and variables, all new.

    What is made has `gas_left`.
    """
    outcome = Outcome()
    env: dict[str, Any] = {"_block_timestamp": 1000}
    context = CallContext(
        input=b"input",
        caller=b"c" * 20,
        address=b"a" * 20,
        value=5,
        block=BlockContext(number=9, timestamp=1000),
        emit=lambda topics, data: outcome.events.append((topics, data)),
        call=_call,
    )
    machine = make(env, context, outcome.variables)
    try:
        outcome.result = run(machine)
    except ProzError as error:
        outcome.error, outcome.at = type(error), error.at
        outcome.function = getattr(error, "function", "")
        outcome.trace = list(getattr(error, "trace", ()) or ())
        outcome.output = error.output if isinstance(error, UserRevert) else None
    outcome.gas_left = machine.gas_left
    outcome.state, outcome.ledger = env.get("_blockchain_state", {}), env.get("_ledger", [])
    return outcome


def _call(address: bytes, data: bytes, value: int, _gas: int | None) -> tuple[Value, int]:
    """A contract that says what it was called with and uses 100 gas."""
    return {"status": True, "output": address + data + bytes([value % 256])}, 100


class _Writer:
    """Writes one function. Expressions are methods by kind that leave a value of that kind on the stack."""

    def __init__(self, random: Random, shape: Shape, functions: list[Function], *, inside: bool) -> None:
        self.random = random
        self.shape = shape
        self.functions = functions
        self.inside = inside
        self.out = BytecodeBuilder()
        self.labels = 0
        self.loops = 0
        self.open = 0
        self.tasks = 0
        self.expressions: dict[type, Callable[[int], None]] = {
            int: self.integer,
            bool: self.boolean,
            str: self.text,
            bytes: self.byte_string,
            list: self.list,
            dict: self.map,
        }

    def write(self, statements: int) -> Bytecode:
        if not self.inside:
            self.prologue()
        self.block(statements, 0)
        if self.random.random() < 0.9:
            self.any(2)
            if self.random.random() < 0.5:
                self.out.emit("RETURN")
        return self.out.build()

    def prologue(self) -> None:
        """Give every variable and every key of the state a value; functions are variables, too."""
        for kind, names in NAMES.items():
            for name in names:
                self.out.emit("STORE_CONST", name, self.constant(kind))
        for function in self.functions:
            self.out.emit("LOAD_CONST", function).emit("STORE_NAME", function.name)
        if self.shape.closures:
            self.out.emit("LOAD_CONST", self.constant(int)).emit("NEW_CELL").emit("STORE_NAME", CELL)
        if self.shape.conversions:
            self.out.emit("STORE_CONST", ITEM, 0)
        if self.shape.state:
            self.out.emit("TX_BEGIN")
            for key in STATE_KEYS:
                self.out.emit("LOAD_CONST", self.constant(int)).emit("STATE_WRITE", key)
            if self.shape.paths:
                for path in STATE_PATHS:
                    self.path(path)
                    self.out.emit("LOAD_CONST", self.constant(int)).emit("STATE_WRITE_AT", len(path))
            self.out.emit("TX_COMMIT")

    # Statements: they leave the stack as it was

    def block(self, statements: int, depth: int) -> None:
        for _ in range(statements):
            self.statement(depth)

    def statement(self, depth: int) -> None:
        choices: list[Callable[[int], None]] = [self.assign] * 5 + [self.discard, self.charge, self.skip]
        if depth < 3:
            choices += [self.branch, self.branch, self.leave]
        if depth < 2 and self.loops < 2:
            choices += [self.loop, self.loop]
            if self.shape.conversions:
                choices += [self.loop_over_items]
        if self.shape.closures:
            choices += [self.assign_global, self.write_cell]
            if self.functions:
                choices += [self.rebind]
        if self.shape.state:
            choices += [self.transaction, self.append] if depth < 3 else [self.append]
        if self.shape.state and self.open:
            choices += [self.write_state] * 3
        if self.shape.tasks and self.functions:
            choices += [self.task]
        if self.shape.contract:
            choices += [self.emit_event]
        self.random.choice(choices)(depth)

    def assign(self, depth: int) -> None:
        kind = self.random.choice(list(NAMES))
        self.expressions[kind](2)
        self.out.emit("STORE_NAME", self.random.choice(NAMES[kind]))

    def discard(self, depth: int) -> None:
        self.any(2)
        self.out.emit("POP")

    def charge(self, depth: int) -> None:
        self.out.emit("GAS_CHARGE", self.random.choice((0, 1, 5, 100)))

    def skip(self, depth: int) -> None:
        """Jumps that only lead on, one to the next."""
        first, second = self.label(), self.label()
        self.out.emit("JUMP", first).label(first).emit("JUMP", second).label(second)

    def branch(self, depth: int) -> None:
        otherwise, end = self.label(), self.label()
        self.boolean(2)
        self.out.emit("JUMP_IF_FALSE", otherwise)
        self.block(self.random.randint(0, 2), depth + 1)
        self.out.emit("JUMP", end).label(otherwise)
        self.block(self.random.randint(0, 2), depth + 1)
        self.out.label(end)

    def loop(self, depth: int) -> None:
        top, end = self.label(), self.label()
        counter = f"i{self.loops}"
        self.loops += 1
        self.out.emit("STORE_CONST", counter, 0).label(top)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", self.random.randint(0, 4)).emit("LT")
        self.out.emit("JUMP_IF_FALSE", end)
        self.block(self.random.randint(1, 3), depth + 1)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", 1).emit("ADD").emit("STORE_NAME", counter)
        self.out.emit("JUMP", top).label(end)
        self.loops -= 1

    def loop_over_items(self, depth: int) -> None:
        """Over the first items of any collection, as the language does it."""
        top, end = self.label(), self.label()
        counter, items = f"i{self.loops}", f"l{self.loops}"
        self.loops += 1
        self.expressions[self.random.choice((list, dict, str, bytes))](1)
        self.out.emit("ITEMS").emit("STORE_NAME", items).emit("STORE_CONST", counter, 0).label(top)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_NAME", items).emit("LENGTH").emit("LT")
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", 4).emit("LT").emit("AND").emit("JUMP_IF_FALSE", end)
        self.out.emit("LOAD_NAME", items).emit("LOAD_NAME", counter).emit("INDEX").emit("STORE_NAME", ITEM)
        self.out.emit("LOAD_NAME", counter).emit("LOAD_CONST", 1).emit("ADD").emit("STORE_NAME", counter)
        self.block(self.random.randint(1, 2), depth + 1)
        self.out.emit("JUMP", top).label(end)
        self.loops -= 1

    def assign_global(self, depth: int) -> None:
        kind = self.random.choice(list(NAMES))
        self.expressions[kind](2)
        self.out.emit("STORE_GLOBAL", self.random.choice(NAMES[kind]))

    def write_cell(self, depth: int) -> None:
        if self.random.random() < 0.3:
            self.integer(1)
            self.out.emit("NEW_CELL").emit("STORE_GLOBAL" if self.wrong() else "STORE_NAME", CELL)
        else:
            self.out.emit("LOAD_NAME", CELL)
            self.integer(2)
            self.out.emit("CELL_WRITE")

    def rebind(self, depth: int) -> None:
        """From now on CALL_NAME of a function's name calls a closure, perhaps of a later one: so all goes on to end."""
        place = self.random.randrange(len(self.functions))
        name = self.functions[place].name
        alike = [other for other in self.functions[place:] if other.parameters == self.functions[place].parameters]
        self.out.emit("CLOSURE", self.random.choice(alike), 0).emit("STORE_GLOBAL", name)

    def leave(self, depth: int) -> None:
        """Return, or revert, where a condition says so; what follows at once may be dead."""
        end = self.label()
        self.boolean(1)
        self.boolean(1)
        self.out.emit("AND").emit("JUMP_IF_FALSE", end)
        self.any(1)
        self.out.emit("REVERT" if self.random.random() < 0.2 else "RETURN")
        if self.random.random() < 0.3:
            self.assign(depth)
        self.out.label(end)

    def transaction(self, depth: int) -> None:
        self.out.emit("TX_BEGIN")
        self.open += 1
        self.block(self.random.randint(1, 3), depth + 1)
        self.open -= 1
        if not self.wrong():
            self.out.emit(self.random.choice(("TX_COMMIT", "TX_COMMIT", "TX_REVERT")))

    def write_state(self, depth: int) -> None:
        if self.shape.paths and self.random.random() < 0.5:
            path = self.random.choice(STATE_PATHS)
            self.path(path)
            self.integer(1)
            self.out.emit("STATE_WRITE_AT", len(path))
            return
        self.integer(2)
        self.out.emit("STATE_WRITE", self.random.choice(STATE_KEYS))

    def append(self, depth: int) -> None:
        self.any(1)
        self.out.emit("LEDGER_APPEND")

    def task(self, depth: int) -> None:
        """Spawn, and await now, later or never; what it gave is dropped, for it may be of any kind."""
        function = self.random.choice(self.functions)
        bound = self.closure(function)
        self.arguments(function, bound)
        self.out.emit("SPAWN", len(function.parameters) - bound).emit("STORE_NAME", f"t{self.tasks}")
        if self.random.random() < 0.6:
            self.out.emit("LOAD_NAME", f"t{self.random.randint(0, self.tasks) if self.wrong() else self.tasks}")
            self.out.emit("AWAIT").emit("POP")
        if depth == 0:
            self.tasks += 1

    def emit_event(self, depth: int) -> None:
        self.out.emit("LOAD_CONST", 7).emit("LOAD_CONST", self.random.choice((0, 1 << 255))).emit("BUILD_LIST", 2)
        self.byte_string(1)
        self.out.emit("EMIT")

    # Expressions: they leave one value more

    def any(self, depth: int) -> None:
        self.expressions[self.random.choice(list(self.expressions))](depth)

    def simple(self, kind: type, depth: int) -> bool:
        """Write a constant or variable if it is time to, or something wrong; otherwise say that nothing is written."""
        if self.wrong():
            if self.random.random() < 0.2:
                self.out.emit("LOAD_NAME", "nothing")
            else:
                self.out.emit("LOAD_CONST", self.constant(self.random.choice(list(NAMES))))
            return True
        if depth > 0 and self.random.random() < 0.6:
            return False
        if self.random.random() < 0.6:
            self.out.emit("LOAD_NAME", self.random.choice(NAMES[kind]))
        else:
            self.out.emit("LOAD_CONST", self.constant(kind))
        return True

    def integer(self, depth: int) -> None:
        if self.simple(int, depth):
            return
        choices: list[Callable[[int], None]] = [self.arithmetic] * 6 + [self.division, self.power, self.negation]
        choices += [self.length, self.item, self.twice, self.choice]
        if self.shape.state:
            choices.append(self.read_state)
        if self.shape.closures:
            choices.append(self.read_cell)
        if self.shape.conversions:
            choices.append(self.to_integer)
        if self.shape.functions and self.functions:
            choices.append(self.call)
        if self.shape.contract:
            choices.append(self.surroundings)
        self.random.choice(choices)(depth - 1)

    def arithmetic(self, depth: int) -> None:
        self.integer(depth)
        self.integer(depth)
        self.out.emit(self.random.choice(("ADD", "ADD", "SUB", "MUL")))

    def division(self, depth: int) -> None:
        self.integer(depth)
        if self.wrong():
            self.integer(depth)
        else:
            self.out.emit("LOAD_CONST", self.random.choice((1, 2, 3, -7, 1 << 64)))
        self.out.emit(self.random.choice(("DIV", "MOD")))

    def power(self, depth: int) -> None:
        self.integer(depth)
        self.out.emit("LOAD_CONST", self.random.choice((0, 1, 2, 2, 3) if not self.wrong() else (-1, 5000)))
        self.out.emit("POW")

    def negation(self, depth: int) -> None:
        self.integer(depth)
        self.out.emit("NEG")

    def twice(self, depth: int) -> None:
        self.integer(depth)
        self.out.emit("DUP").emit(self.random.choice(("ADD", "MUL", "SUB")))

    def choice(self, depth: int) -> None:
        """One of two values, with whatever is on the stack below."""
        otherwise, end = self.label(), self.label()
        self.boolean(depth)
        self.out.emit("JUMP_IF_FALSE", otherwise)
        self.integer(depth)
        self.out.emit("JUMP", end).label(otherwise)
        self.integer(depth)
        self.out.label(end)

    def length(self, depth: int) -> None:
        self.expressions[self.random.choice((str, bytes, list, dict))](depth)
        self.out.emit("LENGTH")

    def item(self, depth: int) -> None:
        """A number out of a list that is long enough, or is not."""
        if self.wrong():
            self.list(depth)
        else:
            count = self.random.randint(1, 3)
            for _ in range(count):
                self.integer(depth)
            self.out.emit("BUILD_LIST", count)
        self.out.emit("LOAD_CONST", 0).emit("INDEX")

    def read_state(self, depth: int) -> None:
        if not self.shape.paths or self.random.random() < 0.5:
            self.out.emit("STATE_READ", self.random.choice(STATE_KEYS))
        elif self.random.random() < 0.7:
            path = self.random.choice(STATE_PATHS)
            self.path(path)
            self.out.emit("STATE_READ_AT", len(path))
        else:  # under a path that is calculated there is mostly nothing, and then it is another integer
            nothing, end = self.label(), self.label()
            self.out.emit("LOAD_CONST", "table")
            self.integer(depth)
            self.out.emit("STATE_READ_AT", 2).emit("DUP").emit("LOAD_CONST", None).emit("NEQ")
            self.out.emit("JUMP_IF_FALSE", nothing).emit("JUMP", end).label(nothing).emit("POP")
            self.integer(depth)
            self.out.label(end)

    def path(self, path: tuple[str | int | bytes, ...]) -> None:
        for key in path:
            self.out.emit("LOAD_CONST", key)

    def read_cell(self, depth: int) -> None:
        self.out.emit("LOAD_NAME", CELL).emit("CELL_READ")

    def to_integer(self, depth: int) -> None:
        match self.random.randint(0, 3):
            case 0:
                self.integer(depth)
                self.out.emit("TO_STRING")
            case 1:
                self.boolean(depth)
            case 2:
                self.out.emit("LOAD_CONST", self.random.choice(("-0", "0x1f", "12345678901234567890", b"\1\0")))
            case _:
                self.integer(depth)
        self.out.emit("TO_INTEGER")

    def call(self, depth: int) -> None:
        """A function's result may be of any kind, so only whether it is true is used."""
        function = self.random.choice(self.functions)
        way = self.random.choice(("CALL_NAME", "CALL_FUNC_CONST", "CALL_TOP"))
        count = len(function.parameters)
        if way == "CALL_TOP" and self.shape.closures and self.random.random() < 0.7:
            bound = self.closure(function)
            self.out.emit("STORE_NAME", "closure")
            self.arguments(function, bound)
            self.out.emit("LOAD_NAME", "closure").emit(way, count - bound)
            self.one_of_two()
            return
        self.arguments(function)
        if self.wrong():
            self.out.emit("LOAD_CONST", 1)
            way, count = "CALL_NAME", count + 1
        if way == "CALL_NAME":
            self.out.emit(way, function.name, count)
        elif way == "CALL_FUNC_CONST":
            self.out.emit(way, function, count)
        else:
            self.out.emit("LOAD_CONST", function).emit(way, count)
        self.one_of_two()

    def one_of_two(self) -> None:
        """An integer for each truth of what is on the stack."""
        otherwise, end = self.label(), self.label()
        self.out.emit("JUMP_IF_FALSE", otherwise).emit("LOAD_CONST", 11).emit("JUMP", end)
        self.out.label(otherwise).emit("LOAD_CONST", 12).label(end)

    def arguments(self, function: Function, first: int = 0) -> None:
        """What parameter `first` and those behind it are given."""
        for name in function.parameters[first:]:
            if name == CELL:
                self.out.emit("LOAD_NAME", CELL)
            else:
                self.integer(1)

    def closure(self, function: Function) -> int:
        """Write the function with some of its parameters bound, and return how many; or itself, with none."""
        if not self.shape.closures:
            self.out.emit("LOAD_CONST", function)
            return 0
        bound = self.random.randint(0, len(function.parameters))
        self.arguments(Function("", function.parameters[:bound], function.bytecode))
        self.out.emit("CLOSURE", function, bound)
        return bound

    def surroundings(self, depth: int) -> None:
        match self.random.randint(0, 2):
            case 0:
                self.out.emit("VALUE")
            case 1:
                self.out.emit("BLOCK", self.random.choice(("number", "timestamp", "chain_id")))
            case _:
                self.out.emit("ADDRESS").emit("INPUT").emit("LOAD_CONST", 0)
                self.out.emit("CALL_CONTRACT").emit("LENGTH")

    def boolean(self, depth: int) -> None:
        if self.simple(bool, depth):
            return
        if self.shape.conversions and self.random.random() < 0.15:
            self.contains(depth)
            return
        match self.random.randint(0, 4):
            case 0:
                self.boolean(depth - 1)
                self.out.emit("NOT")
            case 1:
                self.any(depth - 1)
                self.any(depth - 1)
                self.out.emit(self.random.choice(("AND", "OR", "EQ", "NEQ")))
            case _:
                kind = self.random.choice((int, int, int, str, bytes))
                self.expressions[kind](depth - 1)
                self.expressions[kind](depth - 1)
                self.out.emit(self.random.choice(("EQ", "NEQ", "LT", "GT", "LTE", "GTE")))

    def contains(self, depth: int) -> None:
        """Whether something is in a collection, or once in a while whether a signature is one."""
        if self.random.random() < 0.1:
            size = self.random.choice((64, 64, 63))
            self.out.emit("LOAD_CONST", bytes(size)).emit("LOAD_CONST", "message").emit(
                "LOAD_CONST", b"\x01" + bytes(31)
            )
            self.out.emit("VERIFY_SIGNATURE")
            return
        collection, item = self.random.choice(((list, self.any), (dict, self.text), (str, self.text)))
        self.expressions[collection](depth - 1)
        item(0)
        self.out.emit("CONTAINS")

    def part(self, begin: Value) -> None:
        """Some of what is on the stack, which gets `begin`, of three items, in front."""
        self.out.emit("STORE_NAME", "whole").emit("LOAD_CONST", begin).emit("LOAD_NAME", "whole").emit("ADD")
        self.out.emit("LOAD_CONST", self.random.choice((0, 1))).emit("LOAD_CONST", self.random.choice((1, 2, 3)))
        if self.wrong():
            self.out.emit("NEG")
        self.out.emit("SLICE")

    def text(self, depth: int) -> None:
        if self.simple(str, depth):
            return
        if self.shape.conversions and self.random.random() < 0.4:
            self.converted_text(depth)
            return
        match self.random.randint(0, 3):
            case 0:
                self.any(depth - 1)
                self.out.emit("HASH_BLOCK")
            case 1:
                count = self.random.randint(0, 3)
                for _ in range(count):
                    self.any(0)
                self.out.emit("MERKLE_ROOT", count)
            case 2:
                self.out.emit("LOAD_CONST", "zoë").emit("LOAD_CONST", self.random.choice((0, 2)))
                self.out.emit("INDEX")
            case _:
                self.text(depth - 1)
                self.text(0)
                self.out.emit("ADD")

    def converted_text(self, depth: int) -> None:
        match self.random.randint(0, 3):
            case 0:
                self.any(depth - 1)
                self.out.emit("KIND")
            case 1:
                self.text(depth - 1)
                self.part("zoë")
            case 2:
                self.out.emit("LOAD_NAME", ITEM).emit("KIND")
            case _:
                self.expressions[self.random.choice((int, bool, str, bytes))](depth - 1)
                self.out.emit("TO_STRING")

    def byte_string(self, depth: int) -> None:
        if self.simple(bytes, depth):
            return
        if self.shape.conversions and self.random.random() < 0.4:
            self.converted_bytes(depth)
            return
        if self.shape.contract and self.random.random() < 0.5:
            self.out.emit(self.random.choice(("INPUT", "CALLER", "ADDRESS")))
        else:
            self.byte_string(depth - 1)
            self.byte_string(0)
            self.out.emit("ADD")

    def converted_bytes(self, depth: int) -> None:
        match self.random.randint(0, 3):
            case 0:
                self.any(depth - 1)
                self.out.emit("ENCODE")
            case 1:
                self.byte_string(depth - 1)
                self.part(b"abc")
            case 2:
                self.text(depth - 1)
                self.out.emit("LOAD_CONST", None).emit("TO_BYTES")
            case _:
                self.boolean(depth - 1)
                self.out.emit("TO_INTEGER").emit("LOAD_CONST", self.random.choice((1, 2, 8)))
                self.out.emit("TO_BYTES")

    def list(self, depth: int) -> None:
        if self.simple(list, depth):
            return
        if self.shape.conversions and self.random.random() < 0.4:
            self.converted_list(depth)
            return
        match self.random.randint(0, 2):
            case 0:
                self.list(depth - 1)
                self.list(0)
                self.out.emit("ADD")
            case 1:
                self.out.emit("LOAD_CONST", 1).emit("LOAD_CONST", 2).emit("BUILD_LIST", 2)
                self.out.emit("LOAD_CONST", self.random.choice((0, 1)))
                self.any(depth - 1)
                self.out.emit("STORE_INDEX")
            case _:
                count = self.random.randint(0, 3)
                for _ in range(count):
                    self.any(depth - 1)
                self.out.emit("BUILD_LIST", count)

    def converted_list(self, depth: int) -> None:
        match self.random.randint(0, 3):
            case 0:
                self.expressions[self.random.choice((list, dict, str, bytes))](depth - 1)
                self.out.emit("ITEMS")
            case 1:
                self.out.emit("LOAD_CONST", self.random.choice((-2, 0, 3)))
                self.out.emit("LOAD_CONST", self.random.choice((-5, 0, 2, 5)) if not self.wrong() else 1 << 64)
                self.out.emit("RANGE")
            case 2:
                self.list(depth - 1)
                self.part([1, [], "c"])
            case _:
                self.list(depth - 1)
                self.out.emit("ENCODE").emit("DECODE")

    def map(self, depth: int) -> None:
        if self.simple(dict, depth):
            return
        if self.random.random() < 0.5:
            self.map(depth - 1)
            self.out.emit("LOAD_CONST", self.random.choice(("key", 1, b"k")))
            self.any(depth - 1)
            self.out.emit("STORE_INDEX")
        else:
            count = self.random.randint(0, 2)
            for number in range(count):
                self.out.emit("LOAD_CONST", self.random.choice(("key", number)))
                self.any(depth - 1)
            self.out.emit("BUILD_MAP", count)

    # What they are made of

    def constant(self, kind: type) -> Value:
        constants: dict[type, tuple[Value, ...]] = {
            int: INTEGERS,
            str: TEXTS,
            bytes: BYTES,
            list: ([], [1, 2], [[], "a", None]),
            dict: ({}, {"key": 1}, {1: [1], b"k": {}}),
            bool: (True, False),
        }
        return self.random.choice(constants[kind])

    def wrong(self) -> bool:
        return self.random.random() < self.shape.wrong

    def label(self) -> str:
        self.labels += 1
        return f"label{self.labels}"
