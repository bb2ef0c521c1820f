"""Programs in machine code do what the interpreter does: results, errors, gas, state, ledger and variables."""

from __future__ import annotations

import _thread
import importlib.util
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import pytest
from vmloom import BlockContext
from vmloom.errors import StateError
from vmloom.object_cache import ObjectCache
from vmloom.state import MemoryState
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.errors import ProzError, ReadOnlyState
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.jit import native
from vmloom_prozvm.jit.native import compile_native, worth_it
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.world import DictWorld, StateWorld
from vmloom_prozvm.values import Function, Value

from .native_programs import KEYS, generate
from .programs import SMALL_LIMITS, Outcome, Shape, observe
from .programs import generate as generate_any

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vmloom_native") is None or importlib.util.find_spec("llvmlite") is None,
    reason="needs vmloom-native",
)

SCHEDULE = GasSchedule()
AS_IT_IS = 10
"""Added to a level of LLVM's passes, it keeps the test from making it 0."""
ENOUGH = 1_000_000
BIG = (1 << 63) - 1


@pytest.fixture(scope="module", autouse=True)
def _quick_compiler() -> Iterator[None]:
    """Without LLVM's passes, which take most of the time."""
    if importlib.util.find_spec("llvmlite") is None:
        yield
        return
    from vmloom_prozvm.jit.native import program

    with pytest.MonkeyPatch.context() as patch:
        link = program._linked
        patch.setattr(
            program, "_linked", lambda text, level, cache: link(text, max(0, level - AS_IT_IS) % AS_IT_IS, cache)
        )
        yield


