"""vmloom through its public API: `Evm.execute` for calls, whole transactions for blocks."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

from suite.work import (
    BASE_FEE,
    BLOCK_GAS_LIMIT,
    BLOCK_NUMBER,
    BLOCK_TIME,
    CALLER,
    COINBASE,
    REVISION,
    Block,
    Call,
    Work,
    World,
)
from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom_evm import Evm, EvmConfig

from .side import Outcome, Prepared, capped_refund, digest, log_digest

FREE = BlockContext(number=BLOCK_NUMBER, timestamp=BLOCK_TIME, coinbase=COINBASE, gas_limit=BLOCK_GAS_LIMIT)
PAID = BlockContext(
    number=BLOCK_NUMBER, timestamp=BLOCK_TIME, coinbase=COINBASE, gas_limit=BLOCK_GAS_LIMIT, base_fee=BASE_FEE
)


class VmloomSide:
    """An engine of vmloom: `auto`, `native` or `reference`."""

    def __init__(self, engine: str) -> None:
        self.name = "vmloom"
        self.vm = Evm(EvmConfig.model_validate({"revision": REVISION, "engine": engine}))
        self.version = f"{version('vmloom-evm')} ({self.vm.engine})"
        self.state_class = _state_class(self.vm.engine)

    def prepare(self, work: Work) -> Prepared:
        """Make the world of `work` in one state, which a revert puts back."""
        state = self._state(work.world)
        checkpoint = state.snapshot()
        reset = partial(state.revert, checkpoint)
        if isinstance(work, Block):
            return Prepared(self._block(work, state), reset, partial(_block_outcome, work, state))
        code = work.world[work.to].code
        if work.fresh:
            return Prepared(lambda: self.vm.execute(code, _context(work), state), reset, partial(_call_outcome, work))
        return Prepared(partial(self.vm.execute, code, _context(work), state), reset, partial(_call_outcome, work))

    def _state(self, world: World) -> StateAccess:
        accounts = {at: Account(one.nonce, one.balance, one.code) for at, one in world.items()}
        state: StateAccess = self.state_class(accounts)
        for at, one in world.items():
            for slot, word in one.storage.items():
                state.set_storage(at, slot, word)
        state.commit()
        return state

    def _block(self, work: Block, state: StateAccess) -> Any:
        transactions = [tx for _, tx in work.transactions]
        senders = [sender for sender, _ in work.transactions]
        return partial(self.vm.apply_transactions, transactions, PAID, state, senders=senders)


def _state_class(engine: str) -> Any:
    """The native engine has a state of its own, which is faster for it than `MemoryState`."""
    return importlib.import_module("vmloom_evm.native.state").NativeState if engine == "native" else MemoryState


def _context(work: Call) -> ExecutionContext:
    return ExecutionContext(
        caller=CALLER, address=work.to, origin=CALLER, input=work.input, gas_limit=work.gas, block=FREE
    )


def _call_outcome(work: Call, result: ExecutionResult) -> Outcome:
    refund = capped_refund(result.gas_used, result.gas_refunded, work.input) if result.success else 0
    return Outcome(result.success, result.gas_used, refund, result.return_data, _logs([result]))


def _block_outcome(work: Block, state: StateAccess, results: list[Any]) -> Outcome:
    found = [state.get_balance(at) if slot is None else state.get_storage(at, slot) for at, slot in work.probes]
    gas = sum(result.gas_used for result in results)
    return Outcome(all(result.success for result in results), gas, 0, digest(found), _logs(results))


def _logs(results: Iterable[Any]) -> bytes:
    return log_digest((one.address, one.topics, one.data) for result in results for one in result.events)
