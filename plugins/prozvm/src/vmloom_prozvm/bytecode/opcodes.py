"""The instructions: their numbers, operands and what they take from the stack and put there.

Data only. What they do is in `runtime.operations`, what they cost in `gas`. Numbers 110 to 119 are fixed by the ledger
instructions' first description; the others are this package's, and part of the format of containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum, auto
from types import MappingProxyType
from typing import Final, NamedTuple


class Opcode(IntEnum):
    """Every instruction, by the number that containers have for it."""

    __hash__ = int.__hash__  # enumerations have one in Python, which tables of instructions would spend their time in

    # Stack and names
    LOAD_CONST = 1
    LOAD_NAME = 2
    STORE_NAME = 3
    STORE_CONST = 4
    POP = 5
    DUP = 6
    STORE_GLOBAL = 7
    # Arithmetic
    ADD = 10
    SUB = 11
    MUL = 12
    DIV = 13
    MOD = 14
    POW = 15
    NEG = 16
    # Comparison
    EQ = 20
    NEQ = 21
    LT = 22
    GT = 23
    LTE = 24
    GTE = 25
    # Logic
    AND = 30
    OR = 31
    NOT = 32
    # Collections
    BUILD_LIST = 40
    BUILD_MAP = 41
    INDEX = 42
    STORE_INDEX = 43
    LENGTH = 44
    ITEMS = 45
    SLICE = 46
    CONTAINS = 47
    RANGE = 48
    # Control
    JUMP = 50
    JUMP_IF_FALSE = 51
    RETURN = 52
    # Functions
    CALL_NAME = 60
    CALL_FUNC_CONST = 61
    CALL_TOP = 62
    CLOSURE = 63
    NEW_CELL = 64
    CELL_READ = 65
    CELL_WRITE = 66
    # Concurrency
    SPAWN = 70
    AWAIT = 71
    # Kinds and encodings
    TO_STRING = 80
    TO_INTEGER = 81
    TO_BYTES = 82
    KIND = 83
    ENCODE = 84
    DECODE = 85
    TRY_DECODE = 86
    # Ledger
    HASH_BLOCK = 110
    VERIFY_SIGNATURE = 111
    MERKLE_ROOT = 112
    STATE_READ = 113
    STATE_WRITE = 114
    TX_BEGIN = 115
    TX_COMMIT = 116
    TX_REVERT = 117
    GAS_CHARGE = 118
    LEDGER_APPEND = 119
    STATE_READ_AT = 120
    STATE_WRITE_AT = 121
    # The call and its surroundings, for contracts
    INPUT = 130
    CALLER = 131
    ADDRESS = 132
    VALUE = 133
    BLOCK = 134
    EMIT = 135
    CALL_CONTRACT = 136
    REVERT = 137


class Operand(Enum):
    """What follows an opcode."""

    NONE = auto()
    CONSTANT = auto()
    """Index of a constant of any kind."""
    NAME = auto()
    """Index of a constant that is a string: a name or a key."""
    NAME_AND_CONSTANT = auto()
    """(index of a name, index of a constant)."""
    TARGET = auto()
    """Index of an instruction."""
    COUNT = auto()
    """How many values are taken."""
    NAME_AND_COUNT = auto()
    """(index of a name, number of arguments)."""
    CONSTANT_AND_COUNT = auto()
    """(index of a function among the constants, number of arguments or of bound values)."""
    AMOUNT = auto()
    """Gas, 0 to 2^63 - 1."""


class Operation(NamedTuple):
    """One instruction's form. `pops` counts without those that a count announces."""

    opcode: Opcode
    operand: Operand
    pops: int
    pushes: int