class Both:
    """A program on the interpreter and in machine code."""

    def __init__(
        self,
        bytecode: Bytecode,
        *,
        schedule: GasSchedule | None = SCHEDULE,
        strict: bool = True,
        limits: Limits | None = None,
        state: dict[str, Any] | None = None,
        variables: dict[str, Any] | None = None,
    ) -> None:
        from vmloom_prozvm.jit.native.facts import Facts
        from vmloom_prozvm.jit.native.program import Program

        self.limits = limits or Limits()
        self.loaded = load(bytecode, self.limits, strict=strict)
        self.facts = Facts(self.loaded, schedule, metered=True)
        self.program = Program(self.facts)
        self.schedule, self.strict, self.state, self.variables = schedule, strict, state, variables or {}
        self.turns = 0
        self.entered = 0

    def interpreted(self, gas: int | None) -> Outcome:
        return self.observed(gas, lambda machine: machine.run(self.loaded))

    def native(self, gas: int | None) -> Outcome:
        from vmloom_prozvm.jit.native.program import NativeRun

        run = NativeRun(self.program)
        outcome = self.observed(gas, lambda machine: machine.run(self.loaded, run.begin))
        self.turns, self.entered = run.turns, run.entered
        return outcome

    def observed(self, gas: int | None, run: Any) -> Outcome:
        def make(env: dict[str, Any], context: Any, variables: dict[str, Any]) -> Machine:
            if self.state is not None:
                env["_blockchain_state"] = dict(self.state)
            variables.update(self.variables)
            return Machine(
                DictWorld(env),
                schedule=self.schedule,
                gas=gas,
                strict=self.strict,
                context=context,
                globals=variables,
                limits=self.limits,
            )

        return observe(make, run)

    def agree(self, gas: int | None = ENOUGH) -> Outcome:
        """Compare one run; its outcome."""
        expected, found = self.interpreted(gas), self.native(gas)
        assert repr(found) == repr(expected)
        return found

    def agree_at_every_gas(self, most: int = 400) -> Outcome:
        """Compare runs with every amount of gas up to what the program needs, or `most` of them."""
        outcome = self.agree()
        used = ENOUGH - (outcome.gas_left or 0)
        for gas in range(0, used + 2, max(1, used // most)):
            self.agree(gas)
        return outcome


def loop(times: int, *steps: tuple[Any, ...], before: tuple[tuple[Any, ...], ...] = ()) -> Bytecode:
    """Steps that run with `i` from 0 up; the program gives `s`."""
    out = BytecodeBuilder().emit("STORE_CONST", "s", 0)
    for name, *operands in before:
        out.emit(name, *operands)
    out.emit("STORE_CONST", "i", 0).label("top")
    out.emit("LOAD_NAME", "i").emit("LOAD_CONST", times).emit("LT").emit("JUMP_IF_FALSE", "end")
    for name, *operands in steps:
        if name == "label":
            out.label(*operands)
        else:
            out.emit(name, *operands)
    out.emit("LOAD_NAME", "i").emit("LOAD_CONST", 1).emit("ADD").emit("STORE_NAME", "i").emit("JUMP", "top")
    return out.label("end").emit("LOAD_NAME", "s").emit("RETURN").build()


ADD_TO_S = (("LOAD_NAME", "s"), ("LOAD_NAME", "i"), ("ADD",), ("STORE_NAME", "s"))


# Random programs


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_do_the_same_with_any_gas(seed: int) -> None:
    random = Random(seed)
    both = Both(
        generate(random),
        schedule=SCHEDULE if random.random() < 0.8 else None,
        strict=random.random() < 0.6,
        limits=SMALL_LIMITS if random.random() < 0.2 else Limits(frames=random.choice((3, 10, 256))),
        state={"x": 5, "y": BIG - 2} if seed % 3 else {"x": "text"},
    )
    used = ENOUGH - (both.agree().gas_left or 0)
    for gas in (used, max(0, used - 1), *(random.randint(0, min(used, 100_000)) for _ in range(12))):
        both.agree(gas)


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_of_all_instructions_do_the_same(seed: int) -> None:
    random = Random(seed)
    both = Both(generate_any(random, Shape(wrong=0.02, closures=seed % 2 == 0, conversions=True, paths=seed % 3 == 0)))
    used = ENOUGH - (both.agree().gas_left or 0)
    for _ in range(8):
        both.agree(random.randint(0, used))


@pytest.mark.parametrize("seed", range(100, 115))
def test_programs_with_registers_in_memory_do_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_prozvm.jit.native import emit

    monkeypatch.setattr(emit, "LARGE", 0)
    random = Random(seed)
    both = Both(generate(random), strict=random.random() < 0.6, state={"x": 5})
    used = ENOUGH - (both.agree().gas_left or 0)
    for _ in range(8):
        both.agree(random.randint(0, min(used, 100_000)))


@pytest.mark.parametrize("seed", range(200, 204))
def test_optimised_code_does_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_prozvm.jit.native.emit import Module

    monkeypatch.setattr(Module, "level", AS_IT_IS + 2)
    random = Random(seed)
    both = Both(generate(random), strict=random.random() < 0.6, state={"x": 5})
    used = ENOUGH - (both.agree().gas_left or 0)
    for _ in range(8):
        both.agree(random.randint(0, min(used, 100_000)))


@pytest.mark.parametrize("names", [3, 90])
def test_a_large_program_is_compiled_in_a_moment(names: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_prozvm.jit.native.emit import Module

    level = Module.level.fget  # type: ignore[attr-defined]  # a property
    monkeypatch.setattr(Module, "level", property(lambda module: AS_IT_IS + level(module)))
    out, random = BytecodeBuilder(), Random(names)
    for number in range(names):
        out.emit("STORE_CONST", f"v{number}", number)
    out.label("top")
    for _ in range(900):
        out.emit("LOAD_NAME", f"v{random.randrange(names)}").emit("LOAD_NAME", f"v{random.randrange(names)}")
        out.emit("ADD").emit("STORE_NAME", f"v{random.randrange(names)}")
    began = process_time()
    both = Both(out.emit("JUMP", "top").build())
    assert process_time() - began < 8  # a tenth of a second, on a computer with nothing else to do
    both.agree(50_000)


# Integers


def test_a_loop_of_integers_runs_natively_with_gas_exact_everywhere() -> None:
    both = Both(loop(20, *ADD_TO_S))
    assert both.agree_at_every_gas().result == 190
    both.agree()
    assert both.entered == 1
    assert both.turns == 21


@pytest.mark.parametrize("opcode", ["ADD", "SUB", "MUL", "DIV", "MOD", "POW"])
@pytest.mark.parametrize("seed", range(4))
def test_arithmetic_of_any_two_integers(opcode: str, seed: int) -> None:
    random = Random(f"{opcode}{seed}")
    edges = [0, 1, -1, 2, -2, 3, 7, -7, 62, 63, 64, BIG, BIG - 1, -BIG, -BIG - 1, BIG + 1, 1 << 64, (1 << 32) + 1]
    numbers = [*edges, *(random.randint(-BIG, BIG) for _ in range(4)), random.randint(-99, 99)]
    pairs = [(random.choice(numbers), random.choice(numbers)) for _ in range(12)]
    for left, right in pairs:
        steps = (("LOAD_CONST", left), ("LOAD_NAME", "x"), (opcode,), ("STORE_NAME", "s"))
        Both(loop(2, *steps, before=(("STORE_CONST", "x", right),))).agree()


def test_powers_that_fit_are_computed_natively() -> None:
    for base, exponent in ((3, 39), (-3, 39), (2, 62), (-2, 63), (0, 0), (1, 1 << 62), (-1, BIG), (10, 18)):
        steps = (("LOAD_NAME", "x"), ("LOAD_CONST", exponent), ("POW",), ("STORE_NAME", "s"))
        both = Both(loop(3, *steps, before=(("STORE_CONST", "x", base),)))
        assert both.agree().result == base**exponent


@pytest.mark.parametrize("divisor", [1, -1, 2, -2, 3, -3, 10, BIG, -BIG - 1])
@pytest.mark.parametrize("opcode", ["DIV", "MOD"])
def test_division_rounds_down(divisor: int, opcode: str) -> None:
    for dividend in (0, 1, -1, 7, -7, 8, BIG, -BIG - 1):
        steps = (("LOAD_NAME", "x"), ("LOAD_CONST", divisor), (opcode,), ("STORE_NAME", "s"))
        Both(loop(2, *steps, before=(("STORE_CONST", "x", dividend),))).agree()


def test_a_sum_that_outgrows_64_bits_goes_on_in_the_interpreter_and_does_not_come_back() -> None:
    steps = (("LOAD_NAME", "s"), ("LOAD_CONST", 1 << 60), ("ADD",), ("STORE_NAME", "s"))
    both = Both(loop(30, *steps))
    assert both.agree_at_every_gas(60).result == 30 << 60
    both.agree()
    assert 1 <= both.entered < 10


@pytest.mark.parametrize("value", [0, 1, -1, True, False, None, "", "a", b"", b"x", 1 << 70, "0" * 64])
@pytest.mark.parametrize("opcode", ["EQ", "NEQ", "LT", "AND", "OR", "NOT", "JUMP"])
def test_values_of_all_kinds_in_comparisons_and_conditions(value: Value, opcode: str) -> None:
    steps: tuple[tuple[Any, ...], ...]
    if opcode == "NOT":
        steps = (("LOAD_NAME", "x"), ("NOT",), ("STORE_NAME", "s"))
    elif opcode == "JUMP":
        steps = (("LOAD_NAME", "x"), ("JUMP_IF_FALSE", "no"), *ADD_TO_S, ("label", "no"))
    else:
        steps = (("LOAD_NAME", "x"), ("LOAD_NAME", "i"), (opcode,), ("STORE_NAME", "s"))
    kept = (("LOAD_NAME", "y"), ("STORE_NAME", "x"))  # so that the kind is not known
    Both(loop(3, *steps, *kept, before=(("STORE_CONST", "x", value), ("STORE_CONST", "y", 1)))).agree()
    Both(loop(3, *steps, *kept, before=(("STORE_CONST", "x", 1), ("STORE_CONST", "y", value)))).agree()


def test_names_without_a_value_and_those_that_the_host_gives() -> None:
    steps = (("LOAD_NAME", "x"), ("LOAD_NAME", "s"), ("ADD",), ("STORE_NAME", "s"))
    for variables in ({}, {"x": 3}, {"x": "text"}, {"x": [1]}, {"x": None}):
        Both(loop(3, *steps), variables=variables).agree()


# Going out and coming back


def test_native_code_comes_back_behind_what_it_cannot_do() -> None:
    inner = (
        *(("STORE_CONST", "j", 0), ("label", "inner"), ("LOAD_NAME", "j"), ("LOAD_CONST", 50), ("LT",)),
        *(("JUMP_IF_FALSE", "out"), ("LOAD_NAME", "s"), ("LOAD_NAME", "j"), ("ADD",), ("STORE_NAME", "s")),
        *(("LOAD_NAME", "j"), ("LOAD_CONST", 1), ("ADD",), ("STORE_NAME", "j"), ("JUMP", "inner"), ("label", "out")),
    )
    unknown = (("LOAD_CONST", [1, 2]), ("LENGTH",), ("STORE_NAME", "n"))
    both = Both(loop(20, *unknown, *inner))
    assert both.agree().result == 20 * sum(range(50))
    assert both.entered > 10
    assert both.turns > 20 * 50
    both.agree_at_every_gas(50)


def test_it_stays_with_the_interpreter_where_coming_back_does_not_pay() -> None:
    both = Both(loop(500, ("LOAD_CONST", [1, 2]), ("LENGTH",), ("STORE_NAME", "n"), *ADD_TO_S))
    both.agree()
    assert both.entered < 20


def test_a_function_of_the_host_is_called_between_native_parts() -> None:
    seen: list[int] = []
    both = Both(
        loop(3, *ADD_TO_S, ("LOAD_NAME", "s"), ("CALL_NAME", "show", 1), ("POP",)), variables={"show": seen.append}
    )
    both.native(ENOUGH)
    assert seen == [0, 1, 3]


def test_an_interrupt_ends_a_loop_without_end() -> None:
    program = BytecodeBuilder().emit("STORE_CONST", "i", 0).label("top").emit("LOAD_NAME", "i").emit("LOAD_CONST", 1)
    program.emit("ADD").emit("LOAD_CONST", 1000).emit("MOD").emit("STORE_NAME", "i").emit("JUMP", "top")
    both = Both(program.build(), schedule=None)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        both.native(None)
    timer.join()


def test_calls_without_end_can_be_interrupted_too() -> None:
    body = BytecodeBuilder().emit("LOAD_NAME", "n").emit("JUMP_IF_FALSE", "end")
    for _ in range(2):
        body.emit("LOAD_NAME", "n").emit("LOAD_CONST", 1).emit("SUB").emit("CALL_NAME", "f", 1).emit("POP")
    function = Function("f", ("n",), body.label("end").emit("LOAD_CONST", 0).build())
    program = BytecodeBuilder().emit("STORE_CONST", "f", function).emit("LOAD_CONST", 60).emit("CALL_NAME", "f", 1)
    both = Both(program.build(), schedule=None)
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        both.native(None)
    timer.join()


# Calls


def fib() -> Function:
    body = BytecodeBuilder().emit("LOAD_NAME", "n").emit("LOAD_CONST", 2).emit("LT").emit("JUMP_IF_FALSE", "more")
    body.emit("LOAD_NAME", "n").emit("RETURN").label("more")
    body.emit("LOAD_NAME", "n").emit("LOAD_CONST", 1).emit("SUB").emit("CALL_NAME", "fib", 1)
    body.emit("LOAD_NAME", "n").emit("LOAD_CONST", 2).emit("SUB").emit("CALL_NAME", "fib", 1).emit("ADD")
    return Function("fib", ("n",), body.emit("RETURN").build())


def call_fib(argument: Value) -> Bytecode:
    program = BytecodeBuilder().emit("STORE_CONST", "fib", fib()).emit("LOAD_CONST", argument)
    return program.emit("CALL_NAME", "fib", 1).emit("RETURN").build()


def test_recursion_with_gas_exact_everywhere() -> None:
    both = Both(call_fib(7))
    assert both.agree_at_every_gas().result == 13
    both.agree()
    assert both.entered == 1


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8, 300])
def test_calls_deeper_than_the_limit(frames: int) -> None:
    Both(call_fib(6), limits=Limits(frames=frames)).agree()


def test_a_recursion_deeper_than_native_code_goes() -> None:
    body = BytecodeBuilder().emit("LOAD_NAME", "n").emit("JUMP_IF_FALSE", "end").emit("LOAD_NAME", "n")
    body.emit("LOAD_CONST", 1).emit("SUB").emit("CALL_NAME", "f", 1).emit("LOAD_CONST", 1).emit("ADD").emit("RETURN")
    function = Function("f", ("n",), body.label("end").emit("LOAD_CONST", 0).build())
    program = BytecodeBuilder().emit("STORE_CONST", "f", function).emit("LOAD_CONST", 900).emit("CALL_NAME", "f", 1)
    assert Both(program.build(), limits=Limits(frames=1000)).agree().result == 900
    Both(program.build(), limits=Limits(frames=900)).agree()


@pytest.mark.parametrize("argument", ["text", None, True, BIG, -BIG - 1, 1 << 64])
def test_arguments_of_other_kinds(argument: Value) -> None:
    Both(call_fib(argument), limits=Limits(frames=20)).agree()


@pytest.mark.parametrize("result", [5, True, None, "text", "digest", [1]])
def test_results_of_all_kinds(result: Value) -> None:
    body = BytecodeBuilder().emit("LOAD_CONST", result)
    if result == "digest":
        body.emit("HASH_BLOCK")
    function = Function("f", ("n",), body.emit("RETURN").build())
    both = Both(loop(5, ("LOAD_NAME", "i"), ("CALL_FUNC_CONST", function, 1), ("STORE_NAME", "s")))
    both.agree_at_every_gas(40)


def test_variables_of_the_main_program_in_functions() -> None:
    body = BytecodeBuilder().emit("LOAD_NAME", "total").emit("LOAD_NAME", "n").emit("ADD")
    body.emit("STORE_GLOBAL", "total").emit("LOAD_NAME", "total")
    function = Function("f", ("n",), body.emit("RETURN").build())
    steps = (("LOAD_NAME", "i"), ("CALL_FUNC_CONST", function, 1), ("STORE_NAME", "s"))
    again = (("LOAD_NAME", "total"), ("LOAD_CONST", 2), ("MUL",), ("STORE_NAME", "total"))
    both = Both(loop(6, *steps, *again, before=(("STORE_CONST", "total", 1),)))
    both.agree_at_every_gas(100)


# State

COUNT = (("STATE_READ", "n"), ("LOAD_CONST", 1), ("ADD",), ("STATE_WRITE", "n"))


@pytest.mark.parametrize("end", ["TX_COMMIT", "TX_REVERT"])
@pytest.mark.parametrize(
    "state", [{"n": 5}, {"n": BIG - 3}, {"n": "text"}, {}, {"n": True}, {"n": 1 << 80}, {"n": 1.5}]
)
def test_a_counter_in_transactions(end: str, state: dict[str, Any]) -> None:
    both = Both(loop(6, ("TX_BEGIN",), *COUNT, (end,)), state=state)
    both.agree_at_every_gas(60)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "steps",
    [
        COUNT,
        (("TX_BEGIN",), *COUNT),
        (("TX_COMMIT",),),
        (("TX_REVERT",), *COUNT),
        (("TX_BEGIN",), *COUNT, ("TX_BEGIN",), *COUNT, *COUNT, ("TX_REVERT",), *COUNT, ("TX_COMMIT",)),
        (("TX_BEGIN",), ("TX_BEGIN",), *COUNT, ("TX_COMMIT",), ("TX_REVERT",), ("TX_BEGIN",), *COUNT, ("TX_COMMIT",)),
        (("TX_BEGIN",), ("LOAD_NAME", "i"), ("LEDGER_APPEND",), *COUNT, ("TX_COMMIT",)),
        (
            ("TX_BEGIN",),
            ("LOAD_CONST", "entry"),
            ("LEDGER_APPEND",),
            ("TX_REVERT",),
            ("LOAD_NAME", "i"),
            ("LEDGER_APPEND",),
        ),
        (("TX_BEGIN",), *COUNT, ("LOAD_CONST", {"a": 1}), ("LEDGER_APPEND",), ("TX_COMMIT",)),
        (("LOAD_NAME", "i"), ("HASH_BLOCK",), ("LEDGER_APPEND",)),
    ],
)
def test_transactions_that_nest_fail_or_stay_open(steps: tuple[tuple[Any, ...], ...], strict: bool) -> None:
    Both(loop(4, *steps), strict=strict, state={"n": 1}).agree_at_every_gas(60)


