"""Instructions written out for what is known of their operands: in as few bits as suffice, or not at all."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.specialise import Registers, Specialiser, Unsuited
from vmloom_evm.jit.support import make_program
from vmloom_evm.jit.values import MOST_WRAPPING, Value, Writer, narrowest, number
from vmloom_evm.table import OPS
from vmloom_evm.vm import Evm

PROGRAM = make_program(Evm().specification(LATEST))
WORD = 1 << 256


class Written(NamedTuple):
    """What came of writing an instruction out: its result, LLVM's text, and whether control may leave."""

    result: Value
    text: str
    leaves: bool


def item(high: int, low: int = 0, name: str = "%x") -> Value:
    """An operand that lies from `low` to `high`."""
    return Value(name, narrowest(high), low, high)


ANYTHING = item(WORD - 1)
OTHER = item(WORD - 1, name="%y")
SMALL = item(1000)
FLAG = item(1)


def kernel(function: Any) -> Any:
    """The typed tree of a kernel function."""
    found = PROGRAM.function(function)
    PROGRAM.translate()
    return found


def written(name: str, *operands: Value) -> Written:
    """The instruction of this name, the top of the stack first."""
    function = OPS[name].function
    assert function is not None
    writer, left = Writer(), []

    def leave() -> str:
        left.append("leave")
        return "leave"

    result = Specialiser(writer, leave, Registers(writer, {}, frozenset()), kernel).call(kernel(function), [*operands])
    assert isinstance(result, Value)
    return Written(result, "\n".join(writer.lines), bool(left))


@pytest.mark.parametrize(
    ("name", "operation"), [("ADD", "add nuw i64"), ("MUL", "mul nuw i64"), ("OR", "or i64"), ("XOR", "xor i64")]
)
def test_small_numbers_are_computed_in_a_register(name: str, operation: str) -> None:
    found = written(name, SMALL, item(1000, name="%y"))
    assert operation in found.text
    assert "i256" not in found.text
    assert (found.result.width, found.leaves) == (64, False)


@pytest.mark.parametrize(
    ("name", "operation"),
    [("ADD", "add i256"), ("SUB", "sub i256"), ("MUL", "i256 @wrapping_product"), ("AND", "and i256")],
)
def test_words_of_which_nothing_is_known_are_computed_whole(name: str, operation: str) -> None:
    found = written(name, ANYTHING, OTHER)
    assert operation in found.text
    assert "nuw" not in found.text
    assert (found.result.low, found.result.high, found.result.width) == (0, WORD - 1, 256)


def test_sum_has_a_bit_more_than_its_parts() -> None:
    """Of two numbers of 64 bits, it does not fit into 64."""
    found = written("ADD", item(2**64 - 1), item(2**64 - 1, name="%y"))
    assert (found.result.high, found.result.width) == (2**65 - 2, 128)
    assert "add nuw i128" in found.text


@pytest.mark.parametrize("high", [2**63, 2**64 - 1])
def test_difference_that_may_be_negative_is_that_of_words(high: int) -> None:
    found = written("SUB", SMALL, item(high, name="%y"))
    assert "sub i256" in found.text
    assert found.result.high == WORD - 1


def test_difference_of_small_numbers_is_a_word_and_its_sign() -> None:
    found = written("SUB", SMALL, item(2**63 - 1, name="%y"))
    assert "sub nsw i64" in found.text
    assert "sext i64" in found.text
    assert (found.result.low, found.result.high, found.result.width) == (0, WORD - 1, 256)


def test_only_the_first_products_of_words_are_written_out() -> None:
    writer = Writer()
    results = []
    for _ in range(MOST_WRAPPING + 1):
        specialiser = Specialiser(writer, lambda: "leave", Registers(writer, {}, frozenset()), kernel)
        results.append(specialiser.call(kernel(OPS["MUL"].function), [ANYTHING, OTHER]))
    assert sum("@wrapping_product" in line for line in writer.lines) == MOST_WRAPPING
    assert "mul i256" in writer.lines[-1]


