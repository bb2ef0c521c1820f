from __future__ import annotations

from dataclasses import replace

import pytest
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.types import Refusal, Transaction, TransactionRefused, TransactionType
from vmloom_node.chain import Chain, TransactionRequest
from vmloom_node.chain.engine import stand_in
from vmloom_node.chain.errors import (
    CallFailed,
    PoolRefusal,
    PoolRefused,
    ReadOnlyChain,
    UnknownAccount,
    UnknownTransaction,
)
from vmloom_node.chain.events import ChainEvent, NewBlock, PendingTransaction
from vmloom_node.chain.pool import PoolLimits

from .conftest import NOW, REVERTER, STORE_CALLER_INPUT, MakeChain, deploy, send

ETHER = 10**18


def transfer(chain: Chain, **changes: object) -> Transaction:
    """A transfer of one wei from the first account to the second, signed."""
    first, second = chain.accounts.addresses[:2]
    tx = Transaction(
        type=TransactionType.FEE_MARKET,
        chain_id=chain.chain_id,
        nonce=chain.nonce(first, "pending"),
        max_fee_per_gas=10**10,
        max_priority_fee_per_gas=10**9,
        gas_limit=21_000,
        to=second,
        value=1,
    )
    return chain.sign(replace(tx, **changes), first)  # type: ignore[arg-type]


