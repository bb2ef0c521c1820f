"""What a native state keeps from run to run, and how a run ends that nobody wants to wait for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
from vmloom import Account, BlockContext, ExecutionContext
from vmloom.errors import StateError
from vmloom.hashing import keccak256
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import call, create, jump, label, mstore, op, pop, ret_top, sstore
from vmloom_evm.native import memory as native_memory
from vmloom_evm.native.state import NativeState
from vmloom_evm.trace.hooks import Tracer

HERE = bytes.fromhex("c0de" * 10)


@pytest.fixture
def vm() -> Evm:
    return Evm(EvmConfig(revision="cancun", engine="native"))


CREATOR = op("CODECOPY")(0, 0, op("CODESIZE")()) + pop(create(0, 0, op("CODESIZE")())) * 2
ENDLESS = {
    "jumps": label("again") + jump("again"),
    "calls": pop(call(HERE)) * 2,
    "creations": CREATOR,
}


@pytest.mark.parametrize("means", ENDLESS)
def test_endless_run_can_be_interrupted_and_leaves_the_state_as_it_was(vm: Evm, means: str) -> None:
    """Two calls of itself, each of which calls itself twice, a thousand deep: no program ends that way, either."""
    endless = bytes(sstore(1, 2) + ENDLESS[means])
    state = NativeState({HERE: Account(1, 0, endless)})
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            vm.execute(endless, ExecutionContext(address=HERE, gas_limit=1 << 62), state)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert state.get_storage(HERE, 1) == 0
    result = vm.execute(bytes(sstore(1, 2)), ExecutionContext(address=HERE), state)
    assert (result.success, state.get_storage(HERE, 1)) == (True, 2)


def test_tracers_of_a_former_run_are_not_called_again(vm: Evm) -> None:
    seen: list[int] = []

    class Watcher(Tracer):
        def enter(self, frame: object) -> None:
            seen.append(1)

    state = NativeState({HERE: Account(1)})
    code, context = bytes(sstore(1, 2)), ExecutionContext(address=HERE)
    vm.execute_traced(code, context, state, [Watcher()])
    assert seen == [1]
    vm.execute(code, context, state)
    assert seen == [1]


def test_machines_take_turns_on_one_state() -> None:
    """Each finds its own fork's interpreter, block and precompiles there."""
    state = NativeState({HERE: Account(1)})
    machines = [Evm(EvmConfig(revision=fork, engine="native")) for fork in ("istanbul", "cancun")]
    code = bytes(ret_top(op("BALANCE")(7)))
    for number in range(4):
        block = BlockContext(number=number)
        found = [vm.execute(code, ExecutionContext(address=HERE, block=block), state).gas_used for vm in machines]
        assert found == [700 + 18, 100 + 18]  # a precompile is warm since Berlin
        shown = machines[0].execute(bytes(ret_top(op("NUMBER")())), ExecutionContext(block=block), state)
        assert int.from_bytes(shown.return_data, "big") == number


def test_code_and_input_may_be_any_bytes_like_object(vm: Evm) -> None:
    state = NativeState({HERE: Account(1)})
    code = bytes(ret_top(op("CALLDATALOAD")(0)))
    for kind in (bytes, bytearray, memoryview):
        context = ExecutionContext(address=HERE, input=kind(b"\x07" * 32))
        assert vm.execute(kind(code), context, state).return_data == b"\x07" * 32  # type: ignore[arg-type]


def test_numbers_beyond_a_word_are_refused_and_the_state_stays_usable(vm: Evm) -> None:
    state = NativeState({HERE: Account(1)})
    with pytest.raises((OverflowError, ValueError, StateError)):
        vm.execute(b"", ExecutionContext(address=HERE, value=1 << 256), state)
    assert vm.execute(b"", ExecutionContext(address=HERE), state).success


@pytest.mark.parametrize("pairs", [1, 3, 3_000])
def test_hashes_of_pairs_are_right_when_asked_for_again(vm: Evm, pairs: int) -> None:
    """More pairs than are kept, each asked for twice, and zeros, which are what the place of a hash begins with."""
    state = NativeState({HERE: Account(1)})
    code = bytes(ret_top(op("KECCAK256")(0, 64)))
    for _ in range(2):
        for number in range(pairs):
            data = number.to_bytes(32, "big") + (number % 5).to_bytes(32, "big")
            words = mstore(0, number) + mstore(32, number % 5)
            found = vm.execute(bytes(words) + code, ExecutionContext(address=HERE), state).return_data
            assert found == keccak256(data)


class Interrupter:
    """Raises at the step of `NativeMemory`'s code with the number `at`, as a signal's handler may between any two."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> Interrupter | None:
        if frame.f_code.co_filename != native_memory.__file__:
            return None
        frame.f_trace_opcodes = True
        self.steps += 1
        if self.steps == self.at:
            sys.settrace(None)
            raise KeyboardInterrupt
        return self


@contextmanager
def watched_by(interrupter: Interrupter) -> Iterator[None]:
    former = sys.gettrace()
    sys.settrace(interrupter)
    try:
        yield
    finally:
        sys.settrace(former)


GROWING = (
    mstore(1 << 20, 1)
    + op("CODECOPY")(0, 0, op("CODESIZE")())
    + pop(call(HERE)) * 2
    + pop(create(0, 0, op("CODESIZE")())) * 2
    + sstore(op("ADD")(op("GAS")(), 1), 1) * 2
    + op("TSTORE")(op("GAS")(), 1)
    + op("LOG0")(0, 1000)
    + op("RETURN")(0, 20_000)
)


@pytest.mark.parametrize("first", range(1, 4))
def test_interrupt_between_any_two_steps_of_growth_leaves_a_state_that_works(vm: Evm, first: int) -> None:
    """Tables move while they are in use: what an interrupt leaves must point at memory that lives, guarded or not."""
    context = ExecutionContext(address=HERE, gas_limit=60_000_000)
    accounts = {HERE: Account(1, 1, bytes(GROWING))}
    whole = Interrupter(0)
    expected = vm.execute(bytes(GROWING), context, NativeState(accounts))
    state = NativeState(accounts)
    with watched_by(whole):
        assert vm.execute(bytes(GROWING), context, state) == expected
    assert whole.steps > 500
    for at in range(first, whole.steps, 97):
        state = NativeState(accounts, guarded=bool(at & 1))
        with pytest.raises(KeyboardInterrupt), watched_by(Interrupter(at)):
            vm.execute(bytes(GROWING), context, state)
        assert [address for address, _ in state.accounts()] == [HERE]
        assert vm.execute(bytes(GROWING), context, state) == expected
