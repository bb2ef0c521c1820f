"""What the chain raises, as clients are told: geth's codes and words, since libraries look for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmloom.errors import GasEstimationError, InputError, VmloomError
from vmloom_evm.trace.calltree import revert_reason
from vmloom_evm.transaction.types import Refusal, TransactionRefused

from ..chain.errors import (
    CallFailed,
    PoolRefusal,
    PoolRefused,
    ReadOnlyChain,
    StatePruned,
    UnknownAccount,
    UnknownBlock,
    UnknownTransaction,
)
from .encoding import hexed
from .protocol import Code, RpcError

REFUSALS: Final[Mapping[Refusal | PoolRefusal, str]] = {
    Refusal.TYPE_NOT_SUPPORTED: "transaction type not supported",
    Refusal.MALFORMED: "invalid transaction encoding",
    Refusal.FIELD_OVERFLOW: "invalid transaction: number out of range",
    Refusal.INVALID_CHAIN_ID: "invalid chain id for signer",
    Refusal.INVALID_SIGNATURE: "invalid sender",
    Refusal.INTRINSIC_GAS_TOO_LOW: "intrinsic gas too low",
    Refusal.FLOOR_GAS_TOO_LOW: "insufficient gas for floor data gas cost",
    Refusal.GAS_LIMIT_OVER_CAP: "transaction gas limit too high",
    Refusal.BLOCK_GAS_EXCEEDED: "exceeds block gas limit",
    Refusal.NONCE_IS_MAX: "nonce has max value",
    Refusal.NONCE_TOO_LOW: "nonce too low",
    Refusal.NONCE_TOO_HIGH: "nonce too high",
    Refusal.SENDER_NOT_EOA: "sender not an eoa",
    Refusal.INSUFFICIENT_FUNDS: "insufficient funds for gas * price + value",
    Refusal.FEE_BELOW_BASE_FEE: "max fee per gas less than block base fee",
    Refusal.PRIORITY_OVER_MAX_FEE: "max priority fee per gas higher than max fee per gas",
    Refusal.PRICE_PRODUCT_OVERFLOW: "insufficient funds for gas * price + value",
    Refusal.INITCODE_TOO_LARGE: "max initcode size exceeded",
    Refusal.BLOB_CREATE: "blob transaction of type create",
    Refusal.NO_BLOBS: "blob transaction missing blob hashes",
    Refusal.TOO_MANY_BLOBS: "too many blobs in transaction",
    Refusal.BLOB_ALLOWANCE_EXCEEDED: "exceeds block blob gas limit",
    Refusal.BLOB_VERSION: "blob transaction has a blob hash of an invalid version",
    Refusal.BLOB_FEE_TOO_LOW: "max fee per blob gas less than block blob gas fee",
    Refusal.SET_CODE_CREATE: "EIP-7702 transaction cannot be used to create contract",
    Refusal.NO_AUTHORIZATIONS: "EIP-7702 transaction with empty auth list",
    Refusal.INVALID_AUTHORIZATION: "EIP-7702 authorization is invalid",
    Refusal.INVALID_AUTHORITY_SIGNATURE: "EIP-7702 authorization has an invalid signature",
    PoolRefusal.ALREADY_KNOWN: "already known",
    PoolRefusal.REPLACEMENT_UNDERPRICED: "replacement transaction underpriced",
    PoolRefusal.UNDERPRICED: "transaction underpriced",
    PoolRefusal.POOL_FULL: "txpool is full",
    PoolRefusal.TOO_MANY_OF_SENDER: "account limit exceeded",
    PoolRefusal.TOO_LARGE: "oversized data",
    PoolRefusal.NONCE_TOO_FAR: "nonce too high",
}
"""What geth says where a transaction is refused; viem and ethers find their error classes by these words."""


def told(error: VmloomError) -> RpcError:
    """The error that a client is told for what a method raised."""
    match error:
        case RpcError():
            return error
        case CallFailed():
            return reverted(error.return_data) if error.is_revert else RpcError(Code.SERVER_ERROR, error.error)
        case GasEstimationError() if error.return_data:
            return reverted(error.return_data)
        case TransactionRefused() | PoolRefused():
            return RpcError(Code.SERVER_ERROR, refusal_text(error))
        case InputError():
            return RpcError(Code.INVALID_PARAMS, f"invalid argument: {error}")
        case UnknownBlock():
            return RpcError(Code.SERVER_ERROR, "header not found")
        case UnknownTransaction():
            return RpcError(Code.SERVER_ERROR, "transaction not found")
        case UnknownAccount():
            return RpcError(Code.SERVER_ERROR, f"unknown account: {error}")
        case StatePruned():
            return RpcError(Code.HISTORY_PRUNED, f"historical state is not available: {error}")
        case ReadOnlyChain():
            return RpcError(Code.UNSUPPORTED, str(error))
    return RpcError(Code.SERVER_ERROR, str(error))


def refusal_text(error: TransactionRefused | PoolRefused) -> str:
    """geth's words for the refusal, and then the particulars."""
    detail = str(error).removeprefix(f"{error.refusal.value}: ")
    words = REFUSALS[error.refusal]
    return f"{words}: {detail}" if detail else words


def reverted(output: bytes) -> RpcError:
    """A revert, with its reason if it tells one as solidity does, and its output as data."""
    reason = revert_reason(output)
    return RpcError(Code.REVERTED, f"execution reverted: {reason}" if reason else "execution reverted", hexed(output))
