"""Code and input that mean harm: bounded time and memory, a result or an error that says what, nothing left behind."""

from __future__ import annotations

import sys
import threading
import time
import tracemalloc
import types
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from vmloom import ExecutionContext, ExecutionResult, ExecutionState, MemoryState, Precompile, StateAccess
from vmloom_evm.assembly import (
    Bytecode,
    call,
    calldatacopy,
    codecopy,
    codesize,
    create,
    exp,
    extcodecopy,
    gas,
    invalid,
    jump,
    jumpdest,
    keccak256,
    label,
    log0,
    mcopy,
    mload,
    mstore,
    mstore8,
    pop,
    push,
    ret_top,
    return_,
    returndatacopy,
    revert,
    sstore,
    staticcall,
    stop,
)
from vmloom_evm.testing import BLOCK, CONTRACT, SENDER, EvmUnderTest

MAX = 2**256 - 1
MIB = 1 << 20


@contextmanager
def at_most(mebibytes: float, seconds: float = 5.0) -> Iterator[None]:
    """What runs inside takes no more memory than that. The time is generous: it tells minutes from moments."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        yield
        elapsed = time.perf_counter() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < mebibytes * MIB
    assert elapsed < seconds


HUGE = [2**32 - 32, 2**32, 2**40, 2**63, 2**64 - 1, 2**255, MAX]


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize(
    "instruction",
    [
        keccak256(0),
        return_(0),
        revert(0),
        log0(0),
        calldatacopy(0, 0),
        codecopy(0, 0),
        extcodecopy(4, 0, 0),
        mcopy(0, 0),
        create(0, 0),
        mload,
        mstore8,
    ],
    ids=repr,
)
def test_memory_beyond_all_gas_is_not_allocated(evm: EvmUnderTest, instruction: Bytecode, size: int) -> None:
    with at_most(4):
        outcome = evm.run(push(1) + push(size) + instruction, gas=10_000_000)
    assert outcome.error == "out of gas"


@pytest.mark.parametrize("size", HUGE)
@pytest.mark.parametrize("which", ["input", "output"])
def test_memory_of_a_call_beyond_all_gas_is_not_allocated(evm: EvmUnderTest, which: str, size: int) -> None:
    program = call(4, input=(0, size)) if which == "input" else call(4, output=(0, size))
    with at_most(4):
        assert evm.run(program, gas=10_000_000).error == "out of gas"


def test_returndatacopy_beyond_all_gas_is_not_allocated(evm: EvmUnderTest) -> None:
    with at_most(4):
        assert evm.run(returndatacopy(0, 0, 2**40)).error == "out of gas"


def test_memory_costs_so_much_that_30_million_gas_buy_4_mib(evm: EvmUnderTest) -> None:
    with at_most(16):
        assert evm.run(pop(mload(4 * MIB)), gas=30_000_000).error == "out of gas"
        assert evm.run(pop(mload(3 * MIB)), gas=30_000_000).success


def test_memory_of_nested_frames_is_bounded_by_gas(evm: EvmUnderTest) -> None:
    """Each frame takes what it can pay: together they hold less than one that took it all."""
    nesting = pop(mload(100_000)) + call(CONTRACT)
    with at_most(64, seconds=20):
        evm.run(nesting, gas=30_000_000)


@pytest.mark.parametrize("exponent", [2**64, 2**255, MAX])
def test_exponentiation_of_huge_numbers_is_quick(evm: EvmUnderTest, exponent: int) -> None:
    with at_most(4):
        assert evm.run(exp(MAX - 2, exponent)).success


@pytest.mark.parametrize("fork", ["byzantium", "berlin", "osaka"])
@pytest.mark.parametrize("lengths", [(MAX, MAX, MAX), (0, MAX, 0), (0, 0, MAX), (MAX, 0, 1), (2**32, 2**32, 2**32)])
def test_modexp_with_hostile_lengths_allocates_nothing(
    evm: EvmUnderTest, fork: str, lengths: tuple[int, int, int]
) -> None:
    evm = evm.at(fork)
    store = mstore(0, lengths[0]) + mstore(32, lengths[1]) + mstore(64, lengths[2])
    with at_most(8):
        outcome = evm.run(store + call(5, gas=1_000_000, input=(0, 96), output=(0, 32)) + ret_top(), gas=3_000_000)
    assert outcome.success


# Code


def test_large_code_is_analysed_once_and_quickly(evm: EvmUnderTest) -> None:
    code = bytes(jump(b"\x0f\xff\xff")) + b"\x5b" * (MIB - 1)
    with at_most(256, seconds=20):
        outcome = evm.run(code[:MIB])
    assert outcome.success


def test_code_that_is_one_long_push_is_no_harm(evm: EvmUnderTest) -> None:
    for code in (b"\x7f" * 30_000, b"\x60" * 30_001, b"\x5b\x56" * 20_000):
        assert evm.run(code).result.state.is_final


def test_jump_back_for_ever_ends_with_the_gas(evm: EvmUnderTest) -> None:
    outcome = evm.run(label("on") + jump("on"), gas=1_000_000)
    assert (outcome.error, outcome.gas_used) == ("out of gas", 1_000_000)


def test_stack_filled_for_ever_ends_with_the_limit(evm: EvmUnderTest) -> None:
    assert evm.run(label("on") + gas + jump("on")).error == "stack limit reached"


def test_call_of_itself_for_ever_ends(evm: EvmUnderTest) -> None:
    assert evm.run(call(CONTRACT) + pop, gas=5_000_000).success
    assert evm.run(label("on") + pop(call(CONTRACT)) + jump("on"), gas=300_000).result.state.is_final


def test_creation_in_creation_for_ever_ends(evm: EvmUnderTest) -> None:
    program = codecopy(0, 0, codesize) + label("on") + pop(create(0, 0, codesize)) + jump("on")
    outcome = evm.run(program, gas=3_000_000)
    assert outcome.error == "out of gas"
    assert evm.nonce(CONTRACT) == 1


def test_code_longer_than_any_that_can_be_deployed_still_runs(evm: EvmUnderTest) -> None:
    """Genesis allocations and overrides are not held to EIP-170."""
    assert evm.run(jumpdest * 100_000 + ret_top(1)).output_int == 1


@pytest.mark.parametrize("gas_limit", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_gas_limit_of_64_bits_is_kept(evm: EvmUnderTest, gas_limit: int) -> None:
    outcome = evm.run(push(1), gas=gas_limit)
    assert (outcome.success, outcome.gas_used) == ((True, 3) if gas_limit >= 3 else (False, gas_limit))
    assert evm.run(invalid, gas=gas_limit).gas_used == gas_limit


def test_numbers_at_the_edge_of_their_fields_are_kept(evm: EvmUnderTest) -> None:
    from dataclasses import replace

    from vmloom_evm.assembly import basefee, number, timestamp

    block = replace(BLOCK, number=2**64 - 1, timestamp=2**64 - 1, base_fee=MAX)
    assert evm.value_of(number, block=block) == 2**64 - 1
    assert evm.value_of(timestamp, block=block) == 2**64 - 1
    assert evm.value_of(basefee, block=block) == MAX


# Misuse of the API is an error, and leaves nothing behind


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("address", b"\1", "an address has 20 bytes, got 1"),
        ("caller", bytes(32), "an address has 20 bytes, got 32"),
        ("gas_limit", -1, "must not be negative"),
        ("value", -1, "must not be negative"),
        ("depth", -1, "must not be negative"),
    ],
)
def test_call_with_impossible_fields_is_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: {message}"):
        ExecutionContext(**{field: value})  # type: ignore[arg-type]


class Broken(Precompile):
    """Writes, then raises what no contract may cause."""

    name = "BROKEN"

    def gas_cost(self, input: bytes) -> int:
        return 0

    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        state.set_storage(context.address, 0, 1)
        raise RuntimeError("a bug in a plugin")


class Greedy(Broken):
    """Asks for more gas than any number of 64 bits."""

    def gas_cost(self, input: bytes) -> int:
        return 2**300

    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        return ExecutionResult(ExecutionState.SUCCESS, 0)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    module = types.ModuleType("a_hostile_plugin")
    module.Broken = Broken  # type: ignore[attr-defined]
    module.Greedy = Greedy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_hostile_plugin", module)
    return {"precompiles": {"0x77": "a_hostile_plugin:Broken", "0x78": "a_hostile_plugin:Greedy"}}


def test_bug_in_a_precompile_is_raised_and_leaves_the_state_as_it_was(
    evm: EvmUnderTest, plugin: dict[str, dict[str, str]]
) -> None:
    evm = evm.configured(**plugin)  # type: ignore[arg-type]
    program = sstore(0, 1) + call(0x77)
    evm.deploy(program, at=CONTRACT)
    before = evm.contents()
    with pytest.raises(RuntimeError, match="a bug in a plugin"):
        evm.run(program)
    assert evm.contents() == before
    with pytest.raises(RuntimeError):
        evm.transact(CONTRACT, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    assert evm.contents() == before
    with pytest.raises(RuntimeError):
        evm.vm.call(evm.transaction(CONTRACT), BLOCK, evm.state, sender=SENDER)
    assert evm.contents() == before
    assert evm.run(sstore(0, 1)).success  # and the state is fit for use


def test_precompile_that_costs_more_than_64_bits_is_out_of_gas(
    evm: EvmUnderTest, plugin: dict[str, dict[str, str]]
) -> None:
    evm = evm.configured(**plugin)  # type: ignore[arg-type]
    assert evm.value_of(call(0x78, gas=1_000)) == 0


def test_runs_of_the_same_vm_on_different_states_do_not_meet(evm: EvmUnderTest) -> None:
    program = bytes(sstore(0, 1) + pop(staticcall(4)) + stop)
    used = set()
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            context = ExecutionContext(address=CONTRACT, gas_limit=100_000)
            used.add(evm.vm.execute(program, context, MemoryState()).gas_used)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(used) == 1
