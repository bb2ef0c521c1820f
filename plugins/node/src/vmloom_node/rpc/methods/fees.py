"""`eth_*` on fees and on the chain as a whole."""

from __future__ import annotations

from vmloom.errors import InputError

from ..arguments import BlockNumber
from ..encoding import Json, hexed
from ..limits import MAX_PERCENTILES
from ..parameters import Percentile, ShortNumber
from ..session import Session
from ..shortness import always
from ..table import method


@method("eth_chainId", is_short=always)
def chain_id(session: Session) -> str:
    """The chain id that transactions are signed for. EIP-155"""
    return hex(session.chain.chain_id)


@method("eth_protocolVersion", is_short=always)
def protocol_version(_: Session) -> str:
    """Version of the wire protocol, which this node does not speak: that of which geth's RPC is the same."""
    return "0x44"


@method("eth_syncing", is_short=always)
def syncing(_: Session) -> bool:
    """False: the node makes or imports its blocks itself."""
    return False


@method("eth_mining", is_short=always)
def mining(session: Session) -> bool:
    """Whether blocks are made without being asked for."""
    return session.chain.mining != "manual"


@method("eth_hashrate", is_short=always)
def hashrate(_: Session) -> str:
    """Zero: blocks need no work."""
    return "0x0"


@method("eth_coinbase", is_short=always)
def coinbase(session: Session) -> str:
    """Who gets the tips of the next block."""
    return hexed(session.chain.coinbase)


@method("eth_gasPrice", is_short=always)
def gas_price(session: Session) -> str:
    """wei per gas that a transaction of one price should offer."""
    return hex(session.chain.gas_price())


@method("eth_maxPriorityFeePerGas", is_short=always)
def max_priority_fee(session: Session) -> str:
    """wei per gas that a transaction should offer the fee recipient. EIP-1559"""
    return hex(session.chain.suggested_tip())


@method("eth_blobBaseFee", is_short=always)
def blob_base_fee(session: Session) -> str:
    """wei per blob gas in the next block. EIP-4844"""
    return hex(session.chain.blob_base_fee())


@method("eth_feeHistory")
def fee_history(
    session: Session, count: ShortNumber, newest: BlockNumber, percentiles: list[Percentile] | None = None
) -> Json:
    """Fees of `count` blocks up to `newest`, and the tips at `percentiles` of their gas."""
    if percentiles is not None and len(percentiles) > MAX_PERCENTILES:
        raise InputError(f"over the query limit {MAX_PERCENTILES} of reward percentiles: {len(percentiles)}")
    if not count:
        return {"oldestBlock": "0x0", "gasUsedRatio": None}
    history = session.chain.fee_history(count, newest, percentiles)
    fields: Json = {
        "oldestBlock": hex(history.oldest),
        "baseFeePerGas": [hex(fee) for fee in history.base_fees],
        "gasUsedRatio": list(history.gas_used_ratios),
        "baseFeePerBlobGas": [hex(fee) for fee in history.blob_base_fees],
        "blobGasUsedRatio": list(history.blob_gas_used_ratios),
    }
    if history.rewards is not None:
        fields["reward"] = [[hex(tip) for tip in tips] for tips in history.rewards]
    return fields