def test_what_is_open_where_native_code_leaves_is_open_in_the_interpreter() -> None:
    unknown = (("LOAD_CONST", [1]), ("LENGTH",), ("STATE_WRITE", "m"))
    steps = (("TX_BEGIN",), *COUNT, ("TX_BEGIN",), *COUNT, *unknown, *COUNT, ("TX_REVERT",), *COUNT, ("TX_COMMIT",))
    both = Both(loop(4, *steps), state={"n": 1})
    assert both.agree_at_every_gas(100).state == {"n": 9}


def test_transactions_deeper_than_there_is_room() -> None:
    deep = (*(("TX_BEGIN",), *COUNT) * 40,)
    both = Both(loop(30, *deep), state={"n": 0}, strict=False)
    both.agree()


def test_a_ledger_longer_than_there_is_room() -> None:
    both = Both(loop(5000, ("LOAD_NAME", "i"), ("LEDGER_APPEND",)), schedule=None)
    assert len(both.agree(None).ledger) == 5000


def test_state_that_must_not_change() -> None:
    class ReadOnly(DictWorld):
        def check(self, value: Value) -> None:
            raise ReadOnlyState("not here")

    both = Both(loop(3, ("TX_BEGIN",), *COUNT, ("TX_COMMIT",)))
    seen = []
    for run in (lambda m: m.run(both.loaded), both.program.run):
        machine = Machine(ReadOnly({"_blockchain_state": {"n": 1}}), schedule=SCHEDULE, gas=ENOUGH)
        with pytest.raises(ReadOnlyState) as error:
            run(machine)
        seen.append((error.value.at, machine.gas_left))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("method", ["read", "check"])
