"""The accounts that a transaction meets, as they were before it, and what it makes of them: geth's `prestateTracer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmloom import BlockContext, StateAccess
from vmloom.hashing import create2_address, create_address, keccak256
from vmloom.state import NO_ACCOUNT

from ..delegation import delegation_target
from ..rules import Rules
from ..table import OPS
from ..transaction.signing import recover_authority
from ..transaction.types import Transaction
from .hooks import TracedFrame, Tracer
from .steps import CALLS, CREATES

_SLOTS = frozenset({OPS["SLOAD"].code, OPS["SSTORE"].code})
_ACCOUNTS = frozenset(
    OPS[name].code for name in ("BALANCE", "EXTCODESIZE", "EXTCODECOPY", "EXTCODEHASH", "SELFDESTRUCT")
)


_POPS = {row.code: row.pops for row in OPS.values()}


@dataclass(slots=True)
class AccountBefore:
    """An account when it was first met. `storage` holds the slots that were met."""

    nonce: int
    balance: int
    """wei"""
    code: bytes
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """EIP-161, and no slot was met."""
        return not (self.nonce or self.balance or self.code or self.storage)


@dataclass(frozen=True, slots=True)
class Creation:
    """A creation that is about to be made: the creator's nonce, and the operands, top of stack first."""

    opcode: int
    nonce: int
    operands: tuple[int, ...]

    def address(self, frame: TracedFrame) -> bytes:
        """Where the contract would stand; to be asked once memory has grown to the init code."""
        if CREATES[self.opcode] == "CREATE":
            return create_address(frame.account, self.nonce)
        _value, offset, size, salt = self.operands
        return create2_address(frame.account, salt, bytes(frame.memory[offset : offset + size]) if size else b"")


