"""The optimizer: what each pass does, what it must leave alone, and that programs do the same at every level."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pytest
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.origins import ORIGINS
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder, Instruction
from vmloom_prozvm.bytecode.verify import verify
from vmloom_prozvm.errors import OutOfGas
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.optimizer import BytecodeOptimizer, optimize_bytecode, original_index
from vmloom_prozvm.optimizer.code import Bounds, Code, Edit
from vmloom_prozvm.optimizer.graph import Instruction as Decoded
from vmloom_prozvm.optimizer.statistics import PASS_KEYS
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.values import DEFAULT_LIMITS, Function, Value, ValueLimits, same

from .programs import SMALL_LIMITS, Outcome, Shape, generate, interpret

SCHEDULE: Final = GasSchedule()
CHEAP: Final = GasSchedule(base=dict.fromkeys(("STATE_READ", "STATE_WRITE", "LEDGER_APPEND"), 50))
"""Prices by which programs without end end soon, and others do not."""
PLENTY: Final = 200_000
"""Gas that most programs do not use up."""
NAMED: Final = ("LOAD_NAME", "STORE_NAME", "STORE_GLOBAL", "STATE_READ", "STATE_WRITE", "BLOCK")
SEED_KEYS: Final = {
    "original_size",
    "optimized_size",
    "size_reduction_pct",
    "total_optimizations",
    "constant_folds",
    "dead_code_removed",
    "peephole_opts",
    "instructions_combined",
    "passes_run",
}


def optimized(text: str, level: int = 3, **settings: Any) -> str:
    """The optimized form of a program: instructions apart by `;`, with values, names and numbered places in them."""
    program = written(text)
    result = BytecodeOptimizer(level, **settings).optimize_bytecode(program)
    verify(result, strict=False)
    return shown(result)


def written(text: str) -> Bytecode:
    """Jumps have the number of the instruction that they lead to."""
    lines = [line.strip().split(maxsplit=1) for line in text.split(";") if line.strip()]
    builder = BytecodeBuilder()
    for index, (name, *rest) in enumerate(lines):
        builder.label(str(index))
        builder.emit(name, *_operands(name, rest))
    return builder.label(str(len(lines))).build()


def _operands(name: str, rest: list[str]) -> list[Any]:
    if name.startswith("JUMP"):
        return rest
    if name in NAMED:
        return rest
    if name in ("STORE_CONST", "CALL_NAME"):
        first, second = rest[0].split(maxsplit=1)
        return [first, eval(second)]
    return [eval(part) for part in rest]


def shown(program: Bytecode) -> str:
    return "; ".join(_shown(program.constants, *instruction) for instruction in program.instructions)


def _shown(constants: list[Value], name: str, operand: Any) -> str:
    match name:
        case "LOAD_CONST":
            return f"{name} {constants[operand]!r}"
        case _ if name in NAMED:
            return f"{name} {constants[operand]}"
        case "STORE_CONST":
            return f"{name} {constants[operand[0]]} {constants[operand[1]]!r}"
        case "CALL_NAME":
            return f"{name} {constants[operand[0]]} {operand[1]}"
    return name if operand is None else f"{name} {operand}"


# As in the description


def test_the_example_of_the_description() -> None:
    optimizer = BytecodeOptimizer(level=1, max_passes=5, debug=False)
    instructions = [("LOAD_CONST", 0), ("LOAD_CONST", 1), ("ADD", None), ("RETURN", None)]
    constants = [10, 20]
    assert optimizer.optimize(instructions, constants) == ([("LOAD_CONST", 2), ("RETURN", None)], [10, 20, 30])
    assert constants == [10, 20]
    assert len(instructions) == 4
    stats = optimizer.get_stats()
    assert stats["size_reduction_pct"] == 50.0
    assert (stats["constant_folds"], stats["total_optimizations"]) == (1, 1)


def test_statistics_have_the_described_keys_and_one_for_each_pass() -> None:
    stats = BytecodeOptimizer().get_stats()
    assert stats.keys() == SEED_KEYS | set(PASS_KEYS)
    assert len(PASS_KEYS) == 8
    assert not any(stats.values())


PATTERNS: Final = {
    "constant arithmetic": (1, "LOAD_CONST 10; LOAD_CONST 20; ADD; RETURN", 4, 50),
    "nested constants": (
        1,
        "LOAD_CONST 2; LOAD_CONST 3; ADD; LOAD_CONST 4; MUL; LOAD_CONST 5; LOAD_CONST 6; SUB; ADD; RETURN",
        10,
        70,
    ),
    "dead code": (
        1,
        "LOAD_NAME a; LOAD_NAME b; ADD; RETURN; LOAD_CONST 1; LOAD_CONST 2; LOAD_NAME c; RETURN",
        8,
        50,
    ),
    "load and pop": (1, "LOAD_CONST 1; POP; LOAD_CONST 2; POP; LOAD_CONST 3; RETURN", 6, 66),
    "jump chains": (2, "JUMP 2; RETURN; JUMP 3; LOAD_NAME a; RETURN", 5, 40),
}
"""The description's table: the level, the pattern, its size, and the reduction promised at least, in per cent."""


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_shrink_as_described(pattern: str) -> None:
    level, text, size, promised = PATTERNS[pattern]
    optimizer = BytecodeOptimizer(level)
    optimizer.optimize_bytecode(written(text))
    stats = optimizer.get_stats()
    assert stats["original_size"] == size
    assert stats["size_reduction_pct"] >= promised