@pytest.mark.parametrize("name", ["SIGNEXTEND", "BYTE"])
def test_word_is_chosen_without_a_shift_of_all(name: str) -> None:
    """Of 256 bits LLVM would make one through memory; masks are read there instead, where bytes are words' places."""
    found = written(name, item(31), OTHER)
    assert found.text.count("select i1") >= 3
    assert "and i64 %x, 16" in found.text or "and i64 %v1, 16" in found.text
    assert ("@moved256" in found.text) == (name == "SIGNEXTEND")
    assert not found.leaves


def test_lanes_read_no_word_from_between_two() -> None:
    writer = Writer(packed={("load", 64): "reader"})
    specialiser = Specialiser(writer, lambda: "leave", Registers(writer, {}, frozenset()), kernel)
    for name, one in (("SIGNEXTEND", item(31)), ("BYTE", item(31)), ("MUL", ANYTHING)):
        specialiser.call(kernel(OPS[name].function), [one, OTHER])
    assert not writer.tables
    assert " asm " not in "\n".join(writer.lines)


def test_difference_that_cannot_be_negative_is_small() -> None:
    found = written("SUB", item(1000, low=500), item(500, name="%y"))
    assert "sub nuw i64" in found.text
    assert (found.result.low, found.result.high) == (0, 1000)


def test_order_of_operands_is_kept() -> None:
    assert "sub i256 %x, %y" in written("SUB", ANYTHING, OTHER).text
    assert "icmp ult i256 %x, %y" in written("LT", ANYTHING, OTHER).text
    assert "icmp ugt i256 %x, %y" in written("GT", ANYTHING, OTHER).text


@pytest.mark.parametrize(("name", "other"), [("ADD", 0), ("OR", 0), ("XOR", 0), ("MUL", 1), ("AND", WORD - 1)])
def test_operation_that_changes_nothing_is_not_written(name: str, other: int) -> None:
    for operands in ((ANYTHING, number(other)), (number(other), ANYTHING)):
        assert written(name, *operands) == (ANYTHING, "", False)


def test_difference_from_zero_is_not_the_number_itself() -> None:
    assert written("SUB", ANYTHING, number(0)) == (ANYTHING, "", False)
    assert "sub i256 0, %x" in written("SUB", number(0), ANYTHING).text


@pytest.mark.parametrize("name", ["MUL", "AND"])
def test_operation_with_zero_is_zero(name: str) -> None:
    assert written(name, ANYTHING, number(0)).result.constant == 0


def test_mask_makes_a_word_small() -> None:
    found = written("AND", ANYTHING, number(0xFFFF))
    assert (found.result.width, found.result.low, found.result.high) == (64, 0, 0xFFFF)


def test_mask_of_what_is_small_anyway_is_nothing() -> None:
    assert written("AND", SMALL, number(0xFFFF)) == (SMALL, "", False)


@pytest.mark.parametrize("amount", [256, 257, 1 << 64, WORD - 1])
@pytest.mark.parametrize("name", ["SHL", "SHR"])
def test_shift_by_the_width_or_more_is_zero(name: str, amount: int) -> None:
    assert written(name, number(amount), ANYTHING).result.constant == 0


def test_shift_by_an_amount_that_may_be_too_large_looks_at_it() -> None:
    """LLVM says nothing of a shift by the width or more, and the width is that of the operands."""
    assert "icmp ult i64 %x, 64" in written("SHR", item(127), item(1000, name="%y")).text
    assert "icmp ult i256 %x, 256" in written("SHL", ANYTHING, OTHER).text
    assert "icmp" not in written("SHR", item(63), item(1000, name="%y")).text


@pytest.mark.parametrize(
    ("name", "left", "right", "answer"),
    [
        ("LT", SMALL, number(1001), 1),
        ("LT", SMALL, number(1000), None),
        ("GT", SMALL, number(1000), 0),
        ("EQ", SMALL, number(1001), 0),
        ("EQ", SMALL, number(1000), None),
        ("ISZERO", item(1000, low=1), None, 0),
    ],
)
def test_comparison_is_decided_where_ranges_do_so(
    name: str, left: Value, right: Value | None, answer: int | None
) -> None:
    found = written(name, left, *([] if right is None else [right]))
    assert found.result.constant == answer
    assert bool(found.text) == (answer is None)


