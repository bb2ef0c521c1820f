"""From instructions to lines of the source, and errors shown there."""

from __future__ import annotations

import pytest
from vmloom_prozvm.bytecode import Bytecode
from vmloom_prozvm.errors import OutOfGas, ProzError
from vmloom_prozvm.language.sourcemap import Place, SourceMap, describe_error, line_of, locate, without_maps
from vmloom_prozvm.language.tree import Source
from vmloom_prozvm.optimizer import optimize_bytecode
from vmloom_prozvm.vm import VM

from .compiling import compiled

CALLS = """\
action div(a, b) {
    return a / b;
}

action mid(a) {
    let k = div(a, 0);
    return k;
}
mid(1 +
    2)"""


def failure(bytecode: Bytecode, vm: VM | None = None) -> ProzError:
    with pytest.raises(ProzError) as caught:
        (vm or VM()).execute(bytecode)
    return caught.value


def test_every_instruction_has_a_place() -> None:
    bytecode = compiled("let x = 10;\nlet y = x * 2;\ny", source_map=True)
    assert [locate(bytecode, "", index) for index in range(len(bytecode))] == [
        Place(1, 9, 2),
        Place(1, 1, 10),
        Place(2, 9, 1),
        Place(2, 13, 1),
        Place(2, 9, 5),
        Place(2, 1, 13),
        Place(3, 1, 1),
    ]


def test_map_is_a_list_of_runs() -> None:
    assert compiled("\n\nx; [x, x]", source_map=True).metadata == {
        "source_map": [2, 2, 1, 1, 1, 0, 5, 1, 1, 0, 8, 1, 1, 0, 4, 6]
    }


def test_no_map_unless_it_is_asked_for() -> None:
    bytecode = compiled("1 + 1")
    assert bytecode.metadata == {}
    assert locate(bytecode, "", 0) is None


def test_functions_are_found_by_name_however_deep() -> None:
    bytecode = compiled("action f() {\n return action() {\n  return 5;\n };\n}", source_map=True)
    assert line_of(bytecode, "f", 0) == 2
    assert line_of(bytecode, "action~1", 0) == 3
    assert line_of(bytecode, "g", 0) is None


def test_end_is_at_the_last_instruction() -> None:
    bytecode = compiled("1;\n2;", source_map=True)
    assert line_of(bytecode, "", len(bytecode)) == 2
    assert line_of(bytecode, "", -1) is None


@pytest.mark.parametrize("numbers", [[1], "map", [1, 2, 3, "4"], [1, 0, 1, True], None, [1, -5, 1, 1]])
def test_what_is_no_map_is_none(numbers: object) -> None:
    bytecode = Bytecode([], [("TX_BEGIN", None)], {"source_map": numbers})  # type: ignore[dict-item]
    place = locate(bytecode, "", 0)
    assert place is None


def test_hostile_counts_take_no_memory() -> None:
    bytecode = Bytecode([], [("TX_BEGIN", None)], {"source_map": [10**15, 1, 1, 1] * 1000})
    assert line_of(bytecode, "", 10**15) == 3
    assert line_of(bytecode, "", 10**30) == 1001


def test_source_map_reads_each_body_once() -> None:
    bytecode = compiled(CALLS, source_map=True)
    known = SourceMap(bytecode)
    bytecode.metadata.clear()
    assert known.line_of("", 0) is None
    assert known.line_of("div", 2) == 2


def test_maps_can_be_taken_off() -> None:
    bytecode = compiled(CALLS, source_map=True)
    bare = without_maps(bytecode)
    assert bare == compiled(CALLS)
    assert bytecode == compiled(CALLS, source_map=True)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_errors_are_at_the_same_lines_whatever_the_optimiser_moved(level: int) -> None:
    code = "let a = 1 + 1;\nlet b = a * 2;\nlet c = b;\nlet unused = [1];\nlet d = c / (a - 2);\nd"
    bytecode = compiled(code, source_map=True)
    optimised = optimize_bytecode(bytecode, level)
    error = failure(optimised)
    assert error.at is not None
    assert line_of(bytecode, error.function, error.at) == 5
    assert line_of(optimised, error.function, error.at) == 5


# Errors


def test_error_shows_the_line_and_the_calls() -> None:
    bytecode = compiled(CALLS, source_map=True)
    assert describe_error(failure(bytecode), bytecode, Source(CALLS, "sums.proz")).splitlines() == [
        "sums.proz:2:12: error: DIV: the divisor is 0",
        "  2 |     return a / b;",
        "    |            ^^^^^",
        "called in `mid`, sums.proz:6:13:",
        "  6 |     let k = div(a, 0);",
        "    |             ^^^^^^^^^",
        "called in the program, sums.proz:9:1:",
        "  9 | mid(1 +",
        "    | ^^^^^^^",
    ]


def test_error_without_a_map_shows_functions_and_indices() -> None:
    bytecode = compiled(CALLS)
    assert describe_error(failure(bytecode), bytecode, CALLS).splitlines() == [
        "<source>: error: DIV: the divisor is 0",
        "  in `div`, instruction 2",
        "called in `mid`, instruction 2",
        "called in the program, instruction 7",
    ]


def test_error_of_the_evaluator_knows_its_places() -> None:
    error = OutOfGas("out of gas")
    error.places = [("f", Place(2, 3, 1)), ("g", None), ("", Place(1, 1, 4))]
    assert describe_error(error, None, "f();\n  x").splitlines() == [
        "<source>:2:3: error: out of gas",
        "  2 |   x",
        "    |   ^",
        "called in `g`",
        "called in the program, <source>:1:1:",
        "  1 | f();",
        "    | ^^^^",
    ]


def test_long_traces_are_cut() -> None:
    code = "action down(n) { return down(n + 1); }\ndown(0)"
    bytecode = compiled(code, source_map=True)
    lines = describe_error(failure(bytecode), bytecode, code).splitlines()
    (cut,) = [line for line in lines if line.startswith("...")]
    assert cut == f"... and {VM().limits.frames - 10} more calls"
    assert len(lines) == 3 * 10 + 1
    assert lines[-3] == "called in the program, <source>:2:1:"


def test_reason_of_a_revert_is_shown() -> None:
    code = 'require(1 > 2, "too small");'
    bytecode = compiled(code, source_map=True)
    assert describe_error(failure(bytecode), bytecode, code).splitlines()[0] == (
        "<source>:1:1: error: reverted: 'too small'"
    )


def test_error_of_another_source_is_shown_as_far_as_that_goes() -> None:
    bytecode = compiled("\n\n\nlet xyz = 1 / 0;", source_map=True)
    assert describe_error(failure(bytecode), bytecode, "1").splitlines()[0].endswith("error: DIV: the divisor is 0")


def test_error_that_has_not_run_is_shown() -> None:
    bytecode = compiled("1 + 1", source_map=True)
    assert describe_error(OutOfGas("out of gas"), bytecode, "1 + 1").splitlines()[0] == (
        "<source>:1:1: error: out of gas"
    )