def test_statistics_are_those_of_the_last_call() -> None:
    optimizer = BytecodeOptimizer()
    optimizer.optimize_bytecode(written("LOAD_CONST 1; POP"))
    optimizer.optimize_bytecode(written("LOAD_NAME a"))
    stats = optimizer.get_stats()
    assert (stats["original_size"], stats["optimized_size"], stats["peephole_opts"]) == (1, 1, 0)
    assert stats["passes_run"] == 1


def test_level_0_changes_nothing() -> None:
    optimizer = BytecodeOptimizer(level=0)
    given = written("LOAD_CONST 1; POP; JUMP 3; RETURN; LOAD_CONST 2")
    assert optimizer.optimize(given.instructions, given.constants) == (given.instructions, given.constants)
    assert optimizer.get_stats()["size_reduction_pct"] == 0
    assert optimizer.get_stats()["passes_run"] == 0


def test_levels_have_their_passes() -> None:
    text = "LOAD_CONST 1; LOAD_CONST 2; ADD; STORE_NAME x; LOAD_NAME y; STORE_NAME z; LOAD_NAME z; LENGTH; "
    text += "LOAD_CONST 2; MUL"
    begin = "STORE_CONST x 3; LOAD_NAME y; "
    assert optimized(text, 1) == begin + "STORE_NAME z; LOAD_NAME z; LENGTH; LOAD_CONST 2; MUL"
    assert optimized(text, 2) == begin + "DUP; STORE_NAME z; LENGTH; LOAD_CONST 2; MUL"
    assert optimized(text, 3) == begin + "DUP; STORE_NAME z; LENGTH; DUP; ADD"


@pytest.mark.parametrize(
    "settings", [{"level": -1}, {"level": 4}, {"max_passes": 0}, {"stack_limit": 0}], ids=lambda settings: str(settings)
)
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        BytecodeOptimizer(**settings)


def test_rounds_are_bounded() -> None:
    optimizer = BytecodeOptimizer(level=3, max_passes=1)
    optimizer.optimize_bytecode(written("LOAD_CONST 1; POP; LOAD_CONST 2"))
    assert optimizer.get_stats()["passes_run"] == 1


def test_debug_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    optimized("LOAD_CONST 1; LOAD_CONST 2; ADD", debug=True)
    assert capsys.readouterr().err == "round 1, constant_folds: 1, 1 instructions left\n"


# Constant folding


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("LOAD_CONST 7; LOAD_CONST -2; DIV", "LOAD_CONST -4"),
        ("LOAD_CONST 7; LOAD_CONST -2; MOD", "LOAD_CONST -1"),
        ("LOAD_CONST 'a'; LOAD_CONST 'b'; ADD; LENGTH", "LOAD_CONST 2"),
        ("LOAD_CONST 1; LOAD_CONST True; EQ", "LOAD_CONST False"),
        ("LOAD_CONST 0; NOT; NOT", "LOAD_CONST False"),
        ("LOAD_CONST 1; LOAD_CONST 2; BUILD_LIST 2; LOAD_CONST 1; INDEX", "LOAD_CONST 2"),
        (
            "LOAD_CONST 'k'; LOAD_CONST 2; BUILD_MAP 1; LOAD_CONST 'j'; LOAD_CONST 3; STORE_INDEX; LENGTH",
            "LOAD_CONST 2",
        ),
        ("BUILD_LIST 0", "LOAD_CONST []"),
        ("LOAD_NAME x; LOAD_CONST 3; LOAD_CONST 4; ADD; ADD", "LOAD_NAME x; LOAD_CONST 7; ADD"),
        ("LOAD_CONST ''; JUMP_IF_FALSE 3; RETURN; LOAD_CONST 5", "LOAD_CONST 5"),
        ("LOAD_CONST 1; JUMP_IF_FALSE 4; LOAD_CONST 5; RETURN; LOAD_CONST 6", "LOAD_CONST 5; RETURN"),
        ("LOAD_CONST -12; TO_STRING", "LOAD_CONST '-12'"),
        ("LOAD_CONST '0x10'; TO_INTEGER; LOAD_CONST 4; TO_BYTES", "LOAD_CONST b'\\x00\\x00\\x00\\x10'"),
        ("LOAD_CONST 'abc'; LOAD_CONST 1; LOAD_CONST 2; SLICE", "LOAD_CONST 'b'"),
        ("LOAD_CONST [1, 'b']; LOAD_CONST True; CONTAINS", "LOAD_CONST False"),
        ("LOAD_CONST 2; LOAD_CONST 5; RANGE", "LOAD_CONST [2, 3, 4]"),
        ("LOAD_CONST {2: 0, 1: 0}; ITEMS", "LOAD_CONST [1, 2]"),
        ("LOAD_CONST {}; KIND", "LOAD_CONST 'map'"),
        ("LOAD_CONST [1]; ENCODE; DECODE", "LOAD_CONST [1]"),
    ],
)
def test_constants_are_calculated_with(text: str, result: str) -> None:
    assert optimized(text, 1) == result