def test_a_state_that_fails(method: str) -> None:
    both = Both(loop(3, ("TX_BEGIN",), *COUNT, ("TX_COMMIT",)))
    seen = []
    for run in (lambda m: m.run(both.loaded), both.program.run):
        world = DictWorld({"_blockchain_state": {"n": 1}})

        def fail(_: object) -> Value:
            raise StateError("the disk is gone")

        setattr(world, method, fail)
        machine = Machine(world, schedule=SCHEDULE, gas=ENOUGH)
        with pytest.raises(StateError):
            run(machine)
        seen.append(machine.gas_left)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("seed", range(300, 308))
def test_accounts_end_with_the_same_records(seed: int, read_only: bool) -> None:
    random = Random(seed)
    both = Both(generate(random))
    for gas in (3 * ENOUGH, *(random.randint(0, 200_000) for _ in range(4))):
        seen = []
        for run in (lambda machine: machine.run(both.loaded), both.program.run):
            world = StateWorld(MemoryState(), b"a" * 20, BlockContext(timestamp=7), read_only=read_only)
            machine = Machine(world, schedule=SCHEDULE, gas=gas)
            try:
                outcome = repr(run(machine))
            except ProzError as error:
                outcome = f"{error!r} {error.at}"
            ledger = [world.ledger_entry(position) for position in range(world.ledger_size())]
            seen.append((outcome, machine.gas_left, [world.read(key) for key in KEYS], ledger))
        assert repr(seen[0]) == repr(seen[1])


