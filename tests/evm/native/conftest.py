"""Tests of what the native engine is made of; they need it, and without it the reference engine is all there is."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from vmloom import Account, MemoryState, StateAccess
from vmloom_evm.assembly import Bytecode
from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine
from vmloom_evm.testing import CONTRACT, FUNDS, SENDER, EvmUnderTest, Outcome
from vmloom_evm.transaction.outcome import TransactionResult

try:
    from vmloom_evm.native.state import NativeState

    native_engine(EvmConfig(engine="native"))
    WHY_NOT = ""
except (ImportError, OSError) as error:
    WHY_NOT = str(error)

# Without llvmlite the modules cannot even be imported. In CI they must be, and then say why they cannot.
collect_ignore_glob = ["test_*.py"] if WHY_NOT and not os.environ.get("CI") else []


def pytest_report_header() -> str | None:
    """Say why these tests are not run."""
    return f"tests/evm/native are left out: {WHY_NOT}" if collect_ignore_glob else None


class Pair:
    """One world for the reference engine, and the same one in guarded native memory: known, to be loaded, or read.

    Whatever runs must come to the same on all of them, result, world and read-only questions alike. Native memory has
    pages without rights behind each region and each stack, so a step beyond ends the test run.
    """

    def __init__(self, revision: str = "osaka", **config: Any) -> None:
        self.reference = EvmUnderTest("reference", revision=revision, **config)
        self.native = EvmUnderTest("native", revision=revision, **config)
        self.accounts: dict[bytes, Account] = {SENDER: Account(balance=FUNDS)}
        self.words: dict[tuple[bytes, int], int] = {}
        self.known = NativeState(guarded=True)
        self.behind = NativeState(guarded=True)
        self.base = NativeState()
        self.above = NativeState(guarded=True)

    def deploy(
        self, code: Bytecode | bytes, at: int | bytes, *, balance: int = 0, storage: Mapping[int, int] | None = None
    ) -> bytes:
        """Put a contract into the world."""
        address = at if isinstance(at, bytes) else at.to_bytes(20, "big")
        self.accounts[address] = Account(1, balance, bytes(code))
        self.words.update({(address, slot): word for slot, word in (storage or {}).items()})
        return address

    def fill(self, state: StateAccess) -> None:
        for address, account in self.accounts.items():
            state.set_account(address, account)
        for (address, slot), word in self.words.items():
            state.set_storage(address, slot, word)
        state.commit()
        state.begin_transaction()

    def states(self) -> Iterator[tuple[EvmUnderTest, MemoryState | NativeState]]:
        """A fresh state for each way to run. Native ones are cleared: with so many guards, few can be at a time."""
        memory, source = MemoryState(), MemoryState()
        self.above.read_through(None)
        for state in (self.known, self.behind, self.base, self.above):
            state.clear()
        self.behind.rebind(source)
        for state in (memory, self.known, source, self.base):
            self.fill(state)
        self.above.rebind(self.base)
        assert self.above.read_through(self.base)
        yield self.reference, memory
        yield self.native, self.known
        yield self.native, self.behind
        yield self.native, self.above

    def all_of(self, act: Callable[[EvmUnderTest], Any]) -> Any:
        """What `act` returns for each, which must be equal, and so must the worlds be."""
        found = []
        for evm, state in self.states():
            evm.state = state  # type: ignore[assignment]
            result = act(evm)
            state.begin_transaction()
            changes = sorted(map(repr, state.changes_since(0)))
            found.append((result, changes))
        for number, one in enumerate(found[1:]):
            assert one == found[0], f"native state {('known', 'behind', 'above')[number]}"
        return found[0][0]

    def run(self, code: Bytecode | bytes, **how: Any) -> Outcome:
        """`EvmUnderTest.run`; the order of changes does not count."""
        self.accounts[CONTRACT] = Account(1, how.pop("balance", 0), bytes(code))
        return Outcome(self.all_of(lambda evm: sorted_changes(evm.run(code, **how).result)))

    def transact(self, to: bytes | None = CONTRACT, **how: Any) -> TransactionResult:
        """`EvmUnderTest.transact`; the order of changes does not count."""
        return cast("TransactionResult", self.all_of(lambda evm: sorted_changes(evm.transact(to, **how))))


def sorted_changes(result: Any) -> Any:
    """The result with its changes in an order that all engines agree upon."""
    return replace(result, state_changes=tuple(sorted(result.state_changes, key=repr)))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Of the latest fork."""
    yield Pair()
    gc.collect()  # a system has room for some 30 states with all their guards