@pytest.mark.parametrize(
    "text",
    [
        "LOAD_CONST 1; LOAD_CONST 0; DIV",
        "LOAD_CONST 1; LOAD_CONST 0; MOD",
        "LOAD_CONST 1; LOAD_CONST True; ADD",
        "LOAD_CONST 2; LOAD_CONST -1; POW",
        "LOAD_CONST 2; LOAD_CONST 5000; POW",
        "LOAD_CONST 'a'; LOAD_CONST 1; LT",
        "LOAD_CONST 'a'; NEG",
        "LOAD_CONST [1]; LOAD_CONST 1; INDEX",
        "LOAD_CONST []; LOAD_CONST 1; BUILD_MAP 1",
        "LOAD_CONST ' 1'; TO_INTEGER",
        "LOAD_CONST [1]; TO_STRING",
        "LOAD_CONST 'abc'; LOAD_CONST 2; LOAD_CONST 1; SLICE",
        "LOAD_CONST b'\\x18\\x01'; DECODE",
        "LOAD_CONST 256; LOAD_CONST 1; TO_BYTES",
    ],
)
def test_what_fails_goes_on_failing(text: str) -> None:
    assert optimized(text) == text
    assert interpret(written(text)).error is interpret(written(optimized(text))).error is not None


def test_results_keep_to_the_machines_limits() -> None:
    text = "LOAD_CONST 'abcd'; LOAD_CONST 'efgh'; ADD"
    assert optimized(text) == "LOAD_CONST 'abcdefgh'"
    assert optimized(text, limits=ValueLimits(string_size=7)) == text


def test_constants_do_not_grow_large_or_many() -> None:
    large = f"LOAD_CONST {'a' * 100!r}; LOAD_CONST {'b' * 100!r}; ADD"
    assert optimized(large) == large
    assert optimized("LOAD_CONST 1; LOAD_CONST 2; ADD", constant_limit=2) == "LOAD_CONST 1; LOAD_CONST 2; ADD"
    assert optimized("LOAD_CONST 1; LOAD_CONST 2; ADD", constant_limit=3) == "LOAD_CONST 3"


def test_what_integers_announce_is_not_made() -> None:
    for text in ("LOAD_CONST 0; LOAD_CONST 60000; RANGE", "LOAD_CONST 1; LOAD_CONST 1000000; TO_BYTES"):
        assert optimized(text) == text


def test_equal_constants_are_not_added_twice_and_kinds_are_kept_apart() -> None:
    instructions = [
        ("LOAD_CONST", 0),
        ("LOAD_CONST", 0),
        ("EQ", None),
        ("LOAD_CONST", 0),
        ("LOAD_CONST", 0),
        ("MUL", None),
    ]
    result, constants = BytecodeOptimizer().optimize([*instructions, ("BUILD_LIST", 2)], [1])
    assert result == [("LOAD_CONST", 2)]
    assert same(constants, [1, True, [True, 1]])


def test_hashes_are_left_to_the_run() -> None:
    assert optimized("LOAD_CONST 1; HASH_BLOCK") == "LOAD_CONST 1; HASH_BLOCK"


def test_operands_from_two_paths_are_not_folded() -> None:
    text = "LOAD_NAME p; JUMP_IF_FALSE 4; LOAD_CONST 1; JUMP 5; LOAD_CONST 2; LOAD_CONST 3; ADD"
    assert optimized(text) == text


# Dead code and jumps


def test_unreachable_code_goes_with_its_gas_charges() -> None:
    assert optimized("JUMP 3; GAS_CHARGE 5; JUMP 1; GAS_CHARGE 6", 1) == "GAS_CHARGE 6"


def test_reachable_gas_charges_stay_where_they_are() -> None:
    text = "LOAD_CONST 1; GAS_CHARGE 5; POP; STORE_CONST x 1; GAS_CHARGE 0; STORE_CONST x 2"
    assert optimized(text) == text


def test_jumps_are_retargeted_exactly() -> None:
    text = (
        "LOAD_CONST 9; POP; LOAD_NAME p; JUMP_IF_FALSE 6; LOAD_CONST 8; POP; LOAD_NAME q; JUMP_IF_FALSE 0; LOAD_NAME r"
    )
    assert optimized(text, 1) == "LOAD_NAME p; POP; LOAD_NAME q; JUMP_IF_FALSE 0; LOAD_NAME r"


def test_a_jump_to_the_end_stays_one() -> None:
    assert optimized("LOAD_NAME p; JUMP_IF_FALSE 4; LOAD_CONST 1; POP; ", 1) == "LOAD_NAME p; POP"
    assert optimized("LOAD_NAME p; JUMP_IF_FALSE 5; LOAD_CONST 1; POP; TX_BEGIN", 1) == (
        "LOAD_NAME p; JUMP_IF_FALSE 3; TX_BEGIN"
    )


def test_jumps_in_a_circle_stay() -> None:
    assert optimized("JUMP 2; RETURN; JUMP 3; JUMP 2") == "JUMP 0"
    assert optimized("JUMP 0") == "JUMP 0"