# Hashes


@pytest.mark.parametrize(
    "steps",
    [
        (("LOAD_NAME", "x"),),
        (("LOAD_CONST", "header"), ("LOAD_NAME", "x"), ("BUILD_LIST", 2)),
        (("LOAD_NAME", "s"), ("LOAD_NAME", "x"), ("BUILD_LIST", 2)),
        (("BUILD_LIST", 0),),
        (("LOAD_CONST", "b"), ("LOAD_NAME", "x"), ("LOAD_CONST", "aa"), ("LOAD_NAME", "s"), ("BUILD_MAP", 2)),
        (("LOAD_CONST", 5), ("LOAD_NAME", "x"), ("LOAD_CONST", b"k"), ("LOAD_CONST", None), ("BUILD_MAP", 2)),
        (("LOAD_CONST", "k"), ("LOAD_NAME", "x"), ("LOAD_CONST", "k"), ("LOAD_CONST", 1), ("BUILD_MAP", 2)),
        (("LOAD_NAME", "x"), ("BUILD_LIST", 1), ("LOAD_CONST", 1 << 90), ("BUILD_LIST", 2)),
        (("LOAD_NAME", "x"), ("LOAD_CONST", 0), ("LT",), ("LOAD_NAME", "x"), ("BUILD_LIST", 2)),
        (("LOAD_CONST", "x" * 300), ("LOAD_NAME", "x"), ("BUILD_LIST", 2)),
        (("LOAD_CONST", b"y" * 5000), ("LOAD_NAME", "x"), ("BUILD_LIST", 2)),
    ],
)
def test_hashes_of_integers_and_collections(steps: tuple[tuple[Any, ...], ...]) -> None:
    for number in (
        0,
        23,
        24,
        255,
        256,
        65_535,
        65_536,
        (1 << 32) - 1,
        1 << 32,
        BIG,
        -1,
        -24,
        -25,
        -256,
        -257,
        -BIG - 1,
    ):
        before = (("STORE_CONST", "x", number),)
        both = Both(loop(2, *steps, ("HASH_BLOCK",), ("STORE_NAME", "s"), before=before))
        both.agree()
    both.agree_at_every_gas(100)


