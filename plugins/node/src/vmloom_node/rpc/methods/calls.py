"""`eth_*` that run a transaction and leave nothing behind."""

from __future__ import annotations

from ...chain.calls import NO_OVERRIDE, failure_of
from ..arguments import BlockArgument, BlockChanges, Call, Overrides
from ..encoding import Json, access_list_json, hexed
from ..session import Session
from ..table import method


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
    return hexed(result.return_data)


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
