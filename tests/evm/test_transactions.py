"""Whole transactions: which are refused and why, what they cost before they run, who pays whom, what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vmloom import BlockContext
from vmloom.hashing import create_address
from vmloom_evm.assembly import (
    balance,
    blobhash,
    caller,
    deployer,
    gas,
    gasprice,
    invalid,
    log0,
    mstore_bytes,
    pop,
    ret_top,
    revert,
    sload,
    sstore,
    stop,
)
from vmloom_evm.testing import BLOCK, COINBASE, CONTRACT, FUNDS, SENDER, EvmUnderTest
from vmloom_evm.transaction.types import AccessListEntry, Refusal, TransactionRefused, TransactionType

EOA = (0xE0A).to_bytes(20, "big")
BLOB = b"\x01" + bytes(31)
BLOB_GAS = 131_072
MARKET = TransactionType.FEE_MARKET
PRICED = replace(BLOCK, base_fee=7, blob_base_fee=3)
AUTHORIZED: dict[str, Any] = {"type": TransactionType.SET_CODE, "gas_limit": 100_000}


def refusal(evm: EvmUnderTest, to: bytes | None = EOA, *, block: BlockContext = BLOCK, **fields: Any) -> Refusal:
    """Why the transaction is refused, having made sure that it left no trace."""
    before = evm.contents()
    with pytest.raises(TransactionRefused) as caught:
        evm.transact(to, block=block, **fields)
    assert evm.contents() == before
    assert caught.value.reason == caught.value.refusal.value
    return caught.value.refusal


# Refusals


@pytest.mark.parametrize(
    ("kind", "last_without"),
    [
        (TransactionType.ACCESS_LIST, "istanbul"),
        (TransactionType.FEE_MARKET, "berlin"),
        (TransactionType.BLOB, "shanghai"),
        (TransactionType.SET_CODE, "cancun"),
    ],
)
def test_type_is_refused_before_its_fork(evm: EvmUnderTest, kind: TransactionType, last_without: str) -> None:
    assert refusal(evm.at(last_without), type=kind) is Refusal.TYPE_NOT_SUPPORTED


def test_nonce_must_be_the_next_one(evm: EvmUnderTest) -> None:
    evm.state.set_nonce(SENDER, 5)
    assert refusal(evm, nonce=4) is Refusal.NONCE_TOO_LOW
    assert refusal(evm, nonce=6) is Refusal.NONCE_TOO_HIGH
    assert evm.transact(EOA, nonce=5).success


def test_largest_nonce_is_refused(evm: EvmUnderTest) -> None:
    """EIP-2681: it would have no successor."""
    evm.state.set_nonce(SENDER, 2**64 - 1)
    assert refusal(evm, nonce=2**64 - 1) is Refusal.NONCE_IS_MAX
    evm.state.set_nonce(SENDER, 2**64 - 2)
    assert evm.transact(EOA, nonce=2**64 - 2).success


def test_contract_cannot_send(evm: EvmUnderTest) -> None:
    """EIP-3607"""
    contract = evm.deploy(stop, balance=10**18)
    with pytest.raises(TransactionRefused, match="SENDER_NOT_EOA"):
        evm.transact(EOA, sender=contract)


@pytest.mark.parametrize(("missing", "accepted"), [(0, True), (1, False)])
@pytest.mark.parametrize(
    "fields",
    [
        {"max_fee_per_gas": 10, "max_priority_fee_per_gas": 10, "value": 5},
        {"type": MARKET, "max_fee_per_gas": 100, "value": 5},  # the maximum counts, not what is paid
        {"type": TransactionType.BLOB, "max_fee_per_gas": 10, "max_fee_per_blob_gas": 9, "blob_hashes": (BLOB,) * 2},
    ],
    ids=["legacy", "fee market", "blob"],
)
def test_sender_must_have_the_most_that_it_may_cost(
    evm: EvmUnderTest, fields: dict[str, Any], missing: int, accepted: bool
) -> None:
    most = 50_000 * fields["max_fee_per_gas"] + fields.get("value", 0)
    most += len(fields.get("blob_hashes", ())) * BLOB_GAS * fields.get("max_fee_per_blob_gas", 0)
    evm.state.set_balance(SENDER, most - missing)
    if accepted:
        assert evm.transact(EOA, block=PRICED, gas_limit=50_000, **fields).success
    else:
        assert refusal(evm, block=PRICED, gas_limit=50_000, **fields) is Refusal.INSUFFICIENT_FUNDS


def test_gas_limit_must_fit_the_block(evm: EvmUnderTest) -> None:
    block = replace(BLOCK, gas_limit=50_000)
    assert refusal(evm, block=block, gas_limit=50_001) is Refusal.BLOCK_GAS_EXCEEDED
    assert evm.transact(EOA, block=block, gas_limit=50_000).success


def test_gas_limit_must_fit_what_the_block_has_left(evm: EvmUnderTest) -> None:
    tx = evm.transaction(EOA, gas_limit=30_000)
    with pytest.raises(TransactionRefused, match="GAS_ALLOWANCE_EXCEEDED"):
        evm.vm.apply_transaction(tx, BLOCK, evm.state, sender=SENDER, gas_available=29_999)
    assert evm.vm.apply_transaction(tx, BLOCK, evm.state, sender=SENDER, gas_available=30_000).success


@pytest.mark.parametrize(("fork", "capped"), [("prague", False), ("osaka", True)])
def test_gas_limit_is_capped_since_osaka(evm: EvmUnderTest, fork: str, capped: bool) -> None:
    """EIP-7825"""
    evm = evm.at(fork)
    assert evm.transact(EOA, gas_limit=16_777_216).success
    if capped:
        assert refusal(evm, gas_limit=16_777_217) is Refusal.GAS_LIMIT_OVER_CAP
    else:
        assert evm.transact(EOA, gas_limit=16_777_217).success


def test_fee_must_reach_the_base_fee(evm: EvmUnderTest) -> None:
    assert refusal(evm, block=PRICED, type=MARKET, max_fee_per_gas=6) is Refusal.FEE_BELOW_BASE_FEE
    assert refusal(evm, block=PRICED) is Refusal.FEE_BELOW_BASE_FEE
    assert evm.transact(EOA, block=PRICED, type=MARKET, max_fee_per_gas=7).success


def test_priority_fee_must_not_exceed_the_maximum(evm: EvmUnderTest) -> None:
    fields: dict[str, Any] = {"type": MARKET, "max_fee_per_gas": 10, "max_priority_fee_per_gas": 11}
    assert refusal(evm, **fields) is Refusal.PRIORITY_OVER_MAX_FEE


def test_gas_limit_times_price_must_fit_256_bits(evm: EvmUnderTest) -> None:
    price = 2**256 // 50_000 + 1
    fields: dict[str, Any] = {"gas_limit": 50_000, "max_fee_per_gas": price, "max_priority_fee_per_gas": price}
    assert refusal(evm, **fields) is Refusal.PRICE_PRODUCT_OVERFLOW


def test_init_code_must_not_exceed_49152_bytes_since_shanghai(evm: EvmUnderTest) -> None:
    """EIP-3860"""
    assert refusal(evm, None, data=bytes(49_153)) is Refusal.INITCODE_TOO_LARGE
    assert evm.transact(None, data=bytes(49_152)).success
    assert evm.at("paris").transact(None, data=bytes(49_153)).success


@pytest.mark.parametrize(
    ("fork", "blobs", "allowed"),
    [("cancun", 6, True), ("cancun", 7, False), ("prague", 9, True), ("prague", 10, False), ("osaka", 7, False)],
)
def test_number_of_blobs_is_limited(evm: EvmUnderTest, fork: str, blobs: int, allowed: bool) -> None:
    """EIP-4844, EIP-7691, EIP-7594"""
    evm = evm.at(fork)
    fields: dict[str, Any] = {"type": TransactionType.BLOB, "max_fee_per_blob_gas": 1, "blob_hashes": (BLOB,) * blobs}
    if allowed:
        assert evm.transact(EOA, **fields).blob_gas_used == blobs * BLOB_GAS
    else:
        assert refusal(evm, **fields) is Refusal.TOO_MANY_BLOBS


def test_blob_transaction_needs_blobs_a_receiver_and_version_1(evm: EvmUnderTest) -> None:
    kind = TransactionType.BLOB
    assert refusal(evm, type=kind) is Refusal.NO_BLOBS
    assert refusal(evm, None, type=kind, blob_hashes=(BLOB,)) is Refusal.BLOB_CREATE
    assert refusal(evm, type=kind, blob_hashes=(BLOB, bytes(32))) is Refusal.BLOB_VERSION


def test_blob_fee_must_reach_that_of_the_block(evm: EvmUnderTest) -> None:
    fields: dict[str, Any] = {"type": TransactionType.BLOB, "max_fee_per_gas": 7, "blob_hashes": (BLOB,)}
    assert refusal(evm, block=PRICED, max_fee_per_blob_gas=2, **fields) is Refusal.BLOB_FEE_TOO_LOW
    assert evm.transact(EOA, block=PRICED, max_fee_per_blob_gas=3, **fields).success


def test_set_code_transaction_needs_authorisations_and_a_receiver(evm: EvmUnderTest) -> None:
    assert refusal(evm, **AUTHORIZED) is Refusal.NO_AUTHORIZATIONS
    assert refusal(evm, None, **AUTHORIZED) is Refusal.SET_CODE_CREATE


def test_transaction_without_signature_is_refused_if_the_sender_is_not_named(evm: EvmUnderTest) -> None:
    with pytest.raises(TransactionRefused, match="INVALID_SIGNATURE"):
        evm.vm.apply_transaction(evm.transaction(EOA), BLOCK, evm.state)


# Gas before anything runs


@pytest.mark.parametrize(
    ("fork", "to", "data", "fields", "expected"),
    [
        ("frontier", EOA, b"", {}, 21_000),
        ("frontier", EOA, b"\0\0\1", {}, 21_000 + 2 * 4 + 68),
        ("istanbul", EOA, b"\0\0\1", {}, 21_000 + 2 * 4 + 16),  # EIP-2028
        ("frontier", None, b"", {}, 21_000),
        ("homestead", None, b"", {}, 53_000),  # EIP-2
        ("paris", None, b"\0" * 33, {}, 53_000 + 33 * 4),
        ("shanghai", None, b"\0" * 33, {}, 53_000 + 33 * 4 + 2 * 2),  # EIP-3860
        (
            "berlin",
            EOA,
            b"",
            {"type": TransactionType.ACCESS_LIST, "access_list": (AccessListEntry(EOA, (1, 2)), AccessListEntry(EOA))},
            21_000 + 2 * 2_400 + 2 * 1_900,  # EIP-2930: listed twice is paid twice
        ),
    ],
)
def test_intrinsic_gas(
    evm: EvmUnderTest, fork: str, to: bytes | None, data: bytes, fields: dict[str, Any], expected: int
) -> None:
    evm = evm.at(fork)
    assert refusal(evm, to, data=data, gas_limit=expected - 1, **fields) is Refusal.INTRINSIC_GAS_TOO_LOW
    assert evm.transact(to, data=data, gas_limit=expected, **fields).gas_used == expected


@pytest.mark.parametrize(
    ("data", "floor"),
    [(b"\0" * 100, 21_000 + 100 * 10), (b"\1" * 100, 21_000 + 400 * 10), (b"\0\1" * 50, 21_000 + 250 * 10)],
)
def test_data_has_a_floor_price_since_prague(evm: EvmUnderTest, data: bytes, floor: int) -> None:
    """EIP-7623"""
    assert refusal(evm, data=data, gas_limit=floor - 1) is Refusal.FLOOR_GAS_TOO_LOW
    result = evm.transact(EOA, data=data, gas_limit=floor)
    assert (result.gas_used, result.max_gas_used) == (floor, floor)
    assert evm.at("cancun").transact(EOA, data=data).gas_used < floor


def test_execution_counts_towards_the_floor_and_refunds_do_not_get_below_it(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 0), storage={0: 1})
    data = b"\1" * 1_000
    standard = 21_000 + 16_000 + 6 + 5_000
    floor = 21_000 + 40_000
    assert evm.transact(contract, data=data).gas_used == floor
    evm.state.set_storage(contract, 0, 1)
    assert evm.at("cancun").transact(EOA, data=data).gas_used == 37_000
    assert floor > standard


# Who pays whom


def test_fee_goes_to_the_coinbase_before_london(evm: EvmUnderTest) -> None:
    evm = evm.at("berlin")
    evm.transact(EOA, max_fee_per_gas=9, max_priority_fee_per_gas=9, value=100)
    assert evm.balance(COINBASE) == 21_000 * 9
    assert evm.balance(EOA) == 100
    assert evm.balance(SENDER) == FUNDS - 21_000 * 9 - 100


@pytest.mark.parametrize(
    ("fields", "paid", "tip"),
    [
        ({"type": MARKET, "max_fee_per_gas": 10, "max_priority_fee_per_gas": 2}, 9, 2),
        ({"type": MARKET, "max_fee_per_gas": 8, "max_priority_fee_per_gas": 5}, 8, 1),  # the maximum caps the tip
        ({"type": MARKET, "max_fee_per_gas": 10}, 7, 0),
        ({"max_fee_per_gas": 12, "max_priority_fee_per_gas": 12}, 12, 5),  # legacy: all above the base fee is tip
    ],
)
def test_base_fee_is_burnt_and_the_tip_paid(evm: EvmUnderTest, fields: dict[str, Any], paid: int, tip: int) -> None:
    """EIP-1559, with a base fee of 7"""
    evm.deploy(ret_top(gasprice), at=CONTRACT)
    result = evm.transact(CONTRACT, block=PRICED, **fields)
    assert result.gas_price == paid
    assert int.from_bytes(result.return_data, "big") == paid
    assert evm.balance(SENDER) == FUNDS - result.gas_used * paid
    assert evm.balance(COINBASE) == result.gas_used * tip


def test_no_tip_brings_no_coinbase_about(evm: EvmUnderTest) -> None:
    evm.transact(EOA, block=PRICED, type=MARKET, max_fee_per_gas=7)
    assert not evm.exists(COINBASE)


@pytest.mark.parametrize(("fork", "exists"), [("frontier", True), ("spurious_dragon", False)])
def test_free_transaction_brought_the_coinbase_about_before_eip_161(evm: EvmUnderTest, fork: str, exists: bool) -> None:
    evm = evm.at(fork)
    evm.transact(EOA)
    assert evm.exists(COINBASE) == exists


def test_blob_fee_is_burnt(evm: EvmUnderTest) -> None:
    evm.deploy(ret_top(blobhash(1)), at=CONTRACT)
    fields: dict[str, Any] = {"type": TransactionType.BLOB, "max_fee_per_gas": 7, "max_fee_per_blob_gas": 50}
    result = evm.transact(CONTRACT, block=PRICED, blob_hashes=(BLOB, BLOB[:-1] + b"\x09"), **fields)
    assert result.return_data == BLOB[:-1] + b"\x09"
    assert result.blob_gas_used == 2 * BLOB_GAS
    assert evm.balance(SENDER) == FUNDS - result.gas_used * 7 - 2 * BLOB_GAS * 3
    assert evm.balance(COINBASE) == 0


def test_blob_fee_is_not_given_back_when_the_transaction_fails(evm: EvmUnderTest) -> None:
    evm.deploy(revert(0, 0), at=CONTRACT)
    fields: dict[str, Any] = {
        "type": TransactionType.BLOB,
        "max_fee_per_gas": 7,
        "max_fee_per_blob_gas": 3,
        "blob_hashes": (BLOB,),
    }
    result = evm.transact(CONTRACT, block=PRICED, **fields)
    assert not result.success
    assert evm.balance(SENDER) == FUNDS - result.gas_used * 7 - BLOB_GAS * 3


def test_sender_may_be_the_coinbase(evm: EvmUnderTest) -> None:
    block = replace(PRICED, coinbase=SENDER)
    evm.transact(EOA, block=block, type=MARKET, max_fee_per_gas=10, max_priority_fee_per_gas=3, value=1)
    assert evm.balance(SENDER) == FUNDS - 21_000 * 7 - 1


# Refunds


@pytest.mark.parametrize(
    ("fork", "quotient", "clear"), [("istanbul", 2, 15_000), ("berlin", 2, 15_000), ("london", 5, 4_800)]
)
def test_refund_is_at_most_a_part_of_what_was_used(evm: EvmUnderTest, fork: str, quotient: int, clear: int) -> None:
    """EIP-3529"""
    evm = evm.at(fork)
    program = sstore(0, 0)
    for slot in range(1, 10):
        program += sstore(slot, 0)
    contract = evm.deploy(program, storage=dict.fromkeys(range(10), 1))
    result = evm.transact(contract)
    before = 21_000 + 10 * (5_000 + 6)
    assert before // quotient < 10 * clear
    assert result.max_gas_used == before
    assert result.gas_refunded == before // quotient
    assert result.gas_used == before - before // quotient


def test_small_refund_is_given_whole(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 0), storage={0: 1})
    result = evm.transact(contract, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    assert (result.gas_used, result.gas_refunded) == (26_006 - 4_800, 4_800)
    assert evm.balance(SENDER) == FUNDS - (26_006 - 4_800)
    assert evm.balance(COINBASE) == 26_006 - 4_800


def test_failed_transaction_gets_no_refund(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 0) + revert(0, 0), storage={0: 1})
    result = evm.transact(contract)
    assert (result.gas_used, result.gas_refunded) == (26_012, 0)


# Failures


@pytest.mark.parametrize(("ending", "state"), [(revert(0, 0), "reverted"), (invalid, "failed")], ids=["revert", "halt"])
def test_failed_transaction_pays_and_counts_but_changes_nothing(evm: EvmUnderTest, ending: Any, state: str) -> None:
    contract = evm.deploy(log0(0, 0) + sstore(0, 1) + ending)
    result = evm.transact(contract, value=50, gas_limit=100_000, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    assert result.state.value == state
    assert result.events == ()
    assert evm.storage(contract, 0) == 0
    assert evm.nonce(SENDER) == 1
    assert evm.balance(contract) == 0
    assert evm.balance(SENDER) == FUNDS - result.gas_used
    assert (result.gas_used == 100_000) == (state == "failed")


def test_revert_data_is_the_return_data(evm: EvmUnderTest) -> None:
    contract = evm.deploy(mstore_bytes(b"because") + revert(0, 7))
    result = evm.transact(contract)
    assert (result.return_data, result.error) == (b"because", "execution reverted")


def test_nothing_stays_warm_after_a_failed_or_refused_transaction(evm: EvmUnderTest) -> None:
    reader = evm.deploy(pop(balance(0xDEAD)) + pop(sload(0)))
    fresh = evm.transact(reader).gas_used
    failing = evm.deploy(pop(balance(0xDEAD)) + invalid)
    evm.transact(failing)
    assert evm.transact(reader).gas_used == fresh
    with pytest.raises(TransactionRefused):
        evm.transact(reader, nonce=99)
    assert evm.transact(reader).gas_used == fresh


# Creation


def test_transaction_without_receiver_creates_a_contract(evm: EvmUnderTest) -> None:
    evm.state.set_nonce(SENDER, 9)
    result = evm.transact(None, data=bytes(deployer(ret_top(1))), value=3)
    assert result.created == create_address(SENDER, 9)
    assert evm.code(result.created) == bytes(ret_top(1))
    assert (evm.balance(result.created), evm.nonce(result.created), evm.nonce(SENDER)) == (3, 1, 10)


def test_failed_creation_has_no_address(evm: EvmUnderTest) -> None:
    result = evm.transact(None, data=bytes(revert(0, 0)), value=3)
    assert (result.success, result.created) == (False, None)
    assert not evm.exists(create_address(SENDER, 0))
    assert evm.balance(SENDER) == FUNDS


def test_creation_onto_a_contract_uses_all_gas_and_the_nonce(evm: EvmUnderTest) -> None:
    evm.deploy(at=create_address(SENDER, 0))
    result = evm.transact(None, data=bytes(stop), gas_limit=100_000)
    assert (result.gas_used, result.error, evm.nonce(SENDER)) == (100_000, "contract address collision", 1)


def test_deposit_that_is_not_paid_leaves_an_empty_contract_in_frontier_only(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import return_

    for fork, success in [("frontier", True), ("homestead", False)]:
        one = evm.at(fork)
        result = one.transact(None, data=bytes(return_(0, 1_000)), gas_limit=60_000)
        assert result.success == success
        assert one.exists(create_address(SENDER, 0)) == success
        assert one.code(create_address(SENDER, 0)) == b""


# What is warm


def test_listed_accounts_and_slots_are_warm(evm: EvmUnderTest) -> None:
    contract = evm.deploy(pop(balance(EOA)) + pop(sload(1)))
    bare = evm.transact(contract).gas_used
    listed = evm.transact(
        contract,
        type=TransactionType.ACCESS_LIST,
        access_list=(AccessListEntry(EOA), AccessListEntry(contract, (1,))),
    ).gas_used
    assert bare - 21_000 == 3 + 2_600 + 2 + 3 + 2_100 + 2
    assert listed - 21_000 == 2 * 2_400 + 1_900 + 3 + 100 + 2 + 3 + 100 + 2


def test_listed_slot_is_warm_for_its_account_only(evm: EvmUnderTest) -> None:
    contract = evm.deploy(pop(sload(1)))
    entry = AccessListEntry(EOA, (1,))
    result = evm.transact(contract, type=TransactionType.ACCESS_LIST, access_list=(entry,))
    assert result.gas_used == 21_000 + 2_400 + 1_900 + 3 + 2_100 + 2


@pytest.mark.parametrize(("fork", "cost"), [("paris", 2_600), ("shanghai", 100)])
def test_coinbase_is_warm_since_shanghai(evm: EvmUnderTest, fork: str, cost: int) -> None:
    """EIP-3651"""
    evm = evm.at(fork)
    contract = evm.deploy(pop(balance(COINBASE)))
    assert evm.transact(contract).gas_used == 21_000 + 3 + cost + 2


def test_created_address_is_warm(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import address

    result = evm.transact(None, data=bytes(pop(balance(address))))
    assert result.gas_used == 53_000 + 3 * 16 + 2 + 2 + 100 + 2


# The plain cases


def test_transfer_costs_21000(evm: EvmUnderTest) -> None:
    result = evm.transact(EOA, value=7)
    assert (result.success, result.gas_used, result.return_data, result.created) == (True, 21_000, b"", None)
    assert evm.balance(EOA) == 7


def test_first_frame_gets_what_the_intrinsic_gas_leaves_and_no_stipend(evm: EvmUnderTest) -> None:
    contract = evm.deploy(ret_top(gas))
    result = evm.transact(contract, gas_limit=30_000, value=1)
    assert int.from_bytes(result.return_data, "big") == 9_000 - 2


def test_transfer_to_itself(evm: EvmUnderTest) -> None:
    assert evm.transact(SENDER, value=FUNDS).success
    assert (evm.balance(SENDER), evm.nonce(SENDER)) == (FUNDS, 1)


def test_precompile_can_be_the_receiver(evm: EvmUnderTest) -> None:
    result = evm.transact((4).to_bytes(20, "big"), data=b"\1\2\3")
    assert result.return_data == b"\1\2\3"
    assert result.max_gas_used == max(21_000 + 3 * 16 + 15 + 3, 21_000 + 12 * 10)


def test_events_and_changes_are_those_of_the_transaction_alone(evm: EvmUnderTest) -> None:
    contract = evm.deploy(log0(0, 0) + sstore(0, caller))
    evm.transact(contract)
    result = evm.transact(contract)
    assert len(result.events) == 1
    changed = {(change.address, change.field, change.key) for change in result.state_changes}
    assert changed == {(SENDER, "nonce", None)}


def test_empty_receiver_without_value_stays_absent_since_eip_161(evm: EvmUnderTest) -> None:
    evm.transact(EOA)
    assert not evm.exists(EOA)
    evm = evm.at("tangerine_whistle")
    evm.transact(EOA)
    assert evm.exists(EOA)


def test_error_inside_the_vm_leaves_the_state_as_it_was(evm: EvmUnderTest) -> None:
    """A VM that is not installed is no failing contract: it raises, and nothing has happened."""
    from vmloom.errors import PluginError

    contract = evm.deploy(b"\0asm", vm="no-such-vm")
    before = evm.contents()
    with pytest.raises(PluginError):
        evm.transact(contract, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    assert evm.contents() == before