@pytest.mark.parametrize("size", [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000])
def test_the_kernel_of_sha256(size: int) -> None:
    import ctypes

    from vmloom.kernel import local, start, u8, view
    from vmloom.kernel.sha256 import sha256 as kernel
    from vmloom_prozvm.jit.native.hashing import address

    data = Random(size).randbytes(size)
    digest = ctypes.create_string_buffer(32)
    function = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p)(address())
    function(data, size, digest)
    assert digest.raw == sha256(data).digest()
    output = local(u8, 32)
    kernel(start(data), size, output)
    assert bytes(view(output, 32)) == sha256(data).digest()


# What is compiled


def test_what_is_worth_it() -> None:
    assert worth_it(load(loop(3, *ADD_TO_S)))
    assert worth_it(load(call_fib(3)))
    assert not worth_it(load(BytecodeBuilder().emit("LOAD_CONST", 1).build()))
    assert not worth_it(load(loop(3, ("LOAD_CONST", [1]), ("LENGTH",), ("POP",))))


LEAVES = (("LOAD_CONST", [1]), ("LENGTH",), ("STORE_NAME", "n"))
INNER = (
    *(("STORE_CONST", "j", 0), ("label", "inner"), ("LOAD_NAME", "j"), ("LOAD_CONST", 9), ("LT",)),
    *(("JUMP_IF_FALSE", "out"), ("LOAD_NAME", "j"), ("LOAD_CONST", 1), ("ADD",), ("STORE_NAME", "j")),
    *(("JUMP", "inner"), ("label", "out")),
)


