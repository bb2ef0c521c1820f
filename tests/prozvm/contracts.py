"""Contracts for the tests of ProzVM: programs in containers, accounts to hold them, and calls."""

from __future__ import annotations

from typing import Any, Final

from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom_prozvm.bytecode import BytecodeBuilder
from vmloom_prozvm.bytecode.container import pack
from vmloom_prozvm.prozvm import ProzVm

CONTRACT: Final = bytes.fromhex("c0").rjust(20, b"\0")
CALLER: Final = bytes.fromhex("ca11").rjust(20, b"\0")
ORIGIN: Final = bytes.fromhex("0219").rjust(20, b"\0")
BLOCK: Final = BlockContext(number=7, timestamp=1_700_000_000, chain_id=5)
GAS: Final = 1_000_000


def program(*steps: str | tuple[Any, ...]) -> BytecodeBuilder:
    """The instructions: a name alone, or with operands as `BytecodeBuilder.emit` takes them; `:x` sets the label x."""
    builder = BytecodeBuilder()
    for step in steps:
        if isinstance(step, str) and step.startswith(":"):
            builder.label(step[1:])
        elif isinstance(step, str):
            builder.emit(step)
        else:
            builder.emit(*step)
    return builder


def contract(*steps: str | tuple[Any, ...]) -> bytes:
    """The container of these instructions."""
    return pack(program(*steps).build())


def load(value: Any) -> tuple[str, Any]:
    return "LOAD_CONST", value


def written(key: str, value: Any) -> tuple[str | tuple[Any, ...], ...]:
    """A transaction that sets `key`."""
    return "TX_BEGIN", load(value), ("STATE_WRITE", key), "TX_COMMIT"


def world(code: bytes) -> MemoryState:
    """A state with a contract of that code, and a rich caller."""
    return MemoryState({CONTRACT: Account(1, 1000, code, "prozvm"), CALLER: Account(1, 10**18)})


def run(vm: ProzVm, code: bytes, state: StateAccess | None = None, *, gas: int = GAS, **fields: Any) -> ExecutionResult:
    """Call a contract of that code in a transaction of its own."""
    context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=ORIGIN, gas_limit=gas, block=BLOCK, **fields)
    return vm.execute(code, context, world(code) if state is None else state)
