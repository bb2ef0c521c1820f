"""Finding the access list that a transaction would use (EIP-2930), as eth_createAccessList does."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from . import ops
from .table import OPS
from .trace.hooks import TracedFrame, Tracer
from .transaction.outcome import TransactionResult
from .transaction.types import AccessListEntry, Transaction, TransactionType

assert ops  # importing the instructions fills OPS

_SLOT_OPS = {OPS[name].code for name in ("SLOAD", "SSTORE")}
_TOP_OPS = {OPS[name].code for name in ("BALANCE", "EXTCODESIZE", "EXTCODECOPY", "EXTCODEHASH", "SELFDESTRUCT")}
_CALL_OPS = {OPS[name].code for name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")}


class AccessListTracer(Tracer):
    """Collects accounts and slots that a run accesses, those of reverted frames too."""

    opcodes = frozenset(_SLOT_OPS | _TOP_OPS | _CALL_OPS)

    def __init__(self, exclude: Collection[int]) -> None:
        self._exclude = frozenset(exclude)
        self.accesses: dict[int, set[int]] = {}

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Note what the instruction is about to access."""
        stack = frame.stack
        if opcode in _SLOT_OPS and stack:
            self.accesses.setdefault(frame.address, set()).add(stack[-1])
        elif opcode in _TOP_OPS and stack:
            self._note_account(stack[-1])
        elif opcode in _CALL_OPS and len(stack) > 1:
            self._note_account(stack[-2])

    def _note_account(self, word: int) -> None:
        account = word & ((1 << 160) - 1)
        if account not in self._exclude:
            self.accesses.setdefault(account, set())

    def entries(self) -> tuple[AccessListEntry, ...]:
        """The list, in order of address and slot. An excluded account is listed only for its slots."""
        return tuple(
            AccessListEntry(account.to_bytes(20, "big"), tuple(sorted(slots)))
            for account, slots in sorted(self.accesses.items())
        )


def find_access_list(
    tx: Transaction, exclude: Collection[int], run: Callable[[Transaction, Tracer], TransactionResult]
) -> tuple[tuple[AccessListEntry, ...], TransactionResult]:
    """Run `tx` with the list it turned out to need until that changes no more.

    `run` executes without lasting effect; `exclude` are accounts that are warm anyway. Returns the list and the
    result of the run with it.
    """
    listed = tx.access_list
    kind = max(tx.type, TransactionType.ACCESS_LIST)
    while True:
        tracer = AccessListTracer(exclude)
        for entry in listed:
            tracer.accesses[int.from_bytes(entry.address, "big")] = set(entry.slots)
        result = run(replace(tx, type=TransactionType(kind), access_list=listed), tracer)
        found = tracer.entries()
        if found == listed:
            return listed, result
        listed = found
