"""Every instruction in words: for the reference and for `:help` of the prompt.

What the code knows (numbers, operands, prices) is not repeated here; a test compares what is with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from ..bytecode.opcodes import Opcode


class Words(NamedTuple):
    """What an instruction does. `takes` and `gives` name values, the deepest first; `...` stands for counted ones."""

    takes: str
    gives: str
    does: str
    errors: str = ""
    """Names of `errors` that it may cause, beside those that all may."""


_TYPE = "TypeMismatch"
_SIZE = "TypeMismatch, ValueTooLarge"
_ARITHMETIC = "TypeMismatch, ValueTooLarge"
_CALL = "TypeMismatch, WrongArity, CallDepthExceeded"

TITLES: Final[Mapping[str, tuple[Opcode, Opcode]]] = MappingProxyType(
    {
        "Stack and names": (Opcode.LOAD_CONST, Opcode.STORE_GLOBAL),
        "Arithmetic": (Opcode.ADD, Opcode.NEG),
        "Comparison": (Opcode.EQ, Opcode.GTE),
        "Logic": (Opcode.AND, Opcode.NOT),
        "Collections": (Opcode.BUILD_LIST, Opcode.RANGE),
        "Control": (Opcode.JUMP, Opcode.RETURN),
        "Functions and cells": (Opcode.CALL_NAME, Opcode.CELL_WRITE),
        "Concurrency": (Opcode.SPAWN, Opcode.AWAIT),
        "Kinds and encodings": (Opcode.TO_STRING, Opcode.TRY_DECODE),
        "Ledger": (Opcode.HASH_BLOCK, Opcode.STATE_WRITE_AT),
        "The call and its surroundings": (Opcode.INPUT, Opcode.REVERT),
    }
)
"""Groups of instructions: title, first and last number."""

WORDS: Final[Mapping[Opcode, Words]] = MappingProxyType(
    {
        Opcode.LOAD_CONST: Words("", "value", "the constant"),
        Opcode.LOAD_NAME: Words("", "value", "the variable: of the function, else of the program", "UnknownName"),
        Opcode.STORE_NAME: Words("value", "", "sets the variable of the function that runs"),
        Opcode.STORE_CONST: Words("", "", "sets the variable to the constant"),
        Opcode.POP: Words("value", "", "drops it"),
        Opcode.DUP: Words("value", "value value", "copies it"),
        Opcode.STORE_GLOBAL: Words("value", "", "sets the main program's variable, from anywhere"),
        Opcode.ADD: Words("a b", "a+b", "the sum of integers; strings, bytes and lists are joined", _ARITHMETIC),
        Opcode.SUB: Words("a b", "a-b", "of integers", _ARITHMETIC),
        Opcode.MUL: Words("a b", "a*b", "of integers", _ARITHMETIC),
        Opcode.DIV: Words("a b", "a/b", "the quotient, rounded down", "TypeMismatch, DivisionByZero"),
        Opcode.MOD: Words("a b", "a%b", "the rest, with the sign of b", "TypeMismatch, DivisionByZero"),
        Opcode.POW: Words("a b", "a**b", "b from 0 up", _ARITHMETIC),
        Opcode.NEG: Words("a", "-a", "of an integer", _TYPE),
        Opcode.EQ: Words("a b", "bool", "deep equality; values of two kinds are never equal"),
        Opcode.NEQ: Words("a b", "bool", "not EQ"),
        Opcode.LT: Words("a b", "bool", "of two integers, strings or byte strings", _TYPE),
        Opcode.GT: Words("a b", "bool", "likewise", _TYPE),
        Opcode.LTE: Words("a b", "bool", "likewise", _TYPE),
        Opcode.GTE: Words("a b", "bool", "likewise", _TYPE),
        Opcode.AND: Words("a b", "bool", "whether both are true"),
        Opcode.OR: Words("a b", "bool", "whether one is true"),
        Opcode.NOT: Words("a", "bool", "whether it is false: none, false, 0 and what is empty"),
        Opcode.BUILD_LIST: Words("...", "list", "of the values, the first pushed first", "ValueTooLarge"),
        Opcode.BUILD_MAP: Words("...", "map", "of pairs key, value; the count is of pairs", _SIZE),
        Opcode.INDEX: Words(
            "collection key",
            "value",
            "an item, character or byte; none for a key that a map lacks",
            "TypeMismatch, IndexOutOfRange",
        ),
        Opcode.STORE_INDEX: Words(
            "collection key value",
            "collection'",
            "a list or map with the value under the key",
            "TypeMismatch, IndexOutOfRange, ValueTooLarge",
        ),
        Opcode.LENGTH: Words("collection", "int", "items, pairs, characters or bytes", _TYPE),
        Opcode.ITEMS: Words(
            "collection", "list", "a list itself, a map's keys in canonical order, characters, bytes as integers", _SIZE
        ),
        Opcode.SLICE: Words(
            "v begin end",
            "v'",
            "part of a list, string or byte string; 0 <= begin <= end <= length",
            "TypeMismatch, IndexOutOfRange",
        ),
        Opcode.CONTAINS: Words(
            "collection item", "bool", "an item, a key, or a part of a string or byte string", _TYPE
        ),
        Opcode.RANGE: Words("begin end", "list", "the integers from begin, below end", _SIZE),
        Opcode.JUMP: Words("", "", "goes on at the target"),
        Opcode.JUMP_IF_FALSE: Words("value", "", "goes on at the target if it is false"),
        Opcode.RETURN: Words("value", "", "ends the function, or the program, with it"),
        Opcode.CALL_NAME: Words("...", "value", "calls the variable with the arguments", f"UnknownName, {_CALL}"),
        Opcode.CALL_FUNC_CONST: Words("...", "value", "calls the constant", _CALL),
        Opcode.CALL_TOP: Words("... function", "value", "calls the value above the arguments", _CALL),
        Opcode.CLOSURE: Words("...", "function", "the constant with its first parameters bound", "ValueTooLarge"),
        Opcode.NEW_CELL: Words("value", "cell", "a variable that closures share; nothing can store it"),
        Opcode.CELL_READ: Words("cell", "value", "what it holds", _TYPE),
        Opcode.CELL_WRITE: Words("cell value", "", "replaces what it holds", _TYPE),
        Opcode.SPAWN: Words(
            "... function",
            "task",
            "a task that runs when it is awaited, or when the program ends, in order",
            "TypeMismatch, WrongArity, TaskLimitExceeded",
        ),
        Opcode.AWAIT: Words("task", "value", "runs tasks until it is done", "TypeMismatch, TaskCycle"),
        Opcode.TO_STRING: Words(
            "v", "str", 'decimal, the string itself, "true", "false", "none", or hex of bytes', _SIZE
        ),
        Opcode.TO_INTEGER: Words(
            "v", "int", "the integer itself, 0 or 1 of a bool, exact decimal or 0x hex, bytes big-endian", _SIZE
        ),
        Opcode.TO_BYTES: Words(
            "v size",
            "bytes",
            "an integer from 0 in `size` bytes; UTF-8 of a string, bytes themselves: size none",
            _SIZE,
        ),
        Opcode.KIND: Words("v", "str", "none, bool, integer, string, bytes, list, map, function, task or cell"),
        Opcode.ENCODE: Words("v", "bytes", "its canonical encoding", "NotStorable, ValueTooLarge"),
        Opcode.DECODE: Words("bytes", "v", "the value of a canonical encoding", "TypeMismatch, MalformedData"),
        Opcode.TRY_DECODE: Words("bytes", "v", "the same, or none where DECODE finds no value", "TypeMismatch"),
        Opcode.HASH_BLOCK: Words("value", "str", "SHA-256 of the canonical encoding, as hex", "NotStorable"),
        Opcode.VERIFY_SIGNATURE: Words(
            "signature message key", "bool", "whether the owner of the key signed", "TypeMismatch, MalformedSignature"
        ),
        Opcode.MERKLE_ROOT: Words("...", "str", "the root over the leaves, as hex", "NotStorable"),
        Opcode.STATE_READ: Words("", "value", "the value under the name, none if there is none", _SIZE),
        Opcode.STATE_WRITE: Words(
            "value", "", "sets it; none removes it", "StateOutsideTransaction, NotStorable, ReadOnlyState"
        ),
        Opcode.TX_BEGIN: Words("", "", "opens a transaction"),
        Opcode.TX_COMMIT: Words("", "", "closes the innermost one, which keeps what it wrote", "NoTransaction"),
        Opcode.TX_REVERT: Words("", "", "closes the innermost one and undoes it", "NoTransaction"),
        Opcode.GAS_CHARGE: Words("", "", "costs so much gas more"),
        Opcode.LEDGER_APPEND: Words(
            "entry", "", "adds to the ledger, with the block's time", "NotStorable, ReadOnlyState"
        ),
        Opcode.STATE_READ_AT: Words("...", "value", "the value under keys, one inside the other", _SIZE),
        Opcode.STATE_WRITE_AT: Words(
            "... value",
            "",
            "sets it; none removes it",
            "TypeMismatch, ValueTooLarge, StateOutsideTransaction, NotStorable, ReadOnlyState",
        ),
        Opcode.INPUT: Words("", "bytes", "the input of the call", "CallFailed, ValueTooLarge"),
        Opcode.CALLER: Words("", "bytes", "who calls: 20 bytes", "CallFailed"),
        Opcode.ADDRESS: Words("", "bytes", "the contract's own address", "CallFailed"),
        Opcode.VALUE: Words("", "int", "wei that came with the call", "CallFailed"),
        Opcode.BLOCK: Words(
            "", "value", "a field of the block, such as number or timestamp", "UnknownName, CallFailed"
        ),
        Opcode.EMIT: Words(
            "topics data",
            "",
            "an event: up to 4 integers below 2^256, and bytes",
            "TypeMismatch, CallFailed, ReadOnlyState",
        ),
        Opcode.CALL_CONTRACT: Words(
            "address input value",
            "map",
            'calls a contract: {"status": 1 or 0, "output": bytes}',
            "TypeMismatch, CallFailed",
        ),
        Opcode.REVERT: Words("value", "", "ends the call, undoes it, and gives the value as its reason", "NotStorable"),
    }
)
