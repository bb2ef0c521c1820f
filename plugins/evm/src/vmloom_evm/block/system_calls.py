"""Calls that the protocol itself makes, before and after the transactions of a block; `system` says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmloom import BlockContext, StateAccess
from vmloom.vm import VmHost

from ..engine import Engine, MessageResult
from ..halts import NO_CODE, SUCCESS
from ..reference.engine import REFERENCE
from ..rules import Rules
from ..specification import Specification
from ..system import SYSTEM_ADDRESS, SystemCall, system_messages
from .invalid import InvalidBlock

BEACON_ROOTS_ADDRESS: Final = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
"""EIP-4788"""
HISTORY_STORAGE_ADDRESS: Final = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""EIP-2935"""
WITHDRAWAL_REQUESTS_ADDRESS: Final = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
"""EIP-7002"""
CONSOLIDATION_REQUESTS_ADDRESS: Final = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
"""EIP-7251"""


def call_system_contracts(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    calls: Sequence[SystemCall],
    *,
    required: bool = False,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> list[bytes]:
    """Call system contracts, one after the other; returns their outputs.

    Without code there, or if the call fails, nothing happens and the output is empty; if they are `required`
    `InvalidBlock` is raised instead (EIP-7002 and EIP-7251 demand that, EIP-4788 and EIP-2935 do not).
    """
    messages = system_messages(calls)
    results = engine.send_all(specification, state, block, messages, SYSTEM_ADDRESS, is_system_call=True, host=host)
    if required:
        check_system_calls(calls, results)
    return [result.return_data if result.status == SUCCESS else b"" for result in results]


def check_system_calls(calls: Sequence[SystemCall], results: Sequence[MessageResult]) -> None:
    """Raise `InvalidBlock` for the first of `calls` that has not succeeded."""
    for (address, _), result in zip(calls, results, strict=True):
        if result.status == NO_CODE:
            raise InvalidBlock(f"system contract 0x{address.hex()}: no code is there")
        if result.status != SUCCESS:
            raise InvalidBlock(f"system contract 0x{address.hex()}: the call failed: {result.error}")


def open_block(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    *,
    parent_beacon_root: bytes | None = None,
    parent_hash: bytes | None = None,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> None:
    """Tell the contracts that remember them the parent's beacon root (EIP-4788) and its hash (EIP-2935), 32 bytes each.

    What is None, or not of the fork, is left out.
    """
    calls = opening_calls(specification.rules, parent_beacon_root=parent_beacon_root, parent_hash=parent_hash)
    if calls:
        call_system_contracts(specification, state, block, calls, host=host, engine=engine)


def opening_calls(rules: Rules, *, parent_beacon_root: bytes | None, parent_hash: bytes | None) -> list[SystemCall]:
    """The system calls with which a block begins; see `open_block`."""
    calls = []
    if rules.beacon_root_contract and parent_beacon_root is not None:
        calls.append(SystemCall(BEACON_ROOTS_ADDRESS, parent_beacon_root))
    if rules.history_contract and parent_hash is not None:
        calls.append(SystemCall(HISTORY_STORAGE_ADDRESS, parent_hash))
    return calls
