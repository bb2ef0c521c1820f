"""Compiled contracts end as interpreted ones do, wherever gas runs out: every gas limit, one by one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, ExecutionResult
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import (
    Bytecode,
    add,
    address,
    and_,
    call,
    calldataload,
    div,
    dup,
    exp,
    gas,
    jump,
    jumpi,
    keccak256,
    label,
    log1,
    lt,
    mload,
    mstore,
    mul,
    pop,
    push,
    repeat,
    ret_top,
    return_,
    revert,
    sload,
    sstore,
    stop,
    swap,
    xor,
)
from vmloom_evm.config import EvmJitConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import BLOCK, CONTRACT, SENDER

CALLEE = bytes.fromhex("ca11" * 10)
PLENTY = 1_000_000


@dataclass
class Both:
    """A contract on both engines, each with a state of its own."""

    code: bytes
    data: bytes = b""

    def __post_init__(self) -> None:
        jit = EvmJitConfig(trigger="first", disk_cache=False)
        vms = (Evm(EvmConfig(engine="native")), Evm(EvmConfig(engine="jit", jit=jit)))
        self.sides = [(vm, self._state()) for vm in vms]

    def _state(self) -> NativeState:
        callee = bytes(sstore(0, add(sload(0), 1)) + mstore(0, gas) + return_(0, 32))
        state = NativeState({CONTRACT: Account(1, 5, self.code), CALLEE: Account(1, 0, callee)})
        state.commit()
        return state

    def run(self, limit: int) -> list[tuple[Any, ...]]:
        """What comes of it with so much gas: by the interpreter, and compiled."""
        context = ExecutionContext(
            caller=SENDER, address=CONTRACT, origin=SENDER, input=self.data, gas_limit=limit, block=BLOCK
        )
        seen = []
        for vm, state in self.sides:
            checkpoint = state.snapshot()
            seen.append(_seen(vm.execute(self.code, context, state)))
            state.revert(checkpoint)
        return seen


def _seen(result: ExecutionResult) -> tuple[Any, ...]:
    changes = sorted(map(repr, result.state_changes))
    return result.status, result.error, result.gas_used, result.gas_refunded, result.return_data, result.events, changes


def loop(body: Bytecode, turns: int = 5) -> Bytecode:
    """`body`, which finds the counter on top of the stack, and leaves it there, a few times."""
    return repeat(turns, body) + push(7) + ret_top()


PROGRAMS = {
    "counting": loop(Bytecode()),
    "memory that grows": loop(mstore(mul(dup(1), 100), dup(1)) + mload(mul(dup(1), 130)) + pop, 9),
    "gas that is looked at": loop(mstore(0, xor(gas, mload(0)))) + mload(0),
    "storage": loop(sstore(dup(1), add(sload(1), dup(1)))),
    "storage, cleared": sstore(1, 5) + loop(sstore(1, 0) + sstore(1, dup(1)), 3),
    "hashes and logs": loop(log1(0, 40, keccak256(0, mul(dup(1), 8)))),
    "powers": loop(exp(dup(2), dup(1)) + pop + exp(3, 1 << 200) + pop),
    "division": loop(mstore(0, div(1 << 250, dup(1)))),
    "calls": loop(call(CALLEE, output=(0, 32)) + pop, 3) + mload(0),
    "calls with gas for some": loop(call(CALLEE, gas=3_000, output=(0, 32)) + sstore(dup(2), dup(1)) + pop, 3),
    "itself, called": jumpi("in", lt(gas, 20_000)) + call(address) + sstore(0, gas) + label("in") + return_(0, 32),
    "ways that part and meet": loop(
        jumpi("odd", and_(dup(1), 1))
        + mstore(mul(dup(1), 200), dup(1))
        + label("odd")
        + jumpi("on", lt(dup(1), 3))
        + exp(dup(1), 1 << 100)
        + jumpi("odder", and_(2, dup(1)))
        + mload(mul(dup(3), 150))
        + pop
        + label("odder")
        + pop
        + label("on"),
        9,
    ),
    "jump that fails": push(3) + jump(calldataload(0)),
    "jump to where gas says": push(1) + label("again") + add(1) + jump(and_(gas, 3)) + stop,
    "stack that overflows": label("again") + gas + dup(1) + jump("again"),
    "stack that underflows": loop(pop + pop, 3) + xor,
    "revert": loop(sstore(dup(1), 1), 2) + mstore(0, gas) + revert(0, 64),
    "functions": push("back")
    + push(9)
    + jump("square")
    + label("back")
    + mstore(0, swap(1))
    + return_(0, 32)
    + label("square")
    + mul(dup(1))
    + swap(1)
    + jump(),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_code_ends_as_interpreted_code_wherever_gas_runs_out(name: str) -> None:
    both = Both(bytes(PROGRAMS[name]))
    interpreted, compiled = both.run(PLENTY)
    assert compiled == interpreted
    used = interpreted[2] if interpreted[2] < PLENTY else 3_000
    step = max(1, used // 1_500)  # all of them, where there are not too many
    for limit in itertools.chain(range(min(used + 3, 400)), range(400, used + 3, step)):
        interpreted, compiled = both.run(limit)
        assert compiled == interpreted, f"with {limit} gas"
    statistics = both.sides[1][0].jit_statistics()
    assert statistics is not None
    assert statistics.compiles > 0
