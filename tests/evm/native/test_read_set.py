"""What a run has looked at, as schedulers of parallel runs want to know it."""

from __future__ import annotations

import pytest
from vmloom import Account, BlockContext, ExecutionContext, MemoryState
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import Bytecode, balance, call, pop, revert, sload, sstore
from vmloom_evm.native.state import NativeState
from vmloom_evm.transaction.types import Transaction

HERE = bytes.fromhex("c0de" * 10)
OTHER = bytes.fromhex("07" * 20)
SEEN = bytes.fromhex("5e" * 20)
UNSEEN = bytes.fromhex("0f" * 20)
SENDER = bytes.fromhex("ee" * 20)
COINBASE = bytes.fromhex("fe" * 20)
BLOCK = BlockContext(number=1, gas_limit=10**8, coinbase=COINBASE)


def world(code: Bytecode, other: Bytecode) -> dict[bytes, Account]:
    accounts = {HERE: Account(1, 0, bytes(code)), OTHER: Account(1, 0, bytes(other))}
    return accounts | {UNSEEN: Account(1, 5), SENDER: Account(0, 10**20)}


@pytest.fixture(params=["known", "behind"])
def state(request: pytest.FixtureRequest) -> NativeState:
    accounts = world(pop(sload(1)) + pop(call(OTHER)) + sstore(2, 3), pop(balance(SEEN)) + pop(sload(9)) + revert(0, 0))
    return NativeState(accounts) if request.param == "known" else NativeState(source=MemoryState(accounts))


def test_reads_of_a_call_are_known_also_where_they_were_undone(state: NativeState) -> None:
    vm = Evm(EvmConfig(revision="cancun", engine="native"))
    for _ in range(2):  # rows that a former run has met count again
        result = vm.execute(b"", ExecutionContext(address=UNSEEN, caller=SENDER), state)
        assert OTHER not in state.read_set().accounts
        code = state.get_account(HERE).code  # type: ignore[union-attr]
        result = vm.execute(code, ExecutionContext(address=HERE, caller=SENDER, origin=SENDER, block=BLOCK), state)
        assert result.success
        state.get_balance(UNSEEN)  # Python's own looks are nothing of the run's
        state.get_storage(HERE, 77)
        reads = state.read_set()
        assert {HERE, OTHER, SEEN, SENDER} <= reads.accounts
        assert UNSEEN not in reads.accounts
        assert reads.slots == {(HERE, 1), (HERE, 2), (OTHER, 9)}


def test_reads_of_a_batch_are_those_of_all_its_transactions(state: NativeState) -> None:
    vm = Evm(EvmConfig(revision="cancun", engine="native"))
    calls = [Transaction(to=to, nonce=nonce, gas_limit=10**6) for nonce, to in enumerate((HERE, OTHER))]
    refused = Transaction(to=UNSEEN, nonce=7, gas_limit=10**6)
    vm.apply_transactions([*calls, refused], BLOCK, state, senders=[SENDER] * 3)
    reads = state.read_set()
    assert {HERE, OTHER, SEEN, SENDER, COINBASE} <= reads.accounts
    assert UNSEEN not in reads.accounts
    assert reads.slots == {(HERE, 1), (HERE, 2), (OTHER, 9)}


def test_nothing_was_read_before_anything_ran() -> None:
    reads = NativeState(world(Bytecode(), Bytecode())).read_set()
    assert (reads.accounts, reads.slots) == (frozenset(), frozenset())
