"""Blocks and batches of calls of all VMs are their calls: some of those that `benchmarks/engine.py --mixed` runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from vmloom import MemoryState
from vmloom.factory import VmFactory
from vmloom_evm.native.state import NativeState


def generator() -> Any:
    """What the benchmark runs, too. Benchmarks are scripts and not installed."""
    path = Path(__file__).parents[3] / "benchmarks" / "suite" / "mixed.py"
    spec = importlib.util.spec_from_file_location("mixed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mixed = generator()


@pytest.fixture(scope="module", params=["cancun", "shanghai"])
def vms(request: pytest.FixtureRequest, factory: VmFactory) -> Any:
    return mixed.vms(factory.get_vm("evm").config.engine, request.param)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
@pytest.mark.parametrize("seed", range(2))
def test_a_block_is_its_calls_in_order(vms: VmFactory, kind: Any, seed: int) -> None:
    mixed.check_block(vms, kind, seed)


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
@pytest.mark.parametrize("seed", range(2))
def test_independent_calls_are_each_the_first(vms: VmFactory, kind: Any, seed: int) -> None:
    mixed.check_independent(vms, kind, seed)
