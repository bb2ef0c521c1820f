"""What holds for any program: it ends in a result, within its gas and memory, the same each time, traced or not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmloom import ExecutionState
from vmloom_evm.assembly import (
    Bytecode,
    call,
    calldatasize,
    create_from,
    deployer,
    jump,
    jumpi,
    label,
    log1,
    mstore,
    pop,
    push,
    raw,
    ret_top,
    revert,
    selfdestruct,
    sload,
    sstore,
    tstore,
)
from vmloom_evm.forks import FORKS
from vmloom_evm.table import OPS
from vmloom_evm.testing import CONTRACT, EvmUnderTest, Outcome
from vmloom_evm.trace.hooks import Tracer

from .conftest import ENGINES

GAS = 200_000
CALLEE = 0xCA11
OTHERS = [CALLEE, 0xDEAD, 1, 2, 4, int.from_bytes(CONTRACT, "big")]

small = st.one_of(st.integers(0, 100), st.sampled_from(OTHERS))
large = st.one_of(st.sampled_from([2**32 - 1, 2**32, 2**64 - 1, 2**64, 2**255, 2**256 - 1]), st.integers(0, 2**256 - 1))
ENDING = {"STOP", "RETURN", "REVERT", "SELFDESTRUCT", "JUMP", "JUMPI"}
CALM = [row for row in OPS.values() if row.function is not None and row.name not in ENDING]


@st.composite
def instructions(draw: st.DrawFn) -> Bytecode:
    """An instruction with operands, mostly small; large ones are out of gas wherever they mean memory."""
    row = draw(st.sampled_from(CALM))
    operands = [draw(large if draw(st.integers(0, 30)) == 0 else small) for _ in range(row.pops)]
    return raw(b"".join(bytes(push(one)) for one in operands) + bytes([row.code]))


# Whole phrases, so that something happens
PHRASES = [
    sstore(0, 1),
    sstore(0, 0),
    sstore(1, 5),
    pop(sload(0)),
    tstore(0, 3),
    mstore(64, 7),
    log1(0, 40, 9),
    pop(call(CALLEE, gas=30_000)),
    pop(call(CONTRACT, gas=20_000, value=1)),
    pop(create_from(deployer(ret_top(1)))),
    pop(create_from(sstore(2, 2) + revert(0, 0))),
]
RECKLESS = [ret_top(calldatasize), revert(0, 7), selfdestruct(CALLEE), jump(3), raw("fe")]
reckless = st.one_of(st.binary(min_size=1, max_size=4).map(raw), st.sampled_from(RECKLESS))
pieces = st.integers(0, 40).flatmap(
    lambda n: reckless if n == 0 else st.sampled_from(PHRASES) if n < 12 else instructions()
)
programs = st.lists(pieces, min_size=3, max_size=40).map(lambda parts: raw(b"".join(bytes(part) for part in parts)))
forks = st.sampled_from([*FORKS, *["osaka"] * 15])
many = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(params=[engine for engine in ENGINES if engine != "jit"])
def evm(request: pytest.FixtureRequest) -> EvmUnderTest:
    """Of engines that begin at once: to compile so many programs takes minutes; `test_differential_engines` does so."""
    return EvmUnderTest(request.param)


class Everything(Tracer):
    """Watches every instruction of every frame, and how large memory becomes."""

    opcodes = None

    def __init__(self) -> None:
        self.steps = 0
        self.words = 0
        self.gas: list[int] = []

    def before(self, frame: object, opcode: int) -> None:
        self.steps += 1
        self.words = max(self.words, frame.memory_words)  # type: ignore[attr-defined]

    def after(self, frame: object, opcode: int) -> None:
        self.words = max(self.words, frame.memory_words)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Ending:
    """All that can be seen of a run."""

    outcome: Outcome
    contents: object


def world(evm: EvmUnderTest, fork: str) -> EvmUnderTest:
    fresh = evm.at(fork)
    callee = jumpi("end", calldatasize) + sstore(0, 9) + log1(0, 0, 1) + label("end") + selfdestruct(CONTRACT)
    fresh.deploy(callee, at=CALLEE, balance=10, storage={0: 3})
    fresh.deploy(at=CONTRACT, balance=100)
    fresh.state.set_storage(CONTRACT, 0, 1)
    return fresh


def run(evm: EvmUnderTest, fork: str, program: Bytecode, *tracers: Tracer) -> Ending:
    fresh = world(evm, fork)
    return Ending(fresh.run(program, gas=GAS, tracers=tracers), fresh.contents())


@given(fork=forks, program=programs)
@many
def test_program_ends_in_a_result_within_its_gas(evm: EvmUnderTest, fork: str, program: Bytecode) -> None:
    result = run(evm, fork, program).outcome.result
    assert result.state.is_final
    assert 0 <= result.gas_used <= GAS
    assert bool(result.error) == (result.state is not ExecutionState.SUCCESS)
    if result.state is ExecutionState.FAILED:
        assert (result.gas_used, result.return_data, result.events) == (GAS, b"", ())


@given(fork=forks, program=programs)
@many
def test_program_that_fails_leaves_the_state_as_it_was(evm: EvmUnderTest, fork: str, program: Bytecode) -> None:
    fresh = world(evm, fork)
    fresh.deploy(program, at=CONTRACT, balance=100)
    before = fresh.contents()
    outcome = fresh.run(program, gas=GAS)
    if not outcome.success:
        assert fresh.contents() == before
        assert (outcome.events, outcome.result.state_changes, outcome.gas_refunded) == ((), (), 0)


@given(fork=forks, program=programs)
@many
def test_program_does_the_same_each_time_and_when_watched(evm: EvmUnderTest, fork: str, program: Bytecode) -> None:
    plain = run(evm, fork, program)
    assert run(evm, fork, program) == plain
    assert run(evm, fork, program, Everything()) == plain


@given(fork=forks, program=programs)
@many
def test_memory_is_what_gas_pays_for(evm: EvmUnderTest, fork: str, program: Bytecode) -> None:
    tracer = Everything()
    run(evm, fork, program, tracer)
    assert 3 * tracer.words + tracer.words**2 // 512 <= GAS


@given(fork=forks, program=programs, less=st.integers(1, 5_000))
@many
def test_less_gas_than_it_used_is_not_enough(evm: EvmUnderTest, fork: str, program: Bytecode, less: int) -> None:
    """For programs that do not ask how much there is, neither themselves nor by passing it on."""
    if any(code in bytes(program) for code in (0x5A, 0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA)):
        return
    whole = run(evm, fork, program)
    if whole.outcome.success and whole.outcome.gas_used >= less:
        fresh = world(evm, fork)
        short = fresh.run(program, gas=whole.outcome.gas_used - less)
        assert short.error == "out of gas"


@given(fork=forks, program=programs, data=st.binary(max_size=40))
@many
def test_transaction_conserves_wei(evm: EvmUnderTest, fork: str, program: Bytecode, data: bytes) -> None:
    """No program makes wei; they can only be burnt, by accounts that destroy themselves."""
    fresh = world(evm, fork)
    fresh.deploy(program, at=CONTRACT, balance=100)
    before = sum(account.balance for _, account in fresh.state.accounts())
    fresh.transact(CONTRACT, gas_limit=GAS, data=data, value=5, max_fee_per_gas=2, max_priority_fee_per_gas=2)
    after = sum(account.balance for _, account in fresh.state.accounts())
    assert after <= before
    if "SELFDESTRUCT" not in repr(program) and CALLEE.to_bytes(2, "big") not in bytes(program):
        assert after == before


@pytest.mark.parametrize("fork", list(FORKS))
def test_every_byte_alone_ends_in_a_result(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    for code in range(256):
        assert evm.run(bytes([code]), gas=100_000).result.state.is_final, hex(code)