def test_a_transfer_is_mined_when_it_comes(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    first, second = chain.accounts.addresses[:2]
    receipt = send(chain, to=second, value=ETHER)
    assert (receipt.block_number, receipt.index, receipt.gas_used, receipt.success) == (1, 0, 21_000, True)
    assert chain.account(second).balance == 10_001 * ETHER
    assert chain.account(first).balance == 9_999 * ETHER - 21_000 * receipt.gas_price
    assert chain.account(first).nonce == 1
    assert chain.head.header.timestamp == NOW
    assert chain.head.header.parent_hash == chain.block("earliest").hash
    assert chain.transaction(receipt.transaction_hash).block_number == 1


def test_a_contract_stores_logs_and_answers(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    receipt = send(chain, to=contract, data=(42).to_bytes(32, "big"))
    assert chain.storage(contract, 0) == 42
    assert chain.storage(contract, 0, receipt.block_number - 1) == 0
    (log,) = receipt.logs
    assert (log.event.address, log.event.data) == (contract, (42).to_bytes(32, "big"))
    assert (log.block_hash, log.transaction_hash, log.index) == (chain.head.hash, receipt.transaction_hash, 0)
    assert receipt.vm == "evm"


def test_engines_make_the_same_blocks(make_chain: MakeChain) -> None:
    heads = []
    for engine in ("reference", "native"):
        chain = make_chain(engine)
        contract = deploy(chain, STORE_CALLER_INPUT)
        for word in (7, 0, 9):
            send(chain, to=contract, data=word.to_bytes(32, "big"))
        heads.append(chain.head.hash)
    assert heads[0] == heads[1]


@pytest.mark.parametrize("fork", ["frontier", "spurious_dragon", "istanbul", "london", "paris", "shanghai", "cancun"])
def test_every_fork_makes_blocks(fork: str, make_chain: MakeChain) -> None:
    chain = make_chain(fork=fork)
    receipt = send(chain, to=chain.accounts.addresses[1], value=1, gas_limit=21_000)
    assert receipt.success
    header = chain.head.header
    assert (header.base_fee is not None) == (fork in ("london", "paris", "shanghai", "cancun"))
    assert (header.withdrawals_root is not None) == (fork in ("shanghai", "cancun"))
    assert (header.difficulty > 0) == (fork in ("frontier", "spurious_dragon", "istanbul", "london"))
    assert bool(receipt.state_root) == (fork in ("frontier", "spurious_dragon"))
    chain.mine()
    assert chain.head.number == 2


def test_the_block_gets_what_was_chosen_for_it(chain: Chain) -> None:
    chain.next_block.base_fee = 5
    chain.next_block.prev_randao = b"\1" * 32
    chain.coinbase = b"\2" * 20
    (block,) = chain.mine(timestamp=NOW + 100)
    header = block.header
    assert (header.base_fee, header.mix_hash, header.coinbase) == (5, b"\1" * 32, b"\2" * 20)
    assert header.timestamp == NOW + 100
    (block,) = chain.mine()
    assert block.header.mix_hash != b"\1" * 32


def test_blocks_come_at_intervals(chain: Chain) -> None:
    blocks = chain.mine(3, timestamp=NOW + 10, interval=5)
    assert [block.header.timestamp for block in blocks] == [NOW + 10, NOW + 15, NOW + 20]


def test_nothing_is_mined_until_asked_for(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    transaction_hash = chain.send(transfer(chain))
    assert chain.head.number == 0
    assert chain.transaction(transaction_hash).block_hash is None
    assert chain.nonce(chain.accounts.addresses[0], "pending") == 1
    with pytest.raises(UnknownTransaction):
        chain.receipt(transaction_hash)
    pending, receipts = chain.pending()
    assert pending.hashes == (transaction_hash,)
    assert receipts[0].gas_used == 21_000
    chain.mine()
    assert chain.receipt(transaction_hash).success
    assert chain.pending()[0].hashes == ()


def test_a_gap_waits_for_what_fills_it(chain: Chain) -> None:
    late = chain.send(transfer(chain, nonce=1))
    assert chain.head.number == 0
    content = chain.pool_content()
    assert (len(content.pending), len(content.queued)) == (0, 1)
    first = chain.send(transfer(chain, nonce=0))
    assert chain.receipt(first).block_number == chain.receipt(late).block_number == 1
    assert len(chain.pool) == 0


def test_better_paid_goes_first_and_senders_keep_their_order(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    one, two = chain.accounts.addresses[:2]

    def pay(sender: bytes, tip: int, nonce: int) -> bytes:
        return chain.send_request(
            TransactionRequest(sender, to=one, nonce=nonce, gas_limit=21_000, max_priority_fee_per_gas=tip)
        )

    cheap, dear = pay(one, 1, 0), pay(one, 9 * 10**9, 1)
    middle = pay(two, 5 * 10**9, 0)
    (block,) = chain.mine()
    assert block.hashes == (middle, cheap, dear)


def test_what_does_not_fit_waits_for_the_next_block(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    endless = b"\7" * 20
    chain.set_code(endless, bytes.fromhex("5b5f56"))
    hashes = [chain.send(transfer(chain, to=endless, gas_limit=16_000_000)) for _ in range(3)]
    chain.mine()
    assert chain.head.hashes == tuple(hashes[:1])  # the second may use more gas than the first has left
    chain.mine(2)
    receipts = [chain.receipt(one) for one in hashes]
    assert [(one.block_number, one.gas_used, one.success) for one in receipts] == [
        (number, 16_000_000, False) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"gas_limit": 20_000}, Refusal.INTRINSIC_GAS_TOO_LOW),
        ({"gas_limit": 30_000_001}, Refusal.GAS_LIMIT_OVER_CAP),
        ({"value": 20_000 * ETHER}, Refusal.INSUFFICIENT_FUNDS),
        ({"max_fee_per_gas": 1, "max_priority_fee_per_gas": 1}, Refusal.FEE_BELOW_BASE_FEE),
        ({"chain_id": 1}, Refusal.INVALID_CHAIN_ID),
        ({"max_priority_fee_per_gas": 10**11}, Refusal.PRIORITY_OVER_MAX_FEE),
    ],
)
def test_what_cannot_run_is_refused_by_name(chain: Chain, changes: dict[str, int], refusal: Refusal) -> None:
    events: list[ChainEvent] = []
    chain.subscribe(events.append)
    with pytest.raises(TransactionRefused) as caught:
        chain.send(transfer(chain, **changes))
    assert caught.value.refusal is refusal
    assert chain.head.number == 0
    assert len(chain.pool) == 0
    assert not events
    chain.send(transfer(chain))
    assert chain.head.number == 1
    assert [type(event) for event in events] == [PendingTransaction, NewBlock]


def test_what_the_mempool_does_not_take_does_not_run_either(make_chain: MakeChain) -> None:
    chain = make_chain(pool=PoolLimits(min_gas_price=10**10))
    with pytest.raises(PoolRefused) as caught:
        chain.send(transfer(chain, max_fee_per_gas=10**10 - 1))
    assert caught.value.refusal is PoolRefusal.UNDERPRICED
    assert chain.head.number == 0
    chain.send(transfer(chain))
    assert chain.head.number == 1


def test_a_nonce_is_used_once(chain: Chain) -> None:
    tx = transfer(chain)
    chain.send(tx)
    with pytest.raises(PoolRefused) as known:
        chain.send(tx)
    assert known.value.refusal is PoolRefusal.ALREADY_KNOWN
    with pytest.raises(TransactionRefused) as low:
        chain.send(transfer(chain, nonce=0, value=2))
    assert low.value.refusal is Refusal.NONCE_TOO_LOW


def test_garbage_is_refused(chain: Chain) -> None:
    raw = encode_transaction(transfer(chain))
    for data in (b"", b"\0", raw[:-1], raw + b"\0", b"\5" + raw[1:]):
        with pytest.raises(TransactionRefused):
            chain.send_raw(data)


def test_an_account_without_key_has_to_be_impersonated(chain: Chain) -> None:
    stranger, other = b"\7" * 20, b"\x08" * 20
    chain.set_balance(stranger, ETHER)
    chain.set_balance(other, ETHER)
    with pytest.raises(UnknownAccount):
        send(chain, sender=stranger, to=other, value=1)
    chain.accounts.impersonate(stranger)
    chain.accounts.impersonate(other)
    one, two = (send(chain, sender=sender, to=bytes(20), value=1) for sender in (stranger, other))
    assert one.sender == stranger
    assert one.transaction_hash != two.transaction_hash
    assert chain.account(stranger).nonce == 1


def test_a_contract_can_be_impersonated(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    chain.set_balance(contract, ETHER)
    chain.accounts.impersonate(contract)
    receipt = send(chain, sender=contract, to=bytes(20), value=1)
    assert (receipt.success, receipt.sender) == (True, contract)
    chain.accounts.stop_impersonating(contract)
    assert chain.trace(receipt.transaction_hash, lambda _: ()).gas_used == 21_000
    with pytest.raises(TransactionRefused) as caught:
        chain.send(replace(transfer(chain), signature=None))
    assert caught.value.refusal is Refusal.INVALID_SIGNATURE


def test_a_stand_in_for_a_signature_is_none_from_outside(chain: Chain) -> None:
    first = chain.accounts.addresses[0]
    with pytest.raises(TransactionRefused):  # somebody else's signature, if anybody's, and that one is poor
        chain.send(replace(transfer(chain), signature=stand_in(first)))
    assert chain.account(first).nonce == 0


def test_a_transaction_that_would_fail_has_no_estimate(chain: Chain) -> None:
    contract = deploy(chain, REVERTER)
    with pytest.raises(CallFailed) as caught:
        send(chain, to=contract)
    assert caught.value.return_data == bytes.fromhex("deadbeef")
    receipt = send(chain, to=contract, gas_limit=100_000)
    assert not receipt.success


def test_subscribers_hear_in_order_after_the_change(chain: Chain) -> None:
    heard: list[ChainEvent] = []
    heads: list[int] = []

    def listen(event: ChainEvent) -> None:
        heard.append(event)
        heads.append(chain.head.number)

    stop = chain.subscribe(listen)
    receipt = send(chain, to=bytes(20), value=1)
    pending, block = heard
    assert isinstance(pending, PendingTransaction)
    assert pending.entry.hash == receipt.transaction_hash
    assert isinstance(block, NewBlock)
    assert block.receipts == (receipt,)
    assert heads == [1, 1]
    stop()
    chain.mine()
    assert len(heard) == 2


def test_a_subscriber_that_fails_spoils_nothing(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(event: ChainEvent) -> None:
        raise RuntimeError("no")

    chain.subscribe(fail)
    assert send(chain, to=bytes(20), value=1).success
    printed = capsys.readouterr()
    assert "a subscriber of the chain failed" in printed.out + printed.err  # where logs go, others may have settled


def test_a_read_only_chain_takes_nothing(make_chain: MakeChain) -> None:
    chain = make_chain(is_read_only=True, mining="manual")
    for attempt in (lambda: chain.mine(), lambda: chain.send_raw(b""), lambda: chain.set_balance(bytes(20), 1)):
        with pytest.raises(ReadOnlyChain):
            attempt()


def test_blocks_at_intervals_until_told_otherwise(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    mined = []
    chain.subscribe(lambda event: mined.append(event))
    chain.set_mining("interval", 0.01)
    while len(mined) < 2:
        pass_time()
    chain.set_mining("manual")
    count = chain.head.number
    pass_time(0.05)
    assert chain.head.number == count


def pass_time(seconds: float = 0.005) -> None:
    """Let other threads run."""
    import time

    time.sleep(seconds)
