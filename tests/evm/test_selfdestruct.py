"""SELFDESTRUCT: heirs, deletion and refunds, by fork; EIP-161's dead accounts."""

from __future__ import annotations

import pytest
from vmloom import Event
from vmloom.hashing import create_address
from vmloom_evm.assembly import (
    address,
    balance,
    call,
    calldatasize,
    create_from,
    deployer,
    extcodesize,
    invalid,
    jumpi,
    label,
    log0,
    mload,
    mstore,
    op,
    pop,
    push,
    revert,
    selfbalance,
    selfdestruct,
    sload,
    sstore,
    stop,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest

HEIR = (0xE1E1).to_bytes(20, "big")
RIPEMD = (3).to_bytes(20, "big")

ALL_FORKS = [
    *("frontier", "homestead", "tangerine_whistle", "spurious_dragon", "byzantium", "constantinople", "petersburg"),
    *("istanbul", "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka"),
]
BEFORE_CANCUN = ALL_FORKS[: ALL_FORKS.index("cancun")]


@pytest.mark.parametrize("fork", ALL_FORKS)
def test_balance_goes_to_the_heir_in_every_fork(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    victim = evm.deploy(selfdestruct(HEIR), balance=70)
    evm.deploy(at=HEIR, balance=5)
    evm.run(call(victim, gas=100_000))
    assert (evm.balance(victim), evm.balance(HEIR)) == (0, 75)


@pytest.mark.parametrize("fork", ALL_FORKS)
def test_account_goes_at_the_end_before_cancun_and_stays_since(evm: EvmUnderTest, fork: str) -> None:
    """EIP-6780"""
    evm = evm.at(fork)
    victim = evm.deploy(selfdestruct(HEIR), balance=70, storage={1: 2})
    evm.run(call(victim, gas=100_000))
    stays = fork not in BEFORE_CANCUN
    assert evm.exists(victim) == stays
    assert evm.storage(victim, 1) == (2 if stays else 0)


@pytest.mark.parametrize("fork", ["shanghai", "cancun", "osaka"])
def test_account_made_in_the_same_transaction_goes_in_every_fork(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    victim = create_address(CONTRACT, 1)
    program = mstore(0, create_from(deployer(selfdestruct(HEIR)), value=9)) + pop(call(mload(0)))
    assert evm.run(program, balance=9).success
    assert not evm.exists(victim)
    assert evm.balance(HEIR) == 9


def test_init_code_may_destroy_itself(evm: EvmUnderTest) -> None:
    evm.run(create_from(sstore(0, 1) + selfdestruct(HEIR), value=9), balance=9)
    assert not evm.exists(create_address(CONTRACT, 1))
    assert evm.balance(HEIR) == 9


def test_wei_that_a_prefunded_address_had_goes_to_the_heir_too(evm: EvmUnderTest) -> None:
    victim = create_address(CONTRACT, 1)
    evm.deploy(at=victim, nonce=0, balance=100)
    evm.run(create_from(selfdestruct(HEIR), value=9), balance=9)
    assert not evm.exists(victim)
    assert evm.balance(HEIR) == 109


@pytest.mark.parametrize("fork", ALL_FORKS)
def test_frame_ends_and_the_code_stays_until_the_transaction_does(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    victim = evm.deploy(selfdestruct(HEIR) + invalid, balance=70)
    program = pop(call(victim, gas=100_000)) + sstore(0, extcodesize(victim)) + sstore(1, balance(victim))
    assert evm.run(program).success
    assert (evm.storage(CONTRACT, 0), evm.storage(CONTRACT, 1)) == (len(selfdestruct(HEIR) + invalid), 0)


@pytest.mark.parametrize(("fork", "left"), [("shanghai", 0), ("cancun", 70)])
def test_account_that_is_its_own_heir_burns_its_wei_only_if_it_goes(evm: EvmUnderTest, fork: str, left: int) -> None:
    evm = evm.at(fork)
    victim = evm.deploy(selfdestruct(address), balance=70)
    evm.run(call(victim))
    assert evm.balance(victim) == left


def test_wei_of_an_account_that_is_its_own_heir_are_gone_at_once(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    victim = evm.deploy(jumpi("again", calldatasize) + selfdestruct(address) + label("again") + selfdestruct(HEIR))
    evm.state.set_balance(victim, 70)
    evm.run(pop(call(victim)) + sstore(0, balance(victim)) + pop(call(victim, input=(0, 1))))
    assert (evm.storage(CONTRACT, 0), evm.balance(HEIR)) == (0, 0)


def test_account_of_this_transaction_that_is_its_own_heir_burns_its_wei(evm: EvmUnderTest) -> None:
    evm.run(create_from(selfdestruct(address), value=9), balance=9)
    assert evm.balance(create_address(CONTRACT, 1)) == 0
    assert evm.balance(CONTRACT) == 0


def test_wei_sent_after_the_destruction_are_burnt(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    victim = evm.deploy(selfdestruct(HEIR))
    sender = evm.deploy(selfdestruct(victim), balance=5)
    evm.run(pop(call(victim)) + pop(call(sender)) + sstore(0, balance(victim)))
    assert evm.storage(CONTRACT, 0) == 5
    assert (evm.exists(victim), evm.balance(HEIR), evm.balance(sender)) == (False, 0, 0)


def test_account_can_destroy_itself_twice(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    victim = evm.deploy(selfdestruct(HEIR), balance=5)
    evm.run(pop(call(victim)) + pop(call(victim, value=2)), balance=2)
    assert (evm.exists(victim), evm.balance(HEIR)) == (False, 7)


def test_destruction_in_a_failed_frame_did_not_happen(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    victim = evm.deploy(selfdestruct(HEIR), balance=70)
    outer = evm.deploy(pop(call(victim)) + revert(0, 0))
    assert evm.run(call(outer)).gas_refunded == 0
    assert (evm.exists(victim), evm.balance(victim), evm.exists(HEIR)) == (True, 70, False)


def test_logs_of_an_account_outlive_it(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    victim = evm.deploy(log0(0, 0) + selfdestruct(HEIR))
    assert evm.run(call(victim)).events == (Event(victim, (), b""),)


def test_delegated_code_destroys_the_account_that_runs_it(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import delegatecall

    evm = evm.at("shanghai")
    library = evm.deploy(selfdestruct(HEIR), balance=1)
    victim = evm.deploy(delegatecall(library), balance=2)
    evm.run(call(victim))
    assert (evm.exists(victim), evm.exists(library), evm.balance(HEIR)) == (False, True, 2)


def test_transient_and_persistent_storage_can_be_read_after_the_destruction(evm: EvmUnderTest) -> None:
    evm = evm.at("shanghai")
    reader = evm.deploy(selfdestruct(HEIR))
    program = sstore(0, 5) + pop(call(reader)) + sstore(1, sload(0)) + sstore(2, selfbalance)
    evm.run(program)
    assert evm.storage(CONTRACT, 1) == 5


# Gas and refunds


@pytest.mark.parametrize(
    ("fork", "cost"),
    [
        ("frontier", 0),
        ("tangerine_whistle", 5_000),
        ("istanbul", 5_000),
        ("berlin", 5_000 + 2_600),
        ("osaka", 5_000 + 2_600),
    ],
)
def test_destruction_costs_by_fork(evm: EvmUnderTest, fork: str, cost: int) -> None:
    evm = evm.at(fork)
    evm.deploy(at=HEIR, balance=1)
    assert evm.gas_of(selfdestruct(HEIR), balance=1) == 3 + cost


def test_warm_heir_costs_nothing_more(evm: EvmUnderTest) -> None:
    evm.deploy(at=HEIR, balance=1)
    assert evm.gas_of(pop(balance(HEIR)) + selfdestruct(HEIR), balance=1) == 3 + 2_600 + 2 + 3 + 5_000


@pytest.mark.parametrize(
    ("fork", "value", "surcharge"),
    [
        ("homestead", 1, 0),
        ("tangerine_whistle", 0, 25_000),  # EIP-150: an heir that is not there
        ("tangerine_whistle", 1, 25_000),
        ("spurious_dragon", 0, 0),  # EIP-161: only if wei bring it about
        ("spurious_dragon", 1, 25_000),
        ("osaka", 0, 0),
        ("osaka", 1, 25_000),
    ],
)
def test_heir_that_the_wei_bring_about_costs_25000(evm: EvmUnderTest, fork: str, value: int, surcharge: int) -> None:
    new = evm.at(fork).gas_of(selfdestruct(HEIR), balance=value)
    known = evm.at(fork)
    known.deploy(at=HEIR)
    assert new - known.gas_of(selfdestruct(HEIR), balance=value) == surcharge


@pytest.mark.parametrize("fork", ALL_FORKS)
def test_destruction_is_refunded_until_london(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    victim = evm.deploy(selfdestruct(HEIR))
    refund = 24_000 if fork in ALL_FORKS[: ALL_FORKS.index("london")] else 0  # EIP-3529
    assert evm.run(call(victim, gas=100_000)).gas_refunded == refund


def test_second_destruction_of_an_account_is_not_refunded(evm: EvmUnderTest) -> None:
    evm = evm.at("berlin")
    victim = evm.deploy(selfdestruct(HEIR))
    assert evm.run(pop(call(victim)) + pop(call(victim))).gas_refunded == 24_000


# Dead accounts (EIP-161)


@pytest.mark.parametrize(("fork", "stays"), [("tangerine_whistle", True), ("spurious_dragon", False), ("osaka", False)])
@pytest.mark.parametrize("touching", ["call", "heir"])
def test_empty_account_that_is_touched_goes_since_eip_161(
    evm: EvmUnderTest, fork: str, stays: bool, touching: str
) -> None:
    evm = evm.at(fork)
    empty = evm.deploy(nonce=0)
    evm.run(call(empty, gas=0) if touching == "call" else selfdestruct(empty))
    assert evm.exists(empty) == stays


@pytest.mark.parametrize("looking", ["BALANCE", "EXTCODESIZE", "EXTCODEHASH"])
def test_looking_at_an_empty_account_does_not_touch_it(evm: EvmUnderTest, looking: str) -> None:
    empty = evm.deploy(nonce=0)
    evm.run(op(looking)(empty))
    assert evm.exists(empty)


def test_touch_in_a_failed_frame_is_undone(evm: EvmUnderTest) -> None:
    empty = evm.deploy(nonce=0)
    outer = evm.deploy(pop(call(empty, gas=0)) + revert(0, 0))
    evm.run(call(outer))
    assert evm.exists(empty)


def test_touch_of_ripemd160_survives_a_failed_frame(evm: EvmUnderTest) -> None:
    """As it was in block 2,675,119 of mainnet, and every client has it so."""
    evm.deploy(at=RIPEMD, nonce=0)
    outer = evm.deploy(pop(call(RIPEMD, gas=5_000)) + invalid)
    evm.run(call(outer, gas=50_000))
    assert not evm.exists(RIPEMD)


def test_account_that_is_not_empty_stays(evm: EvmUnderTest) -> None:
    for fields in ({"balance": 1, "nonce": 0}, {"nonce": 1}, {"nonce": 0, "code": stop}):
        account = evm.deploy(**fields)
        evm.run(call(account, gas=1_000) + push(1))
        assert evm.exists(account)
