"""What the chain refuses, typed, so that whoever speaks to clients can say it in their words."""

from __future__ import annotations

from enum import StrEnum

from vmloom.errors import InputError, InvalidTransaction, VmloomError


class ChainError(VmloomError):
    """Base of what the chain raises by itself."""


class UnknownBlock(ChainError):
    """A block that the chain does not have."""


class UnknownTransaction(ChainError):
    """A transaction that is in no block."""


class StatePruned(ChainError):
    """A block whose state is not kept any more."""


class UnknownAccount(ChainError):
    """An account whose key the node does not have, and that it does not impersonate."""


class ReadOnlyChain(ChainError):
    """A chain that takes no transactions and makes no blocks, only those that are imported."""


class InvalidHeader(ChainError):
    """A header that cannot follow its parent. `field` names what is wrong."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field


class UnfitBlock(StrEnum):
    """Why a block cannot stand where it is in a simulation."""

    NUMBER = "NUMBER"
    """Its number is not greater than that of the block before it."""
    TIMESTAMP = "TIMESTAMP"
    """Its time is not later than that of the block before it."""
    TOO_FAR = "TOO_FAR"
    """It is more blocks after the first than can be simulated."""


class SimulationRefused(InputError):
    """Blocks that cannot be simulated one after the other."""

    def __init__(self, refusal: UnfitBlock, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal


class PoolRefusal(StrEnum):
    """Why the mempool does not take a transaction that might be valid by itself."""

    ALREADY_KNOWN = "ALREADY_KNOWN"
    REPLACEMENT_UNDERPRICED = "REPLACEMENT_UNDERPRICED"
    UNDERPRICED = "UNDERPRICED"
    """Below the least price that the node takes, or below that of all others in a full pool."""
    POOL_FULL = "POOL_FULL"
    TOO_MANY_OF_SENDER = "TOO_MANY_OF_SENDER"
    TOO_LARGE = "TOO_LARGE"
    NONCE_TOO_FAR = "NONCE_TOO_FAR"


class PoolRefused(InvalidTransaction):
    """A transaction that the mempool does not take."""

    def __init__(self, refusal: PoolRefusal, detail: str) -> None:
        super().__init__(f"{refusal.value}: {detail}")
        self.refusal = refusal
        self.reason = refusal.value


class CallFailed(ChainError):
    """A call or an estimate whose contract reverted or failed.

    `return_data` holds the output of a revert, `is_revert` says whether it was one, `error` why it failed.
    """

    def __init__(self, error: str, return_data: bytes, *, is_revert: bool) -> None:
        super().__init__(error)
        self.error = error
        self.return_data = return_data
        self.is_revert = is_revert
