"""Whole blocks: receipts, rewards, withdrawals, limits, refusals, roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import rlp
from trie.hexary import HexaryTrie
from vmloom import BlockContext
from vmloom.hashing import create_address, keccak256
from vmloom_evm.assembly import balance, log1, mstore, ret_top, revert, selfdestruct, sstore
from vmloom_evm.block import (
    NO_REWARD,
    BlockInput,
    BlockObserver,
    BlockResult,
    InvalidBlock,
    Ommer,
    Rejection,
    Withdrawal,
    process_block,
)
from vmloom_evm.block.process import NOBODY
from vmloom_evm.block.requests import WITHDRAWAL_REQUESTS
from vmloom_evm.block.system_calls import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from vmloom_evm.commitment import EMPTY_TRIE_ROOT, logs_bloom, logs_hash, state_root
from vmloom_evm.testing import BLOCK, COINBASE, FUNDS, EvmUnderTest
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.signing import address_of, sign_transaction
from vmloom_evm.transaction.types import Refusal, Transaction, TransactionRefused, TransactionType

KEY = bytes.fromhex("45a9" * 16)
SIGNER = address_of(KEY)
PRICE = 10**9
SOMEBODY = bytes.fromhex("50be" * 10)
BLOB = b"\x01" + bytes(31)
BLOB_GAS = 1 << 17


def signed(nonce: int, to: bytes | None = SOMEBODY, **fields: Any) -> Transaction:
    given = {"max_fee_per_gas": PRICE, "max_priority_fee_per_gas": PRICE, "gas_limit": 200_000, "chain_id": 1, **fields}
    return sign_transaction(Transaction(nonce=nonce, to=to, **given), KEY)


def process(
    evm: EvmUnderTest,
    transactions: Sequence[Transaction | TransactionRefused] = (),
    *,
    context: BlockContext = BLOCK,
    transactions_only: bool = False,
    observer: BlockObserver | None = None,
    **block: Any,
) -> BlockResult:
    """Process the block, and unless an observer is given make sure that it makes no difference to be watched."""

    def result(observer: BlockObserver) -> BlockResult:
        return process_block(
            evm.vm.specification(evm.vm.fork_at(context)),
            evm.state,
            BlockInput(context, **block),
            transactions,
            transactions_only=transactions_only,
            observer=observer,
            host=evm.vm.host,
            engine=evm.vm.executor,
        )

    if observer is not None:
        return result(observer)
    checkpoint = evm.state.snapshot()
    watched = result(BlockObserver())
    evm.state.revert(checkpoint)
    unwatched = result(NOBODY)
    assert replace(unwatched, rejected=()) == replace(watched, rejected=())
    assert [(one.index, str(one.cause)) for one in unwatched.rejected] == [
        (one.index, str(one.cause)) for one in watched.rejected
    ]
    return unwatched


@pytest.fixture
def funded(evm: EvmUnderTest) -> EvmUnderTest:
    return with_funds(evm.at("cancun"))


def with_funds(evm: EvmUnderTest) -> EvmUnderTest:
    evm.deploy(b"", at=SIGNER, balance=FUNDS, nonce=0)
    return evm


def refusals(result: BlockResult) -> list[tuple[int, Refusal]]:
    return [(one.index, one.cause.refusal) for one in result.rejected]


# Receipts and roots


def test_block_of_nothing_has_empty_roots(funded: EvmUnderTest) -> None:
    before = state_root(funded.state)
    result = process(funded)
    assert result.transactions_root == result.receipts_root == result.withdrawals_root == EMPTY_TRIE_ROOT
    assert result.state_root == before
    assert (result.gas_used, result.blob_gas_used, result.requests, result.receipts) == (0, 0, None, ())


def test_receipts_add_up(funded: EvmUnderTest) -> None:
    contract = funded.deploy(mstore(0, 7) + log1(0, 32, 0xABC))
    failing = funded.deploy(log1(0, 0, 1) + revert(0, 0))
    result = process(funded, [signed(0), signed(1, contract), signed(2, failing), signed(3, None, data=b"\0")])
    first, second, third, fourth = result.receipts
    assert [one.success for one in result.receipts] == [True, True, False, True]
    assert first.gas_used == first.cumulative_gas_used == 21_000
    assert second.cumulative_gas_used == 21_000 + second.gas_used
    assert result.gas_used == fourth.cumulative_gas_used == sum(one.gas_used for one in result.receipts)
    assert [len(one.events) for one in result.receipts] == [0, 1, 0, 0]
    assert third.state_root == b""
    assert [one.contract for one in result.receipts] == [None, None, None, create_address(SIGNER, 3)]
    assert result.logs_hash == logs_hash(second.events)
    assert result.logs_bloom == logs_bloom(second.events) == second.bloom


def test_roots_are_those_of_tries_by_position(funded: EvmUnderTest) -> None:
    transactions = [signed(nonce) for nonce in range(130)]  # positions above 127 have another RLP
    result = process(funded, transactions)
    for items, root in (
        ([encode_transaction(one) for one in transactions], result.transactions_root),
        ([one.encode() for one in result.receipts], result.receipts_root),
    ):
        trie = HexaryTrie({})
        for index, item in enumerate(items):
            trie[rlp.encode(index)] = item
        assert trie.root_hash == root


@pytest.mark.parametrize(("fork", "has_root"), [("frontier", True), ("spurious_dragon", True), ("byzantium", False)])
def test_receipts_commit_to_the_state_until_byzantium(evm: EvmUnderTest, fork: str, has_root: bool) -> None:
    evm = with_funds(evm.at(fork))
    result = process(evm, [signed(0, chain_id=None), signed(1, chain_id=None)], reward=NO_REWARD)
    first, second = result.receipts
    assert bool(first.state_root) is has_root
    outcome = rlp.decode(second.encode())[0]
    assert outcome == (result.state_root if has_root else b"\x01")
    assert first.state_root != second.state_root or not has_root


def test_receipt_of_a_failure_has_an_empty_status(funded: EvmUnderTest) -> None:
    [receipt] = process(funded, [signed(0, funded.deploy(revert(0, 0)))]).receipts
    assert rlp.decode(receipt.encode())[0] == b""


@pytest.mark.parametrize("kind", list(TransactionType)[:3])
def test_receipt_begins_with_the_type_of_the_transaction(funded: EvmUnderTest, kind: TransactionType) -> None:
    [receipt] = process(funded, [signed(0, type=kind)]).receipts
    encoded = receipt.encode()
    assert encoded[0] == kind or (kind == 0 and encoded[0] >= 0xC0)
    status, gas, bloom, logs = rlp.decode(encoded[1:] if kind else encoded)
    assert (status, gas, len(bloom), logs) == (b"\x01", (21_000).to_bytes(2, "big"), 256, [])
    assert receipt.transaction_hash == keccak256(encode_transaction(signed(0, type=kind)))


# Refusals and limits


def test_transactions_that_may_not_run_are_reported_and_the_others_run(funded: EvmUnderTest) -> None:
    unreadable = TransactionRefused(Refusal.MALFORMED, "no RLP")
    wrong_chain = signed(0, chain_id=5)
    unsigned = replace(signed(0), signature=None)
    result = process(funded, [signed(1), unreadable, signed(0), wrong_chain, unsigned, signed(0), signed(1)])
    assert refusals(result) == [
        (0, Refusal.NONCE_TOO_HIGH),
        (1, Refusal.MALFORMED),
        (3, Refusal.INVALID_CHAIN_ID),
        (4, Refusal.INVALID_SIGNATURE),
        (5, Refusal.NONCE_TOO_LOW),
    ]
    assert [tx.nonce for tx in result.included] == [0, 1]
    assert funded.nonce(SIGNER) == 2


def test_transaction_must_fit_the_gas_that_is_left(funded: EvmUnderTest) -> None:
    context = replace(BLOCK, gas_limit=62_999)
    transactions = [signed(0, gas_limit=30_000), signed(1, gas_limit=42_000), signed(1, gas_limit=41_999)]
    result = process(funded, transactions, context=context)
    assert refusals(result) == [(1, Refusal.BLOCK_GAS_EXCEEDED)]
    assert result.gas_used == 42_000


def test_blobs_must_fit_the_block(funded: EvmUnderTest) -> None:
    def blobs(nonce: int, count: int) -> Transaction:
        return signed(
            nonce, type=TransactionType.BLOB, blob_hashes=(BLOB,) * count, max_fee_per_blob_gas=1, gas_limit=21_000
        )

    result = process(funded, [blobs(0, 4), blobs(1, 3), blobs(1, 2), signed(2)])
    assert refusals(result) == [(1, Refusal.BLOB_ALLOWANCE_EXCEEDED)]
    assert result.blob_gas_used == 6 * BLOB_GAS
    assert [one.blob_gas_used for one in result.receipts] == [4 * BLOB_GAS, 2 * BLOB_GAS, 0]


def test_refused_transactions_leave_no_trace(funded: EvmUnderTest) -> None:
    funded.deploy(b"", at=COINBASE, nonce=1)
    before = state_root(funded.state)
    result = process(funded, [signed(7), signed(0, value=2 * FUNDS)])
    assert len(result.rejected) == 2
    assert result.state_root == before


def test_who_wants_all_or_nothing_is_told_of_the_first_that_may_not_run(funded: EvmUnderTest) -> None:
    vm, before = funded.vm, state_root(funded.state)
    specification = vm.specification(vm.fork_at(BLOCK))
    block = BlockInput(BLOCK, parent_hash=bytes(32))
    with pytest.raises(TransactionRefused) as caught:
        process_block(
            specification,
            funded.state,
            block,
            [signed(0), signed(5), signed(0)],
            engine=vm.executor,
            host=vm.host,
            leaves_out=False,
        )
    assert caught.value.refusal is Refusal.NONCE_TOO_HIGH
    assert state_root(funded.state) == before
    ran = process_block(
        specification, funded.state, block, [signed(0)], engine=vm.executor, host=vm.host, leaves_out=False
    )
    assert len(ran.signed) == 1


# What surrounds the transactions


@pytest.mark.parametrize(
    ("fork", "ether"), [("frontier", 5), ("byzantium", 3), ("constantinople", 2), ("london", 2), ("paris", 0)]
)
def test_miner_gets_the_reward_of_the_fork(evm: EvmUnderTest, fork: str, ether: int) -> None:
    evm = evm.at(fork)
    process(evm)
    assert evm.balance(COINBASE) == ether * 10**18
    assert evm.exists(COINBASE) == bool(ether)


def test_ommers_are_rewarded_by_their_age(evm: EvmUnderTest) -> None:
    evm = evm.at("byzantium")
    one, two = bytes.fromhex("01" * 20), bytes.fromhex("02" * 20)
    process(evm, ommers=(Ommer(one, 1), Ommer(two, 6)), reward=3_200)
    assert (evm.balance(COINBASE), evm.balance(one), evm.balance(two)) == (3_200 + 2 * 100, 2_800, 800)


@pytest.mark.parametrize(("fork", "exists"), [("frontier", True), ("byzantium", False)])
def test_reward_of_nothing_still_meets_the_miner(evm: EvmUnderTest, fork: str, exists: bool) -> None:
    evm = evm.at(fork)
    process(evm, reward=0)
    assert evm.exists(COINBASE) is exists
    evm.deploy(b"", at=COINBASE, nonce=0)
    process(evm, reward=NO_REWARD)
    assert evm.exists(COINBASE)
    process(evm, reward=0)
    assert evm.exists(COINBASE) is exists


def test_withdrawals_are_paid_in_gwei_and_committed_to(funded: EvmUnderTest) -> None:
    withdrawals = (Withdrawal(1, 2, SOMEBODY, 3), Withdrawal(2, 2, SOMEBODY, 4), Withdrawal(3, 9, bytes(19) + b"\1", 0))
    result = process(funded, withdrawals=withdrawals)
    assert funded.balance(SOMEBODY) == 7 * 10**9
    assert not funded.exists(withdrawals[2].address)
    trie = HexaryTrie({})
    for index, one in enumerate(withdrawals):
        trie[rlp.encode(index)] = rlp.encode([one.index, one.validator, one.address, one.amount])
    assert result.withdrawals_root == trie.root_hash


def test_withdrawals_do_not_exist_before_shanghai(evm: EvmUnderTest) -> None:
    evm = evm.at("paris")
    result = process(evm, withdrawals=(Withdrawal(1, 2, SOMEBODY, 3),))
    assert result.withdrawals_root is None
    assert not evm.exists(SOMEBODY)


def test_transactions_alone_leave_the_rest_out(evm: EvmUnderTest) -> None:
    evm = with_funds(evm)  # without the contracts that Prague requires
    result = process(
        evm, [signed(0)], withdrawals=(Withdrawal(1, 2, COINBASE, 3),), reward=10**18, transactions_only=True
    )
    assert result.gas_used == 21_000
    assert evm.balance(COINBASE) == 21_000 * PRICE
    assert (result.requests, result.requests_hash) == (None, None)


# System calls around the transactions


@pytest.mark.parametrize("withdrawn", [0, 3], ids=["at once", "after withdrawals"])
def test_calls_at_the_end_find_what_transactions_and_withdrawals_left(evm: EvmUnderTest, withdrawn: int) -> None:
    evm = with_funds(evm)
    evm.deploy(balance(SOMEBODY) + ret_top(), at=WITHDRAWAL_REQUESTS_ADDRESS)
    evm.deploy(revert(0, 0), at=BEACON_ROOTS_ADDRESS)  # which need not succeed
    evm.deploy(sstore(0, 1), at=CONSOLIDATION_REQUESTS_ADDRESS)
    withdrawals = (Withdrawal(1, 2, SOMEBODY, withdrawn),) if withdrawn else ()
    # One that is refused stands between: what follows is to be read from its own place.
    refused = signed(7)
    result = process(evm, [signed(0, value=5), refused, signed(1, value=6)], withdrawals=withdrawals)
    assert refusals(result) == [(1, Refusal.NONCE_TOO_HIGH)]
    assert result.requests == (WITHDRAWAL_REQUESTS + (5 + 6 + withdrawn * 10**9).to_bytes(32, "big"),)
    assert evm.storage(CONSOLIDATION_REQUESTS_ADDRESS, 0) == 1


def test_system_calls_take_nothing_of_the_gas_of_the_block(evm: EvmUnderTest) -> None:
    evm = with_funds(evm)
    for at in (BEACON_ROOTS_ADDRESS, WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS):
        evm.deploy(sstore(0, 1), at=at)
    context = replace(BLOCK, gas_limit=42_000)
    result = process(
        evm, [signed(nonce, gas_limit=21_000) for nonce in range(3)], context=context, parent_beacon_root=bytes(32)
    )
    assert [one.gas_used for one in result.receipts] == [21_000, 21_000]
    assert refusals(result) == [(2, Refusal.BLOCK_GAS_EXCEEDED)]


# Invalid blocks


def test_invalid_block_leaves_the_state_as_it_was(evm: EvmUnderTest) -> None:
    evm = with_funds(evm)
    evm.deploy(b"\0", at=WITHDRAWAL_REQUESTS_ADDRESS)
    before = evm.contents()
    with pytest.raises(InvalidBlock, match=CONSOLIDATION_REQUESTS_ADDRESS.hex()):
        process(evm, [signed(0)], withdrawals=(Withdrawal(1, 2, SOMEBODY, 3),))
    assert evm.contents() == before


def test_system_contracts_that_destroy_themselves_stay(evm: EvmUnderTest) -> None:
    """EIP-6780: they were not created in the call."""
    evm = with_funds(evm)
    for at in (WITHDRAWAL_REQUESTS_ADDRESS, CONSOLIDATION_REQUESTS_ADDRESS):
        evm.deploy(sstore(0, 1) + selfdestruct(at), at=at)
    result = process(evm)
    assert result.requests == ()
    assert evm.exists(CONSOLIDATION_REQUESTS_ADDRESS)
    assert evm.storage(WITHDRAWAL_REQUESTS_ADDRESS, 0) == 1


# Observers


def test_observer_learns_of_every_transaction_that_is_tried(funded: EvmUnderTest) -> None:
    class Notes(BlockObserver):
        def __init__(self) -> None:
            self.notes: list[tuple[str, int]] = []

        def begin(self, index: int, tx: Transaction, sender: bytes) -> Sequence[Any]:
            assert sender == SIGNER
            self.notes.append(("begin", index))
            return ()

        def included(self, index: int, tx: Transaction, result: Any) -> None:
            self.notes.append(("included", index))

        def refused(self, index: int, tx: Transaction, cause: TransactionRefused) -> None:
            self.notes.append((cause.reason, index))

    notes = Notes()
    result = process(funded, [signed(0), signed(0), signed(1)], observer=notes)
    assert notes.notes == [
        ("begin", 0), ("included", 0), ("begin", 1), (Refusal.NONCE_TOO_LOW, 1), ("begin", 1), ("included", 1)
    ]  # fmt: skip
    assert isinstance(result.rejected[0], Rejection)