def _rows() -> Mapping[Opcode, Operation]:
    none, count = Operand.NONE, Operand.COUNT
    rows = [
        Operation(Opcode.LOAD_CONST, Operand.CONSTANT, 0, 1),
        Operation(Opcode.LOAD_NAME, Operand.NAME, 0, 1),
        Operation(Opcode.STORE_NAME, Operand.NAME, 1, 0),
        Operation(Opcode.STORE_GLOBAL, Operand.NAME, 1, 0),
        Operation(Opcode.STORE_CONST, Operand.NAME_AND_CONSTANT, 0, 0),
        Operation(Opcode.POP, none, 1, 0),
        Operation(Opcode.DUP, none, 1, 2),
        *(Operation(opcode, none, 2, 1) for opcode in BINARY),
        *(Operation(opcode, none, 1, 1) for opcode in UNARY),
        Operation(Opcode.BUILD_LIST, count, 0, 1),
        Operation(Opcode.BUILD_MAP, count, 0, 1),  # the count is of pairs: twice as many values
        Operation(Opcode.INDEX, none, 2, 1),
        Operation(Opcode.STORE_INDEX, none, 3, 1),
        Operation(Opcode.SLICE, none, 3, 1),
        *(Operation(opcode, none, 2, 1) for opcode in (Opcode.CONTAINS, Opcode.RANGE, Opcode.TO_BYTES)),
        Operation(Opcode.JUMP, Operand.TARGET, 0, 0),
        Operation(Opcode.JUMP_IF_FALSE, Operand.TARGET, 1, 0),
        Operation(Opcode.RETURN, none, 1, 0),
        Operation(Opcode.CALL_NAME, Operand.NAME_AND_COUNT, 0, 1),
        Operation(Opcode.CALL_FUNC_CONST, Operand.CONSTANT_AND_COUNT, 0, 1),
        Operation(Opcode.CALL_TOP, count, 1, 1),
        Operation(Opcode.CLOSURE, Operand.CONSTANT_AND_COUNT, 0, 1),
        Operation(Opcode.NEW_CELL, none, 1, 1),
        Operation(Opcode.CELL_READ, none, 1, 1),
        Operation(Opcode.CELL_WRITE, none, 2, 0),
        Operation(Opcode.SPAWN, count, 1, 1),
        Operation(Opcode.AWAIT, none, 1, 1),
        Operation(Opcode.HASH_BLOCK, none, 1, 1),
        Operation(Opcode.VERIFY_SIGNATURE, none, 3, 1),
        Operation(Opcode.MERKLE_ROOT, count, 0, 1),
        Operation(Opcode.STATE_READ, Operand.NAME, 0, 1),
        Operation(Opcode.STATE_WRITE, Operand.NAME, 1, 0),
        Operation(Opcode.STATE_READ_AT, count, 0, 1),
        Operation(Opcode.STATE_WRITE_AT, count, 1, 0),  # the value lies above the keys, which are counted
        *(Operation(opcode, none, 0, 0) for opcode in (Opcode.TX_BEGIN, Opcode.TX_COMMIT, Opcode.TX_REVERT)),
        Operation(Opcode.GAS_CHARGE, Operand.AMOUNT, 0, 0),
        Operation(Opcode.LEDGER_APPEND, none, 1, 0),
        *(Operation(opcode, none, 0, 1) for opcode in (Opcode.INPUT, Opcode.CALLER, Opcode.ADDRESS, Opcode.VALUE)),
        Operation(Opcode.BLOCK, Operand.NAME, 0, 1),
        Operation(Opcode.EMIT, none, 2, 0),
        Operation(Opcode.CALL_CONTRACT, none, 3, 1),
        Operation(Opcode.REVERT, none, 1, 0),
    ]
    return MappingProxyType({row.opcode: row for row in rows})


ARITHMETIC: Final = (Opcode.ADD, Opcode.SUB, Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW)
COMPARISON: Final = (Opcode.EQ, Opcode.NEQ, Opcode.LT, Opcode.GT, Opcode.LTE, Opcode.GTE)
LOGIC: Final = (Opcode.AND, Opcode.OR)
UNARY: Final = (
    Opcode.NEG,
    Opcode.NOT,
    Opcode.LENGTH,
    Opcode.ITEMS,
    Opcode.TO_STRING,
    Opcode.TO_INTEGER,
    Opcode.KIND,
    Opcode.ENCODE,
    Opcode.DECODE,
    Opcode.TRY_DECODE,
)
BINARY: Final = (*ARITHMETIC, *COMPARISON, *LOGIC)
OPERATIONS: Final[Mapping[Opcode, Operation]] = _rows()
"""Every instruction's form."""
ENDING: Final = frozenset((Opcode.JUMP, Opcode.RETURN, Opcode.REVERT))
"""After these the next instruction is not run next."""
