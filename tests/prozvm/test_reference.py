"""The reference of ProzVM: what is said of instructions agrees with what the code knows of them."""

from __future__ import annotations

import pytest
from vmloom_prozvm import errors
from vmloom_prozvm.bytecode.opcodes import OPERATIONS, Opcode, Operand
from vmloom_prozvm.cli.instructions import TITLES, WORDS

COUNTED = {Operand.COUNT, Operand.NAME_AND_COUNT, Operand.CONSTANT_AND_COUNT}


def test_every_instruction_is_described_once() -> None:
    assert set(WORDS) == set(Opcode)
    grouped = [opcode for first, last in TITLES.values() for opcode in Opcode if first <= opcode <= last]
    assert sorted(grouped) == sorted(Opcode)


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name)
def test_words_have_as_many_values_as_the_instruction(opcode: Opcode) -> None:
    operation, words = OPERATIONS[opcode], WORDS[opcode]
    takes = words.takes.split()
    assert ("..." in takes) == (operation.operand in COUNTED)
    assert len([one for one in takes if one != "..."]) == operation.pops
    assert len(words.gives.split()) == operation.pushes


@pytest.mark.parametrize("opcode", Opcode, ids=lambda opcode: opcode.name)
def test_errors_exist(opcode: Opcode) -> None:
    for name in filter(None, WORDS[opcode].errors.split(", ")):
        assert issubclass(getattr(errors, name), errors.ProzError)
