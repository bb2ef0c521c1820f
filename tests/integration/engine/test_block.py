"""Blocks: calls that run ahead of their turn give what running them in order gives, whatever they share."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from vmloom import Account, StateAccess
from vmloom.engine import ExecutionEngine
from vmloom_evm.assembly import add, call, calldataload, log1, push, raw, sload, sstore

MakeEngine = Callable[..., ExecutionEngine]
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


def random_block(random: Random, slots: int, size: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Calls of which the more depend on one another the fewer `slots` there are."""
    contracts, data = [], []
    for _ in range(size):
        contracts.append(random.choices([ADDER, FORWARDER, DYING, MAKER], [20, 2, 1, 1])[0])
        words = random.randrange(slots), random.randrange(3)
        data.append(
            {
                "caller": random.choice(CALLERS),
                "value": random.choices([0, 1, 900, 5_000], [30, 3, 1, 1])[0],
                "gas_limit": random.choices([200_000, 24_000, 2_000], [20, 1, 1])[0],
                "data": b"".join(word.to_bytes(32, "big") for word in words),
            }
        )
    return contracts, data


def contents(state: StateAccess, slots: int) -> Any:
    """All that the block can have changed."""
    addresses = [*ACCOUNTS]
    return (
        [(state.account_exists(address), state.get_account(address)) for address in addresses],
        [[state.get_storage(address, slot) for slot in range(slots)] for address in (ADDER, FORWARDER, MAKER)],
    )


def outcome(result: Any) -> Any:
    """A result, with its changes in an order of their own: engines may list them as they come upon them."""
    shown = result.to_dict()
    shown["state_changes"] = sorted(map(repr, shown["state_changes"]))
    return shown


@pytest.mark.parametrize("slots", [1, 3, 40, 4000])
@pytest.mark.parametrize("limit", [0.2, 1.0])
def test_running_ahead_changes_nothing(make_engine: MakeEngine, slots: int, limit: float) -> None:
    for seed in range(4):
        contracts, data = random_block(Random(seed * 7919 + slots), slots, 60)
        ran = []
        for threads in (1, 4):
            engine = make_engine(ACCOUNTS, threads=threads, serial_below=2, conflict_limit=limit)
            results = engine.execute_contracts_batch(contracts, data, mode="block")
            ran.append(([outcome(result) for result in results], contents(engine.state, slots)))
        for one, other in zip(*(results for results, _ in ran), strict=True):
            assert one == other
        assert ran[0][1] == ran[1][1]


def test_calls_that_share_nothing_stand_as_they_ran(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2)
    data = [{"caller": CALLERS[0], "data": slot.to_bytes(32, "big") + bytes(31) + b"\1"} for slot in range(100)]
    engine.execute_contracts_batch([ADDER] * 100, data, mode="block")
    assert engine.get_performance_metrics()["block"] == {"ahead": 100, "again": 0, "in_order": 0}
    assert [engine.state.get_storage(ADDER, slot) for slot in range(100)] == [1] * 100


def test_too_many_conflicts_end_running_ahead(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2, conflict_limit=0.1)
    data = [{"caller": CALLERS[0], "data": bytes(63) + b"\1"}] * 200
    engine.execute_contracts_batch([ADDER] * 200, data, mode="block")
    counts = engine.get_performance_metrics()["block"]
    assert sum(counts.values()) == 200
    assert counts["in_order"] > 100
    assert engine.state.get_storage(ADDER, 0) == 200


def test_an_interrupted_block_leaves_the_state_as_it_was(make_engine: MakeEngine) -> None:
    engine = make_engine(ACCOUNTS, threads=3, serial_below=2)
    data = [{"caller": CALLERS[0], "data": slot.to_bytes(32, "big") + bytes(31) + b"\1"} for slot in range(50)]

    def interrupt(count: int) -> None:
        if count == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.execute_contracts_batch([ADDER] * 50, data, mode="block", progress=interrupt)
    assert [engine.state.get_storage(ADDER, slot) for slot in range(50)] == [0] * 50
    assert engine.execute_contract(ADDER, CALLERS[0], data=bytes(63) + b"\1").success