def test_negation_of_a_flag_is_one_bit() -> None:
    found = written("ISZERO", FLAG)
    assert "icmp" not in found.text
    assert (found.result.width, found.result.high) == (1, 1)


@pytest.mark.parametrize(("name", "operation"), [("DIV", "lshr i256"), ("MOD", "and i64")])
def test_division_by_a_power_of_two_is_none(name: str, operation: str) -> None:
    found = written(name, ANYTHING, number(1 << 20))
    assert operation in found.text
    assert "div" not in found.text
    assert not found.leaves


@pytest.mark.parametrize("name", ["DIV", "MOD"])
def test_division_by_what_may_be_zero_never_divides_by_zero(name: str) -> None:
    may_be = written(name, SMALL, item(9, name="%y"))
    assert "icmp eq i64" in may_be.text
    assert may_be.text.count("select i1") == 2
    assert "select" not in written(name, SMALL, item(9, low=1, name="%y")).text


@pytest.mark.parametrize("name", ["DIV", "MOD", "SDIV", "SMOD"])
def test_division_by_zero_is_zero(name: str) -> None:
    assert written(name, SMALL, number(0)).result.constant == 0


@pytest.mark.parametrize("name", ["ADDMOD", "MULMOD"])
@pytest.mark.parametrize(
    "operands", [(SMALL, FLAG), (SMALL, ANYTHING), (ANYTHING, OTHER)], ids=["small", "mixed", "any"]
)
def test_rest_by_one_is_zero(name: str, operands: tuple[Value, Value]) -> None:
    assert written(name, *operands, number(1)).result.constant == 0


def test_value_is_cut_to_its_low_bits_and_widened_by_its_sign() -> None:
    writer = Writer()
    assert writer.cast(ANYTHING, 64) == "%v1"
    assert writer.cast(SMALL, 256) == "%v2"
    assert writer.cast(Value("%d", 64, -5, 5), 256) == "%v3"
    assert writer.cast(number(0x1_0000_0000_0000_0005), 64) == "5"
    assert writer.lines == [
        "  %v1 = trunc i256 %x to i64",
        "  %v2 = zext i64 %x to i256",
        "  %v3 = sext i64 %d to i256",
    ]


@pytest.mark.parametrize(
    ("high", "width"), [(0, 1), (1, 1), (2, 64), (2**64 - 1, 64), (2**64, 128), (2**128, 256), (2**256, 512)]
)
def test_least_width_holds_the_value(high: int, width: int) -> None:
    assert narrowest(high) == width


def test_registers_forget_what_memory_may_have_changed_and_nothing_else() -> None:
    constant, changing = ("%frame", 0), ("%frame", 8)
    registers = Registers(Writer(), {}, frozenset({constant}))
    registers.fields = {constant: SMALL, changing: SMALL}
    registers.least = {changing: 3}
    kept = registers.copy()
    registers.forget()
    assert registers.fields == {constant: SMALL}
    assert registers.least == {changing: 3}, "it only grows"
    registers.restore(kept)
    assert registers.fields == {constant: SMALL, changing: SMALL}


def test_field_that_has_been_compared_is_known_to_be_so_large() -> None:
    registers = Registers(Writer(), {}, frozenset())
    words = item(WORD - 1, name="%words")
    registers.fields = {("%frame", 8): words}
    registers.refine(words, 3)
    registers.refine(registers.fields["%frame", 8], 2)
    assert registers.least == {("%frame", 8): 3}
    assert registers.fields["%frame", 8].low == 3


def test_instruction_that_asks_for_what_is_not_at_hand_is_not_written_out() -> None:
    with pytest.raises(Unsuited, match="asks for"):
        Registers(Writer(), {}, frozenset()).get("gas")
