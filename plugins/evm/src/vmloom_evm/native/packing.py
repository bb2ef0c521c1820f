"""Calls and transactions as bytes, and what came of them read back: the structs of `layout` that both sides touch."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, NamedTuple

from vmloom import BlockContext
from vmloom.kernel.memory import size_of

from . import layout
from .state import address_of_bytes, little

FORMATS: Final = {"bool": "?", "u64": "Q", "i64": "q", "u160": "24s", "u256": "32s"}


def struct_of(kind: Any, first: str, last: str) -> tuple[int, Struct]:
    """Offset and format of the fields `first` to `last` of a struct of the kernel language."""
    names = list(kind.fields)
    fields = [kind.fields[name] for name in names[names.index(first) : names.index(last) + 1]]
    text, end = "<", fields[0].offset
    for field in fields:
        text += "x" * (field.offset - end) + FORMATS.get(repr(field.kind).replace("<class 'bool'>", "bool"), "Q")
        end = field.offset + size_of(field.kind)
    return fields[0].offset, Struct(text)


INPUT_OFFSET, INPUT = struct_of(layout.Transaction, "sender", "is_static")
OUTPUT_OFFSET, OUTPUT = struct_of(layout.Transaction, "refusal", "outcome_end")
_, BLOCK = struct_of(layout.Block, "number", "coinbase")
ACCESS: Final = Struct("<24sQQ")
AUTHORIZATION: Final = Struct("<32s32sQ24s")
assert ACCESS.size == size_of(layout.AccessEntry)
assert AUTHORIZATION.size == size_of(layout.Authorization)
assert BLOCK.size == size_of(layout.Block)


class Outcome(NamedTuple):
    """What came of a run, as `layout.Transaction` has it."""

    refusal: int
    sender_nonce: int
    sender_balance: bytes
    status: int
    created: bytes
    gas_used: int
    max_gas_used: int
    gas_left: int
    refund: int
    gas_price: bytes
    outcome: int
    return_size: int
    log_count: int
    log_bytes: int
    change_count: int
    outcome_end: int


def pack_block(block: BlockContext, proof_of_stake: bool) -> bytes:
    """`layout.Block`."""
    return BLOCK.pack(
        little(block.number),
        little(block.timestamp),
        little(block.prev_randao if proof_of_stake else block.difficulty),
        little(block.gas_limit),
        little(block.chain_id),
        little(block.base_fee),
        little(block.blob_base_fee),
        block.coinbase[::-1],
    )


NO_WORD: Final = bytes(32)
NO_ADDRESS: Final = bytes(24)


def pack_execution(
    caller: bytes, address: bytes, value: int, data: bytes, gas: int, code_row: int, is_static: bool
) -> bytes:
    """`layout.Transaction` for given code that runs as `address`."""
    return INPUT.pack(
        *(caller[::-1], 0, False, False, False, False, address[::-1], 0, gas),
        *(NO_WORD, NO_WORD, NO_WORD, little(value) if value else NO_WORD),
        *(address_of_bytes(data), len(data), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        *(layout.EXECUTION, code_row, is_static),
    )