def test_a_conditional_jump_follows_jumps() -> None:
    text = "LOAD_NAME p; JUMP_IF_FALSE 4; TX_BEGIN; RETURN; JUMP 5; JUMP 6; TX_COMMIT"
    assert optimized(text, 2) == "LOAD_NAME p; JUMP_IF_FALSE 4; TX_BEGIN; RETURN; TX_COMMIT"


def test_a_jump_to_a_return_returns() -> None:
    text = "LOAD_NAME p; LOAD_NAME q; JUMP_IF_FALSE 5; TX_BEGIN; JUMP 6; TX_COMMIT; RETURN"
    assert optimized(text, 2) == "LOAD_NAME p; LOAD_NAME q; JUMP_IF_FALSE 5; TX_BEGIN; RETURN; TX_COMMIT; RETURN"


def test_a_jump_into_a_pattern_keeps_it() -> None:
    text = "LOAD_CONST 1; LOAD_NAME p; JUMP_IF_FALSE 4; TX_BEGIN; POP; RETURN"
    assert optimized(text) == text


def test_an_edit_around_a_target_is_refused() -> None:
    code = Code.read([("LOAD_NAME", 0), ("JUMP_IF_FALSE", 3), ("TX_BEGIN", None), ("RETURN", None)], ["p"], _bounds())
    assert code is not None
    with pytest.raises(ValueError, match="into the middle of 2 to 4"):
        code.apply([Edit(2, 4)])
    with pytest.raises(ValueError, match="overlaps"):
        code.apply([Edit(0, 2), Edit(1, 2)])
    code.apply([Edit(3, 4, (Decoded(Opcode.TX_COMMIT), Decoded(Opcode.RETURN)))])
    assert code.written()[1] == ("JUMP_IF_FALSE", 3)


def _bounds() -> Bounds:
    return Bounds(SCHEDULE, DEFAULT_LIMITS, constants=100, stack=16)


# Short sequences


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("LOAD_CONST 1; LOAD_CONST 2; LOAD_CONST 3; POP; POP; POP; TX_BEGIN", "TX_BEGIN"),
        ("LOAD_NAME a; DUP; POP", "LOAD_NAME a"),
        ("LOAD_NAME a; DUP; STORE_NAME x; POP", "LOAD_NAME a; STORE_NAME x"),
        ("LOAD_NAME a; STORE_NAME x; LOAD_NAME x; POP", "LOAD_NAME a; STORE_NAME x"),
        ("LOAD_NAME a; STORE_NAME x; LOAD_NAME x; STORE_NAME x", "LOAD_NAME a; STORE_NAME x"),
        ("STORE_CONST x 1; STORE_CONST x 2", "STORE_CONST x 2"),
        ("LOAD_NAME a; NOT; NOT; JUMP_IF_FALSE 5; TX_BEGIN", "LOAD_NAME a; JUMP_IF_FALSE 3; TX_BEGIN"),
        ("LOAD_NAME a; JUMP_IF_FALSE 2; TX_BEGIN", "LOAD_NAME a; POP; TX_BEGIN"),
        ("JUMP 1; TX_BEGIN", "TX_BEGIN"),
        ("LOAD_CONST 1; STORE_NAME x", "STORE_CONST x 1"),
        ("LOAD_CONST 1; DUP; STORE_NAME x", "STORE_CONST x 1; LOAD_CONST 1"),
    ],
)
def test_useless_sequences_go(text: str, result: str) -> None:
    assert optimized(text, 1) == result


@pytest.mark.parametrize(
    "text",
    [
        "LOAD_NAME a; POP",  # the name may be unknown
        "LOAD_NAME a; STORE_NAME a",  # likewise, and in a function it copies a global
        "STORE_CONST x 1; CALL_NAME f 0; POP; LOAD_NAME x; POP",  # other code ran
        "LOAD_NAME a; NOT; NOT",  # makes a bool
        "LOAD_NAME a; LOAD_NAME b; EQ; POP",
        "STATE_READ a; POP",
        "LOAD_NAME p; JUMP_IF_FALSE 3; STORE_CONST x 1; LOAD_NAME x; POP",  # bound on one path only
    ],
)
def test_what_may_fail_or_be_seen_stays(text: str) -> None:
    assert optimized(text, 1) == text


def test_an_instruction_that_takes_from_an_empty_stack_goes_on_failing() -> None:
    instructions: list[Instruction] = [("DUP", None), ("POP", None)]
    assert BytecodeOptimizer(3).optimize(instructions, []) == (instructions, [])


# Copies and common subexpressions


def test_a_stored_value_is_kept_instead_of_loaded() -> None:
    assert optimized("LOAD_NAME a; STORE_NAME x; LOAD_NAME x; RETURN", 2) == "LOAD_NAME a; DUP; STORE_NAME x; RETURN"


def test_no_copy_is_kept_where_the_stack_might_be_full() -> None:
    text = "LOAD_NAME a; STORE_NAME x; LOAD_NAME x; RETURN"
    assert optimized(text, 2, stack_limit=1) == text
    deeper = "LOAD_NAME a; LOAD_NAME b; POP; STORE_NAME x; LOAD_NAME x; RETURN"  # it has had two values on it anyway
    assert "DUP" in optimized(deeper, 2, stack_limit=1)


