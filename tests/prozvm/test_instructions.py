"""Closures, cells, slices, conversions and paths into the state: what they do, what they refuse, what they cost."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom import BlockContext
from vmloom.state import MemoryState
from vmloom_prozvm.bytecode.opcodes import OPERATIONS, Opcode, Operand
from vmloom_prozvm.bytecode.program import BytecodeBuilder, stack_effect
from vmloom_prozvm.errors import (
    IndexOutOfRange,
    MalformedData,
    NotStorable,
    OutOfGas,
    ProzError,
    StateOutsideTransaction,
    TypeMismatch,
    Unverifiable,
    ValueTooLarge,
    WrongArity,
)
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.context import CallContext
from vmloom_prozvm.runtime.instructions import INSTRUCTIONS, static_price
from vmloom_prozvm.runtime.interpreter import Machine
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.runtime.loaded import load
from vmloom_prozvm.runtime.run import Run
from vmloom_prozvm.runtime.world import PATH_CELLS, DictWorld, StateWorld
from vmloom_prozvm.values import Cell, Function, Value, ValueLimits, canonical, cells, check, same

from .steps import body, const, fails, function, run
from .strategies import VALUES

SCHEDULE = GasSchedule()
ADDRESS = b"\xaa" * 20


def used(*steps: tuple[Any, ...], world: DictWorld | None = None, **options: Any) -> int:
    """Gas that the program uses, be it with an error."""
    machine = Machine(world or DictWorld({}), schedule=SCHEDULE, gas=10**9, **options)
    with suppress(ProzError):
        machine.run(load(body(*steps)))
    return 10**9 - machine.gas


def apply(name: str, *operands: Value, **options: Any) -> Value:
    return run(*const(*operands), (name,), **options)


def extra(*steps: tuple[Any, ...], world: DictWorld | None = None) -> int:
    """Gas beyond what is fixed."""
    loaded = load(body(*steps))
    return used(*steps, world=world) - sum(static_price(*entry, SCHEDULE) for entry in loaded.main.instructions)


# Items, parts and ranges


@pytest.mark.parametrize(
    ("collection", "items"),
    [
        ([1, "a"], [1, "a"]),
        ({"bb": 1, "a": 2, 3: 4, b"x": 5}, [3, b"x", "a", "bb"]),
        ("aß", ["a", "ß"]),
        (b"\x00\xff", [0, 255]),
        ("", []),
        ({}, []),
    ],
)
def test_items_of_every_collection(collection: Value, items: list[Value]) -> None:
    assert apply("ITEMS", collection) == items


@pytest.mark.parametrize("name", ["ITEMS", "CELL_READ", "TO_INTEGER", "DECODE", "TRY_DECODE"])
def test_none_is_refused_where_there_is_nothing_in_it(name: str) -> None:
    fails(TypeMismatch, 1, *const(None), (name,))


@given(st.one_of(st.lists(st.integers()), st.text(), st.binary()), st.data())
def test_slices_are_those_of_python(value: Any, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(value)))
    begin = data.draw(st.integers(0, end))
    assert apply("SLICE", value, begin, end) == value[begin:end]


@pytest.mark.parametrize(("begin", "end"), [(-1, 2), (2, 1), (0, 4), (4, 4), (-(2**4000), 2**4000)])
def test_slices_outside_are_refused(begin: int, end: int) -> None:
    fails(IndexOutOfRange, 3, *const([1, 2, 3], begin, end), ("SLICE",))


@pytest.mark.parametrize("operands", [({}, 0, 0), ("a", True, 1), ("a", 0, None), (5, 0, 0)])
def test_slices_of_other_kinds_are_refused(operands: tuple[Value, ...]) -> None:
    fails(TypeMismatch, 3, *const(*operands), ("SLICE",))


@pytest.mark.parametrize(
    ("collection", "item", "found"),
    [
        ([1, [2]], [2], True),
        ([1], True, False),
        ({"a": None}, "a", True),
        ({1: 2}, 2, False),
        ("text", "ex", True),
        ("text", "", True),
        (b"text", b"tx", False),
    ],
)
def test_contains(collection: Value, item: Value, found: bool) -> None:
    assert apply("CONTAINS", collection, item) is found


@pytest.mark.parametrize("operands", [({}, True), ("a", b"a"), (b"a", 97), (5, 5), ({}, [])])
def test_contains_refuses_what_cannot_be_there(operands: tuple[Value, ...]) -> None:
    fails(TypeMismatch, 2, *const(*operands), ("CONTAINS",))


@pytest.mark.parametrize(("begin", "end"), [(0, 5), (-3, 2), (2**64 - 1, 2**64 + 2), (3, 3), (5, -5), (0, -(2**900))])
def test_ranges(begin: int, end: int) -> None:
    assert apply("RANGE", begin, end) == list(range(begin, end))


@pytest.mark.parametrize("end", [65_537, 2**4000])
def test_ranges_are_bounded(end: int) -> None:
    fails(ValueTooLarge, 2, *const(0, end), ("RANGE",))
    fails(OutOfGas, 2, *const(0, end), ("RANGE",), schedule=SCHEDULE, gas=100_000)


def test_range_is_paid_for_before_it_is_made() -> None:
    assert extra(*const(0, 100), ("RANGE",)) == 300
    assert extra(*const(2**64, 2**64 + 100), ("RANGE",)) == 600
    assert extra(*const(0, -5), ("RANGE",)) == 0


@given(st.one_of(st.text(), st.binary(), st.dictionaries(st.text(), st.none())))
def test_items_are_paid_for_by_their_cells(collection: Any) -> None:
    made = apply("ITEMS", collection)
    assert extra(*const(collection), ("ITEMS",)) == 3 * (cells(made) - 1)


# Conversions


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-(10**40), "-1" + 40 * "0"),
        ("ä", "ä"),
        (True, "true"),
        (False, "false"),
        (None, "none"),
        (b"\xab", "ab"),
    ],
)
def test_to_string(value: Value, text: str) -> None:
    assert apply("TO_STRING", value) == text


@pytest.mark.parametrize("value", [[], {}, [1]])
def test_collections_are_no_text(value: Value) -> None:
    fails(TypeMismatch, 1, *const(value), ("TO_STRING",))


@given(st.integers(-(2**4096) + 1, 2**4096 - 1))
def test_integers_survive_text(number: int) -> None:
    assert run(*const(number), ("TO_STRING",), ("TO_INTEGER",)) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (True, 1),
        ("-012", -12),
        ("-0", 0),
        ("0" * 60_000 + "5", 5),
        ("0xFf", 255),
        ("0x0", 0),
        (b"", 0),
        (b"\x01\x00", 256),
        (b"\0" * 100_000 + b"\x02", 2),
    ],
)
def test_to_integer(value: Value, number: int) -> None:
    made = apply("TO_INTEGER", value)
    assert made == number
    assert type(made) is int


@pytest.mark.parametrize("text", ["", "-", "+1", " 1", "1 ", "1\n", "1_0", "-0x1", "0X1", "١", "1e3", "ff", "--1"])
def test_what_is_no_number_is_refused(text: str) -> None:
    fails(TypeMismatch, 1, *const(text), ("TO_INTEGER",))


@pytest.mark.parametrize("value", ["9" * 60_000, "0x" + "f" * 1025, "9" * 1234, b"\xff" * 513, b"\x01" + bytes(512)])
def test_numbers_beyond_the_limit_are_refused(value: Value) -> None:
    fails(ValueTooLarge, 1, *const(value), ("TO_INTEGER",))


@pytest.mark.parametrize(
    ("value", "size", "made"), [(0, 0, b""), (258, 4, b"\0\0\1\2"), ("ä", None, b"\xc3\xa4"), (b"x", None, b"x")]
)
def test_to_bytes(value: Value, size: Value, made: bytes) -> None:
    assert apply("TO_BYTES", value, size) == made


@pytest.mark.parametrize(("value", "size"), [(256, 1), (1, 0), (1, 1_048_577), (1, 2**4000)])
def test_bytes_that_do_not_fit_are_refused(value: Value, size: Value) -> None:
    fails(ValueTooLarge, 2, *const(value, size), ("TO_BYTES",))


@pytest.mark.parametrize(("value", "size"), [(-1, 4), (1, -1), (1, None), ("a", 1), (b"", 0), (None, None), (True, 1)])
def test_bytes_of_other_kinds_are_refused(value: Value, size: Value) -> None:
    fails(TypeMismatch, 2, *const(value, size), ("TO_BYTES",))


def test_bytes_are_paid_for_before_they_are_made() -> None:
    assert extra(*const(1, 60_000), ("TO_BYTES",)) == 3 * 7500
    assert extra(*const(1, 8), ("TO_BYTES",)) == 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "none"), (True, "bool"), (1, "integer"), ("", "string"), (b"", "bytes"), ([], "list"), ({}, "map")],
)
def test_kinds(value: Value, kind: str) -> None:
    assert apply("KIND", value) == kind


def test_kinds_of_functions_and_tasks() -> None:
    nothing = function("f", ())
    assert run(*const(nothing), ("KIND",)) == "function"
    assert run(*const(nothing), ("SPAWN", 0), ("KIND",)) == "task"


@given(VALUES)
def test_encodings_are_canonical_and_read_back(value: Value) -> None:
    assert apply("ENCODE", value) == canonical(value)
    assert same(run(*const(value), ("ENCODE",), ("DECODE",)), value)
    assert same(run(*const(value), ("ENCODE",), ("TRY_DECODE",)), value)


@pytest.mark.parametrize("data", [b"", b"\x18\x01", b"\xf9\x00\x00", b"\x01\x01", b"\xa1\xf5\x01", b"\xa1\x80\x01"])
def test_malformed_data_are_refused(data: bytes) -> None:
    fails(MalformedData, 1, *const(data), ("DECODE",))
    assert run(*const(data), ("TRY_DECODE",)) is None


def test_functions_and_cells_have_no_encoding() -> None:
    fails(NotStorable, 1, *const(function("f", ())), ("ENCODE",))
    fails(NotStorable, 3, *const(1), ("NEW_CELL",), ("BUILD_LIST", 1), ("ENCODE",))


# Closures and cells


ADD = function("add", ("a", "b"), ("LOAD_NAME", "a"), ("LOAD_NAME", "b"), ("ADD",))


def test_closure_keeps_its_first_parameters() -> None:
    assert run(*const(40), ("CLOSURE", ADD, 1), ("STORE_NAME", "f"), *const(2), ("CALL_NAME", "f", 1)) == 42
    assert run(*const(40, 2), ("CLOSURE", ADD, 2), ("CALL_TOP", 0)) == 42
    assert run(*const(1, 2), ("CLOSURE", ADD, 0), ("CALL_TOP", 2)) == 3
    assert run(*const(40), ("CLOSURE", ADD, 1), *const(2), ("SPAWN", 1), ("AWAIT",)) == 42


def test_calls_give_what_is_not_bound() -> None:
    fails(WrongArity, 3, *const(1, 40), ("CLOSURE", ADD, 1), ("CALL_TOP", 0))
    error = fails(WrongArity, 4, *const(1, 2, 40), ("CLOSURE", ADD, 1), ("CALL_TOP", 2))
    assert "takes 1 arguments, not 2" in str(error)


def test_closures_are_the_same_if_what_they_bound_is() -> None:
    twice = [*const(1), ("CLOSURE", ADD, 1)]
    assert run(*twice, *twice, ("EQ",)) is True
    assert run(*twice, *const(True), ("CLOSURE", ADD, 1), ("EQ",)) is False
    assert run(*twice, *const(ADD), ("EQ",)) is False


def test_closure_is_paid_for_by_what_it_binds() -> None:
    assert extra(*const("x" * 800), ("CLOSURE", ADD, 1)) == 3 * 101


def test_closures_in_closures_are_bounded() -> None:
    one = function("one", ("a",))
    loop = [*const(0), ("label", "top"), ("CLOSURE", one, 1), *const(True), ("JUMP_IF_FALSE", "end"), ("JUMP", "top")]
    fails(ValueTooLarge, 1, *loop, ("label", "end"))
    doubling = [*const(0), ("label", "top"), ("DUP",), ("CLOSURE", ADD, 2), ("JUMP", "top")]
    fails(ValueTooLarge, 2, *doubling)


def test_cells_are_shared() -> None:
    write = function("write", ("c", "v"), ("LOAD_NAME", "c"), ("LOAD_NAME", "v"), ("CELL_WRITE",))
    assert run(
        *const(1), ("NEW_CELL",), ("STORE_NAME", "c"),
        ("LOAD_NAME", "c"), ("CLOSURE", write, 1), ("STORE_NAME", "set"),
        *const(7), ("CALL_NAME", "set", 1), ("POP",), ("LOAD_NAME", "c"), ("CELL_READ",),
    ) == 7  # fmt: skip


def test_cells_are_equal_to_themselves_alone() -> None:
    assert run(*const(1), ("NEW_CELL",), ("DUP",), ("EQ",)) is True
    assert run(*const(1), ("NEW_CELL",), *const(1), ("NEW_CELL",), ("EQ",)) is False


def test_cell_may_hold_a_function_that_holds_it() -> None:
    one = function("one", ("c",), ("LOAD_NAME", "c"), ("CELL_READ",), ("KIND",))
    knot = [
        *const(0), ("NEW_CELL",), ("STORE_NAME", "c"),
        ("LOAD_NAME", "c"), ("LOAD_NAME", "c"), ("CLOSURE", one, 1), ("CELL_WRITE",),
        ("LOAD_NAME", "c"), ("CELL_READ",),
    ]  # fmt: skip
    assert run(*knot, ("CALL_TOP", 0)) == "function"
    assert run(*knot, *knot, ("EQ",)) is False
    assert run(*knot, ("DUP",), ("EQ",), schedule=SCHEDULE, gas=10_000) is True
    fails(NotStorable, 9, *knot, ("HASH_BLOCK",))


def test_cells_in_cells_are_freed_however_deep() -> None:
    cell = Cell(None)
    for _ in range(200_000):
        cell = Cell(cell)
    check(cell)
    assert cells(cell) == 1
    del cell


def test_only_cells_are_read_and_written() -> None:
    fails(TypeMismatch, 1, *const([1]), ("CELL_READ",))
    fails(TypeMismatch, 2, *const(1, 2), ("CELL_WRITE",))


def test_functions_store_variables_of_the_main_program() -> None:
    store = function("store", ("x",), ("LOAD_NAME", "x"), ("STORE_GLOBAL", "n"), ("STORE_CONST", "n", 5))
    assert run(("STORE_CONST", "n", 1), *const(9), ("CALL_FUNC_CONST", store, 1), ("POP",), ("LOAD_NAME", "n")) == 9
    assert run(*const(3), ("STORE_GLOBAL", "n"), ("LOAD_NAME", "n")) == 3


def test_functions_from_outside_store_variables_of_the_host() -> None:
    outside = {"f": function("f", (), *const(4), ("STORE_GLOBAL", "new"))}
    run(("CALL_NAME", "f", 0), globals=outside, strict=False)
    assert outside["new"] == 4


# Verification


def test_closures_bind_at_most_all_parameters() -> None:
    with pytest.raises(Unverifiable, match="`add` has 2 parameters, not 3"):
        load(body(*const(1, 2, 3), ("CLOSURE", ADD, 3)))


@pytest.mark.parametrize("name", ["STATE_READ_AT", "STATE_WRITE_AT"])
def test_paths_have_a_key_at_least(name: str) -> None:
    with pytest.raises(Unverifiable, match="count 0 is not in 1 to 1024"):
        load(body(*const(1), (name, 0)))


def test_constants_bind_nothing() -> None:
    with pytest.raises(Unverifiable, match="only CLOSURE makes"):
        load(BytecodeBuilder().emit("LOAD_CONST", ADD.bind([1])).build())


# Paths into the state


def stored(*keys: Value, value: Value) -> list[tuple[Any, ...]]:
    return [("TX_BEGIN",), *const(*keys, value), ("STATE_WRITE_AT", len(keys)), ("TX_COMMIT",)]


@pytest.mark.parametrize("keys", [("a",), ("a", "b"), ("a", 1, b"x"), (1,), (b"a",), ("a", -(2**200))])
def test_values_are_read_where_they_were_written(keys: tuple[Value, ...]) -> None:
    steps = [*stored(*keys, value=[1]), *const(*keys), ("STATE_READ_AT", len(keys))]
    assert run(*steps) == [1]
    state = MemoryState()
    assert run(*steps, world=StateWorld(state, ADDRESS, BlockContext())) == [1]
    record = b"sa" if keys == ("a",) else b"k" + canonical(list(keys))
    assert state.get_record(ADDRESS, record) == canonical([1])


def test_paths_are_told_apart() -> None:
    paths: list[tuple[Value, ...]] = [("a",), ("a", "b"), ("a", b"b"), ("ab",), (1,), ("1",), (b"a",), ("a", "b", "c")]
    steps = [step for number, keys in enumerate(paths) for step in stored(*keys, value=number)]
    reads = [step for keys in paths for step in [*const(*keys), ("STATE_READ_AT", len(keys))]]
    for world in (DictWorld({}), StateWorld(MemoryState(), ADDRESS, BlockContext())):
        assert run(*steps, *reads, ("BUILD_LIST", len(paths)), world=world) == list(range(len(paths)))


def test_path_of_one_string_is_the_name() -> None:
    assert run(*stored("a", value=5), ("STATE_READ", "a")) == 5
    assert run(("TX_BEGIN",), *const(5), ("STATE_WRITE", "a"), *const("a"), ("STATE_READ_AT", 1), ("TX_COMMIT",)) == 5


def test_paths_are_seen_and_taken_back_in_transactions() -> None:
    write = [*const("a", 1, 2), ("STATE_WRITE_AT", 2)]
    read = [*const("a", 1), ("STATE_READ_AT", 2)]
    assert run(("TX_BEGIN",), *write, *read, ("TX_REVERT",), *read, ("BUILD_LIST", 2)) == [2, None]
    error = fails(StateOutsideTransaction, 3, *write)
    assert "'a'" in str(error)


@pytest.mark.parametrize("key", [True, None, [], {}])
def test_what_is_no_key_is_no_path(key: Value) -> None:
    fails(TypeMismatch, 2, *const("a", key), ("STATE_READ_AT", 2))
    fails(TypeMismatch, 4, ("TX_BEGIN",), *const("a", key, 1), ("STATE_WRITE_AT", 2))


def test_paths_are_paid_for_by_their_cells() -> None:
    key, created = SCHEDULE.key_cell, SCHEDULE.state_write_cell
    assert extra(*const("a", b"x" * 20), ("STATE_READ_AT", 2)) == key * 5
    assert extra(*const("a"), ("STATE_READ_AT", 1)) == key
    where = ("a", b"x" * 20)
    assert extra(*stored(*where, value=1)) == key * 5 + created * 5
    assert extra(*stored(*where, value=1), *stored(*where, value=2)) == 2 * key * 5 + created * 5
    assert extra(*stored(*where, value=None)) == key * 5
    twice = [step for value in (1, None, 2) for step in [*const(*where, value), ("STATE_WRITE_AT", 2)]]
    assert extra(("TX_BEGIN",), *twice, ("TX_COMMIT",)) == 3 * key * 5 + 2 * created * 5
    state = {"_blockchain_state": {where: 7}}
    assert extra(*stored(*where, value=b"y" * 16), world=DictWorld(state)) == key * 5 + created * 2


@pytest.mark.parametrize("name", ["STATE_READ_AT", "STATE_WRITE_AT"])
def test_paths_have_a_largest_size(name: str) -> None:
    value = const(1) if name == "STATE_WRITE_AT" else ()
    longest = "x" * 8 * (PATH_CELLS - 3)  # a cell more for the string itself, and two for the other key
    run(("TX_BEGIN",), *const("a", longest), *value, (name, 2), ("TX_COMMIT",))
    fails(ValueTooLarge, 3 + len(value), ("TX_BEGIN",), *const("a", longest + "x" * 8), *value, (name, 2))


# Integers as keys, which can be made to collide


def test_integer_keys_of_a_map_are_bounded() -> None:
    limits = ValueLimits(integer_keys=3)
    collide = [number * (2**61 - 1) for number in range(4)]
    check(dict.fromkeys(collide[:3], 0) | {"a": 1, b"a": 2}, limits)
    with pytest.raises(ValueTooLarge, match="more than 3 integer keys"):
        check(dict.fromkeys(collide), limits)
    pairs = [item for key in collide for item in (key, 0)]
    fails(ValueTooLarge, 8, *const(*pairs), ("BUILD_MAP", 4), limits=Limits(values=limits))
    data = canonical(dict.fromkeys(collide, 0))
    fails(ValueTooLarge, 1, *const(data), ("DECODE",), limits=Limits(values=limits))
    assert run(*const(data), ("TRY_DECODE",), limits=Limits(values=limits)) is None


def test_looking_for_an_integer_costs_by_the_size_of_the_map() -> None:
    many: Value = dict.fromkeys(range(320), 0)
    texts: Value = {str(number): 0 for number in range(320)}
    assert extra(*const(many, 5), ("INDEX",)) == 10
    assert extra(*const(many, 5), ("CONTAINS",)) == 10
    assert extra(*const(texts, "5"), ("INDEX",)) == 0
    assert extra(*const({1: 2}, 1), ("INDEX",)) == 0


def test_maps_of_integers_that_collide_are_compared_in_order() -> None:
    collide = [number * (2**61 - 1) for number in range(500)]
    one: Value = {number: [number] for number in collide}
    other: Value = {number: [number] for number in reversed(collide)}
    assert same(one, other)
    assert not same(one, {**other, "a": 1})  # type: ignore[dict-item]
    assert not same(one, {**other, 0: [1]})  # type: ignore[dict-item]
    assert not same({1: 2, "a": 3}, {1: 2, "b": 3})


# Errors


def test_errors_name_the_function_and_the_calls_around() -> None:
    inner = function("inner", (), ("LOAD_CONST", 1), ("LOAD_CONST", 0), ("DIV",))
    outer = function("outer", (), ("CALL_FUNC_CONST", inner, 0))
    with pytest.raises(ProzError) as caught:
        run(("LOAD_CONST", 0), ("CALL_FUNC_CONST", outer, 0))
    assert (caught.value.function, caught.value.at) == ("inner", 2)
    assert caught.value.trace == [("inner", 2), ("outer", 0), ("", 1)]
    assert str(caught.value) == "function `inner`, instruction 2: DIV: the divisor is 0"


def test_machine_runs_once() -> None:
    machine, loaded = Machine(DictWorld({})), load(body(*const(1)))
    assert machine.run(loaded) == 1
    with pytest.raises(RuntimeError, match="make another"):
        machine.run(loaded)


def test_every_new_instruction_has_a_price_of_its_own() -> None:
    assert all(SCHEDULE.base[opcode] > 0 for opcode in Opcode)
    assert type(ADD.bind([1])) is Function


# Anything on the stack


ANYTHING = st.one_of(
    VALUES,
    st.sampled_from(
        [ADD, ADD.bind([1]), ADD.bind([ADD, Cell(ADD)]), Cell(None), 2**4095, -(2**63), "9" * 5000, "0x" + "0" * 2000]
    ),
)


@pytest.mark.parametrize("opcode", [opcode for opcode in INSTRUCTIONS if OPERATIONS[opcode].operand is Operand.NONE])
@given(taken=st.lists(ANYTHING, min_size=3, max_size=3))
@settings(max_examples=60)
def test_whatever_they_take_instructions_give_a_value_or_a_fault(opcode: Opcode, taken: list[Value]) -> None:
    form = OPERATIONS[opcode]
    stack = taken[: form.pops]
    run = Run(DictWorld({}), schedule=SCHEDULE, gas=10**7, context=CallContext())
    run.transactions.begin()
    with suppress(ProzError):
        INSTRUCTIONS[opcode](run, stack, None)
        assert len(stack) == form.pushes
        assert run.gas >= 0
        for value in stack:
            check(value)


@pytest.mark.parametrize("name", ["STATE_READ_AT", "STATE_WRITE_AT", "MERKLE_ROOT", "BUILD_MAP", "BUILD_LIST"])
@given(taken=st.lists(ANYTHING, min_size=5, max_size=5), count=st.integers(1, 2))
@settings(max_examples=60)
def test_whatever_they_count_instructions_give_a_value_or_a_fault(name: str, taken: list[Value], count: int) -> None:
    opcode = Opcode[name]
    stack = taken[: stack_effect(opcode, count)[0]]
    run = Run(DictWorld({}), schedule=SCHEDULE, gas=10**7)
    run.transactions.begin()
    with suppress(ProzError):
        INSTRUCTIONS[opcode](run, stack, count)
        assert len(stack) == OPERATIONS[opcode].pushes
