"""Loading: what is verified, how operands are decoded, and which registers names get."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from vmloom.errors import CodeError
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder
from vmloom_prozvm.bytecode.verify import stack_depths
from vmloom_prozvm.errors import ProzError
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import UNSET, Loaded, load
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Function

from .programs import Shape, programs

INNER = Function(
    "inner", ("p",), BytecodeBuilder().emit("LOAD_NAME", "g").emit("LOAD_NAME", "p").emit("LOAD_NAME", "x").build()
)


def loaded() -> Loaded:
    builder = BytecodeBuilder().emit("STORE_CONST", "x", 5).emit("LOAD_NAME", "x")
    builder.emit("CALL_FUNC_CONST", INNER, 1).emit("CALL_NAME", "y", 0).emit("STATE_WRITE", "key").emit(
        "BLOCK", "number"
    )
    return load(builder.build())


def test_operands_are_decoded() -> None:
    assert [tuple(instruction) for instruction in loaded().main.instructions] == [
        (Opcode.STORE_CONST, (0, 5)),
        (Opcode.LOAD_NAME, 0),
        (Opcode.CALL_FUNC_CONST, (INNER, 1)),
        (Opcode.CALL_NAME, (1, 0)),
        (Opcode.STATE_WRITE, "key"),
        (Opcode.BLOCK, "number"),
    ]


def test_registers_are_the_names_in_order_with_parameters_first() -> None:
    found = loaded().function(INNER)
    assert found is not None
    assert found.registers == ("p", "g", "x")


def test_main_program_has_a_register_for_every_name_its_own_first() -> None:
    program = loaded()
    assert program.main.registers == ("x", "y", "p", "g")
    assert program.main.globals == (0, 1)
    inner = program.function(INNER)
    assert inner is not None
    assert [program.main.registers[number] for number in inner.globals] == list(inner.registers)


def test_function_is_found_by_identity() -> None:
    twin = Function("inner", ("p",), Bytecode())
    assert twin == INNER
    assert loaded().function(twin) is None


def test_functions_in_functions_are_loaded() -> None:
    middle = Function("middle", (), BytecodeBuilder().emit("LOAD_CONST", INNER).build())
    program = load(BytecodeBuilder().emit("LOAD_CONST", middle).build())
    assert [function.name for function in program.functions()] == ["", "middle", "inner"]


def test_constant_that_is_there_twice_is_loaded_once() -> None:
    program = load(Bytecode([INNER, INNER], [("LOAD_CONST", 0), ("LOAD_CONST", 1)]))
    assert len(list(program.functions())) == 2


@pytest.mark.parametrize(
    "program",
    [
        Bytecode([], [("POP", None)]),
        Bytecode([], [("JUMP", 9)]),
        Bytecode([], [("LOAD_CONST", 0)]),
        Bytecode([5], [("LOAD_NAME", 0)]),
        Bytecode([], [("NOTHING", None)]),
        Bytecode([Function("f", (), Bytecode([], [("ADD", None)]))], []),
        Bytecode([], [("RETURN", None)]),
    ],
)
def test_broken_programs_are_refused(program: Bytecode) -> None:
    with pytest.raises(CodeError):
        load(program)


def test_return_on_an_empty_stack_is_for_the_workbench() -> None:
    assert load(Bytecode([], [("RETURN", None)]), strict=False).strict is False


def test_stack_is_bounded() -> None:
    program = Bytecode([1], [("LOAD_CONST", 0)] * 5)
    load(program, Limits(stack=5))
    with pytest.raises(CodeError, match="more than 4 values"):
        load(program, Limits(stack=4))


@pytest.mark.parametrize("name", ["stack", "frames", "tasks", "registers"])
def test_limits_are_at_least_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: must be at least 1, got 0"):
        Limits(**{name: 0})


def test_loaded_program_is_not_changed_by_a_run() -> None:
    program = load(BytecodeBuilder().emit("LOAD_NAME", "n").emit("LOAD_CONST", [1]).emit("ADD").build())
    for start in ([], [0]):
        assert Machine(DictWorld({}), globals={"n": start}).run(program) == [*start, 1]


def test_register_without_a_value_is_no_value() -> None:
    assert repr(UNSET) == "UNSET"


@given(programs(Shape(contract=True)))
def test_generated_programs_are_verified_and_of_known_depth(program: Bytecode) -> None:
    main = load(program).main
    assert len(main.instructions) == len(program)
    assert max(depth or 0 for depth in stack_depths(program)) <= Limits().stack


@given(programs())
def test_stack_never_grows_over_what_verification_said(program: Bytecode) -> None:
    """The interpreter checks no depth, since it is known before; so it must be right."""
    main = load(program)
    deepest = max(depth or 0 for depth in stack_depths(program))
    machine = Machine(DictWorld({}), schedule=GasSchedule(), gas=100_000)
    frame_stacks = []
    enter = machine.enter

    def watch(*arguments: object) -> object:
        frame = enter(*arguments)  # type: ignore[arg-type]
        if frame.function is main.main:
            frame.stack = Watched()
            frame_stacks.append(frame.stack)
        return frame

    machine.enter = watch  # type: ignore[method-assign, assignment]
    with suppress(ProzError):
        machine.run(main)
    assert frame_stacks[0].deepest <= deepest


class Watched(list[object]):
    """A stack that remembers how high it was."""

    deepest = 0

    def append(self, value: object) -> None:
        super().append(value)
        self.deepest = max(self.deepest, len(self))