def test_names_that_hold_constants_are_replaced_until_other_code_runs() -> None:
    text = "LOAD_CONST 4; STORE_NAME x; LOAD_NAME x; LOAD_CONST 1; ADD; CALL_NAME f 1; LOAD_NAME x; ADD"
    assert optimized(text, 2) == "STORE_CONST x 4; LOAD_CONST 5; CALL_NAME f 1; LOAD_NAME x; ADD"


def test_large_constants_are_not_loaded_twice() -> None:
    text = f"STORE_CONST x {'a' * 50!r}; LOAD_NAME x; LENGTH; LOAD_NAME x"
    assert optimized(text, 2) == text


def test_a_repeated_calculation_is_copied() -> None:
    text = "LOAD_NAME a; LOAD_NAME b; SUB; LOAD_NAME a; LOAD_NAME b; SUB; MUL"
    assert optimized(text, 2) == "LOAD_NAME a; LOAD_NAME b; SUB; DUP; MUL"


def test_a_repeated_calculation_is_taken_from_its_name() -> None:
    text = "LOAD_NAME a; LOAD_CONST 3; SUB; STORE_NAME x; STATE_READ k; LOAD_NAME a; LOAD_CONST 3; SUB; ADD"
    assert optimized(text, 2) == "LOAD_NAME a; LOAD_CONST 3; SUB; STORE_NAME x; STATE_READ k; LOAD_NAME x; ADD"


@pytest.mark.parametrize(
    "between",
    [
        "STORE_CONST a 1",
        "STORE_CONST x 1",
        "LOAD_NAME c; STORE_NAME x",
        "CALL_NAME f 0; POP",
        "LOAD_NAME p; JUMP_IF_FALSE 7; TX_BEGIN",
    ],
)
def test_a_calculation_is_repeated_where_something_may_have_changed(between: str) -> None:
    text = f"LOAD_NAME a; LOAD_NAME b; SUB; STORE_NAME x; {between}; LOAD_NAME a; LOAD_NAME b; SUB"
    assert optimized(text, 2).count("SUB") == 2


@pytest.mark.parametrize(
    "text",
    [
        "STATE_READ k; LENGTH; STATE_READ k; LENGTH; ADD",
        "LOAD_NAME a; LENGTH; LOAD_NAME a; GAS_CHARGE 5; LENGTH; ADD",
        "LOAD_NAME a; LOAD_NAME b; SUB; LOAD_NAME a; GAS_CHARGE 5; LOAD_NAME b; SUB; ADD",
        "BLOCK number; NEG; BLOCK timestamp; NEG; ADD",
        "LOAD_NAME a; LOAD_NAME b; SUB; LOAD_NAME b; LOAD_NAME a; SUB; ADD",
        "LOAD_NAME a; LOAD_CONST 1; INDEX; LOAD_NAME a; LOAD_CONST True; INDEX; ADD",
    ],
)
def test_what_only_looks_the_same_is_repeated(text: str) -> None:
    assert optimized(text) == text


# What functions and cells may change


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("STORE_CONST x 1; LOAD_NAME y; STORE_GLOBAL x; LOAD_NAME x; RETURN", None),
        ("STORE_CONST i 1; LOAD_NAME y; STORE_GLOBAL i; LOAD_NAME i; LOAD_CONST 2; MUL; RETURN", None),
        ("LOAD_NAME x; LENGTH; LOAD_CONST 1; STORE_GLOBAL x; LOAD_NAME x; LENGTH; ADD", None),
        (
            "LOAD_NAME x; NEG; LOAD_CONST 1; STORE_GLOBAL y; LOAD_NAME x; NEG; ADD",
            "LOAD_NAME x; NEG; LOAD_CONST 1; STORE_GLOBAL y; DUP; ADD",
        ),
        ("LOAD_NAME c; CELL_READ; LOAD_NAME c; CELL_READ; ADD", None),
        ("LOAD_NAME c; CELL_READ; LOAD_NAME c; LOAD_CONST 1; CELL_WRITE; LOAD_NAME c; CELL_READ; ADD", None),
        ("LOAD_NAME c; NEW_CELL; LOAD_NAME c; NEW_CELL; EQ", None),
        ("LOAD_CONST 'k'; STATE_READ_AT 1; LOAD_CONST 'k'; STATE_READ_AT 1; ADD", None),
        ("LOAD_NAME x; KIND; LOAD_NAME x; KIND; ADD", "LOAD_NAME x; KIND; DUP; ADD"),
        ("LOAD_NAME x; TO_INTEGER; LOAD_CONST 2; MUL; RETURN", "LOAD_NAME x; TO_INTEGER; DUP; ADD; RETURN"),
    ],
)
def test_what_other_code_can_change_is_read_again(text: str, result: str | None) -> None:
    assert optimized(text) == (result or text)


