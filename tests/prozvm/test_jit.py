"""Compiled programs do what interpreted ones do, to the last unit of gas; when programs are compiled, and into what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.object_cache import ObjectCache
from vmloom_prozvm.bytecode.container import pack
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.errors import CallDepthExceeded, DivisionByZero, OutOfGas, ProzError, TypeMismatch, UnknownName
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import Compiled, JITCompiler, Uncompilable
from vmloom_prozvm.jit.kinds import ANY, INTEGER, OPPOSITE, Kind, after_comparison, negated, of, result
from vmloom_prozvm.jit.stored import StoredTexts
from vmloom_prozvm.jit.structure import (
    Again,
    Choice,
    Flow,
    Instruction,
    Leave,
    Loop,
    Node,
    Straight,
    Unstructured,
    structured,
)
from vmloom_prozvm.jit.writing import Mode
from vmloom_prozvm.runtime import operations
from vmloom_prozvm.runtime.hashes import hash_block
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import Loaded, load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function, Value
from vmloom_prozvm.vm import VM

from .programs import GAS, SMALL_LIMITS, Outcome, Shape, generate, interpret, observe, programs

SCHEDULE = GasSchedule()
SHAPE = Shape(contract=True)
STEPS = 300
"""Blocks that a random walk takes at most."""


_last: list[Any] = [None, None, None]
"""The program that was compiled last, how, and what it became: many tests run one again with other gas."""


def run_compiled(
    program: Bytecode,
    *,
    schedule: GasSchedule | None = None,
    gas: int | None = None,
    strict: bool = True,
    limits: Limits = SMALL_LIMITS,
) -> Outcome:
    """What `interpret` gives, compiled. Raises `Uncompilable`."""
    settings = (schedule, gas is not None, strict, limits)
    if _last[0] is not program or _last[1] != settings:
        compiled = Compiled(load(program, limits, strict=strict), schedule=schedule, metered=gas is not None)
        _last[:] = program, settings, compiled
    compiled = _last[2]
    return observe(
        lambda env, context, variables: Machine(
            DictWorld(env), schedule=schedule, gas=gas, strict=strict, context=context, globals=variables, limits=limits
        ),
        compiled.run,
    )


def assert_same(program: Bytecode, **settings: Any) -> Outcome:
    expected = interpret(program, **{"limits": SMALL_LIMITS, **settings})
    found = run_compiled(program, **settings)
    for outcome in (expected, found):
        if outcome.error is OutOfGas:
            outcome.gas_left = 0  # nothing is left, however much was missing
    # repr, since True == 1, and maps keep an order
    assert repr(found) == repr(expected), program.disassemble()
    return expected


def body(*steps: tuple[Any, ...]) -> Bytecode:
    """A program from (name, operands...), where `("label", name)` sets a label."""
    builder = BytecodeBuilder()
    for name, *operands in steps:
        if name == "label":
            builder.label(*operands)
        else:
            builder.emit(name, *operands)
    return builder.build()


def counting(*steps: tuple[Any, ...], times: int = 5) -> Bytecode:
    """A program that runs `steps` with i from 0, and returns s."""
    return body(
        ("STORE_CONST", "i", 0),
        ("STORE_CONST", "s", 0),
        ("label", "top"),
        ("LOAD_NAME", "i"),
        ("LOAD_CONST", times),
        ("LT",),
        ("JUMP_IF_FALSE", "end"),
        *steps,
        ("LOAD_NAME", "i"),
        ("LOAD_CONST", 1),
        ("ADD",),
        ("STORE_NAME", "i"),
        ("JUMP", "top"),
        ("label", "end"),
        ("LOAD_NAME", "s"),
        ("RETURN",),
    )


def text_of(program: Bytecode, *, strict: bool = True) -> str:
    return Compiled(load(program, strict=strict), schedule=SCHEDULE, metered=True).source


# The same as interpreted


@given(programs(SHAPE), st.sampled_from((None, SCHEDULE)), GAS, st.booleans())
def test_compiled_programs_do_what_interpreted_ones_do(
    program: Bytecode, schedule: GasSchedule | None, gas: int | None, strict: bool
) -> None:
    assert_same(program, schedule=schedule, gas=gas, strict=strict)


@pytest.mark.parametrize("seed", range(40))
def test_gas_that_ends_anywhere_ends_compiled_programs_at_the_same_instruction(seed: int) -> None:
    random = Random(seed)
    program = generate(random, Shape(tasks=False, contract=True, statements=6))
    used = 20_000 - (interpret(program, schedule=SCHEDULE, gas=20_000, limits=SMALL_LIMITS).gas_left or 0)
    for _ in range(30):
        assert_same(program, schedule=SCHEDULE, gas=random.randint(0, used))


def test_gas_ends_between_any_two_instructions_of_a_loop() -> None:
    program = counting(
        ("LOAD_NAME", "s"),
        ("LOAD_NAME", "i"),
        ("LOAD_CONST", 1 << 40),
        ("MUL",),
        ("ADD",),
        ("STORE_NAME", "s"),
        times=3,
    )
    errors = {assert_same(program, schedule=SCHEDULE, gas=gas).at for gas in range(160)}
    assert errors >= set(range(2, 16)) - {13, 14}


def jumping(random: Random, length: int) -> Bytecode:
    """Jumps to anywhere, between counting, with the stack empty wherever one arrives."""
    steps: list[tuple[Any, ...]] = []
    for number in range(length):
        steps.append(("label", f"l{number}"))
        name, target = random.choice("abc"), f"l{random.randrange(length + 1)}"
        match random.randrange(6):
            case 0:
                steps.append(("JUMP", target))
            case 1 | 2:
                steps += [("LOAD_NAME", name), ("LOAD_CONST", random.randint(2, 4)), ("MOD",)]
                steps.append(("JUMP_IF_FALSE", target))
            case 3 if random.random() < 0.3:
                steps += [("LOAD_NAME", name), ("RETURN",)]
            case _:
                other = random.choice("abc")
                steps += [("LOAD_NAME", name), ("LOAD_NAME", other), ("ADD",), ("LOAD_CONST", 1), ("ADD",)]
                steps.append(("STORE_NAME", name))
    starts = [("STORE_CONST", name, value) for value, name in enumerate("abc")]
    return body(*starts, *steps, ("label", f"l{length}"))


def test_jumps_of_every_shape_lead_where_they_should() -> None:
    random = Random(5)
    dispatched = 0
    for _ in range(300):
        program = jumping(random, random.randint(2, 12))
        dispatched += "b = 0\n" in text_of(program)
        assert_same(program, schedule=SCHEDULE, gas=random.choice((200, 5_000)))
    assert 10 < dispatched < 200  # both ways of writing jumps were seen


def test_integers_that_outgrow_their_limb_pay_for_it_and_end_at_the_limit() -> None:
    program = counting(
        ("LOAD_NAME", "s"), ("LOAD_CONST", 3), ("ADD",), ("DUP",), ("MUL",), ("STORE_NAME", "s"), times=50
    )
    outcome = assert_same(program, schedule=SCHEDULE, gas=100_000, limits=Limits())
    assert outcome.error is not None
    assert outcome.variables["s"].bit_length() > 2000


@pytest.mark.parametrize("value", [True, "text", b"bytes", [1], None, 1 << 64, -(1 << 64), (1 << 64) - 1])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL", "DIV", "MOD", "LT", "EQ", "AND", "INDEX"])
def test_operations_on_values_of_unknown_kinds_take_all_kinds(name: str, value: Value) -> None:
    function = Function("f", ("x", "y"), body(("LOAD_NAME", "x"), ("LOAD_NAME", "y"), (name,), ("RETURN",)))
    for other in (7, value):
        program = body(("LOAD_CONST", value), ("LOAD_CONST", other), ("CALL_FUNC_CONST", function, 2), ("RETURN",))
        assert_same(program, schedule=SCHEDULE, gas=10_000)


def test_names_mean_the_value_that_they_had_when_they_were_loaded() -> None:
    program = body(
        ("STORE_CONST", "a", 1),
        ("LOAD_NAME", "a"),
        ("DUP",),
        ("STORE_CONST", "a", 2),
        ("LOAD_NAME", "a"),
        ("BUILD_LIST", 3),
    )
    assert assert_same(program).result == [1, 1, 2]


def test_values_on_the_stack_pass_through_branches_and_loops() -> None:
    program = body(
        ("LOAD_CONST", 1),
        ("LOAD_CONST", 2),
        ("LOAD_CONST", 3),
        ("label", "top"),
        ("LOAD_CONST", 1),
        ("SUB",),
        ("DUP",),
        ("JUMP_IF_FALSE", "end"),
        ("JUMP", "top"),
        ("label", "end"),
        ("BUILD_LIST", 3),
    )
    assert assert_same(program, schedule=SCHEDULE, gas=1000).result == [1, 2, 0]


def recursive(depth: int) -> Bytecode:
    """A function that calls itself `depth` times by its name."""
    steps = body(
        ("LOAD_NAME", "n"),
        ("JUMP_IF_FALSE", "end"),
        ("LOAD_NAME", "n"),
        ("LOAD_CONST", 1),
        ("SUB",),
        ("CALL_NAME", "down", 1),
        ("LOAD_CONST", 1),
        ("ADD",),
        ("RETURN",),
        ("label", "end"),
        ("LOAD_CONST", 0),
        ("RETURN",),
    )
    down = Function("down", ("n",), steps)
    return body(
        ("LOAD_CONST", down), ("STORE_NAME", "down"), ("LOAD_CONST", depth), ("CALL_NAME", "down", 1), ("RETURN",)
    )


@pytest.mark.parametrize("depth", [0, 1, 30, 57, 58, 59, 60, 61, 100, 254])
def test_calls_go_on_in_the_interpreter_where_they_get_deep(depth: int) -> None:
    assert assert_same(recursive(depth), schedule=SCHEDULE, gas=100_000).result == depth


def test_calls_beyond_the_limit_fail_as_interpreted() -> None:
    assert assert_same(recursive(255), schedule=SCHEDULE, gas=100_000).error is CallDepthExceeded
    assert assert_same(recursive(5), limits=Limits(frames=3)).error is CallDepthExceeded


def test_gas_that_ends_within_calls_ends_at_the_same_instruction() -> None:
    for gas in range(0, 250, 3):
        assert_same(recursive(4), schedule=SCHEDULE, gas=gas)


def test_functions_read_what_the_main_program_has_stored() -> None:
    read = Function("read", (), body(("LOAD_NAME", "x"), ("RETURN",)))
    program = body(
        ("STORE_CONST", "x", 1),
        ("CALL_FUNC_CONST", read, 0),
        ("STORE_CONST", "x", 2),
        ("CALL_FUNC_CONST", read, 0),
        ("BUILD_LIST", 2),
    )
    assert assert_same(program).result == [1, 2]


def test_errors_in_called_functions_name_their_own_instruction() -> None:
    divide = Function("divide", ("x",), body(("LOAD_CONST", 1), ("LOAD_NAME", "x"), ("DIV",), ("RETURN",)))
    outcome = assert_same(body(("LOAD_CONST", 0), ("CALL_FUNC_CONST", divide, 1)), schedule=SCHEDULE, gas=500)
    assert (outcome.error, outcome.at) == (DivisionByZero, 2)


def test_an_error_after_an_effect_does_not_repeat_the_effect() -> None:
    program = body(("LOAD_CONST", 5), ("LEDGER_APPEND",), ("LOAD_CONST", "x"), ("NEG",))
    outcome = assert_same(program, strict=False)
    assert (outcome.error, len(outcome.ledger)) == (TypeMismatch, 1)


def test_the_workbench_may_return_nothing() -> None:
    program = Bytecode([True], [("LOAD_CONST", 0), ("JUMP_IF_FALSE", 3), ("RETURN", None), ("TX_COMMIT", None)])
    assert assert_same(program, strict=False).error is None


# The text


HOSTILE = 'x); import os; os.system("true") #'


def names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(name) | ast.arg(name) | ast.FunctionDef(name) | ast.Attribute(_, name):
                yield name
            case ast.ExceptHandler(_, str(name)):
                yield name


def test_no_string_of_a_program_gets_into_the_text() -> None:
    function = Function(
        HOSTILE,
        (HOSTILE,),
        body(("LOAD_NAME", HOSTILE), ("BLOCK", HOSTILE), ("LOAD_CONST", HOSTILE), ("BUILD_LIST", 3)),
    )
    program = body(
        ("STORE_CONST", HOSTILE, HOSTILE),
        ("LOAD_CONST", {HOSTILE: HOSTILE.encode()}),
        ("STATE_WRITE", HOSTILE),
        ("STATE_READ", HOSTILE),
        ("POP",),
        ("LOAD_CONST", function),
        ("STORE_NAME", HOSTILE + "f"),
        ("LOAD_NAME", HOSTILE),
        ("CALL_NAME", HOSTILE + "f", 1),
    )
    text = text_of(program)
    tree = ast.parse(text)
    assert "import" not in text
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    own = re.compile(r"[fnstkgvuwdey]\d+|r\d+_\d+|[xoi]_[A-Z_]+|c_k?\d+")
    allowed = set("mdbclGTX") | {
        *(
            "gas",
            "globals",
            "transactions",
            "context",
            "value",
            "block_field",
            "stamp",
            "deliver",
            "allowed",
            "ok",
            "put",
        ),
        *(
            "pure",
            "path",
            "p",
            "get",
            "dict",
            "list",
            "str",
            "Cell",
            "integer",
            "sha256",
            "hexdigest",
            "host",
            "encoded",
            "hashed",
            "caller",
            "address",
            "input",
            "UNSET",
            "LEAVE",
        ),
        *("resume", "step", "call", "check", "failed"),
        *("error", "Exception", "type", "int", "len", "locals", "read", "write", "begin", "commit", "revert", "append"),
    }
    assert {name for name in names_in(tree) if not own.fullmatch(name)} <= allowed


@given(programs(SHAPE))
def test_the_text_has_no_strings(program: Bytecode) -> None:
    tree = ast.parse(text_of(program))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_a_loop_over_small_integers_has_no_checks() -> None:
    text = text_of(counting(("LOAD_NAME", "i"), ("LOAD_CONST", 7), ("MUL",), ("STORE_NAME", "s")))
    assert "while True:" in text
    assert "if n0 < 5:" in text
    assert "x_" not in text
    assert "type(" not in text


def test_the_text_is_the_same_every_time() -> None:
    program = generate(Random(1), SHAPE)
    assert text_of(program) == text_of(program)


# Structure


def code(*steps: tuple[str, int | None]) -> list[Instruction]:
    return [(Opcode[name], operand) for name, operand in steps]


def test_a_jump_back_becomes_a_loop() -> None:
    tree = structured(Flow(code(("DUP", None), ("JUMP_IF_FALSE", 3), ("JUMP", 0), ("RETURN", None))))
    assert tree == (Loop((Straight(0), Choice(0, (Straight(2),), (Leave(),)))), Straight(3))


def test_a_loop_with_two_entries_is_not_structured() -> None:
    flow = Flow(code(("JUMP_IF_FALSE", 2), ("POP", None), ("POP", None), ("JUMP_IF_FALSE", 1), ("RETURN", None)))
    with pytest.raises(Unstructured, match="more than one entry"):
        structured(flow)


def walk(tree: tuple[Node, ...], flow: Flow, choices: list[bool], trace: list[int]) -> type[Node] | None:
    """Run a tree by `choices`, noting blocks; how it was left."""
    for node in tree:
        left: type[Node] | None = None
        match node:
            case Straight(block):
                trace.append(block)
                if len(trace) >= STEPS or not flow.blocks[block].successors:
                    return Straight
            case Choice(_, when_true, when_false):
                left = walk(when_true if choices[len(trace)] else when_false, flow, choices, trace)
            case Loop(inner):
                while left not in (Leave, Straight):
                    left = walk(inner, flow, choices, trace)
                left = None if left is Leave else left
            case Leave() | Again():
                left = type(node)
        if left is not None:
            return left
    return None


@given(st.randoms(use_true_random=False))
def test_structured_jumps_run_the_same_blocks(random: Random) -> None:
    length = random.randint(2, 14)
    flow = Flow([_random_step(random, length) for _ in range(length)])
    try:
        tree = structured(flow)
    except Unstructured:
        return
    choices = [random.random() < 0.5 for _ in range(STEPS + 1)]
    trace: list[int] = []
    walk(tree, flow, choices, trace)
    expected = [0]
    while len(expected) < STEPS and (successors := flow.blocks[expected[-1]].successors):
        expected.append(successors[0 if len(successors) == 1 or choices[len(expected)] else 1])
    assert trace == expected


def _random_step(random: Random, length: int) -> Instruction:
    name = random.choice(("POP", "POP", "POP", "JUMP_IF_FALSE", "JUMP_IF_FALSE", "JUMP", "RETURN"))
    return Opcode[name], random.randint(0, length) if name.startswith("JUMP") else None


# Kinds


INTEGERS = st.one_of(st.integers(-20, 20), st.integers(-(1 << 70), 1 << 70))
ARITHMETIC = st.sampled_from((Opcode.ADD, Opcode.SUB, Opcode.MUL, Opcode.DIV, Opcode.MOD))


@st.composite
def known_integers(draw: st.DrawFn) -> tuple[int, Kind]:
    """An integer and something true that is known of it."""
    value = draw(INTEGERS)
    low = draw(st.one_of(st.none(), st.integers(0, 30).map(lambda below: value - below)))
    high = draw(st.one_of(st.none(), st.integers(0, 30).map(lambda above: value + above)))
    return value, draw(st.sampled_from((Kind(1, low, high), INTEGER, ANY)))


def holds(kind: Kind, value: int) -> bool:
    within = (kind.low is None or kind.low <= value) and (kind.high is None or value <= kind.high)
    return bool(kind.mask & 1) and within


@given(ARITHMETIC, known_integers(), known_integers())
def test_results_are_of_the_kind_that_was_foretold(
    opcode: Opcode, left: tuple[int, Kind], right: tuple[int, Kind]
) -> None:
    if right[0] or opcode not in (Opcode.DIV, Opcode.MOD):
        value = operations.BINARY[opcode](left[0], right[0])
        assert isinstance(value, int)
        assert holds(result(opcode, left[1], right[1]), value)
    assert holds(negated(left[1]), -left[0])


@given(st.sampled_from(sorted(OPPOSITE)), known_integers(), known_integers())
def test_what_a_comparison_shows_is_true(opcode: Opcode, left: tuple[int, Kind], right: tuple[int, Kind]) -> None:
    shown = opcode if operations.BINARY[opcode](left[0], right[0]) else OPPOSITE[opcode]
    kinds = after_comparison(shown, left[1].within(None, None), right[1].within(None, None))
    assert holds(kinds[0], left[0])
    assert holds(kinds[1], right[0])


@given(known_integers(), known_integers())
def test_joined_and_widened_kinds_hold_both_values(one: tuple[int, Kind], other: tuple[int, Kind]) -> None:
    joined = one[1].join(other[1])
    for kind in (joined, joined.widen(one[1])):
        assert holds(kind, one[0])
        assert holds(kind, other[0])


def test_constants_are_known_exactly() -> None:
    assert of(5) == Kind(1, 5, 5)
    assert not of(True).is_int
    assert of(1 << 64).is_int
    assert not of(1 << 64).is_limb


# What is compiled, and when


def test_tasks_are_spawned_and_leave_the_rest_to_the_interpreter() -> None:
    add = Function("add", ("x",), body(("LOAD_NAME", "s"), ("LOAD_NAME", "x"), ("ADD",), ("STORE_GLOBAL", "s")))
    wait = Function("wait", (), body(("LOAD_CONST", add), ("LOAD_CONST", 5), ("SPAWN", 1), ("AWAIT",)))
    program = counting(
        *(("TX_BEGIN",), ("LOAD_NAME", "s"), ("STATE_WRITE", "x"), ("TX_COMMIT",)),
        *(("LOAD_CONST", add), ("LOAD_NAME", "i"), ("SPAWN", 1), ("POP",), ("CALL_FUNC_CONST", wait, 0), ("POP",)),
    )
    outcome = assert_same(program, schedule=SCHEDULE, gas=1_000_000)
    assert outcome.error is None
    used = 1_000_000 - (outcome.gas_left or 0)
    for gas in range(0, used, used // 50):
        assert_same(program, schedule=SCHEDULE, gas=gas)
    waiting = body(("LOAD_CONST", 3), ("LOAD_CONST", add), ("LOAD_CONST", "x"), ("SPAWN", 1), ("AWAIT",))
    assert assert_same(waiting, schedule=SCHEDULE, gas=1_000_000).error is not None
    assert assert_same(body(("LOAD_CONST", 1), ("SPAWN", 0)), schedule=SCHEDULE, gas=1_000).error is TypeMismatch


def test_functions_of_the_host_are_called() -> None:
    said: list[Value] = []

    def say(*values: Value) -> Value:
        said.append(list(values))
        if values == (3,):
            raise RuntimeError("no")
        return len(said)

    inner = Function("inner", ("x",), body(("LOAD_NAME", "x"), ("CALL_NAME", "say", 1), ("RETURN",)))
    program = counting(
        *(("TX_BEGIN",), ("LOAD_NAME", "i"), ("STATE_WRITE", "x"), ("LOAD_NAME", "i"), ("CALL_FUNC_CONST", inner, 1)),
        *(("CALL_NAME", "say", 1), ("STORE_NAME", "s"), ("TX_COMMIT",)),
    )
    loaded = load(program, strict=False)
    seen = []
    for gas in (None, 1_000_000, 20_000):
        compiled = Compiled(loaded, schedule=SCHEDULE, metered=gas is not None)
        for run in (lambda machine: machine.run(loaded), compiled.run):
            said.clear()
            env: dict[str, Any] = {}
            machine = Machine(DictWorld(env), schedule=SCHEDULE, gas=gas, strict=False, globals={"say": say})
            with pytest.raises(ProzError) as raised:
                run(machine)
            seen.append((str(raised.value), raised.value.trace, machine.gas_left, list(said), env))
    assert seen[::2] == seen[1::2]
    assert "no" in seen[0][0]


def test_names_that_nobody_defines_fail_as_interpreted() -> None:
    program = load(body(("CALL_NAME", "nothing", 0), ("RETURN",)))
    with pytest.raises(UnknownName, match="no function of this name"):
        Compiled(program, schedule=None, metered=False).run(Machine(DictWorld({})))


def test_functions_that_the_host_gives_may_change_everything() -> None:
    stranger = Function("stranger", (), body(("LOAD_NAME", "x"), ("LOAD_CONST", 1), ("ADD",), ("STORE_GLOBAL", "x")))
    inner = Function("inner", (), body(("CALL_NAME", "get", 0), ("CALL_TOP", 0)))
    program = load(
        body(("STORE_CONST", "x", 1), ("CALL_FUNC_CONST", inner, 0), ("POP",), ("LOAD_NAME", "x"), ("RETURN",))
    )
    for run in (lambda machine: machine.run(program), Compiled(program, schedule=None, metered=False).run):
        assert run(Machine(DictWorld({}), globals={"get": lambda: stranger})) == 2


def test_programs_that_are_too_long_stay_interpreted() -> None:
    program = Bytecode([1], [("LOAD_CONST", 0), ("POP", None)] * 10_001)
    with pytest.raises(Uncompilable, match="20000 instructions"):
        Compiled(load(program), schedule=None, metered=False)


@pytest.mark.parametrize("blocks", [1_900, 3_000])
def test_hostile_programs_are_compiled_or_refused_in_bounded_time(blocks: int) -> None:
    chain = Bytecode([], [("JUMP", number + 1) for number in range(blocks)])
    names: list[Value] = [f"n{number}" for number in range(600)]
    branches = [("STORE_CONST", (number, number)) for number in range(600)]
    branches += [("LOAD_CONST" if number % 2 else "JUMP_IF_FALSE", 0) for number in range(1, blocks)]
    for program in (chain, Bytecode(names, branches), Bytecode([], [("JUMP", 0)] * blocks)):  # type: ignore[list-item]
        begun = process_time()
        with suppress(Uncompilable):
            Compiled(load(program), schedule=SCHEDULE, metered=True)
        assert process_time() - begun < 20


def test_text_that_would_grow_with_the_square_of_a_program_is_refused() -> None:
    names: list[Value] = [f"n{number}" for number in range(900)]
    reads = Function("f", (), Bytecode(names, [("LOAD_NAME", number) for number in range(900)]))
    calls = [("CALL_FUNC_CONST", (900, 0)), ("POP", None)] * 5_000
    program = Bytecode([*names, reads], [("STORE_CONST", (number, number)) for number in range(900)] + calls)  # type: ignore[arg-type]
    with pytest.raises(Uncompilable, match="400000 characters"):
        Compiled(load(program), schedule=SCHEDULE, metered=True)


@pytest.mark.parametrize("keys", [15, 40])
def test_functions_that_use_many_keys_do_the_same(keys: int) -> None:
    program = counting(
        ("TX_BEGIN",),
        *(step for key in range(keys) for step in (("LOAD_NAME", "i"), ("STATE_WRITE", f"k{key}"))),
        *(step for key in range(keys) for step in (("STATE_READ", f"k{key}"), ("LEDGER_APPEND",))),
        *(step for key in range(keys) for step in (("LOAD_CONST", key), ("LEDGER_APPEND",))),
        ("TX_COMMIT",),
    )
    for gas in (0, 30_000, 100_000, 1_000_000):
        assert_same(program, schedule=SCHEDULE, gas=gas)


def test_machine_code_comes_first_where_it_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Made:
        def run(self, machine: Machine) -> Value:
            return "made"

    def compile_native(loaded: Loaded, *_: Any, **__: Any) -> Made | None:
        return Made() if len(loaded.main.instructions) == 2 else None

    monkeypatch.setattr("vmloom_prozvm.jit.cache.native_compiler", lambda: compile_native)
    vm = VM(jit_threshold=1, native=True)
    program, other = body(("LOAD_CONST", 1), ("RETURN",)), counting()
    assert [vm.execute(program) for _ in range(3)] == [1, "made", "made"]
    assert [vm.execute(other) for _ in range(2)] == [0, 0]
    stats = vm.get_jit_stats()
    assert (stats["native_compilations"], stats["native_fallbacks"], stats["native_executions"]) == (1, 1, 2)
    assert stats["compilations"] == 2


def test_endless_loops_run_out_of_gas() -> None:
    for jumps in ([0], [1, 0], [2, 2, 1]):
        program = Bytecode([], [("JUMP", target) for target in jumps])
        assert assert_same(program, schedule=SCHEDULE, gas=101).error is OutOfGas


def test_what_cannot_be_compiled_is_counted_and_runs() -> None:
    vm = VM(jit_threshold=2, optimization_level=0)
    program = Bytecode([1], [("LOAD_CONST", 0), ("POP", None)] * 10_001)
    assert [vm.execute(program) for _ in range(5)] == [None] * 5
    stats = vm.get_jit_stats()
    assert (stats["fallbacks"], stats["compilations"], stats["jit_executions"]) == (1, 0, 0)


def test_what_is_known_of_a_program_is_told_by_its_hash() -> None:
    jit = JITCompiler(hot_threshold=2)
    assert jit.hot_path("0" * 64) is None
    digests = {jit.track_execution(counting(), 0.5) for _ in range(2)}
    known = jit.hot_path(digests.pop())
    assert known is not None
    assert (known.execution_count, known.total_time, known.tier) == (2, 1.0, 1)
    jit.compile_hot_path(counting())
    assert known.tier == 2


def test_the_hash_is_sha256_of_the_container() -> None:
    program = counting()
    assert JITCompiler().content_hash(program) == sha256(pack(program)).hexdigest()


def test_a_program_that_was_changed_is_another() -> None:
    jit = JITCompiler()
    program = body(("LOAD_CONST", [1]), ("RETURN",))
    first = jit.track_execution(program)
    program.constants[0].append(2)  # type: ignore[union-attr]  # it is the list
    second = jit.track_execution(program)
    program.add_instruction("POP")
    assert len({first, second, jit.track_execution(program)}) == 3


def test_one_and_true_make_two_programs() -> None:
    jit = JITCompiler()
    assert jit.track_execution(Bytecode([1])) != jit.track_execution(Bytecode([True]))


def test_a_program_is_compiled_when_it_is_hot_and_once() -> None:
    jit = JITCompiler(hot_threshold=3)
    program = counting()
    decisions = []
    for _ in range(5):
        hot = jit.should_compile(jit.track_execution(program))
        decisions.append(hot)
        if hot:
            assert jit.compile_hot_path(program) is not None
    assert decisions == [False, False, True, False, False]
    assert jit.compile_hot_path(counting()) is not None  # an equal program is the same
    stats = jit.get_stats()
    assert (stats["hot_paths_detected"], stats["compilations"], stats["tier_promotions"]) == (1, 1, 1)
    assert (stats["cache_hits"], stats["cache_misses"], stats["cache_size"]) == (1, 1, 1)
    assert stats["compilation_time"] > 0


def test_an_unknown_hash_is_not_hot() -> None:
    assert not JITCompiler(hot_threshold=1).should_compile("00" * 32)


def test_a_cleared_compiler_begins_anew() -> None:
    jit = JITCompiler(hot_threshold=1)
    program = counting()
    jit.compile_hot_path(program)
    jit.clear_cache()
    assert jit.get_stats()["cache_size"] == 0
    assert jit.should_compile(jit.track_execution(program))


def test_no_more_programs_are_kept_than_asked_for() -> None:
    jit = JITCompiler(max_cache=2)
    for value in range(5):
        jit.track_execution(Bytecode([value]))
        jit.compile_hot_path(body(("LOAD_CONST", value), ("RETURN",)))
    assert jit.get_stats()["cache_size"] == 2


@pytest.mark.parametrize("settings", [{"hot_threshold": 0}, {"max_cache": 0}])
def test_bounds_below_one_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        JITCompiler(**settings)


def test_one_compiled_function_serves_with_and_without_a_bound_of_gas() -> None:
    jit = JITCompiler()
    program = body(("GAS_CHARGE", 30), ("LOAD_CONST", 1), ("RETURN",))
    function = jit.compile_hot_path(program)
    assert function is not None
    env: dict[str, Any] = {"_gas_remaining": 100}
    assert function(VM(), stack=[], env=env) == 1
    assert env["_gas_remaining"] == 70
    assert function(VM(), stack=[], env={}) == 1
    with pytest.raises(OutOfGas):
        function(VM(), stack=[], env={"_gas_remaining": 29})


def test_a_run_that_failed_leaves_the_machine_as_the_interpreter_does() -> None:
    program = body(("STORE_CONST", "x", 5), ("TX_BEGIN",), ("LOAD_CONST", 1), ("STATE_WRITE", "k"), ("LOAD_NAME", "y"))
    variables: dict[str, Any] = {}
    env: dict[str, Any] = {}
    machine = Machine(DictWorld(env), globals=variables)
    with pytest.raises(ProzError):
        Compiled(load(program), schedule=None, metered=False).run(machine)
    assert variables == {"x": 5}
    assert env.get("_blockchain_state", {}) == {}
    assert "_run" not in vars(machine)


# Text on the disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def stored(folder: Path) -> StoredTexts:
    return StoredTexts(ObjectCache(folder, kind="proztext"))


def run_stored(program: Bytecode, texts: StoredTexts, **settings: Any) -> Outcome:
    loaded = load(program, SMALL_LIMITS, strict=True)
    compiled = Compiled(loaded, schedule=SCHEDULE, metered=True, texts=texts)
    return observe(
        lambda env, context, variables: Machine(
            DictWorld(env), schedule=SCHEDULE, gas=20_000, context=context, globals=variables, limits=SMALL_LIMITS
        ),
        compiled.run,
    )


def test_text_from_the_disk_does_what_it_did(folder: Path) -> None:
    for seed in range(30):
        program = generate(Random(seed), SHAPE)
        texts = stored(folder)
        outcomes = [repr(run_stored(program, texts)) for _ in range(2)]
        again = stored(folder)
        outcomes.append(repr(run_stored(program, again)))
        assert (texts.hits, again.hits) == (1, 1)
        expected = repr(interpret(program, schedule=SCHEDULE, gas=20_000, limits=SMALL_LIMITS))
        assert outcomes == [expected] * 3 or "OutOfGas" in expected


def test_text_is_of_one_program_schedule_and_mode(folder: Path) -> None:
    texts = stored(folder)
    program = counting()
    other = GasSchedule(base={"ADD": 4})
    for loaded in (load(program), load(counting(times=6)), load(program, SMALL_LIMITS), load(program, strict=False)):
        for schedule, metered in ((SCHEDULE, True), (other, True), (None, True), (None, False)):
            Compiled(loaded, schedule=schedule, metered=metered, texts=texts)
    assert texts.hits == 0


def test_text_that_others_wrote_is_never_executed(folder: Path) -> None:
    program = counting()
    Compiled(load(program), schedule=SCHEDULE, metered=True, texts=stored(folder))
    (file,) = folder.glob("*.proztext")
    file.write_bytes(file.read_bytes().replace(b"return resume", b"return locals"))
    texts = stored(folder)
    compiled = Compiled(load(program), schedule=SCHEDULE, metered=True, texts=texts)
    assert texts.hits == 0
    assert "return locals" not in compiled.source


def test_what_is_no_text_is_rejected(folder: Path) -> None:
    program = load(counting())
    disk = ObjectCache(folder, kind="proztext")
    texts = StoredTexts(disk)
    key = texts.key(program, Mode(True, SCHEDULE, True, 60))
    for content in (b"", b"[]", b'{"sources": 1}', b"\xff"):
        disk.put(key, content)
        assert texts.get(key, program) is None
    assert disk.rejected == 4


def test_the_workbench_counts_what_the_disk_had(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMLOOM_CACHE_DIR", str(folder))
    for hits in (0, 1):
        jit = JITCompiler(disk_cache=True)
        assert jit.compile_hot_path(counting()) is not None
        assert jit.get_stats()["disk_hits"] == hits
    assert JITCompiler().get_stats()["disk_hits"] == 0


# The state in variables


def balances(*steps: tuple[Any, ...], times: int = 20) -> Bytecode:
    return counting(("TX_BEGIN",), *steps, ("TX_COMMIT",), times=times)


ADD_ONE = (("STATE_READ", "x"), ("LOAD_CONST", 1), ("ADD",), ("STATE_WRITE", "x"))
SET_X = (("TX_BEGIN",), ("LOAD_CONST", 5), ("STATE_WRITE", "x"), ("TX_COMMIT",))


def test_a_loop_of_transactions_works_on_variables() -> None:
    program = balances(*ADD_ONE)
    text = text_of(program)
    assert "T.begin()" not in text
    assert "T.write" not in text
    assert assert_same(body_steps(program), schedule=SCHEDULE, gas=1_000_000).state == {"x": 25}


def test_states_that_paths_write_in_different_orders_are_written_in_that_order() -> None:
    for condition in (True, False):
        program = body(
            ("TX_BEGIN",),
            *(("LOAD_CONST", condition), ("JUMP_IF_FALSE", "other"), ("LOAD_CONST", 1), ("STATE_WRITE", "a")),
            *(("LOAD_CONST", 2), ("STATE_WRITE", "b"), ("JUMP", "end"), ("label", "other")),
            *(("LOAD_CONST", 2), ("STATE_WRITE", "b"), ("LOAD_CONST", 1), ("STATE_WRITE", "a"), ("label", "end")),
            ("TX_COMMIT",),
        )
        assert list(assert_same(program).state) == (["a", "b"] if condition else ["b", "a"])


@pytest.mark.parametrize(
    "steps",
    [
        ADD_ONE,
        (*ADD_ONE, ("LOAD_CONST", "entry"), ("LEDGER_APPEND",)),
        (*ADD_ONE, ("TX_BEGIN",), *ADD_ONE, ("TX_REVERT",)),
        (*ADD_ONE, ("LOAD_NAME", "i"), ("JUMP_IF_FALSE", "zero"), *ADD_ONE, ("label", "zero")),
        (("LOAD_NAME", "i"), ("JUMP_IF_FALSE", "zero"), *ADD_ONE, ("label", "zero"), *ADD_ONE),
        (("LOAD_CONST", "text"), ("STATE_WRITE", "y"), *ADD_ONE, ("LOAD_CONST", None), ("STATE_WRITE", "y")),
        (("LOAD_CONST", "z"), ("LOAD_CONST", 1), ("STATE_WRITE_AT", 1), *ADD_ONE, ("STATE_READ", "z"), ("POP",)),
        (*ADD_ONE, ("LOAD_CONST", "x"), ("STATE_READ_AT", 1), ("STORE_NAME", "s")),
        (*ADD_ONE, ("LOAD_CONST", [1]), ("LOAD_CONST", b""), ("EMIT",), *ADD_ONE),
        (("LOAD_CONST", 1), ("STATE_WRITE", "b"), *ADD_ONE, ("TX_REVERT",), ("TX_BEGIN",), *ADD_ONE),
        (("LOAD_CONST", 1 << 70), ("STATE_WRITE", "x"), ("STATE_READ", "x"), ("STORE_NAME", "s")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict", [True, False])
def test_gas_that_ends_anywhere_in_transactions_leaves_the_same_state(
    steps: tuple[tuple[Any, ...], ...], strict: bool
) -> None:
    start = body_steps(balances(*steps, times=3))
    used = 1_000_000 - (interpret(start, schedule=SCHEDULE, gas=1_000_000, strict=strict).gas_left or 0)
    for gas in range(0, used + 50, max(53, used // 60)):
        assert_same(start, schedule=SCHEDULE, gas=gas, strict=strict)
    assert assert_same(start, schedule=SCHEDULE, gas=used, strict=strict).error is None


def body_steps(loop: Bytecode) -> Bytecode:
    """The loop behind a transaction that sets x to 5."""
    first = body(*SET_X)
    count, shift = len(first.instructions), len(first.constants)
    moved: list[tuple[str, Any]] = []
    for name, operand in loop.instructions:
        if name in ("JUMP", "JUMP_IF_FALSE"):
            operand = operand + count  # type: ignore[operator]
        elif name == "STORE_CONST":
            operand = operand[0] + shift, operand[1] + shift  # type: ignore[index]
        elif name in ("LOAD_CONST", "LOAD_NAME", "STORE_NAME", "STATE_READ", "STATE_WRITE"):
            operand = operand + shift  # type: ignore[operator]
        moved.append((name, operand))
    return Bytecode([*first.constants, *loop.constants], [*first.instructions, *moved])


def test_functions_within_transactions_see_what_was_written() -> None:
    read = Function("read", (), body(("STATE_READ", "x"), ("LOAD_CONST", 1), ("ADD",), ("STATE_WRITE", "x")))
    undo = Function(
        "undo",
        (),
        body(
            ("TX_REVERT",),
        ),
    )
    for callee in (read, undo):
        program = body(
            *SET_X,
            ("TX_BEGIN",),
            *ADD_ONE,
            ("CALL_FUNC_CONST", callee, 0),
            ("POP",),
            *([] if callee is undo else [*ADD_ONE, ("TX_COMMIT",)]),
            ("STATE_READ", "x"),
        )
        assert assert_same(program, schedule=SCHEDULE, gas=1_000_000).result == (5 if callee is undo else 8)
        assert_same(program, schedule=SCHEDULE, gas=1_000_000, limits=Limits(frames=1))


def test_a_transaction_that_stays_open_is_an_error() -> None:
    outcome = assert_same(body(*SET_X, ("TX_BEGIN",), *ADD_ONE), schedule=SCHEDULE, gas=1_000_000)
    assert outcome.error is not None
    assert outcome.state == {"x": 5}


# Variables that functions store to, closures and cells


def test_variables_of_the_main_program_change_under_it_during_calls() -> None:
    change = Function("change", (), body(("LOAD_NAME", "x"), ("LOAD_CONST", 1), ("ADD",), ("STORE_GLOBAL", "x")))
    fail = Function("fail", (), body(("LOAD_CONST", 9), ("STORE_GLOBAL", "x"), ("LOAD_CONST", "no"), ("NEG",)))
    program = body(
        ("STORE_CONST", "x", 1),
        ("LOAD_NAME", "x"),
        ("CALL_FUNC_CONST", change, 0),
        ("POP",),
        ("LOAD_NAME", "x"),
        ("CALL_FUNC_CONST", change, 0),
        ("POP",),
        ("LOAD_NAME", "x"),
        ("BUILD_LIST", 3),
        ("CALL_FUNC_CONST", fail, 0),
    )
    outcome = assert_same(program, schedule=SCHEDULE, gas=1_000_000)
    assert outcome.variables["x"] == 9
    for gas in range(0, 300, 7):
        assert_same(program, schedule=SCHEDULE, gas=gas)


def test_functions_see_what_other_functions_store() -> None:
    inner = Function("inner", (), body(("LOAD_CONST", 7), ("STORE_GLOBAL", "x")))
    outer = Function(
        "outer",
        (),
        body(
            ("LOAD_NAME", "x"),
            ("CALL_NAME", "inner", 0),
            ("POP",),
            ("LOAD_NAME", "x"),
            ("STORE_CONST", "x", 3),
            ("CALL_NAME", "inner", 0),
            ("POP",),
            ("LOAD_NAME", "x"),
            ("BUILD_LIST", 3),
        ),
    )
    program = body(("STORE_CONST", "inner", inner), ("STORE_CONST", "x", 1), ("CALL_FUNC_CONST", outer, 0))
    for gas in (None, *range(0, 250, 5)):
        outcome = assert_same(program, schedule=SCHEDULE, gas=gas)
    assert outcome.result == [1, 7, 3]
    assert outcome.variables["x"] == 7


def test_closures_share_cells() -> None:
    count = Function(
        "count",
        ("cell", "by"),
        body(
            ("LOAD_NAME", "cell"),
            ("LOAD_NAME", "cell"),
            ("CELL_READ",),
            ("LOAD_NAME", "by"),
            ("ADD",),
            ("CELL_WRITE",),
            ("LOAD_NAME", "cell"),
            ("CELL_READ",),
        ),
    )
    program = body(
        ("LOAD_CONST", 0),
        ("NEW_CELL",),
        ("CLOSURE", count, 1),
        ("STORE_NAME", "count"),
        *(("LOAD_CONST", 2), ("CALL_NAME", "count", 1), ("POP",), ("LOAD_CONST", 3), ("LOAD_NAME", "count")),
        ("CALL_TOP", 1),
    )
    for gas in (None, *range(0, 250, 5)):
        outcome = assert_same(program, schedule=SCHEDULE, gas=gas)
    assert outcome.result == 5


def test_what_is_no_cell_fails_as_interpreted() -> None:
    assert assert_same(body(("LOAD_CONST", 1), ("CELL_READ",)), schedule=SCHEDULE, gas=99).error is TypeMismatch


def test_errors_say_which_calls_had_not_ended() -> None:
    inner = Function("inner", (), body(("LOAD_CONST", "x"), ("NEG",)))
    outer = Function(
        "outer",
        (),
        body(
            ("CALL_FUNC_CONST", inner, 0),
        ),
    )
    program = load(body(("STORE_CONST", "a", 1), ("CALL_FUNC_CONST", outer, 0)))
    traces = []
    for run in (Machine.run, lambda machine, loaded: Compiled(loaded, schedule=None, metered=False).run(machine)):
        with pytest.raises(TypeMismatch) as raised:
            run(Machine(DictWorld({})), program)
        traces.append((raised.value.at, raised.value.function, raised.value.trace))
    assert traces[0] == traces[1] == (1, "inner", [("inner", 1), ("outer", 0), ("", 1)])


# Hashes


@pytest.mark.parametrize("item", [5, -1, 23, 24, -24, -25, 255, 256, 1 << 16, -(1 << 32), (1 << 64) - 1, 1 << 64, True])
@pytest.mark.parametrize("other", ["block header", b"\0" * 30, None, False, 7, -300])
def test_hashes_of_small_lists_are_those_of_their_encoding(item: Value, other: Value) -> None:
    parameter = Function(
        "f", ("x",), body(("LOAD_CONST", other), ("LOAD_NAME", "x"), ("BUILD_LIST", 2), ("HASH_BLOCK",), ("RETURN",))
    )
    program = body(
        *(("LOAD_CONST", item), ("CALL_FUNC_CONST", parameter, 1)),
        *(("LOAD_CONST", other), ("LOAD_CONST", item), ("BUILD_LIST", 2), ("HASH_BLOCK",), ("BUILD_LIST", 2)),
    )
    outcome = assert_same(program, schedule=SCHEDULE, gas=1_000_000)
    assert outcome.result == [hash_block([other, item])] * 2
    used = 1_000_000 - (outcome.gas_left or 0)
    for gas in range(0, used, max(41, used // 20)):
        assert_same(program, schedule=SCHEDULE, gas=gas)


def test_hashes_of_constants_and_integers() -> None:
    for value in ("text" * 9, b"", None, True, 5, 1 << 70, [1]):
        program = counting(
            *(("LOAD_CONST", value), ("HASH_BLOCK",), ("LOAD_NAME", "i"), ("HASH_BLOCK",), ("BUILD_LIST", 2)),
            ("STORE_NAME", "s"),
        )
        assert assert_same(program, schedule=SCHEDULE, gas=1_000_000).result == [hash_block(value), hash_block(4)]
        for gas in range(0, 1500, 61):
            assert_same(program, schedule=SCHEDULE, gas=gas)


def test_a_list_that_is_hashed_at_once_is_not_made() -> None:
    assert "BUILD_LIST" not in text_of(body(("LOAD_CONST", "x"), ("LOAD_CONST", 1), ("BUILD_LIST", 2), ("HASH_BLOCK",)))


# Functions of other programs


def test_functions_of_other_programs_read_and_store_variables_of_this_one() -> None:
    stranger = Function("stranger", (), body(("LOAD_NAME", "x"), ("LOAD_CONST", 1), ("ADD",), ("STORE_GLOBAL", "x")))
    call = Function("call", ("f",), body(("LOAD_NAME", "f"), ("CALL_TOP", 0)))
    program = body(
        ("STORE_CONST", "x", 1),
        *(("LOAD_NAME", "held"), ("LOAD_CONST", 0), ("INDEX",), ("CALL_FUNC_CONST", call, 1), ("POP",)),
        ("LOAD_NAME", "x"),
    )
    loaded = load(program)
    compiled = Compiled(loaded, schedule=None, metered=False)
    for run in (compiled.run, lambda machine: machine.run(loaded)):
        for held in ([stranger], [stranger.bind(())]):
            variables: dict[str, Any] = {"held": held}
            assert run(Machine(DictWorld({}), globals=variables)) == 2
            assert variables["x"] == 2
    variables = {
        "held": [
            Function(
                "own",
                (),
                body(
                    ("LOAD_CONST", 5),
                ),
            )
        ],
        "big": [0] * 20_000,
    }
    assert compiled.run(Machine(DictWorld({}), globals=variables)) == 1
