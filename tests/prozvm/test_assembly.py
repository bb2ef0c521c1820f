"""Text: that listings are read back, and what can be written by hand."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vmloom.errors import InvalidCode
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, assemble, function

from .strategies import programs
from .test_program import LISTING, sum_of_two


@given(programs())
@example(Bytecode())
@example(Bytecode(["# ; \n\r\u2028\x85 Function 1:", "Instructions:"], [], {"Constants:": "'"}))
@example(Bytecode([function("Function 0:\n", ["; #", "\\"], Bytecode(["    x"]))] * 2))
def test_a_listing_is_read_back(program: Bytecode) -> None:
    assert assemble(program.disassemble()) == program


def test_the_listing_first_shown_is_read() -> None:
    assert assemble(LISTING) == sum_of_two().build()
    assert assemble(LISTING.replace("\n", "\r\n") + "\r\n") == sum_of_two().build()


def test_labels_stand_for_instructions_and_the_end() -> None:
    text = """
        # counts down
        Constants:
            0: 'i'
            1: 3
            2: 1
        Instructions:
            STORE_CONST (0, 1)
        again:
            LOAD_NAME 0
            JUMP_IF_FALSE end   # leaves the loop
            LOAD_NAME 0
            LOAD_CONST 0x2      ; by one
            SUB
            STORE_NAME 0
            JUMP again
        end:
        """
    builder = BytecodeBuilder().emit("STORE_CONST", "i", 3).label("again").emit("LOAD_NAME", "i")
    builder.emit("JUMP_IF_FALSE", "end").emit("LOAD_NAME", "i").emit("LOAD_CONST", 1).emit("SUB")
    assert assemble(text) == builder.emit("STORE_NAME", "i").emit("JUMP", "again").label("end").build()


def test_lines_without_headings_are_instructions() -> None:
    assert assemble("TX_BEGIN\n1 TX_COMMIT").instructions == [("TX_BEGIN", None), ("TX_COMMIT", None)]
    assert assemble("") == Bytecode()


def test_a_label_may_be_called_like_an_instruction() -> None:
    assert assemble("ADD:\nJUMP ADD").instructions == [("JUMP", 0)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NOPE", "line 1: 'NOPE': no such instruction"),
        ("\nLOAD_CONTS 0", "line 2: 'LOAD_CONTS': no such instruction (did you mean LOAD_CONST?)"),
        ("add", "line 1: 'add': no such instruction"),
        ("LOAD_CONST", "line 1: LOAD_CONST takes one integer"),
        ("ADD 1", "line 1: ADD takes no operand"),
        ("STORE_CONST 1", "line 1: STORE_CONST takes a pair"),
        ("LOAD_CONST (0, 1)", "line 1: LOAD_CONST takes one integer"),
        ("LOAD_CONST x", "line 1: not an integer: 'x'"),
        ("LOAD_CONST 1.0", "line 1: not an integer"),
        ("LOAD_CONST " + "9" * 5000, "line 1: not an integer"),
        ("STORE_CONST (0, 1", "line 1: not an integer"),
        ("JUMP nowhere", "line 1: label `nowhere` is not set"),
        ("a:\na:", "line 2: label `a` is set twice"),
        ("1 ADD", "line 1: instruction 1 stands where 0 must"),
        ("?", "line 1: not an instruction: '?'"),
        ("Constants:\n 1: 5", "line 2: constant 1 stands where 0 must"),
        ("Constants:\n 5", "line 2: a constant is written as"),
        ("Constants:\n 0: x", "line 2: not a value: 'x'"),
        ("Constants:\n 0: ", "line 2: not a value"),
        ("Constants:\n 0: 1.5", "line 2: float is not a kind of value"),
        ("Constants:\n 0: (1, 2)", "line 2: tuple is not a kind of value"),
        ("Constants:\n 0: {[]: 1}", "line 2: not a value"),
        ("Constants:\n 0: {True: 1}", "line 2: a key of kind bool"),
        ("Constants:\n 0: __import__('os')", "line 2: not a value"),
        ("Constants:\n 0: function('f')", "line 2: a function is written as"),
        ("Constants:\n 0: function('f', [1])", "line 2: parameters must be strings"),
        ("Constants:\n 0: function('f', ", "line 2: not a value"),
        ("Constants:\n 0: function('f', [])", "line 2: a function without a body"),
        ("Metadata:\n 5", "line 2: metadata are written as"),
        ("Metadata:\n 1: 5", "line 2: metadata are written as"),
        ("Metadata:\n 'a': 1.5", "line 2: float"),
        ("Function 0:", "line 1: constant 0 is no function"),
        ("Constants:\n 0: function('f', [])\nFunction 0:\nFunction 0:", "line 4: constant 0 is no function, or has"),
        ("Constants:\n 0: function('f', [])\nFunction 0:\n    NOPE", "line 4: 'NOPE'"),
        ("Constants:\n 0: " + "[" * 100_000, "line 2: not a value"),
        ("Constants:\n 0: " + "-" * 100_000 + "1", "line 2: not a value"),
        ("Constants:\n 0: " + "[" * 50 + "]" * 50, "line 2: collections nested deeper than 32"),
    ],
)
def test_mistakes_are_named_with_their_line(text: str, reason: str) -> None:
    with pytest.raises(InvalidCode) as caught:
        assemble(text)
    assert str(caught.value).startswith(reason)


@given(st.text(st.sampled_from("Function 012:\n()',[]{}#;ADJUMPxConstantsInstr="), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        program = assemble(text)
    except InvalidCode:
        return
    assert assemble(program.disassemble()) == program


def test_functions_nested_beyond_measure_are_refused() -> None:
    text = "".join(
        f"{' ' * 4 * level}{line}\n"
        for level in range(200)
        for line in ("Constants:", " 0: function('f', [])", "Function 0:")
    )
    with pytest.raises(InvalidCode, match="nested deeper than 32"):
        assemble(text)
