"""Random blocks of calls of which a chosen share meet: they read what others of the block write.

Tests of the execution engine and its benchmark run them in order and ahead of their turn, which must be the same.
"""

from __future__ import annotations

from random import Random
from typing import Any

from vmloom import Account, ExecutionResult, StateAccess
from vmloom_evm.assembly import add, call, calldataload, log1, push, raw, sload, sstore

CALLERS = [bytes([1]) * 20, bytes([2]) * 20, bytes([3]) * 20]
ADDER, FORWARDER, DYING, MAKER = (bytes([0xA0 + number]) * 20 for number in range(4))
ACCOUNTS = {
    **{caller: Account(balance=1_000) for caller in CALLERS},
    # Adds the second word to the slot that the first names, and logs what it was.
    ADDER: Account(
        code=bytes(
            log1(0, 0, sload(calldataload(0))) + sstore(calldataload(0), add(calldataload(32), sload(calldataload(0))))
        )
    ),
    # Sends the adder's balance slot what it got itself: writes two accounts.
    FORWARDER: Account(code=bytes(call(ADDER, gas=50_000, value=1) + sstore(0, add(sload(0), push(1)))), balance=50),
    DYING: Account(code=bytes(raw("33ff")), balance=5),  # CALLER SELFDESTRUCT
    # CREATE of nothing: the nonce goes up, and a new account comes about.
    MAKER: Account(code=bytes(raw("5f5f5ff0") + sstore(1)), nonce=1),
}
HOT = 3
"""Slots that calls meet at."""


def random_block(random: Random, conflicts: float, size: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Contracts and data of `size` calls; each of a share `conflicts` of them depends on others."""
    contracts, data = [], []
    for number in range(size):
        meets = random.random() < conflicts
        slot = random.randrange(HOT) if meets else HOT + number
        contracts.append(random.choices([ADDER, FORWARDER, DYING, MAKER], [20, 2, 1, 1])[0] if meets else ADDER)
        data.append(
            {
                "caller": random.choice(CALLERS),
                "value": random.choices([0, 1, 900, 5_000], [30, 3, 1, 1])[0] if meets else 0,
                "gas_limit": random.choices([200_000, 24_000, 2_000], [20, 1, 1])[0],
                "data": b"".join(word.to_bytes(32, "big") for word in (slot, random.randrange(3))),
            }
        )
    return contracts, data


def contents(state: StateAccess, size: int) -> Any:
    """All that a block of `size` calls can have changed."""
    addresses = [*ACCOUNTS]
    return (
        [(state.account_exists(address), state.get_account(address)) for address in addresses],
        [[state.get_storage(address, slot) for slot in range(HOT + size)] for address in (ADDER, FORWARDER, MAKER)],
    )


def outcome(result: ExecutionResult) -> Any:
    """A result, with its changes in an order of their own: engines may list them as they come upon them."""
    shown = result.to_dict()
    shown["state_changes"] = sorted(map(repr, shown["state_changes"]))
    return shown
