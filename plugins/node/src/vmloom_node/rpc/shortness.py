"""Which calls are short: they take less time than handing them to a thread, whatever the client says in them.

That takes several times what they do, so the thread of all clients makes them itself. Each function is the `is_short`
of methods: it is given the parameters as they came, and looks at no more of them than it has to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmloom.errors import VmloomError

from .arguments import read_block
from .parameters import sized_data
from .table import IsShort

if TYPE_CHECKING:
    from .session import Session

_read_hash = sized_data(32, "a hash")


def always(_: Session, __: list[Any]) -> bool:
    """Of methods that only tell what is in memory."""
    return True


def in_memory(session: Session, _: list[Any]) -> bool:
    """Of methods that read a little of the store."""
    return session.chain.is_in_memory


def state_after(position: int) -> IsShort:
    """Of methods that read a little of the state after the block that the parameter at `position` names.

    What waits is run for the state of the pending block.
    """

    def is_short(session: Session, params: list[Any]) -> bool:
        block = params[position] if position < len(params) else None
        is_made = block is None or (isinstance(block, str) and block != "pending") or not len(session.chain.pool)
        return is_made and session.chain.is_in_memory

    return is_short


def of_block(session: Session, params: list[Any]) -> bool:
    """Of methods that tell of the block that the first parameter names."""
    try:
        return session.chain.is_at_hand(read_block(params[0], ""))
    except (VmloomError, IndexError):
        return False


def of_transaction(session: Session, params: list[Any]) -> bool:
    """Of methods that tell of the transaction whose hash the first parameter is."""
    try:
        return session.chain.is_transaction_at_hand(_read_hash(params[0], ""))
    except (VmloomError, IndexError):
        return False
