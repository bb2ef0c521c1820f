"""The root frame: what stands above the first, and speaks the vocabulary of a transaction's life."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.marks import WARM_ACCOUNTS, WARM_SLOTS

from ..delegation import designator
from ..marks import DESTROYED, TOUCHED
from ..transaction.outcome import Checks
from ..transaction.signing import recover_authority
from ..transaction.types import Transaction
from ..transaction.view import TransactionVerbs
from .frame import VM_NAME, EvmFrame, to_address

if TYPE_CHECKING:
    from .execution import Execution


class RootFrame(TransactionVerbs, EvmFrame):
    """Belongs to the sender, and its memory holds the data of `tx`. Implements `machine.TransactionMachine`."""

    __slots__ = (
        "_destroyed",
        "_touched",
        "blob_gas_left",
        "checks",
        "created",
        "gas_left",
        "gas_used",
        "max_gas_used",
        "tx",
    )

    def __init__(
        self,
        run: Execution,
        sender: bytes,
        tx: Transaction,
        checks: Checks,
        *,
        depth: int,
        gas_left: int,
        blob_gas_left: int,
    ) -> None:
        address = int.from_bytes(sender, "big")
        super().__init__(run, None, gas=0, caller=address, address=address, code_address=address, code=b"", depth=depth)
        self.tx = tx
        self.checks = checks
        self.gas_left = gas_left
        self.blob_gas_left = blob_gas_left
        self.memory = bytearray(tx.data)
        self.created = 0
        self.gas_used = 0
        self.max_gas_used = 0

    # The transaction's lists

    def access_account(self, entry: int) -> int:
        return int.from_bytes(self.tx.access_list[entry].address, "big")

    def access_slots_of(self, entry: int) -> int:
        return len(self.tx.access_list[entry].slots)

    def access_slot(self, entry: int, index: int) -> int:
        return self.tx.access_list[entry].slots[index]

    def authority(self, index: int) -> int:
        signer = recover_authority(self.tx.authorizations[index])
        return 0 if signer is None else (1 << 160) + int.from_bytes(signer, "big")

    def authorization_chain_id(self, index: int) -> int:
        return self.tx.authorizations[index].chain_id

    def authorization_nonce(self, index: int) -> int:
        return self.tx.authorizations[index].nonce

    def authorization_target(self, index: int) -> int:
        return int.from_bytes(self.tx.authorizations[index].address, "big")

    # How it is to be run

    def gas_available(self) -> int:
        return self.gas_left

    def blob_gas_available(self) -> int:
        return self.blob_gas_left

    def checks_nonce(self) -> bool:
        return self.checks.nonce

    def checks_balance(self) -> bool:
        return self.checks.balance

    def checks_base_fee(self) -> bool:
        return self.checks.base_fee

    def set_gas_price(self, price: int) -> None:
        self.run.gas_price = price

    # State

    def begin_transaction(self) -> None:
        self.state.begin_transaction()
        self.warm_accounts = self.run.warm_accounts = self.state.marks(WARM_ACCOUNTS)
        self.warm_slots = self.run.warm_slots = self.state.marks(WARM_SLOTS)

    # What is warm before the first frame is not in the undo log: nothing takes it back.

    def warm(self, account: int) -> None:
        self.warm_accounts[account] = True

    def warm_precompiles(self) -> None:
        self.warm_accounts.update(dict.fromkeys(self.run.specification.precompiles, True))

    def warm_slot_of(self, account: int, key: int) -> None:
        self.warm_slots[account, key] = True

    def set_balance(self, account: int, balance: int) -> None:
        self.state.set_balance(to_address(account), balance)

    def set_delegation(self, account: int, target: int) -> None:
        self.state.set_code(to_address(account), designator(to_address(target)), VM_NAME)

    def clear_code(self, account: int) -> None:
        self.state.set_code(to_address(account), b"", "")

    def delete_account(self, account: int) -> None:
        self.state.delete_account(to_address(account))

    def destroyed_count(self) -> int:
        self._destroyed = list(self.state.marks(DESTROYED))
        return len(self._destroyed)

    def destroyed(self, index: int) -> int:
        return _number_of(self._destroyed[index])

    def touched_count(self) -> int:
        self._touched = list(self.state.marks(TOUCHED))
        return len(self._touched)

    def touched(self, index: int) -> int:
        return _number_of(self._touched[index])


def _number_of(address: object) -> int:
    assert isinstance(address, bytes)
    return int.from_bytes(address, "big")
