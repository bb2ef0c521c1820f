"""Calls of other contracts, of whichever VM, and creation of new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from vmloom import ExecutionContext, ExecutionResult, ExecutionState
from vmloom.calls import call_contract, create_contract

from ..abi import offered
from ..engine.signals import restore_handlers
from ..run import Run

STATUSES: Final = {ExecutionState.SUCCESS: 0, ExecutionState.REVERTED: 1, ExecutionState.FAILED: 2}
"""What contracts are told of how a call ended."""
ADDRESS: Final = 20


@offered("Iiiii:i")
def call(run: Run, gas: int, account: int, value: int, data: int, size: int) -> int:
    """Call a contract with at most `gas`, with the wei that `value` points at, none if it is 0. Returns the status."""
    amount = run.read_word(value) if value else 0
    if amount:
        run.must_not_be_static("call with value")
    target = run.read(account, ADDRESS)
    callee = _callee(run.context, caller=run.address, address=target, value=amount)
    return _call(run, gas, target, callee, data, size)


@offered("Iiii:i")
def call_static(run: Run, gas: int, account: int, data: int, size: int) -> int:
    """Call a contract that, like all that it calls, may change nothing. EIP-214."""
    target = run.read(account, ADDRESS)
    callee = _callee(run.context, caller=run.address, address=target, value=0, is_static=True)
    return _call(run, gas, target, callee, data, size)


@offered("Iiii:i")
def call_delegate(run: Run, gas: int, account: int, data: int, size: int) -> int:
    """Run a contract's code on this one's storage, for this one's caller. EIP-7."""
    target = run.read(account, ADDRESS)
    callee = _callee(run.context, code_address=target)
    return _call(run, gas, target, callee, data, size)


@offered("iiiiii:i")
def create(run: Run, value: int, code: int, code_size: int, data: int, size: int, address: int) -> int:
    """Create a contract from `code`, of whichever VM it is, with `data` for its constructor. Writes its address."""
    return _create(run, value, code, code_size, data, size, None, address)


@offered("iiiiiii:i")
def create2(run: Run, value: int, code: int, code_size: int, data: int, size: int, salt: int, address: int) -> int:
    """`create` at an address that `salt`, a word, code and data determine. EIP-1014."""
    return _create(run, value, code, code_size, data, size, run.read_word(salt), address)


def _callee(context: ExecutionContext, **fields: Any) -> ExecutionContext:
    """The call that is made from `context`, which differs in `fields`."""
    return replace(context, depth=context.depth + 1, **{"code_address": None, **fields})


def _call(run: Run, gas: int, target: bytes, callee: ExecutionContext, data: int, size: int) -> int:
    """Pay for the access and the value, pass on all but one 64th at most (EIP-150), and run."""
    prices, transfers = run.prices, callee.code_address is None and callee.value > 0
    cost = prices.host_call + prices.call + (prices.cold_account if run.touch_account(target) else prices.warm_account)
    if transfers:
        cost += prices.call_value + (prices.new_account if run.state.is_empty(target) else 0)
    run.charge(cost)
    run.charge_copy(size)
    given = run.set_aside(gas)
    limit = given + (prices.call_stipend if transfers else 0)
    callee = replace(callee, input=run.read(data, size), gas_limit=limit)
    result = call_contract(
        run.host, run.state, callee, code_address=callee.code_address, transfer=callee.code_address is None
    )
    return _finish(run, result, limit)


def _create(
    run: Run, value: int, code: int, code_size: int, data: int, size: int, salt: int | None, address: int
) -> int:
    run.must_not_be_static("create")
    prices = run.prices
    words = run.words(code_size + size)
    hashing = prices.keccak256_word * words if salt is not None else 0
    run.charge(prices.host_call + prices.create + prices.init_code_word * words + hashing)
    run.charge_copy(code_size + size)
    amount = run.read_word(value) if value else 0
    content, argument = run.read(code, code_size), run.read(data, size)
    limit = run.set_aside(run.gas_left)
    context = _callee(run.context, caller=run.address, value=amount, input=argument, gas_limit=limit)
    result, created = create_contract(run.host, run.state, context, content, salt=salt)
    status = _finish(run, result, limit)
    if result.success:
        run.return_data = b""
    run.write(address, created if result.success else bytes(ADDRESS))
    return status


def _finish(run: Run, result: ExecutionResult, limit: int) -> int:
    """Take back what is left of the gas, and keep what was returned. Returns the status."""
    restore_handlers()  # the callee may have imported whatever
    run.give_back(limit - result.gas_used)
    run.refund += result.gas_refunded
    run.return_data = result.return_data
    return STATUSES[result.state]
