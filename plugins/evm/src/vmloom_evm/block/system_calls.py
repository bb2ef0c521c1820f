"""Calls that the protocol itself makes, before and after the transactions of a block.

They come from an address that nobody has a key of, are free, count towards no gas limit, and begin with nothing warm.
"""

from __future__ import annotations

from typing import Final

from vmloom import BlockContext, StateAccess
from vmloom.vm import VmHost

from ..engine import Engine
from ..halts import SUCCESS
from ..reference.engine import REFERENCE
from ..specification import Specification
from ..transaction.types import Transaction
from .invalid import InvalidBlock

SYSTEM_ADDRESS: Final = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
"""The caller. EIP-4788"""
SYSTEM_CALL_GAS: Final = 30_000_000
"""EIP-4788; the EIPs after it took it over."""
BEACON_ROOTS_ADDRESS: Final = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
"""EIP-4788"""
HISTORY_STORAGE_ADDRESS: Final = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""EIP-2935"""
WITHDRAWAL_REQUESTS_ADDRESS: Final = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
"""EIP-7002"""
CONSOLIDATION_REQUESTS_ADDRESS: Final = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
"""EIP-7251"""


def system_call(
    specification: Specification,
    state: StateAccess,
    block: BlockContext,
    address: bytes,
    data: bytes,
    *,
    required: bool = False,
    host: VmHost | None = None,
    engine: Engine = REFERENCE,
) -> bytes:
    """Call the system contract at `address` with `data` and return its output.

    Without code there, or if the call fails, nothing happens and the output is empty; if it is `required`
    `InvalidBlock` is raised instead (EIP-7002 and EIP-7251 demand that, EIP-4788 and EIP-2935 do not).
    """
    if not state.get_code(address):
        if required:
            raise InvalidBlock(f"system contract 0x{address.hex()}: no code is there")
        return b""
    message = Transaction(to=address, data=data, gas_limit=SYSTEM_CALL_GAS)
    result = engine.send(specification, state, block, message, SYSTEM_ADDRESS, is_system_call=True, host=host)
    if result.status == SUCCESS:
        return result.return_data
    if required:
        raise InvalidBlock(f"system contract 0x{address.hex()}: the call failed: {result.error}")
    return b""


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
    rules = specification.rules
    if rules.beacon_root_contract and parent_beacon_root is not None:
        system_call(specification, state, block, BEACON_ROOTS_ADDRESS, parent_beacon_root, host=host, engine=engine)
    if rules.history_contract and parent_hash is not None:
        system_call(specification, state, block, HISTORY_STORAGE_ADDRESS, parent_hash, host=host, engine=engine)
