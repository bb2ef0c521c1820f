"""`anvil_*` that set what ERC-20 tokens tell of accounts."""

from __future__ import annotations

from ...chain.tokens import ALLOWANCE, BALANCE_OF, set_told
from ..parameters import Address, Number
from ..session import Session
from ..table import method


@method("anvil_dealERC20", "hardhat_dealERC20", "anvil_setERC20Balance")
def deal(session: Session, address: Address, token: Address, balance: Number) -> None:
    """Have a token tell this balance of an account, by the slot in which it keeps it; its total supply stays."""
    set_told(session.chain, token, BALANCE_OF, (address,), balance)


@method("anvil_setERC20Allowance")
def set_allowance(session: Session, owner: Address, spender: Address, token: Address, amount: Number) -> None:
    """Have a token tell that `spender` may spend so much of the owner's, by the slot in which it keeps it."""
    set_told(session.chain, token, ALLOWANCE, (owner, spender), amount)
