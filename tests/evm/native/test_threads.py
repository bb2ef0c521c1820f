"""Native runs in threads: side by side on states of their own, never two on one, and Python goes on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, ExecutionResult, MemoryState
from vmloom.errors import StateError
from vmloom_evm.assembly import add, blockhash, call, dup, gas, jumpi, label, log1, op, pop, push, ret_top, sstore
from vmloom_evm.config import EvmConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import BLOCK, CONTRACT
from vmloom_evm.vm import Evm

TURNS = 2_000
LOOP = bytes(
    push(0)
    + label("on")
    + add(1)
    + sstore(dup(1), dup(1))
    + log1(0, 0, dup(1))
    + jumpi("on", op("LT")(dup(1), op("CALLDATALOAD")(0)))
    + ret_top()
)


def run(vm: Evm, state: Any, code: bytes = LOOP, turns: int = TURNS, gas_limit: int = 10**9) -> ExecutionResult:
    context = ExecutionContext(address=CONTRACT, gas_limit=gas_limit, input=turns.to_bytes(32, "big"), block=BLOCK)
    return vm.execute(code, context, state)


def in_threads(*work: Callable[[], Any]) -> list[Any]:
    """What each returns or raises, all begun at once."""
    found: list[Any] = [None] * len(work)
    barrier = threading.Barrier(len(work))

    def do(number: int) -> None:
        barrier.wait()
        try:
            found[number] = work[number]()
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("kind", [NativeState, MemoryState, lambda: NativeState(source=MemoryState())])
@pytest.mark.parametrize("shared", [False, True])
def test_machines_run_side_by_side(kind: Callable[[], Any], shared: bool) -> None:
    """Also when it is one machine on states of their own."""
    expected = [run(Evm(EvmConfig(engine="reference")), MemoryState(), turns=50 + number) for number in range(4)]
    one = Evm(EvmConfig(engine="native"))

    def work(number: int) -> list[ExecutionResult]:
        vm = one if shared else Evm(EvmConfig(engine="native"))
        return [run(vm, kind(), turns=50 + number) for _ in range(20)]

    for number, results in enumerate(in_threads(*[lambda n=number: work(n) for number in range(4)])):  # type: ignore[misc]
        assert len(results) == 20
        for result in results:
            assert (result.gas_used, result.return_data) == (expected[number].gas_used, expected[number].return_data)
            assert result.events == expected[number].events
            assert set(result.state_changes) == set(expected[number].state_changes)


def test_python_goes_on_while_native_code_runs() -> None:
    """Were the interpreter's lock held, the other thread would not come to count before the run is over.

    The run is one instruction for nearly all its time: between others native code gives way now and then.
    """
    vm, state = Evm(EvmConfig(engine="native")), NativeState()
    rounds = 30_000_000
    code = bytes(op("CALLDATACOPY")(0, 0, 213) + pop(op("STATICCALL")(gas, 9, 0, 213, 0, 0)))
    context = ExecutionContext(input=rounds.to_bytes(4, "big") + bytes(209), gas_limit=2 * rounds)
    assert vm.execute(code, replace(context, input=bytes(213)), state).success
    counted: list[int] = []
    over = threading.Event()
    begun = threading.Event()

    def count() -> None:
        begun.set()
        while not over.is_set():
            counted.append(len(counted))

    counter = threading.Thread(target=count)
    counter.start()
    begun.wait()
    before = len(counted)
    assert vm.execute(code, context, state).gas_used > rounds
    after = len(counted)
    over.set()
    counter.join()
    # Handing the lock over at the beginning and at the end makes for a few; going on meanwhile for very many.
    assert after - before > 1_000


class Meeting(MemoryState):
    """A source that holds a run up until it is told to let go."""

    def __init__(self) -> None:
        super().__init__({CONTRACT: Account(1, 0, LOOP)})
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def get_block_hash(self, number: int) -> bytes:
        self.reached.set()
        assert self.go_on.wait(60)
        return bytes(31) + b"\x05"


def test_two_runs_on_one_state_at_once_are_refused() -> None:
    source = Meeting()
    state = NativeState(source=source)
    vm = Evm(EvmConfig(engine="native"))
    found: list[ExecutionResult] = []
    code = bytes(ret_top(blockhash(BLOCK.number - 1)))
    first = threading.Thread(target=lambda: found.append(run(vm, state, code)))
    first.start()
    assert source.reached.wait(60)
    try:
        with pytest.raises(StateError, match="one run at a time"):
            run(Evm(EvmConfig(engine="native")), state, bytes(ret_top(1)))
    finally:
        source.go_on.set()
        first.join()
    assert int.from_bytes(found[0].return_data, "big") == 5
    assert run(vm, state, bytes(ret_top(gas))).success  # and afterwards it is free


def test_calls_between_states_in_threads_keep_their_depth() -> None:
    """Frames are the state's: threads with deep calls do not meet."""
    vm = Evm(EvmConfig(engine="native"))
    nesting = bytes(pop(call(CONTRACT)) + ret_top(1))

    def work() -> int:
        state = NativeState({CONTRACT: Account(1, 0, nesting)})
        return run(vm, state, nesting, gas_limit=2**62).gas_used

    assert len(set(in_threads(*[work] * 4))) == 1