def test_closures_of_the_same_values_are_made_once_and_their_bodies_are_optimized() -> None:
    function = Function("f", ("a", "b"), written("LOAD_CONST 1; LOAD_CONST 2; ADD; RETURN"), tree="the tree")
    program = BytecodeBuilder()
    for _ in range(2):
        program.emit("LOAD_NAME", "x").emit("CLOSURE", function, 1)
    result = optimize_bytecode(program.emit("BUILD_LIST", 2).build(), 2)
    verify(result, strict=False)
    # The builder gives every function a place of its own, so that these are two functions.
    assert [name for name, _ in result.instructions].count("CLOSURE") == 2
    kept = [constant for constant in result.constants if isinstance(constant, Function)]
    assert kept[0] is kept[1]
    assert shown(kept[0].bytecode) == "LOAD_CONST 3; RETURN"
    assert kept[0].tree == "the tree"
    instructions: list[Instruction] = [("LOAD_NAME", 0), ("CLOSURE", (1, 1))] * 2
    again, _ = BytecodeOptimizer(2).optimize([*instructions, ("BUILD_LIST", 2)], ["x", function])
    assert again == [("LOAD_NAME", 0), ("CLOSURE", (1, 1)), ("DUP", None), ("BUILD_LIST", 2)]


# Places


def test_instructions_know_which_ones_they_were() -> None:
    text = "LOAD_CONST 1; POP; LOAD_CONST 2; LOAD_CONST 3; ADD; LOAD_NAME l; LENGTH; LOAD_CONST 2; MUL; DIV; JUMP 11"
    program = written(text)
    result = optimize_bytecode(program, 3)
    assert shown(result) == "LOAD_CONST 5; LOAD_NAME l; LENGTH; DUP; ADD; DIV"
    assert [original_index(result, index) for index in range(len(result) + 1)] == [4, 5, 6, 8, 8, 9, 11]
    twice = optimize_bytecode(Bytecode(result.constants, [*result.instructions, ("JUMP", 7)], result.metadata), 1)
    assert [original_index(twice, index) for index in range(len(result))] == [4, 5, 6, 8, 8, 9]


def test_unchanged_code_has_no_origins_and_each_function_its_own() -> None:
    inner = Function("g", (), written("LOAD_CONST 1; POP; LOAD_CONST 1; LOAD_CONST 0; DIV"))
    result = optimize_bytecode(Bytecode([inner], [("CALL_FUNC_CONST", (0, 0))], {"author": "a"}), 3)
    assert result.metadata == {"author": "a"}
    assert isinstance(result.constants[0], Function)
    assert result.constants[0].bytecode.metadata == {ORIGINS: [0, 2]}
    outcome = interpret(result)
    assert (outcome.at, outcome.function, outcome.trace) == (4, "g", [("g", 4), ("", 0)])


def test_origins_too_large_for_a_value_are_left_out() -> None:
    text = "LOAD_CONST 1; POP; TX_BEGIN; " * 10
    assert ORIGINS in BytecodeOptimizer(1).optimize_bytecode(written(text)).metadata
    small = BytecodeOptimizer(1, limits=ValueLimits(items=8)).optimize_bytecode(written(text))
    assert small.metadata == {}
    assert len(small) == 10


# Strength reduction


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ("LOAD_CONST 2; MUL", "DUP; ADD"),
        ("LOAD_CONST 2; POW", "DUP; MUL"),
        ("LOAD_CONST 1; POW", ""),
        ("LOAD_CONST 0; ADD", ""),
        ("LOAD_CONST 1; DIV", ""),
        ("LOAD_CONST -1; MUL", "NEG"),
        ("LOAD_CONST 1; MOD", "POP; LOAD_CONST 0"),
        ("LOAD_CONST 0; POW", "POP; LOAD_CONST 1"),
        ("NEG; NEG", ""),
        ("LOAD_CONST 2; DIV", "LOAD_CONST 2; DIV"),  # half of an integer is none
        ("LOAD_CONST True; MUL", "LOAD_CONST True; MUL"),
    ],
)
def test_arithmetic_on_integers_gets_cheaper(operation: str, result: str) -> None:
    begin = "LOAD_NAME l; LENGTH; "
    assert optimized(begin + operation + "; RETURN") == begin + (result and result + "; ") + "RETURN"


@pytest.mark.parametrize("operation", ["LOAD_CONST 2; MUL", "LOAD_CONST 0; ADD", "LOAD_CONST 1; MUL", "NEG; NEG"])
def test_arithmetic_on_what_may_be_no_integer_stays(operation: str) -> None:
    text = f"LOAD_NAME x; {operation}; RETURN"
    assert optimized(text) == text
    sum_of_two = f"LOAD_NAME x; LOAD_NAME y; ADD; {operation}; RETURN"
    assert optimized(sum_of_two) == sum_of_two
    as_parameter = Function("f", ("x",), written(text))
    assert shown(optimize_bytecode(Bytecode([as_parameter]), 3).constants[0].bytecode) == text  # type: ignore[union-attr]


def test_a_loop_variable_is_known_to_be_an_integer() -> None:
    text = (
        "STORE_CONST i 0; LOAD_NAME i; LOAD_CONST 9; LT; JUMP_IF_FALSE 14; LOAD_CONST 2; LOAD_NAME i; MUL; "
        "STATE_WRITE k; LOAD_NAME i; LOAD_CONST 1; ADD; STORE_NAME i; JUMP 1; RETURN"
    )
    assert "LOAD_NAME i; DUP; ADD; STATE_WRITE k" in optimized(text)
    assert "LOAD_NAME i; DUP; ADD; STATE_WRITE k" not in optimized(text.replace("LOAD_CONST 1; ADD", "NOT"))


