"""vmloom through its public API: `Evm.execute` for calls, whole transactions for blocks."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Mapping
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
from vmloom_evm.jit.statistics import JitStatistics

from .side import Outcome, Prepared, capped_refund, digest, log_digest

FREE = BlockContext(number=BLOCK_NUMBER, timestamp=BLOCK_TIME, coinbase=COINBASE, gas_limit=BLOCK_GAS_LIMIT)
PAID = BlockContext(
    number=BLOCK_NUMBER, timestamp=BLOCK_TIME, coinbase=COINBASE, gas_limit=BLOCK_GAS_LIMIT, base_fee=BASE_FEE
)


SETTLED = 1_200_000_000
"""ns of runs without a contract that is newly compiled, after which there will be none."""
LOOK = 10_000_000
"""ns from one look at what was compiled to the next."""


class VmloomSide:
    """An engine of vmloom. Machine code of contracts is not kept on the disk, so that it is told what it costs."""

    def __init__(self, name: str, engine: str) -> None:
        self.name = name
        config = {"revision": REVISION, "engine": engine, "jit": {"disk_cache": False}}
        self.vm = Evm(EvmConfig.model_validate(config))
        self.version = f"{version('vmloom-evm')} ({self.vm.engine})"
        self.state_class = _state_class(self.vm.engine)
        self._told = JitStatistics()
        """What the compiler had done when its figures were last told."""

    def prepare(self, work: Work) -> Prepared:
        """Make the world of `work` in one state, which a revert puts back."""
        state = self._state(work.world)
        checkpoint = state.snapshot()
        reset = partial(state.revert, checkpoint)
        if isinstance(work, Block):
            run = self._block(work, state)
            return Prepared(run, reset, partial(_block_outcome, work, state), partial(self._settle, run, reset))
        if work.fresh:
            code = work.world[work.to].code
            run = lambda: self.vm.execute(code, _context(work), state)  # noqa: E731 -- the context is made each time
        else:
            run = partial(self.vm.execute, work.world[work.to].code, _context(work), state)
        return Prepared(run, reset, partial(_call_outcome, work), partial(self._settle, run, reset))

    def _settle(self, run: Callable[[], Any], reset: Callable[[], object], budget: int) -> Mapping[str, float]:
        """Run until all contracts are compiled that will be.

        Figures are those of `JitStatistics` since they were last told; there are none without a compiler.
        """
        if self.vm.jit_statistics() is None:
            return {}
        last, begun = self._compiled(), time.thread_time_ns()
        changed = looked = begun
        while looked - changed < SETTLED and looked - begun < budget:
            while time.thread_time_ns() - looked < LOOK:
                run()
                reset()
            looked = time.thread_time_ns()
            now = self._compiled()
            if (now.compiles, now.promotions) != (last.compiles, last.promotions):
                last, changed = now, looked
        names = ("compiles", "seconds", "code_bytes", "machine_code_bytes")
        before, self._told = self._told, last
        return {name: getattr(last, name) - getattr(before, name) for name in names}

    def _compiled(self) -> JitStatistics:
        """The statistics, once nothing waits for the compiler."""
        while True:
            now = self.vm.jit_statistics()
            assert now is not None
            if not now.pending:
                return now
            time.sleep(0.001)

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
    """Native engines have a state of their own, which is faster for them than `MemoryState`."""
    return MemoryState if engine == "reference" else importlib.import_module("vmloom_evm.native.state").NativeState


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
