from __future__ import annotations

from dataclasses import replace

import pytest
from vmloom.errors import InputError
from vmloom_evm.overrides import AccountOverride
from vmloom_evm.trace.calltree import CallTreeTracer
from vmloom_evm.transaction.types import Refusal, TransactionRefused
from vmloom_node.chain import Chain, TransactionRequest
from vmloom_node.chain.calls import BlockOverride
from vmloom_node.chain.errors import CallFailed, UnknownTransaction
from vmloom_node.chain.simulation import TRANSFER_ADDRESS, BlockOfCalls

from .conftest import NOW, REVERTER, STORE_CALLER_INPUT, MakeChain, deploy

SOMEBODY = b"\7" * 20
TELL_BLOCK = bytes.fromhex("435f52426020523360405248606052" + "60805ff3")
"""Returns number, timestamp, caller and base fee."""
BLOCK_HASH = bytes.fromhex("5f35405f5260205ff3")
"""Returns the hash of the block whose number is its input."""


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def test_a_call_leaves_nothing(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    result = chain.call(TransactionRequest(to=contract, data=word(9)))
    assert words(result.return_data)[0] == 9
    assert len(result.events) == 1
    assert chain.storage(contract, 0) == 0
    assert chain.account(bytes(20)).nonce == 0


def test_a_call_sees_the_block_it_is_made_in(chain: Chain) -> None:
    contract = deploy(chain, TELL_BLOCK)
    chain.mine(timestamp=NOW + 50)
    request = TransactionRequest(SOMEBODY, to=contract)
    assert words(chain.call(request).return_data)[:3] == [2, NOW + 50, int.from_bytes(SOMEBODY, "big")]
    assert words(chain.call(request, 1).return_data)[0] == 1
    assert words(chain.call(request, "pending").return_data)[:2] == [3, NOW + 51]
    changed = chain.call(request, block=BlockOverride(number=77, timestamp=5))
    assert words(changed.return_data)[:2] == [77, 5]
    paid = TransactionRequest(chain.accounts.addresses[0], to=contract, gas_price=10**10)
    assert words(chain.call(paid).return_data)[3] == chain.head.header.base_fee


def test_a_call_assumes_what_it_is_told(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    overrides = {
        SOMEBODY: AccountOverride(balance=10**18),
        b"\x08" * 20: AccountOverride(code=STORE_CALLER_INPUT),
    }
    request = TransactionRequest(SOMEBODY, to=b"\x08" * 20, value=1, data=word(3))
    assert words(chain.call(request, overrides=overrides).return_data)[0] == 3
    with pytest.raises(TransactionRefused) as caught:
        chain.call(request)
    assert caught.value.refusal is Refusal.INSUFFICIENT_FUNDS
    assert chain.estimate(request, overrides=overrides) > 40_000


def test_pending_calls_see_what_waits(make_chain: MakeChain) -> None:
    chain = make_chain(mining="manual")
    chain.send_request(TransactionRequest(chain.accounts.addresses[0], to=SOMEBODY, value=5))
    assert chain.account(SOMEBODY, "pending").balance == 5
    assert chain.account(SOMEBODY).balance == 0


def test_an_estimate_is_the_least_that_does(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    contract = deploy(chain, STORE_CALLER_INPUT)
    request = TransactionRequest(chain.accounts.addresses[0], to=contract, data=word(1))
    gas = chain.estimate(request)
    assert not chain.call(replace(request, gas_limit=gas - 1)).success
    assert chain.call(replace(request, gas_limit=gas)).success
    assert chain.estimate(TransactionRequest(chain.accounts.addresses[0], to=SOMEBODY, value=1)) == 21_000
    with pytest.raises(CallFailed) as caught:
        chain.estimate(TransactionRequest(to=deploy(chain, REVERTER)))
    assert (caught.value.return_data, caught.value.is_revert) == (bytes.fromhex("deadbeef"), True)


def test_an_access_list_names_what_is_used(chain: Chain) -> None:
    contract = deploy(chain, STORE_CALLER_INPUT)
    entries, result = chain.access_list(TransactionRequest(chain.accounts.addresses[0], to=contract, data=word(1)))
    assert [(entry.address, entry.slots) for entry in entries] == [(contract, (0,))]
    assert result.success


def test_a_transaction_of_the_past_runs_again_as_it_did(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine, mining="manual")
    first = chain.accounts.addresses[0]
    chain.set_code(SOMEBODY, STORE_CALLER_INPUT)
    hashes = [
        chain.send_request(TransactionRequest(first, to=SOMEBODY, data=word(n), nonce=n, gas_limit=90_000))
        for n in range(3)
    ]
    chain.mine()
    chain.mine(2)
    tracers: list[CallTreeTracer] = []

    def make(_: object) -> list[CallTreeTracer]:
        tracers.append(CallTreeTracer(with_log=True))
        return tracers[-1:]

    for transaction_hash in hashes:
        assert chain.trace(transaction_hash, make).gas_used == chain.receipt(transaction_hash).gas_used
    assert [tracer.root.input for tracer in tracers if tracer.root] == [word(n) for n in range(3)]
    assert [one.gas_used for one in chain.trace_block(1, make)] == [one.gas_used for one in chain.receipts(1)]
    assert len(tracers) == 6
    assert chain.trace_block(0, make) == []
    with pytest.raises(UnknownTransaction):
        chain.trace(bytes(32), make)


def test_simulated_blocks_build_on_each_other(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    head = chain.head
    code = {SOMEBODY: AccountOverride(code=STORE_CALLER_INPUT, balance=10**18)}
    teller = {b"\x08" * 20: AccountOverride(code=BLOCK_HASH)}
    call = TransactionRequest(SOMEBODY, to=SOMEBODY, data=word(5))
    simulated = chain.simulate(
        [
            BlockOfCalls((call,), overrides=code),
            BlockOfCalls((TransactionRequest(to=b"\x08" * 20, data=word(1)),), BlockOverride(number=4), teller),
        ]
    )
    assert [one.block.number for one in simulated] == [1, 2, 3, 4]
    assert [one.block.header.timestamp for one in simulated] == [12, 24, 36, 48]
    assert simulated[1].block.header.parent_hash == simulated[0].block.hash
    assert simulated[0].calls[0].result.success
    assert len(simulated[0].calls[0].events) == 1
    assert simulated[3].calls[0].result.return_data == simulated[0].block.hash
    assert chain.head == head
    assert chain.account(SOMEBODY).is_empty


def test_simulated_transfers_look_like_those_of_a_token(chain: Chain) -> None:
    first, second = chain.accounts.addresses[:2]
    reverter = deploy(chain, REVERTER)
    calls = (TransactionRequest(first, to=second, value=3), TransactionRequest(first, to=reverter, value=4))
    (one,) = chain.simulate([BlockOfCalls(calls)], trace_transfers=True)
    (event,) = one.calls[0].events
    assert event.address == TRANSFER_ADDRESS
    assert event.topics[1:] == (int.from_bytes(first, "big"), int.from_bytes(second, "big"))
    assert event.data == word(3)
    assert not one.calls[1].result.success
    assert one.calls[1].events == ()
    (plain,) = chain.simulate([BlockOfCalls(calls)])
    assert plain.calls[0].events == ()


def test_a_simulation_may_be_held_to_the_rules(chain: Chain) -> None:
    first = chain.accounts.addresses[0]
    wrong = BlockOfCalls((TransactionRequest(first, to=SOMEBODY, nonce=7, gas_limit=21_000),))
    assert chain.simulate([wrong])[0].calls[0].result.success
    with pytest.raises(TransactionRefused) as caught:
        chain.simulate([wrong], validation=True)
    assert caught.value.refusal is Refusal.NONCE_TOO_HIGH
    for bad in (BlockOverride(number=0), BlockOverride(number=400), BlockOverride(timestamp=0)):
        with pytest.raises(InputError):
            chain.simulate([BlockOfCalls(block=bad)])
