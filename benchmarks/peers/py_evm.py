"""py-evm: `execute_bytecode` for calls, `apply_transaction` for blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from typing import Any

from eth.vm import forks
from eth.vm.spoof import SpoofTransaction
from py_evm_chain import py_evm_chain
from suite.work import (
    BASE_FEE,
    BLOCK_GAS_LIMIT,
    BLOCK_TIME,
    CALLER,
    COINBASE,
    REVISION,
    Block,
    Call,
    Work,
    World,
)

from .side import Outcome, Prepared, capped_refund, digest, log_digest

PRECOMPILES = range(1, 11)
"""Their addresses in Cancun."""


class PyEvmSide:
    """py-evm with the rules of `REVISION`."""

    name = "py-evm"

    def __init__(self) -> None:
        self.version = version("py-evm")
        self.chain: Any = py_evm_chain(getattr(forks, f"{REVISION.title()}VM"))

    def prepare(self, work: Work) -> Prepared:
        """Make the world of `work`; a call's is put back by a revert, a block's is made anew."""
        if isinstance(work, Block):
            return _prepare_block(work, partial(self._vm, work.world))
        vm = self._vm(work.world)
        state = vm.state
        snapshots: list[Any] = []

        def reset() -> None:
            if snapshots:
                state.revert(snapshots.pop())
            snapshots.append(state.snapshot())
            for address in (CALLER, work.to, COINBASE, *(n.to_bytes(20, "big") for n in PRECOMPILES)):
                state.mark_address_warm(address)  # as a transaction would have; a bare call does not

        reset()
        run = partial(
            vm.execute_bytecode, CALLER, 0, work.gas, work.to, CALLER, 0, work.input, work.world[work.to].code, work.to
        )
        return Prepared(run, reset, partial(_call_outcome, work))

    def _vm(self, world: World) -> Any:
        header = self.chain.get_vm().get_header()
        header = header.copy(
            gas_limit=BLOCK_GAS_LIMIT, timestamp=BLOCK_TIME, coinbase=COINBASE, base_fee_per_gas=BASE_FEE
        )
        vm = self.chain.get_vm(header)
        state = vm.state
        for address, preset in world.items():
            state.set_nonce(address, preset.nonce)
            state.set_balance(address, preset.balance)
            if preset.code:
                state.set_code(address, preset.code)
            for slot, word in preset.storage.items():
                state.set_storage(address, slot, word)
        state.lock_changes()
        return vm


def _call_outcome(work: Call, computation: Any) -> Outcome:
    gas = work.gas - computation.get_gas_remaining()
    refund = capped_refund(gas, computation.get_gas_refund(), work.input) if computation.is_success else 0
    return Outcome(computation.is_success, gas, refund, computation.output, _logs([computation]))


def _logs(computations: Iterable[Any]) -> bytes:
    return log_digest(log for one in computations for log in one.get_log_entries())


def _prepare_block(work: Block, make: Callable[[], Any]) -> Prepared:
    current: list[Any] = []
    sent: list[Any] = []

    def reset() -> None:
        current[:] = [make()]

    def run() -> list[Any]:
        apply, header = current[0].apply_transaction, current[0].get_header()
        return [apply(header, transaction) for transaction in sent]

    def outcome(results: list[Any]) -> Outcome:
        state = current[0].state
        found = [state.get_balance(at) if slot is None else state.get_storage(at, slot) for at, slot in work.probes]
        gas = sum(receipt.gas_used for receipt, _ in results)
        computations = [one for _, one in results]
        success = all(one.is_success for one in computations)
        return Outcome(success, gas, 0, digest(found), _logs(computations))

    reset()
    signed = current[0].create_transaction(nonce=0, gas_price=0, gas=0, to=CALLER, value=0, data=b"", v=37, r=1, s=1)
    for sender, tx in work.transactions:
        unsigned = current[0].create_unsigned_transaction(
            nonce=tx.nonce, gas_price=tx.max_fee_per_gas, gas=tx.gas_limit, to=tx.to, value=tx.value, data=tx.data
        )
        # Known senders spare py-evm the recovery; receipts, which do not depend on the signature, need a signed one.
        sent.append(SpoofTransaction(unsigned, from_=sender, make_receipt=signed.make_receipt))
    return Prepared(run, reset, outcome)
