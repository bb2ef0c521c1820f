"""`eth_*` that run a transaction and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from vmloom_evm.transaction.types import Refusal, TransactionRefused

from ...chain.block import Block, Log
from ...chain.calls import NO_OVERRIDE, failure_of, output_of
from ...chain.errors import SimulationRefused, UnfitBlock
from ...chain.simulation import SimulatedBlock, SimulatedCall
from ..arguments import BlockArgument, BlockChanges, Call, Overrides, SimulationPayload
from ..encoding import Json, access_list_json, block_json, hexed, log_json
from ..errors import refusal_text, told
from ..protocol import Code, RpcError
from ..session import Session
from ..table import method

SIMULATION_CODES: Final[Mapping[Refusal | UnfitBlock, int]] = {
    Refusal.NONCE_TOO_LOW: -38010,
    Refusal.NONCE_TOO_HIGH: -38011,
    Refusal.FEE_BELOW_BASE_FEE: -38012,
    Refusal.INTRINSIC_GAS_TOO_LOW: -38013,
    Refusal.FLOOR_GAS_TOO_LOW: -38013,
    Refusal.INSUFFICIENT_FUNDS: -38014,
    Refusal.BLOCK_GAS_EXCEEDED: -38015,
    UnfitBlock.NUMBER: -38020,
    UnfitBlock.TIMESTAMP: -38021,
    Refusal.SENDER_NOT_EOA: -38024,
    Refusal.INITCODE_TOO_LARGE: -38025,
    UnfitBlock.TOO_FAR: -38026,
}
"""What eth_simulateV1 answers where a block or a call may not run at all; from its specification."""
VM_ERROR: Final = -32015
"""What it answers for a call that failed otherwise than by a revert."""


@method("eth_call")
def call(
    session: Session,
    transaction: Call,
    block: BlockArgument = "latest",
    overrides: Overrides | None = None,
    block_overrides: BlockChanges | None = None,
) -> str:
    """What a transaction would return. A revert is an error with code 3 and the output as data."""
    result = session.chain.call(transaction, block, overrides=overrides, block=block_overrides or NO_OVERRIDE)
    if not result.success:
        raise failure_of(result)
    return hexed(output_of(result))


@method("eth_estimateGas")
def estimate_gas(
    session: Session,
    transaction: Call,
    block: BlockArgument = "latest",
    overrides: Overrides | None = None,
    block_overrides: BlockChanges | None = None,
) -> str:
    """The least gas limit with which a transaction succeeds. A revert is an error, as with eth_call."""
    changes = block_overrides or NO_OVERRIDE
    return hex(session.chain.estimate(transaction, block, overrides=overrides, block=changes))


@method("eth_createAccessList")
def create_access_list(
    session: Session, transaction: Call, block: BlockArgument = "latest", overrides: Overrides | None = None
) -> Json:
    """The access list that a transaction would use, and the gas that it needs with it. EIP-2930"""
    entries, result = session.chain.access_list(transaction, block, overrides=overrides)
    fields: Json = {"accessList": access_list_json(entries), "gasUsed": hex(result.gas_used)}
    if not result.success:
        fields["error"] = str(failure_of(result))
    return fields


@method("eth_simulateV1")
def simulate(session: Session, simulation: SimulationPayload, block: BlockArgument = "latest") -> list[Json]:
    """Calls in made-up blocks after a block, one on what the other has left, with overrides before each block.

    `validation` has them checked and paid for like transactions; `traceTransfers` adds logs for transfers of ether.
    """
    try:
        blocks = session.chain.simulate(
            simulation.blocks,
            block,
            trace_transfers=simulation.trace_transfers,
            validation=simulation.validation,
        )
    except TransactionRefused as error:
        code = SIMULATION_CODES.get(error.refusal, Code.SERVER_ERROR)
        raise RpcError(code, refusal_text(error)) from error
    except SimulationRefused as error:
        raise RpcError(SIMULATION_CODES[error.refusal], str(error)) from error
    return [_simulated_json(one, full=simulation.full) for one in blocks]


def _simulated_json(simulated: SimulatedBlock, *, full: bool) -> Json:
    block = replace(simulated.block, is_pending=False)
    logs = _simulated_logs(block, simulated)
    calls = [_simulated_call_json(call, logs) for call in simulated.calls]
    return {**block_json(block, full=full), "calls": calls}


def _simulated_call_json(call: SimulatedCall, logs: Iterator[Log]) -> Json:
    """A call's outcome; its logs are the next ones of the block's."""
    result = call.result
    fields: Json = {
        "status": hex(result.success),
        "returnData": hexed(output_of(result)),
        "gasUsed": hex(result.gas_used),
        "maxUsedGas": hex(result.max_gas_used),
        "logs": [log_json(next(logs)) for _ in call.events],
    }
    if not result.success:
        error = told(failure_of(result))
        is_revert = error.code == Code.REVERTED
        fields["error"] = (error if is_revert else RpcError(VM_ERROR, error.message)).to_dict()
    return fields


def _simulated_logs(block: Block, simulated: SimulatedBlock) -> Iterator[Log]:
    number = 0
    for index, call in enumerate(simulated.calls):
        for event in call.events:
            yield Log(event, block.hash, block.number, block.header.timestamp, block.hashes[index], index, number)
            number += 1