# Prices


@pytest.mark.parametrize(
    ("dear", "text"),
    [
        (Opcode.DUP, "LOAD_NAME a; STORE_NAME x; LOAD_NAME x; RETURN"),
        (Opcode.STORE_CONST, "LOAD_CONST 1; STORE_NAME x"),
        (Opcode.POP, "LOAD_NAME a; JUMP_IF_FALSE 2; TX_BEGIN"),
        (Opcode.LOAD_NAME, "LOAD_NAME a; LENGTH; STORE_NAME x; TX_BEGIN; LOAD_NAME a; LENGTH"),
    ],
)
def test_nothing_gets_dearer_at_other_prices(dear: Opcode, text: str) -> None:
    assert optimized(text) != text
    changed = optimized(text, schedule=GasSchedule(base={dear: 1000}))
    assert changed.count(dear.name) <= text.count(dear.name)


# Whole programs


def test_bodies_of_functions_are_optimized_and_stay_one_function_each() -> None:
    inner = Function("g", ("y",), written("LOAD_NAME y; POP; LOAD_CONST 1; LOAD_CONST 2; ADD; RETURN"))
    outer = Function("f", (), Bytecode([inner], [("CALL_FUNC_CONST", (0, 0))]))
    result = optimize_bytecode(Bytecode([outer, inner], [("LOAD_CONST", 1)], {"author": "a"}), 3)
    assert result.metadata == {"author": "a"}
    first, second = result.constants
    assert isinstance(first, Function)
    assert isinstance(second, Function)
    assert shown(second.bytecode) == "LOAD_CONST 3; RETURN"
    assert first.bytecode.constants[0] is second
    assert len(inner.bytecode) == 6


def test_parameters_are_bound_names() -> None:
    body = written("LOAD_NAME x; POP; LOAD_NAME y; POP; RETURN")
    result = optimize_bytecode(Bytecode([Function("f", ("x",), body)]), 1)
    assert shown(result.constants[0].bytecode) == "LOAD_NAME y; POP; RETURN"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "instruction",
    [
        ("NO_SUCH", None),
        ("LOAD_CONST", 1),
        ("LOAD_CONST", -1),
        ("LOAD_CONST", True),
        ("LOAD_CONST", None),
        ("ADD", 1),
        ("JUMP", 4),
        ("STORE_CONST", 0),
        ("STORE_CONST", (0, 1)),
        ("CALL_NAME", (0, -1)),
        ("LOAD_CONST",),
        (3, None),
    ],
)
def test_code_that_does_not_load_is_left_as_it_is(instruction: Any) -> None:
    given = [("LOAD_CONST", 0), ("POP", None), instruction]
    assert BytecodeOptimizer(3).optimize(given, ["a"]) == (given, ["a"])


def test_values_of_the_host_among_the_constants_are_left_alone() -> None:
    instructions: list[Instruction] = [("LOAD_CONST", 0), ("LOAD_CONST", 0), ("ADD", None)]
    assert BytecodeOptimizer(3).optimize(instructions, [1.5]) == (instructions, [1.5])
    circle: list[Any] = []
    circle.append(circle)
    assert BytecodeOptimizer(3).optimize(instructions, [circle])[0] == instructions


@pytest.mark.parametrize(
    "text",
    [
        "LOAD_CONST 1; " * 20_000 + "POP; " * 20_000,
        "LOAD_CONST 1; " + "LOAD_CONST 2; ADD; " * 20_000,
        "LOAD_NAME a; " + "LOAD_NAME a; ADD; " * 20_000,
        "".join(f"JUMP {place}; " for place in range(1, 20_001)),
        "".join(f"LOAD_NAME a; JUMP_IF_FALSE {(place * 7919) % 20_000 // 2 * 2}; " for place in range(10_000)),
        "LOAD_NAME a; DUP; POP; DUP; STORE_NAME b; LOAD_NAME b; POP; POP; " * 3_000,
    ],
    ids=["pops", "sums", "one block", "jump chain", "tangle", "rules"],
)
def test_work_grows_with_the_code_and_not_with_its_square(text: str) -> None:
    program = written(text)
    result = BytecodeOptimizer(3, max_passes=2).optimize_bytecode(program)
    assert len(result) <= len(program)


def test_counts_of_any_size_take_no_memory() -> None:
    given: list[Instruction] = [("BUILD_LIST", 1 << 62), ("BUILD_MAP", 1 << 62), ("SPAWN", 1 << 62)]
    assert BytecodeOptimizer(3).optimize(given, []) == (given, [])


# The same at every level


def compare(program: Bytecode, level: int, *, strict: bool, limits: Limits, seed: int) -> Outcome:
    """Run a program as it is and optimized, and assert that nobody could tell, except that gas is saved."""
    optimizer = BytecodeOptimizer(level, schedule=CHEAP, limits=limits.values, stack_limit=limits.stack)
    result = optimizer.optimize_bytecode(program)
    before = interpret(program, schedule=CHEAP, gas=PLENTY, strict=strict, limits=limits)
    after = interpret(result, schedule=CHEAP, gas=PLENTY, strict=strict, limits=limits)
    if before.error is OutOfGas:  # with less gas used, it may get further
        return before
    told = f"seed {seed}, level {level}\n{program.disassemble()}\n{result.disassemble()}"
    assert before.gas_left is not None
    assert after.gas_left is not None
    assert after.gas_left >= before.gas_left, told
    after.gas_left = before.gas_left
    if limits is SMALL_LIMITS:  # there origins are too large for a value
        after.at, after.trace = before.at, before.trace
    assert repr(after) == repr(before), told
    assert sum(map(len, bodies(result))) <= sum(map(len, bodies(program))), told
    return before


