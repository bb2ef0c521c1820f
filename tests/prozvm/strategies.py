"""Values, and programs of every form, for tests of what holds them; most of the code of the programs is unreachable."""

from __future__ import annotations

from hypothesis import strategies as st
from vmloom_prozvm.bytecode.opcodes import OPERATIONS, Opcode, Operand
from vmloom_prozvm.bytecode.program import Bytecode, Instruction, OperandValue
from vmloom_prozvm.values import Function, Value

INTEGERS = st.one_of(
    st.integers(-300, 300),
    st.sampled_from([1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 64), -(1 << 64) - 1, (1 << 4096) - 1]),
    st.integers(-(1 << 200), 1 << 200),
)
TEXTS = st.text(max_size=20)  # Hypothesis leaves out lone surrogates unless asked
KEYS = st.one_of(TEXTS, INTEGERS, st.binary(max_size=10))
SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, TEXTS, st.binary(max_size=20))
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)

_ON_FUNCTIONS = (Opcode.CALL_FUNC_CONST, Opcode.CLOSURE)


@st.composite
def programs(draw: st.DrawFn, nesting: int = 2) -> Bytecode:
    """A verified program: constants of all kinds, and instructions of all forms behind a jump to the end."""
    constants: list[Value] = [draw(TEXTS), *draw(st.lists(VALUES, max_size=5))]
    if nesting:
        constants += draw(st.lists(functions(nesting - 1), max_size=2))
    opcodes = draw(st.lists(st.sampled_from(Opcode), max_size=12))
    opcodes = [opcode for opcode in opcodes if opcode not in _ON_FUNCTIONS or _functions(constants)]
    instructions: list[Instruction] = [("JUMP", len(opcodes) + 1)]
    instructions += [(opcode.name, draw(_operands(opcode, constants, len(opcodes) + 1))) for opcode in opcodes]
    return Bytecode(constants, instructions, draw(st.dictionaries(TEXTS, VALUES, max_size=2)))


@st.composite
def functions(draw: st.DrawFn, nesting: int) -> Function:
    return Function(draw(TEXTS), tuple(draw(st.lists(TEXTS, max_size=3, unique=True))), draw(programs(nesting)))


def _functions(constants: list[Value]) -> list[tuple[int, int]]:
    """(index, number of parameters) of each function."""
    return [(index, len(item.parameters)) for index, item in enumerate(constants) if isinstance(item, Function)]


def _operands(opcode: Opcode, constants: list[Value], length: int) -> st.SearchStrategy[OperandValue]:
    names = st.sampled_from([index for index, item in enumerate(constants) if type(item) is str])
    any_constant = st.integers(0, len(constants) - 1)
    counts = st.integers(1 if opcode in (Opcode.STATE_READ_AT, Opcode.STATE_WRITE_AT) else 0, 1024)
    match OPERATIONS[opcode].operand:
        case Operand.NONE:
            return st.none()
        case Operand.CONSTANT:
            return any_constant
        case Operand.NAME:
            return names
        case Operand.NAME_AND_CONSTANT:
            return st.tuples(names, any_constant)
        case Operand.TARGET:
            return st.integers(0, length)
        case Operand.COUNT:
            return counts
        case Operand.NAME_AND_COUNT:
            return st.tuples(names, counts)
        case Operand.CONSTANT_AND_COUNT:
            return st.sampled_from(_functions(constants))
        case Operand.AMOUNT:
            return st.integers(0, (1 << 63) - 1)
