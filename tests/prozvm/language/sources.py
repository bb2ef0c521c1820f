"""Sources at random, for tests that compare the ways of running them.

All of them are well-formed and end: loops count to a small bound, an action calls those before it, and no action that
costs much is called in a loop. Most run through; some fail on purpose, with every kind of error that programs have.
`generate_source` takes a `random.Random`, so that a command can make a hundred thousand from one seed; `sources` is the
same as a strategy, which shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from hypothesis import strategies as st

INTEGERS: Final = (
    *("0", "1", "2", "3", "7", "10", "255", "0xff", "1_000", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551616", "-1", "-2", "-18446744073709551617"),
)
TEXTS: Final = ('""', '"a"', '"zoë"', '"abcdefgh"', r'"line\n\u{1F600}"', '"12"')
BYTES: Final = ('hex""', 'hex"00"', 'hex"c0ffee"', 'hex"0102030405060708090a"')
KINDS: Final = ("int", "bool", "str", "bytes", "list", "map")
NAMES: Final = ("a", "b", "c", "d", "e")
"""Of variables: so few that inner ones often hide outer ones."""
GLOBALS: Final = {
    "g": "int",
    "h": "int",
    "words": "str",
    "data": "bytes",
    "numbers": "list",
    "table": "map",
    "ok": "bool",
}
"""The variables that every program begins with, by their kinds."""
HOST: Final = "note"
"""A function of the host, which gives back its argument and should remember the order of its calls."""
DEEPEST_FUNCTIONS: Final = 3
"""Functions inside each other."""
MOST_STEPS: Final = 3_000
"""Statements and calls that a program runs, about."""


@dataclass(frozen=True)
class Shape:
    """What sources may have in them. `wrong` is how often something of the wrong kind is used on purpose, 0 to 1."""

    contract: bool = True
    """CALLER, EMIT, CALL and so on, which need a call around the program."""
    host: bool = True
    """Calls of `note`."""
    wrong: float = 0.01
    statements: int = 10


@dataclass
class Variable:
    """A name in scope. Functions have an arity, and what a call of them costs, in steps."""

    name: str
    kind: str
    constant: bool = False
    arity: int = 0
    cost: int = 1
    items: int = 0


@dataclass
class Scope:
    """The variables of one block; `function` begins with this block, if it is one."""

    variables: dict[str, Variable] = field(default_factory=dict)
    function: bool = False


def generate_source(random: Random, shape: Shape = Shape()) -> str:
    """A source of this shape."""
    return _Writer(random, shape).program()


def sources(shape: Shape = Shape()) -> st.SearchStrategy[str]:
    """`generate_source` as a strategy."""
    return st.randoms(use_true_random=False).map(lambda random: generate_source(random, shape))


class _Writer:
    """Writes one program. Expressions are methods by kind that return text; statements write lines."""

    def __init__(self, random: Random, shape: Shape) -> None:
        self.random = random
        self.shape = shape
        self.lines: list[str] = []
        self.scopes: list[Scope] = [Scope()]
        self.times = 1
        """How often what is written now runs within its function."""
        self.steps = 0
        """What the function that is written now has cost so far."""
        self.loops = 0
        self.transactions = 0
        self.number = 0
        self.expressions: dict[str, Callable[[int], str]] = {
            "int": self.integer,
            "bool": self.boolean,
            "str": self.text,
            "bytes": self.byte_string,
            "list": self.list,
            "map": self.map,
        }

    def program(self) -> str:
        for name, kind in GLOBALS.items():
            self.emit(f"let {name} = {self.literal(kind)};")
            self.scopes[0].variables[name] = Variable(name, kind)
        if self.chance(0.1):  # actions see variables wherever they are declared
            self.random.shuffle(self.lines)
        for _ in range(self.random.randint(0, 3)):
            self.action(self.fresh("f"))
        if self.chance(0.9):
            self.emit('TX { STATE.count = 1; STATE.total = 0; STATE.balances["zoë"] = 10; }')
        for _ in range(self.random.randint(1, self.shape.statements)):
            self.statement(0)
        if self.chance(0.9):
            shown = self.random.sample(list(GLOBALS), 3)
            self.emit(f"[{', '.join([*shown, self.any(2)])}]")
        return "\n".join(self.lines) + "\n"

    # Statements

    def statement(self, depth: int) -> None:
        self.steps += self.times
        choices: list[Callable[[int], None]] = [self.declare] * 3 + [self.assign] * 4 + [self.index_assign] * 2
        choices += [self.evaluate, self.evaluate, self.gas, self.ledger, self.require]
        if sum(scope.function for scope in self.scopes) < DEEPEST_FUNCTIONS:
            choices += [self.closure, self.closure, self.shared, self.spawn, self.spawn]
        if depth < 3:
            choices += [self.branch] * 3 + [self.transaction] * 3 + [self.block, self.limit]
        if depth < 3 and self.loops < 2:
            choices += [self.for_each] * 3 + [self.while_loop] * 2
        if self.loops:
            choices += [self.leave_loop] * 2
        if self.in_function:
            choices += [self.give_back]
        if self.transactions:
            choices += [self.write_state] * 4 + [self.revert_transaction]
        if self.shape.contract:
            choices += [self.emit_event]
        if self.chance(0.02):
            choices = [self.revert, self.write_state]
            if sum(scope.function for scope in self.scopes) < DEEPEST_FUNCTIONS:
                choices += [self.local_action]
        self.random.choice(choices)(depth)

    def body(self, depth: int, fewest: int = 1, variables: dict[str, Variable] | None = None) -> None:
        """Statements in a scope of their own, which begins with `variables`."""
        self.scopes.append(Scope(variables or {}))
        for _ in range(self.random.randint(fewest, 3)):
            self.statement(depth + 1)
        self.scopes.pop()

    def declare(self, depth: int) -> None:
        kind = self.random.choice(KINDS)
        value = self.expression(kind, 2)
        constant = self.chance(0.2)
        name = self.new_name()
        self.emit(f"{'const' if constant else 'let'} {name} = {value};")
        self.scopes[-1].variables[name] = Variable(name, kind, constant)

    def assign(self, depth: int) -> None:
        variable = self.pick(self.random.choice(KINDS), assignable=True)
        if variable is None:
            return
        operators = {"int": ("=", "=", "+=", "-=", "*=", "/=", "%="), "str": ("=", "+="), "bytes": ("=", "+=")}
        operator = self.random.choice(operators.get(variable.kind, ("=",)))
        self.emit(f"{variable.name} {operator} {self.expression(variable.kind, 2)};")

    def index_assign(self, depth: int) -> None:
        variable = self.pick(self.random.choice(("list", "map")), assignable=True)
        if variable is None:
            return
        keys = [self.key(variable.kind)]
        if self.chance(0.2):
            keys.append(self.key(self.random.choice(("list", "map"))))
        operator = self.random.choice(("=", "=", "+="))
        value = self.integer(1) if operator == "+=" else self.any(1)
        self.emit(f"{variable.name}{''.join(f'[{key}]' for key in keys)} {operator} {value};")

    def evaluate(self, depth: int) -> None:
        value = self.any(2)
        self.emit(f"({value});" if value.startswith("{") else f"{value};")  # or it would open a block

    def gas(self, depth: int) -> None:
        self.emit(f"GAS {self.random.choice((0, 1, 5, 100))};")

    def ledger(self, depth: int) -> None:
        self.emit(f"LEDGER({self.any(1)});")

    def require(self, depth: int) -> None:
        reason = self.random.choice(("", f", {self.text(0)}", f", {self.any(1)}"))
        self.emit(f"require({self.boolean(1)} || {self.boolean(1)} || {self.boolean(0)}{reason});")

    def emit_event(self, depth: int) -> None:
        self.emit(f"EMIT([{self.random.choice(('', '1', '7, 8'))}], {self.byte_string(1)});")

    def revert(self, depth: int) -> None:
        self.emit(f"if ({self.boolean(1)} && {self.boolean(1)}) {{ REVERT {self.any(1)}; }}")

    def branch(self, depth: int) -> None:
        self.emit(f"if ({self.boolean(2)}) {{")
        self.body(depth, 0)
        self.leave()
        if self.chance(0.3):
            self.emit(f"}} else if ({self.boolean(1)}) {{")
            self.body(depth, 0)
            self.leave()
        if self.chance(0.5):
            self.emit("} else {")
            self.body(depth, 0)
        self.emit("}")

    def block(self, depth: int) -> None:
        self.emit("{")
        self.body(depth)
        self.emit("}")

    def limit(self, depth: int) -> None:
        self.emit(f"LIMIT {self.random.choice((0, 10, 500))} {{")
        self.body(depth)
        self.emit("}")

    def transaction(self, depth: int) -> None:
        self.emit("TX {")
        self.transactions += 1
        self.body(depth)
        self.transactions -= 1
        self.emit("}")

    def write_state(self, depth: int) -> None:
        operator = self.random.choice(("=", "=", "+=", "-="))
        if self.chance(0.3):
            self.emit(f"{self.state()} = {self.any(1)};")
        else:
            self.emit(f"{self.state()} {operator} {self.integer(2)};")

    def revert_transaction(self, depth: int) -> None:
        self.emit("REVERT;" if self.chance(0.3) else f"if ({self.boolean(1)}) {{ REVERT; }}")

    def for_each(self, depth: int) -> None:
        kind = self.random.choice(("list", "list", "list", "map", "str", "bytes"))
        collection = self.collection(kind)
        name = self.random.choice(NAMES)
        self.emit(f"for each {name} in {collection} {{")
        item = {"list": "int", "str": "str", "bytes": "int", "map": "str"}[kind]
        self.loop_body(depth, {name: Variable(name, item)}, 4)
        self.emit("}")

    def while_loop(self, depth: int) -> None:
        counter, most = self.fresh("i"), self.random.randint(0, 4)
        self.emit(f"let {counter} = 0;")
        test = f"{counter} < {most}" if self.chance(0.7) else f"{counter} < {most} && {self.boolean(1)}"
        self.emit(f"while ({test}) {{")
        self.emit(f"{counter} += 1;")
        self.loop_body(depth, {counter: Variable(counter, "int", constant=True)}, max(1, most))
        self.emit("}")
        self.scopes[-1].variables[counter] = Variable(counter, "int", constant=True)

    def loop_body(self, depth: int, variables: dict[str, Variable], times: int) -> None:
        around, self.loops = self.times, self.loops + 1
        self.times *= times
        self.body(depth, 1, variables)
        self.times, self.loops = around, self.loops - 1

    def leave_loop(self, depth: int) -> None:
        word = self.random.choice(("break", "continue"))
        self.emit(f"{word};" if self.chance(0.2) else f"if ({self.boolean(1)}) {{ {word}; }}")

    def leave(self) -> None:
        """Perhaps go out of what the present block is in."""
        ways = ["break;", "continue;"] if self.loops else []
        ways += ["return 1;"] if self.in_function else []
        ways += ["REVERT;"] if self.transactions else []
        if ways and self.chance(0.4):
            self.emit(self.random.choice(ways))

    def give_back(self, depth: int) -> None:
        if self.chance(0.3):
            self.emit(f"return {self.integer(2)};")
        else:
            self.emit(f"if ({self.boolean(1)}) {{ return {self.integer(1)}; }}")

    # Functions

    def action(self, name: str) -> None:
        """A named action of integers; some call themselves with a smaller first argument."""
        parameters = [f"p{number}" for number in range(self.random.randint(0, 2))]
        typed = ", ".join(f"{one}: int" if self.chance(0.2) else one for one in parameters)
        variable = Variable(name, "function", True, len(parameters))
        self.emit(f"action {name}({typed}){' -> int' if self.chance(0.2) else ''} {{")
        recursive = bool(parameters) and self.chance(0.3)
        if recursive:
            self.emit(f"if ({parameters[0]} <= 0 || {parameters[0]} > 6) {{ return {self.literal('int')}; }}")
        variable.cost = self.function_body(parameters)
        if recursive:
            arguments = ", ".join(["p0 - 1", *(self.literal("int") for _ in parameters[1:])])
            self.emit(f"return {name}({arguments}) + {self.literal('int')};")
            variable.cost *= 7
        self.emit("}")
        self.scopes[-1].variables[name] = variable

    def local_action(self, depth: int) -> None:
        self.action(self.fresh("local"))

    def closure(self, depth: int) -> None:
        """A lambda in a variable, which shares the variables around it."""
        parameters = [f"q{number}" for number in range(self.random.randint(0, 2))]
        name = self.fresh("k")
        self.emit(f"let {name} = action({', '.join(parameters)}) {{")
        cost = self.function_body(parameters)
        self.emit("};")
        self.scopes[-1].variables[name] = Variable(name, "function", True, len(parameters), cost)

    def shared(self, depth: int) -> None:
        """Two lambdas in a list that share a variable nobody else has, one of which may be made in a function."""
        name, hidden = self.fresh("pair"), self.random.choice(NAMES)
        inner = [
            f"action() {{ {hidden} += {self.literal('int')}; return {hidden}; }}",
            f"action(q) {{ if (q > {self.integer(0)}) {{ {hidden} = q; }} return {hidden} * {self.integer(0)}; }}",
        ]
        maker = f"action({hidden}) {{ return [{', '.join(inner)}]; }}"
        if self.chance(0.5):
            maker = f"action(start) {{ let {hidden} = start; return [{', '.join(inner)}]; }}"
        self.emit(f"let {name} = ({maker})({self.literal('int')});")
        for index in (0, 1):
            callee = f"{name}[{index}]"
            self.scopes[-1].variables[callee] = Variable(callee, "function", True, index, 4)

    def spawn(self, depth: int) -> None:
        """A task that something later may await, or nobody."""
        spawned = self.call("spawn ")
        if spawned is not None:
            name = self.fresh("t")
            self.emit(f"let {name} = {spawned};")
            self.scopes[-1].variables[name] = Variable(name, "task", True)

    def function_body(self, parameters: list[str]) -> int:
        """Write a body that gives an integer; its cost."""
        outside = self.times, self.steps, self.loops, self.transactions
        self.times, self.steps, self.loops, self.transactions = 1, 1, 0, 0
        self.scopes.append(Scope({one: Variable(one, "int") for one in parameters}, function=True))
        for _ in range(self.random.randint(0, 3)):
            self.statement(1)
        if self.chance(0.9):
            self.emit(f"return {self.integer(2)};")
        self.scopes.pop()
        cost = self.steps
        self.times, self.steps, self.loops, self.transactions = outside
        return cost

    def call(self, prefix: str = "") -> str | None:
        """A call of an action or closure that is not too dear here."""
        known = [one for one in self.visible().values() if one.kind == "function"]
        cheap = [one for one in known if self.steps + self.times * one.cost < MOST_STEPS]
        if not cheap:
            return None
        chosen = self.random.choice(cheap)
        self.steps += self.times * chosen.cost
        if self.chance(0.8):
            name, count = chosen.name, chosen.arity
        else:  # a callee that is computed, and not known before
            name, count = f"({chosen.name} ?? 0)", self.random.choice((chosen.arity,) * 9 + (0, 3))
        return f"{prefix}{name}({', '.join(self.integer(1) for _ in range(count))})"

    # Expressions

    def any(self, depth: int) -> str:
        return self.expression(self.random.choice(KINDS), depth)

    def expression(self, kind: str, depth: int) -> str:
        if self.wrong():
            kind = self.random.choice(KINDS)
        if self.chance(0.1) and self.shape.host and depth:
            return f"{HOST}({self.expressions[kind](depth - 1)})"
        return self.expressions[kind](depth)

    def simple(self, kind: str, depth: int) -> str | None:
        """A constant or variable if it is time to."""
        if self.wrong() and self.chance(0.1):
            return "nothing"
        if depth > 0 and self.chance(0.65):
            return None
        variable = self.pick(kind)
        return variable.name if variable is not None and self.chance(0.7) else self.literal(kind)

    def integer(self, depth: int) -> str:
        found = self.simple("int", depth)
        if found is not None:
            return found
        match self.random.randint(0, 13):
            case 0:
                return f"len({self.expression(self.random.choice(('list', 'str', 'bytes', 'map')), depth - 1)})"
            case 1:
                return f"({self.list(0)} + [5, 6])[{self.random.choice(('0', '1', 'len(numbers)'))}]"
            case 2:
                return f"({self.state()} ?? {self.integer(0)})"
            case 3:
                return f"-{self.integer(0)}" if self.chance(0.5) else f"int({self.random.choice(TEXTS)})"
            case 4 | 5 | 6:
                return self.call() or self.literal("int")
            case 7 if (task := self.pick("task")) is not None and self.chance(0.7):
                return f"(await {task.name})"
            case 7:
                spawned = self.call("spawn ")
                return f"(await {spawned})" if spawned else self.literal("int")
            case 8:
                return f"(table[{self.key('map')}] ?? {self.integer(depth - 1)})"
            case 9:
                return f"({self.integer(depth - 1)} {self.random.choice(('/', '%', '**'))} {self.integer(0)})"
        operator = self.random.choice(("+", "+", "-", "*"))
        return f"({self.integer(depth - 1)} {operator} {self.integer(depth - 1)})"

    def boolean(self, depth: int) -> str:
        found = self.simple("bool", depth)
        if found is not None:
            return found
        match self.random.randint(0, 8):
            case 0:
                return f"!{self.boolean(0)}"
            case 1 | 2 | 3:
                left, right = self.expression("bool", depth - 1), self.expression("bool", depth - 1)
                return f"({left} {self.random.choice(('&&', '||'))} {right})"
            case 4:
                return f"({self.any(depth - 1)} {self.random.choice(('==', '!='))} {self.any(depth - 1)})"
            case 5:
                return f"contains({self.random.choice(('numbers', 'table'))}, {self.key('list')})"
        kind = self.random.choice(("int", "int", "int", "str", "bytes"))
        operator = self.random.choice(("<", ">", "<=", ">=", "==", "!="))
        return f"({self.expression(kind, depth - 1)} {operator} {self.expression(kind, depth - 1)})"

    def text(self, depth: int) -> str:
        found = self.simple("str", depth)
        if found is not None:
            return found
        match self.random.randint(0, 6):
            case 0:
                return f"HASH({self.any(depth - 1)})"
            case 1:
                return f"MERKLE({', '.join(self.any(0) for _ in range(self.random.randint(0, 3)))})"
            case 2:
                return f"str({self.expression(self.random.choice(('int', 'bool', 'str', 'bytes')), depth - 1)})"
            case 3:
                return f"kind({self.any(depth - 1)})"
            case 4:
                return f'slice("zoë", {self.random.choice(("0", "1"))}, {self.random.choice(("1", "2", "3"))})'
        return f"({self.text(depth - 1)} + {self.text(0)})"

    def byte_string(self, depth: int) -> str:
        found = self.simple("bytes", depth)
        if found is not None:
            return found
        match self.random.randint(0, 5):
            case 0:
                return f"encode({self.any(depth - 1)})"
            case 1:
                return f"bytes({self.random.choice(('g', '1', '255'))}, {self.random.choice(('1', '8'))})"
            case 2:
                return f"bytes({self.text(0)})"
            case 3 if self.shape.contract:
                return self.random.choice(("CALLER", "ADDRESS", "INPUT", "bytes(VALUE, 4)", "bytes(BLOCK.number, 4)"))
            case 4 if self.shape.contract and self.chance(0.3):
                return f'CALL(ADDRESS, INPUT, {self.random.choice(("0", "1"))})["output"]'
        return f"({self.byte_string(depth - 1)} + {self.byte_string(0)})"

    def list(self, depth: int) -> str:
        found = self.simple("list", depth)
        if found is not None:
            return found
        match self.random.randint(0, 5):
            case 0:
                return f"({self.list(depth - 1)} + {self.list(0)})"
            case 1:
                return f"range({self.random.choice(('3', 'len(words)', '1, 4', '5, 2'))})"
            case 2:
                return f"{self.random.choice(('items', 'keys'))}({self.map(depth - 1)})"
            case 3:
                return f"decode(encode({self.list(depth - 1)}))"
        return f"[{', '.join(self.any(depth - 1) for _ in range(self.random.randint(0, 3)))}]"

    def map(self, depth: int) -> str:
        found = self.simple("map", depth)
        if found is not None:
            return found
        pairs = (f"{self.key('map')}: {self.any(depth - 1)}" for _ in range(self.random.randint(0, 3)))
        return f"{{{', '.join(pairs)}}}"

    def collection(self, kind: str) -> str:
        """Something of at most four items or so to go through; lists are of integers."""
        if kind == "list":
            return self.random.choice(("[1, 2, 3]", "range(4)", "[]", f"[{self.integer(1)}, {self.integer(0)}]"))
        if kind == "map":
            return self.random.choice(('{"b": 1, "a": 2}', "{}"))
        return self.random.choice(("words", '"zoë"')) if kind == "str" else self.random.choice(('hex"0102"', 'hex""'))

    def state(self) -> str:
        """A path into the state."""
        paths = ("STATE.count", "STATE.total", 'STATE["count"]', 'STATE.balances["zoë"]', "STATE.balances[g]")
        return self.random.choice(paths) if not self.wrong() else f"STATE.odd[{self.any(1)}]"

    def key(self, kind: str) -> str:
        if kind == "list":
            return self.random.choice(("0", "0", "1", "len(numbers) - 1", self.integer(0)))
        return self.random.choice(('"k"', '"k"', "1", 'hex"00"', self.integer(0), self.text(0)))

    def literal(self, kind: str) -> str:
        literals: dict[str, tuple[str, ...]] = {
            "int": INTEGERS,
            "str": TEXTS,
            "bytes": BYTES,
            "list": ("[]", "[1, 2]", "[3, 4, 5]", '[[], "a", none]'),
            "map": ("{}", '{"k": 1}', '{1: [1], hex"00": {}, "k": 2}'),
            "bool": ("true", "false"),
        }
        return self.random.choice(literals[kind])

    # Names

    @property
    def in_function(self) -> bool:
        return any(scope.function for scope in self.scopes)

    def visible(self) -> dict[str, Variable]:
        found: dict[str, Variable] = {}
        for scope in self.scopes:
            found.update(scope.variables)
        return found

    def pick(self, kind: str, *, assignable: bool = False) -> Variable | None:
        found = [one for one in self.visible().values() if one.kind == kind and not (assignable and one.constant)]
        return self.random.choice(found) if found else None

    def new_name(self) -> str:
        """A name that the innermost block has not declared."""
        free = [name for name in NAMES if name not in self.scopes[-1].variables]
        return self.random.choice(free) if free else self.fresh("v")

    def fresh(self, prefix: str) -> str:
        self.number += 1
        return f"{prefix}{self.number}"

    def emit(self, line: str) -> None:
        self.lines.append(line)

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def wrong(self) -> bool:
        return self.chance(self.shape.wrong)