def bodies(program: Bytecode) -> list[Bytecode]:
    inner = [
        body for constant in program.constants if isinstance(constant, Function) for body in bodies(constant.bytecode)
    ]
    return [program, *inner]


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 10_000])
def test_structured_programs_do_the_same(level: int, start: int) -> None:
    for seed in range(start, start + 60):
        random = Random(seed)
        shape = Shape(
            contract=seed % 3 == 0,
            tasks=seed % 2 == 0,
            closures=seed % 5 < 3,
            conversions=seed % 7 < 4,
            wrong=random.choice((0, 0.01, 0.05)),
        )
        limits = SMALL_LIMITS if seed % 4 == 0 else Limits()
        compare(generate(random, shape), level, strict=seed % 5 != 0, limits=limits, seed=seed)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_tangled_programs_do_the_same(level: int) -> None:
    ends = [
        compare(tangle(Random(seed)), level, strict=seed % 2 == 0, limits=Limits(), seed=seed).error
        for seed in range(300)
    ]
    assert ends.count(None) > 50  # enough of them run through
    assert ends.count(OutOfGas) < 150


SNIPPETS: Final = (
    "LOAD_CONST {int}; POP",
    "LOAD_NAME {name}; POP",
    "LOAD_NAME {name}; DUP; POP; STORE_NAME {name}",
    "LOAD_NAME {name}; STORE_NAME {name}; LOAD_NAME {name}; STORE_NAME {name}",
    "LOAD_CONST {int}; DUP; STORE_NAME {name}; STORE_NAME {name}",
    "STORE_CONST {name} {any}",
    "STORE_CONST {name} {int}; STORE_CONST {name} {int}",
    "LOAD_NAME {name}; LOAD_CONST {int}; {op}; STORE_NAME {name}",
    "LOAD_CONST {int}; LOAD_NAME {name}; {op}; STORE_NAME {name}",
    "LOAD_NAME a; LOAD_NAME b; {op}; STORE_NAME {name}; LOAD_NAME a; LOAD_NAME b; {op}; STORE_NAME {name}",
    "LOAD_NAME a; LOAD_NAME b; SUB; LOAD_NAME a; LOAD_NAME b; SUB; {op}; STORE_NAME {name}",
    "LOAD_NAME {name}; NEG; NEG; STORE_NAME {name}",
    "LOAD_NAME {name}; LOAD_NAME {name}; BUILD_LIST 2; LENGTH; LOAD_CONST {int}; {op}; STORE_NAME {name}",
    "GAS_CHARGE 3",
    "LOAD_NAME {name}; STATE_WRITE k",
    "STATE_READ k; STORE_NAME {name}",
    "LOAD_NAME {name}; LEDGER_APPEND",
    "TX_COMMIT; TX_BEGIN",
    "TX_REVERT; TX_BEGIN",
    "LOAD_NAME {name}; RETURN",
    "JUMP {to}",
    "JUMP {to}",
    "LOAD_CONST {any}; JUMP_IF_FALSE {to}",
    "LOAD_NAME {name}; JUMP_IF_FALSE {to}",
    "LOAD_NAME {name}; NOT; NOT; JUMP_IF_FALSE {to}",
    "LOAD_NAME {name}; LOAD_CONST {int}; LT; JUMP_IF_FALSE {to}",
)


def tangle(random: Random) -> Bytecode:
    """Short sequences that leave the stack empty, with jumps from each to any: mostly no loops that one could write."""
    count = random.randint(3, 25)
    chosen = random.choices(SNIPPETS, k=count)
    begin = ["STORE_CONST a 3", "STORE_CONST b 5", "STORE_CONST c 7", "TX_BEGIN"]
    starts, position = [], len(begin)
    for snippet in chosen:
        starts.append(position)
        position += snippet.count(";") + 1
    lines = [*begin, *(_filled(random, snippet, place, starts) for place, snippet in enumerate(chosen))]
    return written("; ".join([*lines, "TX_COMMIT", "LOAD_NAME a", "RETURN"]))


def _filled(random: Random, snippet: str, place: int, starts: list[int]) -> str:
    onward = starts[place + 1 :] or starts
    while "{" in snippet:
        begin, _, rest = snippet.partition("{")
        kind, _, end = rest.partition("}")
        value = {
            "int": random.choice((0, 1, 2, 2, 3, -1, 1 << 64)),
            "any": random.choice(("0", "1", "''", "'t'", "[]", "True")),
            "name": random.choice("aaaaabbbbbcccccd"),
            "op": random.choice(("ADD", "SUB", "MUL", "POW", "MOD", "DIV", "EQ", "AND")),
            "to": random.choice(onward if random.random() < 0.8 else starts),
        }[kind]
        snippet = f"{begin}{value}{end}"
    return snippet