@pytest.mark.parametrize(
    ("program", "pays"),
    [
        (loop(3, *ADD_TO_S), True),
        (loop(3, *ADD_TO_S, *LEAVES), False),
        (loop(3, *LEAVES, *INNER), True),
        (loop(3, *INNER, *LEAVES), True),
        (
            loop(
                3,
                *ADD_TO_S,
                ("LOAD_NAME", "s"),
                ("JUMP_IF_FALSE", "on"),
                ("LOAD_CONST", "no"),
                ("REVERT",),
                ("label", "on"),
            ),
            True,
        ),
        (call_fib(3), True),
        (BytecodeBuilder().emit("LOAD_CONST", 1).build(), False),
    ],
)
def test_programs_are_compiled_if_their_innermost_loops_are_native(program: Bytecode, pays: bool) -> None:
    assert (compile_native(load(program), SCHEDULE, True) is not None) == pays


def test_runs_with_other_values_go_to_generated_python_after_a_while() -> None:
    both = Both(loop(100, *ADD_TO_S, before=(("STATE_READ", "n"), ("STORE_NAME", "s"))), state={"n": 1 << 80})
    for _ in range(6):
        expected = both.interpreted(ENOUGH)
        assert repr(both.observed(ENOUGH, both.program.run)) == repr(expected)
    assert both.program._python is not None