class PrestateTracer(Tracer):
    """Gathers what `tx` meets. Make it before the transaction is applied, pass it along, and ask for a result after.

    `disable_code` and `disable_storage` leave these out of the results; `include_empty` keeps accounts that did
    not exist before in `prestate`.
    """

    opcodes = frozenset({*_SLOTS, *_ACCOUNTS, *CALLS, *CREATES})

    def __init__(
        self,
        state: StateAccess,
        tx: Transaction,
        sender: bytes,
        block: BlockContext,
        rules: Rules,
        *,
        disable_code: bool = False,
        disable_storage: bool = False,
        include_empty: bool = False,
    ) -> None:
        self._state = state
        self._rules = rules
        self._disable_code = disable_code
        self._disable_storage = disable_storage
        self._include_empty = include_empty
        self.accounts: dict[bytes, AccountBefore] = {}
        """All that was met, by address."""
        self._empty: set[bytes] = set()
        self._created: set[bytes] = set()
        self._deleted: set[bytes] = set()
        self._pending: list[tuple[bytes, AccountBefore]] = []
        self._pending_slot: tuple[bytes, int, int] | None = None
        self._pending_creation: Creation | None = None
        self._meet_transaction(tx, sender, block)

    def _meet_transaction(self, tx: Transaction, sender: bytes, block: BlockContext) -> None:
        if tx.to is None:
            to = create_address(sender, self._state.get_nonce(sender))
            self._created.add(to)
        else:
            to = tx.to
        authorities = (recover_authority(one) for one in tx.authorizations)
        self._meet(*self._delegate(to), sender, to, block.coinbase, *(one for one in authorities if one is not None))

    # Hooks. What an instruction is about to meet is read before it acts, and kept if it could be paid.

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Read what the instruction is about to meet."""
        stack = frame.stack
        self._drop()
        if len(stack) < _POPS[opcode]:
            return
        if opcode in _SLOTS:
            slot = stack[-1]
            self._pending_slot = (frame.account, slot, self._state.get_storage(frame.account, slot))
        elif opcode in _ACCOUNTS:
            self._await(_address(stack[-1]))
        elif opcode in CALLS:
            to = _address(stack[-2])
            self._await(to, *self._delegate(to))
        else:
            self._pending_creation = Creation(opcode, frame.state.get_nonce(frame.account), tuple(stack[:-5:-1]))

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Keep it. A creation that has opened no frame was declined, but has met the address all the same."""
        creation = self._pending_creation
        self._keep()
        if creation is not None:
            self._create(creation.address(frame))

    def enter(self, frame: TracedFrame) -> None:
        """Keep what the instruction that opens the frame has met."""
        self._keep()
        if frame.is_create:
            self._create(frame.account)

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        """Keep what SELFDESTRUCT has met, which closes the frame."""
        if self._pending and (not self._rules.selfdestruct_only_created or frame.account in self._created):
            self._deleted.add(frame.account)
        self._keep()

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """Forget what an instruction that could not be paid would have met."""
        self._drop()

    def _await(self, *addresses: bytes) -> None:
        self._pending = [(address, self._look_up(address)) for address in addresses]

    def _keep(self) -> None:
        if self._pending_slot is not None:
            address, slot, word = self._pending_slot
            self._meet(address)
            self.accounts[address].storage.setdefault(slot, word)
        for address, account in self._pending:
            if address not in self.accounts:
                self._add(address, account)
        self._drop()

    def _create(self, address: bytes) -> None:
        self._meet(address)
        self._created.add(address)

    def _drop(self) -> None:
        self._pending = []
        self._pending_slot = None
        self._pending_creation = None

    def _meet(self, *addresses: bytes) -> None:
        for address in addresses:
            if address not in self.accounts:
                self._add(address, self._look_up(address))

    def _add(self, address: bytes, account: AccountBefore) -> None:
        self.accounts[address] = account
        if account.is_empty:
            self._empty.add(address)

    def _look_up(self, address: bytes) -> AccountBefore:
        account = self._state.get_account(address) or NO_ACCOUNT
        return AccountBefore(account.nonce, account.balance, account.code)

    def _delegate(self, address: bytes) -> Sequence[bytes]:
        """The account that `address` delegates to, if it does."""
        target = delegation_target(self._state.get_code(address)) if self._rules.delegations else None
        return () if target is None else (target,)

    # Results

    def prestate(self) -> dict[str, Any]:
        """JSON-ready: the accounts that were met, as they were."""
        return {
            "0x" + address.hex(): self._fields(account, account.storage)
            for address, account in sorted(self.accounts.items())
            if self._include_empty or address not in self._empty
        }

    def diff(self) -> dict[str, Any]:
        """JSON-ready: `pre` has the accounts that changed, as they were; `post` what they have come to.

        `post` names only fields that changed, and no account that was deleted; unchanged slots are in neither, and
        zero words are left out.
        """
        pre: dict[str, Any] = {}
        post: dict[str, Any] = {}
        for address, account in sorted(self.accounts.items()):
            name = "0x" + address.hex()
            if address in self._deleted:
                if address not in self._empty:
                    pre[name] = self._fields(account, account.storage)
                continue
            changed = {} if self._disable_storage else self._changed_slots(address, account)
            after = self._changes(address, account, changed)
            if after is None:
                continue
            post[name] = after
            if address not in self._empty:
                pre[name] = self._fields(account, {slot: old for slot, (old, _) in changed.items() if old})
        return {"post": post, "pre": pre}

    def _changed_slots(self, address: bytes, account: AccountBefore) -> dict[int, tuple[int, int]]:
        words = {slot: (old, self._state.get_storage(address, slot)) for slot, old in account.storage.items()}
        return {slot: (old, new) for slot, (old, new) in words.items() if old != new}

    def _changes(self, address: bytes, old: AccountBefore, slots: dict[int, tuple[int, int]]) -> dict[str, Any] | None:
        """The fields of `post`; None if nothing changed."""
        new = self._look_up(address)
        fields: dict[str, Any] = {}
        if new.balance != old.balance:
            fields["balance"] = hex(new.balance)
        if new.code != old.code:
            if not self._disable_code:
                fields["code"] = "0x" + new.code.hex()
            fields["codeHash"] = "0x" + keccak256(new.code).hex()
        is_changed = bool(fields or slots) or new.nonce != old.nonce
        if new.nonce and new.nonce != old.nonce:
            fields["nonce"] = new.nonce
        words = {slot: word for slot, (_, word) in slots.items() if word}
        if words:
            fields["storage"] = _storage(words)
        return fields if is_changed else None

    def _fields(self, account: AccountBefore, words: dict[int, int]) -> dict[str, Any]:
        fields: dict[str, Any] = {"balance": hex(account.balance)}
        if account.code:
            if not self._disable_code:
                fields["code"] = "0x" + account.code.hex()
            fields["codeHash"] = "0x" + keccak256(account.code).hex()
        if account.nonce:
            fields["nonce"] = account.nonce
        if words and not self._disable_storage:
            fields["storage"] = _storage(words)
        return fields


def _address(word: int) -> bytes:
    return (word & ((1 << 160) - 1)).to_bytes(20, "big")


def _storage(words: dict[int, int]) -> dict[str, str]:
    return {f"{slot:#066x}": f"{word:#066x}" for slot, word in sorted(words.items())}
