"""Engines on each kind of EVM and of state."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vmloom import Account, MemoryState, StateAccess
from vmloom.engine import ExecutionEngine
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_evm.native.state import NativeState

CALLER = b"\1" * 20


@pytest.fixture(scope="session", params=["reference", "native"])
def factory(request: pytest.FixtureRequest) -> VmFactory:
    """VMs, the EVM on one of its engines."""
    return VmFactory(Settings({"vm": {"evm": {"engine": request.param}}}))


@pytest.fixture(params=[MemoryState, NativeState])
def make_engine(request: pytest.FixtureRequest, factory: VmFactory) -> Callable[..., ExecutionEngine]:
    """An engine on a new state of one kind, with `accounts` and a rich caller.

    Calls of blocks run ahead of their turn however short they are, unless a test says otherwise.
    """

    def make(accounts: dict[bytes, Account] | None = None, **options: object) -> ExecutionEngine:
        state: StateAccess = request.param({CALLER: Account(balance=10**18), **(accounts or {})})
        return ExecutionEngine(factory, state, config=EngineConfig.model_validate({"ahead_from": 0, **options}))

    return make
