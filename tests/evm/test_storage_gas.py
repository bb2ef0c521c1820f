"""Persistent and transient storage: what is kept, and what writing costs and refunds in each fork."""

from __future__ import annotations

import pytest
from vmloom.hashing import create_address
from vmloom_evm.assembly import (
    address,
    call,
    callcode,
    calldatasize,
    create_from,
    delegatecall,
    invalid,
    jumpi,
    label,
    mload,
    pop,
    push,
    raw,
    ret_top,
    revert,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    stop,
    tload,
    tstore,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest

MAX = 2**256 - 1

# Written values, original value, and by fork: gas used and refund. Constantinople: the table of EIP-1283; Istanbul: of
# EIP-2200; Berlin and London: of EIP-3529, which takes the slot for warm, so a cold access is added below.
NET_TABLE = """
    0,0   0    412,0       1612,0      212,0       212,0
    0,1   0    20212,0     20812,0     20112,0     20112,0
    1,0   0    20212,19800 20812,19200 20112,19900 20112,19900
    1,2   0    20212,0     20812,0     20112,0     20112,0
    1,1   0    20212,0     20812,0     20112,0     20112,0
    0,0   1    5212,15000  5812,15000  3012,15000  3012,4800
    0,1   1    5212,4800   5812,4200   3012,2800   3012,2800
    0,2   1    5212,0      5812,0      3012,0      3012,0
    2,0   1    5212,15000  5812,15000  3012,15000  3012,4800
    2,3   1    5212,0      5812,0      3012,0      3012,0
    2,1   1    5212,4800   5812,4200   3012,2800   3012,2800
    2,2   1    5212,0      5812,0      3012,0      3012,0
    1,0   1    5212,15000  5812,15000  3012,15000  3012,4800
    1,2   1    5212,0      5812,0      3012,0      3012,0
    1,1   1    412,0       1612,0      212,0       212,0
    1,0,1 0    40218,19800 40818,19200 40118,19900 40118,19900
    0,1,0 1    10218,19800 10818,19200 5918,17800  5918,7600
"""
NET_FORKS = ["constantinople", "istanbul", "berlin", "london"]
COLD = {"berlin": 2_100, "london": 2_100}


def net_cases() -> list[tuple[str, tuple[int, ...], int, int, int]]:
    cases = []
    for line in NET_TABLE.strip().split("\n"):
        written, original, *outcomes = line.split()
        for fork, outcome in zip(NET_FORKS, outcomes, strict=True):
            used, refund = map(int, outcome.split(","))
            cases.append((fork, tuple(map(int, written.split(","))), int(original), used, refund))
    return cases


@pytest.mark.parametrize(("fork", "written", "original", "used", "refund"), net_cases())
def test_net_metering_is_that_of_the_tables_in_the_eips(
    evm: EvmUnderTest, fork: str, written: tuple[int, ...], original: int, used: int, refund: int
) -> None:
    evm = evm.at(fork)
    evm.state.set_storage(CONTRACT, 0, original)
    program = raw(b"".join(bytes(sstore(0, value)) for value in written))
    outcome = evm.run(program)
    assert (outcome.gas_used, outcome.gas_refunded) == (used + COLD.get(fork, 0), refund)
    assert evm.storage(CONTRACT, 0) == written[-1]


@pytest.mark.parametrize("fork", ["frontier", "homestead", "tangerine_whistle", "byzantium", "petersburg"])
@pytest.mark.parametrize(
    ("original", "written", "used", "refund"),
    [
        (0, (0,), 5_000, 0),
        (0, (1,), 20_000, 0),
        (1, (2,), 5_000, 0),
        (1, (1,), 5_000, 0),
        (1, (0,), 5_000, 15_000),
        (0, (1, 0), 25_000, 15_000),
        (1, (0, 1), 25_000, 15_000),
        (1, (0, 0), 10_000, 15_000),
    ],
)
def test_flat_prices_look_at_the_current_value_only(
    evm: EvmUnderTest, fork: str, original: int, written: tuple[int, ...], used: int, refund: int
) -> None:
    evm = evm.at(fork)
    evm.state.set_storage(CONTRACT, 0, original)
    outcome = evm.run(raw(b"".join(bytes(sstore(0, value)) for value in written)))
    assert (outcome.gas_used, outcome.gas_refunded) == (6 * len(written) + used, refund)


@pytest.mark.parametrize("fork", ["istanbul", "berlin", "osaka"])
def test_sstore_needs_more_gas_than_a_stipend_whatever_it_costs(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    program = pop(sload(0)) + sstore(0, 0)  # warm, and no change
    before = evm.gas_of(pop(sload(0)) + push(0) + push(0))
    assert evm.run(program, gas=before + 2_300).error == "out of gas"
    assert evm.run(program, gas=before + 2_301).success


@pytest.mark.parametrize("fork", ["constantinople", "petersburg"])
def test_sstore_could_run_on_a_stipend_before_istanbul(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    cost = evm.gas_of(sstore(0, 0))
    assert evm.run(sstore(0, 0), gas=cost).success


def test_stipend_pays_for_no_write(evm: EvmUnderTest) -> None:
    callee = evm.deploy(sstore(0, 0))
    assert evm.run(call(callee, gas=0, value=1) + ret_top(), balance=1).output_int == 0


# Cold and warm slots


@pytest.mark.parametrize("fork", ["berlin", "osaka"])
def test_first_access_to_a_slot_is_cold_and_the_next_one_warm(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    assert evm.gas_of(sload(1)) == 3 + 2_100
    assert evm.gas_of(sload(1) + sload(1)) == 3 + 2_100 + 3 + 100
    assert evm.gas_of(sload(1) + sload(2)) == 2 * (3 + 2_100)


def test_sload_warms_for_sstore_and_the_other_way_round(evm: EvmUnderTest) -> None:
    evm.state.set_storage(CONTRACT, 0, 1)
    assert evm.gas_of(pop(sload(0)) + sstore(0, 2)) == 3 + 2_100 + 2 + 6 + 2_900
    evm.state.set_storage(CONTRACT, 0, 1)
    assert evm.gas_of(sstore(0, 2) + sload(0)) == 6 + 2_100 + 2_900 + 3 + 100


def test_slots_are_warm_by_account(evm: EvmUnderTest) -> None:
    other = evm.deploy(pop(sload(0)))
    warm_here = evm.gas_of(pop(sload(0)) + pop(call(other))) - evm.gas_of(pop(call(other)))
    assert warm_here == 3 + 2_100 + 2


def test_delegated_code_shares_the_slots_of_its_caller(evm: EvmUnderTest) -> None:
    library = evm.deploy(pop(sload(0)))
    both = evm.gas_of(pop(sload(0)) + pop(delegatecall(library)))
    assert both - evm.gas_of(pop(delegatecall(library))) == 3 + 100 + 2


def test_write_that_runs_out_of_gas_writes_nothing(evm: EvmUnderTest) -> None:
    assert evm.run(sstore(0, 1), gas=22_105).error == "out of gas"
    assert evm.storage(CONTRACT, 0) == 0
    assert evm.run(sstore(0, 1), gas=22_106).success


# What "original" means


def test_original_value_is_that_of_the_beginning_of_the_transaction(evm: EvmUnderTest) -> None:
    assert evm.gas_of(sstore(0, 1)) == 6 + 22_100
    # In a second transaction 1 is the original value, though nothing was committed in between.
    assert evm.run(sstore(0, 0)).gas_refunded == 4_800
    assert evm.run(sstore(0, 1)).gas_used == 6 + 22_100


def test_original_value_is_not_that_of_the_frame(evm: EvmUnderTest) -> None:
    writer = evm.deploy(jumpi("second", calldatasize) + sstore(0, 1) + stop + label("second") + sstore(0, 0))
    outcome = evm.run(pop(call(writer)) + call(writer, input=(0, 1)))
    assert outcome.gas_refunded == 19_900


def test_original_value_is_not_changed_by_a_frame_that_failed(evm: EvmUnderTest) -> None:
    writer = evm.deploy(
        jumpi("second", calldatasize) + sstore(0, 2) + invalid + label("second") + sstore(0, 1), storage={0: 1}
    )
    alone = evm.gas_of(pop(call(writer, gas=50_000)))
    both = evm.gas_of(pop(call(writer, gas=50_000)) + pop(call(writer, gas=50_000, input=(0, 1))))
    # Rewriting 1 changes nothing; the account stayed warm, the slot did not.
    inside = 2 + 3 + 10 + 1 + 6 + 100 + 2_100
    assert both - alone == 3 * 7 + 100 + 3 + inside + 2


def test_original_value_of_a_new_account_is_zero(evm: EvmUnderTest) -> None:
    init = sstore(0, 1) + sstore(0, 0)
    assert evm.run(create_from(init)).gas_refunded == 19_900


# Refunds between frames


def test_refund_may_be_negative_in_a_frame(evm: EvmUnderTest) -> None:
    """One frame clears a slot, another fills it again: together they have earned nothing."""
    writer = evm.deploy(
        jumpi("second", calldatasize) + sstore(0, 0) + stop + label("second") + sstore(0, 2), storage={0: 1}
    )
    assert evm.run(pop(call(writer))).gas_refunded == 4_800
    evm.state.set_storage(writer, 0, 1)
    assert evm.run(pop(call(writer)) + pop(call(writer, input=(0, 1)))).gas_refunded == 0


def test_negative_refund_of_a_failed_frame_is_dropped_too(evm: EvmUnderTest) -> None:
    writer = evm.deploy(
        jumpi("second", calldatasize) + sstore(0, 0) + stop + label("second") + sstore(0, 2) + revert(0, 0),
        storage={0: 1},
    )
    assert evm.run(pop(call(writer)) + pop(call(writer, input=(0, 1)))).gas_refunded == 4_800


# What is stored


@pytest.mark.parametrize("slot", [0, 1, 2**64, 2**255, MAX])
@pytest.mark.parametrize("value", [1, 2**128, MAX])
def test_slot_keeps_its_word(evm: EvmUnderTest, slot: int, value: int) -> None:
    assert evm.value_of(sstore(slot, value) + sload(slot)) == value
    assert evm.storage(CONTRACT, slot) == value


def test_slot_that_was_never_written_is_zero(evm: EvmUnderTest) -> None:
    assert evm.value_of(sload(12345)) == 0


def test_storage_of_accounts_is_apart(evm: EvmUnderTest) -> None:
    other = evm.deploy(sstore(0, 2))
    evm.run(sstore(0, 1) + pop(call(other)))
    assert (evm.storage(CONTRACT, 0), evm.storage(other, 0)) == (1, 2)


# Transient storage (EIP-1153)


def test_transient_word_is_kept_for_the_transaction(evm: EvmUnderTest) -> None:
    assert evm.value_of(tstore(5, MAX) + tload(5)) == MAX
    assert evm.value_of(tload(5)) == 0


def test_transient_storage_costs_100_each_time(evm: EvmUnderTest) -> None:
    assert evm.gas_of(tload(0) + tload(0)) == 2 * (3 + 100)
    assert evm.gas_of(tstore(0, 1) + tstore(0, 0) + tstore(0, 1)) == 3 * (6 + 100)
    assert evm.run(tstore(0, 1) + tstore(0, 0)).gas_refunded == 0


def test_tstore_runs_on_a_stipend(evm: EvmUnderTest) -> None:
    callee = evm.deploy(tstore(0, 1))
    assert evm.run(call(callee, gas=0, value=1) + ret_top(), balance=1).output_int == 1


def test_transient_storage_is_apart_from_the_persistent_one(evm: EvmUnderTest) -> None:
    evm.run(tstore(0, 1) + sstore(1, sload(0)) + sstore(2, tload(0)))
    assert (evm.storage(CONTRACT, 0), evm.storage(CONTRACT, 1), evm.storage(CONTRACT, 2)) == (0, 0, 1)


def test_transient_word_is_seen_by_a_reentrant_call(evm: EvmUnderTest) -> None:
    program = jumpi("inner", calldatasize) + tstore(0, 7) + pop(call(address, input=(0, 1), output=(0, 32)))
    program += ret_top(mload(0)) + label("inner") + ret_top(tload(0))
    assert evm.run(program).output_int == 7


@pytest.mark.parametrize("ending", [revert(0, 0), invalid], ids=["revert", "halt"])
def test_transient_write_of_a_failed_frame_is_undone(evm: EvmUnderTest, ending: object) -> None:
    program = (
        jumpi("inner", calldatasize)
        + tstore(0, 1)
        + pop(call(address, gas=5_000, input=(0, 1)))
        + ret_top(tload(0))
        + label("inner")
        + tstore(0, 2)
        + ending  # type: ignore[operator]
    )
    assert evm.run(program).output_int == 1


def test_transient_storage_belongs_to_the_executing_account(evm: EvmUnderTest) -> None:
    library = evm.deploy(tstore(0, 9))
    assert evm.value_of(pop(call(library)) + tload(0)) == 0
    assert evm.value_of(pop(delegatecall(library)) + tload(0)) == 9
    assert evm.value_of(pop(callcode(library)) + tload(0)) == 9


def test_transient_storage_may_be_read_but_not_written_in_a_static_frame(evm: EvmUnderTest) -> None:
    reader, writer = evm.deploy(pop(tload(0))), evm.deploy(tstore(0, 0))
    assert evm.value_of(staticcall(reader, gas=5_000)) == 1
    assert evm.value_of(staticcall(writer, gas=5_000)) == 0


def test_transient_storage_outlives_selfdestruct_until_the_transaction_ends(evm: EvmUnderTest) -> None:
    victim = create_address(CONTRACT, 1)
    runtime = jumpi("kill", calldatasize) + ret_top(tload(0)) + label("kill") + tstore(0, 6) + selfdestruct(0)
    from vmloom_evm.assembly import deployer

    program = pop(create_from(deployer(runtime))) + pop(call(victim, input=(0, 1))) + pop(call(victim, output=(0, 32)))
    assert evm.run(program + ret_top(mload(0))).output_int == 6
    assert not evm.exists(victim)
