"""`anvil_*` that take blocks back and put others in their place; filters and subscriptions hear of both."""

from __future__ import annotations

from vmloom.errors import InputError

from ..arguments import PlannedTransaction
from ..limits import MAX_TOLD_BLOCKS
from ..parameters import ShortNumber
from ..session import Session
from ..table import method


@method("anvil_rollback")
def rollback(session: Session, depth: ShortNumber = 1) -> None:
    """Take the last blocks back, with their transactions; what waits in the mempool goes on to."""
    session.chain.rollback(depth)


@method("anvil_reorg")
def reorg(session: Session, depth: ShortNumber, transactions: list[PlannedTransaction] | None = None) -> None:
    """Put as many other blocks in place of the last ones, empty but for `transactions`.

    Each of these, an object or signed data, comes with the position of its block among the new ones, from 0 on. One
    that may not run is an error, and then nothing changes; one for which the block has no gas left is left out. What
    was in the former blocks is gone, what waits in the mempool goes on to.
    """
    if depth > MAX_TOLD_BLOCKS:
        raise InputError(f"depth: {depth} blocks at once, the limit is {MAX_TOLD_BLOCKS}")
    session.chain.reorg(depth, transactions or ())
