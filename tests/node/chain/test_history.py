from __future__ import annotations

import pytest
from vmloom.errors import InputError, StateError, UnknownVm
from vmloom.hashing import keccak256
from vmloom.store import MemoryStore
from vmloom_evm.trie import verify_proof
from vmloom_node.chain import Chain, dev_genesis
from vmloom_node.chain import changes as changes_module
from vmloom_node.chain.errors import StatePruned, UnknownBlock
from vmloom_node.chain.events import ChainEvent, NewBlock, Reverted
from vmloom_node.chain.logs import log_query

from .conftest import NOW, STORE_CALLER_INPUT, MakeChain, deploy, send

ETHER = 10**18
SOMEBODY = b"\7" * 20


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_blocks_are_found_by_number_hash_and_name(chain: Chain) -> None:
    chain.mine(2)
    first = chain.block(1)
    assert chain.block(first.hash) == first
    assert chain.block("latest").number == chain.block("safe").number == chain.block("finalized").number == 2
    assert chain.block("earliest").number == 0
    assert chain.block("pending").number == 3
    for unknown in (3, -1, b"\1" * 32):
        with pytest.raises(UnknownBlock):
            chain.block(unknown)


def test_a_state_of_the_past_is_as_it_was(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    for value in range(1, 6):
        send(chain, to=contract, data=word(value))
    assert [chain.storage(contract, 0, number) for number in range(1, 7)] == [0, 1, 2, 3, 4, 5]
    with chain.state_at(3) as state:
        state.set_storage(contract, 0, 99)
    assert chain.storage(contract, 0, 3) == 2
    assert chain.account(contract, 0).code == b""


def test_a_change_by_hand_counts_from_the_last_block_on(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    chain.mine()
    chain.set_balance(SOMEBODY, 5)
    chain.set_nonce(SOMEBODY, 6)
    chain.set_storage(SOMEBODY, 7, 8)
    chain.set_code(SOMEBODY, STORE_CALLER_INPUT)
    assert chain.account(SOMEBODY, 0).balance == 0
    chain.mine()
    for number in (1, 2):
        account = chain.account(SOMEBODY, number)
        assert (account.balance, account.nonce, account.code) == (5, 6, STORE_CALLER_INPUT)
        assert chain.storage(SOMEBODY, 7, number) == 8


def test_what_does_not_fit_is_not_set(chain: Chain) -> None:
    for change, value in ((chain.set_balance, -1), (chain.set_balance, 1 << 256), (chain.set_nonce, 1 << 64)):
        with pytest.raises(InputError):
            change(SOMEBODY, value)
    with pytest.raises(InputError):
        chain.set_storage(SOMEBODY, 0, 1 << 256)
    with pytest.raises(UnknownVm):
        chain.set_code(SOMEBODY, b"\1", vm="nonsense")
    assert chain.account(SOMEBODY).is_empty


def test_a_failed_edit_leaves_nothing(chain: Chain) -> None:
    def fail() -> None:
        with chain.edit() as state:
            state.set_balance(SOMEBODY, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert chain.account(SOMEBODY).balance == 0
    assert send(chain, to=SOMEBODY, value=2).success
    assert chain.account(SOMEBODY).balance == 2


def test_snapshots_bring_everything_back(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    head = chain.head
    snapshot = chain.snapshot()
    send(chain, to=contract, data=word(1))
    chain.set_balance(SOMEBODY, 1)
    chain.clock.increase(1000)
    later = chain.snapshot()
    chain.mine(2)
    gone = chain.head.hash
    assert chain.revert(snapshot, keep=True)
    assert (chain.head, chain.storage(contract, 0), chain.account(SOMEBODY).balance) == (head, 0, 0)
    assert chain.clock.offset == 0
    with pytest.raises(UnknownBlock):
        chain.block(gone)
    assert not chain.revert(later)
    send(chain, to=contract, data=word(2))
    assert chain.revert(snapshot)
    assert not chain.revert(snapshot)
    assert chain.storage(contract, 0) == 0


def test_snapshots_are_forgotten_at_their_bounds(monkeypatch: pytest.MonkeyPatch, make_chain: MakeChain) -> None:
    monkeypatch.setattr(changes_module, "MAX_SNAPSHOTS", 2)
    chain = make_chain(store=MemoryStore(history=2))
    first, second, third = (chain.snapshot() for _ in range(3))
    assert not chain.revert(first)
    assert chain.revert(third)
    chain.mine(3)
    assert chain.snapshot() == 4
    assert not chain.revert(second)  # whose version is not kept any more


def test_a_snapshot_keeps_what_waited(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    from vmloom_node.chain import TransactionRequest

    waiting = chain.send_request(TransactionRequest(chain.accounts.addresses[0], to=SOMEBODY, value=1))
    snapshot = chain.snapshot()
    chain.mine()
    assert waiting not in chain.pool
    chain.revert(snapshot)
    assert waiting in chain.pool
    chain.mine()
    assert chain.receipt(waiting).success


def test_reset_goes_back_to_the_beginning(chain: Chain) -> None:
    genesis = chain.block("earliest")
    send(chain, to=SOMEBODY, value=1)
    chain.reset()
    assert chain.head == genesis
    assert chain.account(SOMEBODY).balance == 0


def test_reverted_blocks_are_told_the_newest_first(chain: Chain) -> None:
    heard: list[ChainEvent] = []
    snapshot = chain.snapshot()
    chain.subscribe(heard.append)
    blocks = chain.mine(2)
    chain.revert(snapshot)
    assert [type(event) for event in heard] == [NewBlock, NewBlock, Reverted]
    assert isinstance(heard[2], Reverted)
    assert [one.block for one in heard[2].blocks] == blocks[::-1]


def test_a_state_that_is_not_kept_is_an_error_with_a_way_out(make_chain: MakeChain) -> None:
    chain = make_chain(store=MemoryStore(history=2))
    snapshot = chain.snapshot()
    chain.mine(5)
    assert chain.account(SOMEBODY, 4).is_empty
    for attempt in (
        lambda: chain.account(SOMEBODY, 0),
        lambda: chain.proof(SOMEBODY, (), 0),
        lambda: chain.revert(snapshot),
    ):
        with pytest.raises(StatePruned) as caught:
            attempt()
        assert "history" in caught.value.fix
    assert chain.head.number == 5
    assert chain.block(1).number == 1


def test_a_store_goes_on_where_it_was(engine: str, make_chain: MakeChain) -> None:
    store = MemoryStore()
    chain = make_chain(engine, store=store)
    contract = deploy(chain, STORE_CALLER_INPUT)
    receipt = send(chain, to=contract, data=word(3))
    again = make_chain(engine, store=store)
    assert again.head == chain.head
    assert again.receipt(receipt.transaction_hash) == receipt
    assert again.storage(contract, 0) == 3
    assert again.transaction(receipt.transaction_hash) == chain.transaction(receipt.transaction_hash)
    send(again, to=contract, data=word(4))
    assert again.storage(contract, 0) == 4


def test_a_store_with_another_chain_is_refused(make_chain: MakeChain) -> None:
    store = MemoryStore()
    make_chain(store=store)
    with pytest.raises(StateError, match="another chain") as caught:
        make_chain(store=store, genesis=dev_genesis(chain_id=5))
    assert caught.value.fix


def test_proofs_are_of_the_blocks_root(chain: Chain) -> None:
    contract = deploy(chain, STORE_CALLER_INPUT)
    send(chain, to=contract, data=word(7))
    proof = chain.proof(contract, [0, 1])
    root = chain.head.header.state_root
    assert verify_proof(root, keccak256(contract), proof.proof) is not None
    assert [one.value for one in proof.storage] == [7, 0]
    assert verify_proof(proof.storage_hash, keccak256(word(0)), proof.storage[0].proof) == b"\7"
    assert verify_proof(root, keccak256(SOMEBODY), chain.proof(SOMEBODY).proof) is None
    assert chain.proof(contract, [0], 1).storage[0].value == 0


def test_logs_are_found_by_address_topic_and_range(chain: Chain) -> None:
    one, two = deploy(chain, STORE_CALLER_INPUT), deploy(chain, STORE_CALLER_INPUT)
    topical = deploy(chain, bytes.fromhex("60095f5fa100"))
    for contract in (one, two, one, topical):
        send(chain, to=contract, data=word(1))
    everything = list(chain.logs(log_query(), "earliest", "latest"))
    assert [log.event.address for log in everything] == [one, two, one, topical]
    assert [log.block_number for log in chain.logs(log_query([one]), 0, "latest")] == [4, 6]
    assert [log.event.topics for log in chain.logs(log_query(topics=[[9]]), 0, "latest")] == [(9,)]
    assert list(chain.logs(log_query([one], [[9]]), 0, "latest")) == []
    assert len(list(chain.logs(log_query(topics=[[]]), 0, "latest"))) == 1
    assert list(chain.logs(log_query([one]), 5, 5)) == []
    with pytest.raises(ValueError, match="at most 4"):
        log_query(topics=[[]] * 5)


def test_time_moves_as_told(chain: Chain) -> None:
    chain.clock.increase(3600)
    assert chain.mine()[0].header.timestamp == NOW + 3600
    chain.clock.set_next(NOW + 5000, chain.head.header.timestamp)
    assert chain.pending()[0].header.timestamp == NOW + 5000
    assert chain.mine()[0].header.timestamp == NOW + 5000
    assert chain.mine()[0].header.timestamp == NOW + 5001
    chain.clock.step = 12
    assert chain.mine()[0].header.timestamp == NOW + 5013
    with pytest.raises(InputError, match="not later"):
        chain.mine(timestamp=NOW)
    with pytest.raises(InputError, match="63 bits"):
        chain.clock.set_next(1 << 63, 0)


def test_fees_follow_what_blocks_use(chain: Chain) -> None:
    assert chain.next_base_fee() == 875_000_000
    receipt = send(chain, to=SOMEBODY, value=1, max_priority_fee_per_gas=3)
    history = chain.fee_history(5, percentiles=[0, 50, 100])
    assert history.oldest == 0
    assert history.base_fees == (10**9, 875_000_000, chain.next_base_fee())
    assert history.gas_used_ratios == (0.0, receipt.gas_used / 30_000_000)
    assert history.rewards == ((0, 0, 0), (3, 3, 3))
    assert chain.gas_price() == chain.next_base_fee() + chain.suggested_tip()
    assert chain.blob_base_fee() == 1
    for count, percentiles in ((0, []), (1, [50, 20]), (1, [101])):
        with pytest.raises(InputError):
            chain.fee_history(count, percentiles=percentiles)
