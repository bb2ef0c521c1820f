"""revm 8 through pyrevm: `message_call` for all.

What its API asks for, or else the comparison is not fair (or not equal in gas):

* Code must be analysed beforehand, as it is when it was deployed. So each contract is deployed to an EVM of its own,
  whose account then goes into the world: `insert_account_info` of bare code would analyse it at every call.
* An EVM is one transaction without end: warm accounts and slots stay. A snapshot is taken before a run and reverted
  afterwards, also where the world is made: a slot that is inserted into a loaded account would count as written.
* `message_call` knows no nonces, fees or receipts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import pyrevm as library
from suite.work import BLOCK_GAS_LIMIT, BLOCK_NUMBER, BLOCK_TIME, CALLER, COINBASE, REVISION, Block, Call, Work, World
from vmloom_evm.assembly import deployer

from .side import Log, Outcome, Prepared, digest, intrinsic_gas, log_digest

pyrevm: Any = library  # its stubs are incomplete


class PyrevmSide:
    """pyrevm with the rules of `REVISION`."""

    name = "pyrevm"

    def __init__(self) -> None:
        self.version = version("pyrevm")

    def prepare(self, work: Work) -> Prepared:
        """Make the world of `work`; each run is followed by a revert and another snapshot."""
        evm = evm_of(work.world)
        checkpoints = [evm.snapshot()]

        def reset() -> None:
            evm.revert(checkpoints.pop())
            checkpoints.append(evm.snapshot())

        if isinstance(work, Call):
            call = partial(evm.message_call, as_hex(CALLER), as_hex(work.to), work.input, None, work.gas)
            return Prepared(call, reset, partial(_call_outcome, work, evm))
        run = _block(work, evm)
        return Prepared(run, reset, partial(_block_outcome, work, evm, reset))


def as_hex(address: bytes) -> str:
    """As pyrevm takes an address."""
    return "0x" + address.hex()


def evm_of(world: World) -> Any:
    """An EVM that has `world`."""
    block = pyrevm.BlockEnv(
        number=BLOCK_NUMBER, timestamp=BLOCK_TIME, coinbase=as_hex(COINBASE), gas_limit=BLOCK_GAS_LIMIT, basefee=0
    )
    evm = pyrevm.EVM(pyrevm.Env(block=block), spec_id=REVISION.upper())
    for address, preset in world.items():
        if preset.code:
            assert (preset.nonce, preset.balance) == (1, 0), "what a contract has that was just deployed"
            evm.insert_account_info(as_hex(address), _analysed(preset.code))
        else:
            evm.insert_account_info(as_hex(address), pyrevm.AccountInfo(balance=preset.balance, nonce=preset.nonce))
        for slot, word in preset.storage.items():
            checkpoint = evm.snapshot()
            evm.insert_account_storage(as_hex(address), slot, word)
            evm.revert(checkpoint)
    return evm


@cache
def _analysed(code: bytes) -> Any:
    """An account with `code` that need not be analysed any more."""
    evm = pyrevm.EVM(spec_id=REVISION.upper())
    return evm.basic(evm.deploy(as_hex(CALLER), bytes(deployer(code))))


def _block(work: Block, evm: Any) -> Callable[[], None]:
    calls = [
        (as_hex(sender), as_hex(tx.to or b""), tx.data, tx.value, tx.gas_limit) for sender, tx in work.transactions
    ]
    message_call = evm.message_call

    def run() -> None:
        for call in calls:
            message_call(*call)

    return run


def _call_outcome(work: Call, evm: Any, output: bytes) -> Outcome:
    result = evm.result
    spent = result.gas_used + result.gas_refunded
    gas = spent - intrinsic_gas(work.input)
    return Outcome(result.is_success, gas, result.gas_refunded, output, log_digest(map(_log, result.logs)))


def _block_outcome(work: Block, evm: Any, reset: Callable[[], None], _: None) -> Outcome:
    """The block once more, this time asking for each result: timed runs do not, for it takes time."""
    reset()
    gas, success = 0, True
    logs: list[Log] = []
    for sender, tx in work.transactions:
        evm.message_call(as_hex(sender), as_hex(tx.to or b""), tx.data, tx.value, tx.gas_limit)
        gas += evm.result.gas_used
        success &= evm.result.is_success
        logs += map(_log, evm.result.logs)
    found = [evm.get_balance(as_hex(at)) if slot is None else evm.storage(as_hex(at), slot) for at, slot in work.probes]
    return Outcome(success, gas, 0, digest(found), log_digest(logs))


def _log(log: Any) -> Log:
    topics, data = log.data
    return bytes.fromhex(log.address[2:]), [int.from_bytes(topic, "big") for topic in topics], data
