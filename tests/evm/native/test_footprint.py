"""How much memory a machine takes that has run something small and waits."""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import weakref
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, MemoryState
from vmloom_evm.assembly import log1, ret_top, sload, sstore
from vmloom_evm.config import EvmConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import CONTRACT
from vmloom_evm.vm import Evm

MIB = 1 << 20
PROGRAM = """
import json, resource, sys
from vmloom import Account, ExecutionContext, MemoryState
from vmloom_evm.assembly import log1, ret_top, sload, sstore
from vmloom_evm.config import EvmConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.vm import Evm

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

address = bytes(20)
code = bytes(sstore(0, 1) + log1(0, 32, 5) + ret_top(sload(0)))

def machine(kind):
    vm, state = Evm(EvmConfig(engine="native")), kind({address: Account(1, 0, code)})
    assert vm.execute(code, ExecutionContext(address=address, gas_limit=100_000), state).success
    return vm, state

began = resident()
kept = [machine(NativeState if sys.argv[1] == "native" else MemoryState)]
first = resident()
kept += [machine(NativeState if sys.argv[1] == "native" else MemoryState) for _ in range(8)]
print(json.dumps({"first": first - began, "each": (resident() - first) / 8}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["native", "memory"])
def test_machine_that_waits_takes_less_than_64_mib(kind: str) -> None:
    """Of several each; the first one, with what it brings into the process, takes twice that at most."""
    for _ in range(2):  # the first process may have to compile, which takes memory of its own
        done = subprocess.run([sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["each"] < 4 * MIB
    assert found["first"] < 128 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_states_that_have_run_something_are_given_back_when_nobody_has_them() -> None:
    code = bytes(sstore(0, 1) + log1(0, 32, 5) + ret_top(sload(0)))
    vm = Evm(EvmConfig(engine="native"))

    def run(count: int) -> None:
        for _ in range(count):
            state = NativeState({CONTRACT: Account(1, 0, code)})
            result = vm.execute(code, ExecutionContext(address=CONTRACT, gas_limit=100_000), state)
            assert len(result.events) == 1

    run(5)
    gc.collect()
    gc.disable()  # it must not take a search for circles
    try:
        before = resident()
        run(200)
        # One state that was kept would be 1 MiB.
        assert resident() - before < 20 * MIB
    finally:
        gc.enable()


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def test_state_that_was_run_on_is_not_kept_alive() -> None:
    state = MemoryState({CONTRACT: Account(code=bytes(sstore(1, 2)))})
    result = Evm(EvmConfig(engine="native")).execute(bytes(sstore(1, 2)), ExecutionContext(address=CONTRACT), state)
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None
    assert [change.new for change in result.state_changes] == [2]