def test_compiling_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(loop(3, *ADD_TO_S))
    assert compile_native(loaded, SCHEDULE, True) is not None
    assert compile_native(load(BytecodeBuilder().build()), SCHEDULE, True) is None
    monkeypatch.setitem(sys.modules, "vmloom_native.library", None)
    assert compile_native(loaded, SCHEDULE, True) is None


def test_machine_code_is_kept_if_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_native import codegen
    from vmloom_prozvm.jit.native import program

    monkeypatch.setattr(program, "ObjectCache", lambda **options: ObjectCache(tmp_path / "objects", **options))
    loaded = load(loop(7, *ADD_TO_S, ("GAS_CHARGE", 77)))
    assert compile_native(loaded, SCHEDULE, True) is not None
    assert not (tmp_path / "objects").exists()
    assert compile_native(loaded, SCHEDULE, True, disk_cache=True) is not None
    monkeypatch.setattr(codegen, "emit_object", None)
    assert compile_native(loaded, SCHEDULE, True) is None
    found = compile_native(loaded, SCHEDULE, True, disk_cache=True)
    assert found is not None
    assert found.run(Machine(DictWorld({}), schedule=SCHEDULE, gas=ENOUGH)) == 21


def test_large_programs_are_left_alone() -> None:
    steps = [("LOAD_CONST", number) for number in range(native.MAX_INSTRUCTIONS)]
    assert not worth_it(
        load(loop(3, *(step for pair in zip(steps, [("POP",)] * len(steps), strict=True) for step in pair)))
    )


def test_a_program_runs_many_times_and_in_many_threads() -> None:
    both = Both(loop(2000, *ADD_TO_S, ("TX_BEGIN",), *COUNT, ("TX_COMMIT",)), state={"n": 0})
    expected = repr(both.interpreted(10**9))
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(repr(both.native(10**9)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_every_instruction_that_is_called_native_is_written() -> None:
    from vmloom_prozvm.jit.native.emit import WRITERS
    from vmloom_prozvm.jit.native.facts import NATIVE

    assert set(WRITERS) == set(NATIVE)
    assert Opcode.INDEX not in NATIVE


def test_the_error_of_a_function_that_native_code_called_names_it() -> None:
    body = BytecodeBuilder().emit("LOAD_CONST", 1).emit("LOAD_NAME", "n").emit("DIV").emit("RETURN")
    function = Function("divide", ("n",), body.build())
    steps = (("LOAD_CONST", 3), ("LOAD_NAME", "i"), ("SUB",), ("CALL_FUNC_CONST", function, 1), ("STORE_NAME", "s"))
    both = Both(loop(9, *steps))
    assert both.agree().function == "divide"
    machine = Machine(DictWorld({}), schedule=SCHEDULE, gas=ENOUGH)
    with pytest.raises(ProzError, match="divide"):
        both.program.run(machine)
