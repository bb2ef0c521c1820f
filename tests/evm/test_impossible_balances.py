"""States that no chain can reach: together more than 2**256 wei. They must not break the machine."""

from __future__ import annotations

from vmloom import Account, BlockContext, MemoryState
from vmloom_evm import Evm, Transaction
from vmloom_evm.assembly import op, ret_top

ALL = 2**256 - 1
SENDER = bytes.fromhex("5e" * 20)
RICH = bytes.fromhex("41" * 20)
COINBASE = bytes.fromhex("c0" * 20)


def test_received_wei_wrap_as_words_do() -> None:
    state = MemoryState(
        {SENDER: Account(balance=10**18), RICH: Account(balance=ALL, code=bytes(ret_top(op("SELFBALANCE"))))}
    )
    tx = Transaction(to=RICH, value=2, gas_limit=100_000)
    result = Evm().apply_transaction(tx, BlockContext(), state, sender=SENDER)
    assert result.success
    assert int.from_bytes(result.return_data) == 1
    assert state.get_balance(RICH) == 1


def test_tip_of_a_rich_fee_recipient_wraps() -> None:
    state = MemoryState({SENDER: Account(balance=10**18), COINBASE: Account(balance=ALL)})
    tx = Transaction(to=RICH, gas_limit=21_000, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    Evm().apply_transaction(tx, BlockContext(coinbase=COINBASE), state, sender=SENDER)
    assert state.get_balance(COINBASE) == 20_999  # the first of the 21,000 wei wraps
