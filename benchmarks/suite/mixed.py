"""Random calls of all VMs as blocks and as independent batches, against the same calls made one after the other.

A test runs some of them, the benchmark of the execution engine as many as one likes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from random import Random
from typing import Any

from vmloom import Account, ExecutionResult, StateAccess
from vmloom.engine import EngineConfig, ExecutionEngine, SmartContract
from vmloom.errors import VmloomError
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_evm.assembly import (
    add,
    call,
    calldataload,
    create_from,
    deployer,
    log1,
    mstore,
    op,
    pop,
    push,
    raw,
    ret_top,
    sload,
    sstore,
)
from vmloom_prozvm.bytecode import BytecodeBuilder
from vmloom_prozvm.bytecode.container import pack
from wasmtime import wat2wasm

CALLERS = [bytes([number]) * 20 for number in (1, 2)]
ADDER, DYING, MAKER, TWICE, HASHES, TO_WASM, TO_PROZ, WASM, PROZ, PROZ_CALLS, NOBODY = (
    bytes([0xA0 + number]) * 20 for number in range(11)
)
FROM_NOBODY = SmartContract(NOBODY, bytes(sstore(7, add(sload(7), 1)) + ret_top(sload(7))))
"""Code handed in for an account that does not exist, whose storage it writes."""

CHILD = bytes(sstore(0, add(sload(0), 1)) + ret_top(sload(0)))
INIT = deployer(CHILD)


@functools.cache
def wasm() -> bytes:
    """Adds one to the word that the input names, and returns it."""
    return bytes(
        wat2wasm(
            """(module
            (import "env" "storage_load" (func $load (param i32 i32)))
            (import "env" "storage_store" (func $store (param i32 i32)))
            (import "env" "finish" (func $finish (param i32 i32)))
            (memory (export "memory") 1)
            (func (export "main") (param $size i32) (param $input i32) (param $output i32) (result i32)
              (call $load (local.get $input) (i32.const 4000))
              (i32.store8 (i32.const 4031) (i32.add (i32.load8_u (i32.const 4031)) (i32.const 1)))
              (call $store (local.get $input) (i32.const 4000))
              (call $finish (i32.const 4000) (i32.const 32))
              (i32.const 1)))"""
        )
    )


def proz_counter() -> BytecodeBuilder:
    """Counts its calls under the key that the first letter of the input's last byte picks."""
    program = BytecodeBuilder().emit("TX_BEGIN").emit("STATE_READ", "n").emit("DUP").emit("LOAD_CONST", None)
    program.emit("EQ").emit("JUMP_IF_FALSE", "known").emit("POP").emit("LOAD_CONST", 0).label("known")
    program.emit("LOAD_CONST", 1).emit("ADD").emit("DUP").emit("STATE_WRITE", "n").emit("TX_COMMIT").emit("RETURN")
    return program


def proz_caller(address: bytes) -> BytecodeBuilder:
    """Calls a contract with its own input."""
    program = BytecodeBuilder().emit("LOAD_CONST", address).emit("INPUT").emit("LOAD_CONST", 0)
    return program.emit("CALL_CONTRACT").emit("RETURN")


def maker(salted: bool) -> bytes:
    """Creates a contract, the slot's number of wei with it, and keeps its address."""
    made = create_from(INIT, value=0, salt=5 if salted else None)
    return bytes(sstore(add(sload(0), 1), made) + sstore(0, add(sload(0), 1)))


def world(kind: type[Any]) -> StateAccess:
    """All contracts on a state of a kind, committed."""
    state: StateAccess = kind(
        {
            **{caller: Account(balance=1_000) for caller in CALLERS},
            ADDER: Account(code=bytes(sstore(calldataload(0), add(1, sload(calldataload(0)))) + log1(0, 0, 7))),
            DYING: Account(code=bytes(sstore(1, add(sload(1), 1)) + raw("33ff")), balance=5),
            MAKER: Account(code=maker(salted=False), nonce=1),
            TWICE: Account(code=maker(salted=True), nonce=1),
            HASHES: Account(
                code=bytes(
                    mstore(0, op("BLOCKHASH")(3))
                    + pop(call(push(2), input=(0, 32), output=(0, 32)))
                    + raw("60206000f3")
                )
            ),
            TO_WASM: Account(code=calling(WASM)),
            TO_PROZ: Account(code=calling(PROZ)),
            WASM: Account(1, 100, wasm(), "wasm"),
            PROZ: Account(1, 100, pack(proz_counter().build()), "prozvm"),
            PROZ_CALLS: Account(1, 100, pack(proz_caller(ADDER).build()), "prozvm"),
        },
        {3: b"\x33" * 32},
    )
    state.set_storage(DYING, 9, 9)
    state.set_storage(NOBODY, 7, 40)
    state.commit()
    return state


def calling(address: bytes) -> bytes:
    """EVM code that calls a contract with its first word, sends a wei, and counts what went well."""
    forwarded = mstore(0, calldataload(0)) + call(address, gas=200_000, value=1, input=(0, 32), output=(0, 32))
    return bytes(sstore(3, add(forwarded, sload(3))))


def created_by(creator: bytes) -> list[bytes]:
    """Where the makers' contracts will be."""
    from vmloom.hashing import create2_address, create_address

    if creator == TWICE:
        return [create2_address(TWICE, 5, bytes(INIT))]
    return [create_address(MAKER, nonce) for nonce in (1, 2, 3)]


WEIGHTS: dict[Any, int] = {
    ADDER: 6,
    DYING: 1,
    MAKER: 2,
    TWICE: 1,
    HASHES: 1,
    TO_WASM: 2,
    TO_PROZ: 2,
    WASM: 4,
    PROZ: 2,
    PROZ_CALLS: 2,
    FROM_NOBODY: 3,
    "0x" + NOBODY.hex(): 1,
    **dict.fromkeys((*created_by(MAKER), *created_by(TWICE)), 2),
}


def random_block(random: Random, size: int) -> tuple[list[Any], list[dict[str, Any]]]:
    """Contracts, and data of their calls."""
    slots = random.choice([1, 4, 100])
    contracts = random.choices([*WEIGHTS], [*WEIGHTS.values()], k=size)
    data = [
        {
            "caller": random.choice(CALLERS),
            "value": random.choices([0, 1, 900, 5_000], [30, 3, 1, 1])[0],
            "gas_limit": random.choices([1_000_000, 24_000, 2_000], [20, 1, 1])[0],
            "data": random.randrange(slots).to_bytes(32, "big"),
        }
        for _ in range(size)
    ]
    return contracts, data


def one_by_one(engine: ExecutionEngine, contracts: list[Any], data: list[dict[str, Any]]) -> list[Any]:
    """What each call gives, or why it was refused."""
    found: list[Any] = []
    for contract, given in zip(contracts, data, strict=True):
        try:
            found.append(shown(engine.execute_contract(contract, **given)))
        except VmloomError as error:
            found.append(str(error))
    return found


def shown(result: ExecutionResult) -> Any:
    """A result, with its changes in an order of their own: engines may list them as they come upon them.

    That an account is gone says that its storage is, which may be listed besides.
    """
    if "fault" in result.metadata and "index" in result.metadata:
        return result.error.partition(": ")[2]
    found = result.to_dict()
    gone = {change.address for change in result.state_changes if change.field == "exists" and not change.new}
    found["state_changes"] = sorted(
        repr(change) for change in result.state_changes if change.address not in gone or change.field != "storage"
    )
    return found


def vms(engine: str, revision: str) -> VmFactory:
    """All VMs, the EVM of a fork on one of its engines. Shanghai deletes what destroys itself, Cancun does not."""
    settings = {"evm": {"engine": engine, "revision": revision}, "wasm": {"disk_cache": False}}
    return VmFactory(Settings({"vm": settings}))


def check_block(factory: VmFactory, kind: type[Any], seed: int) -> None:
    """Raises `AssertionError` if a block on threads differs in results or state from its calls in order."""
    contracts, data = random_block(Random(seed), 40)
    serial = ExecutionEngine(factory, world(kind))
    expected = one_by_one(serial, contracts, data)
    for threads, limit in ((1, 0.5), (3, 1.0), (3, 0.1)):
        config = EngineConfig(threads=threads, serial_below=2, conflict_limit=limit, ahead_from=0)
        engine = ExecutionEngine(factory, world(kind), config=config)
        found = engine.execute_contracts_batch(contracts, data, mode="block")
        _compare(found, expected, f"block {seed} on {threads} threads")
        assert contents(engine.state) == contents(serial.state), f"state after block {seed} on {threads} threads"


def check_independent(factory: VmFactory, kind: type[Any], seed: int) -> None:
    """Raises `AssertionError` if an item of a batch differs from a call that is the first on its state."""
    contracts, data = random_block(Random(1000 + seed), 40)
    expected: list[Any] = []
    for contract, given in zip(contracts, data, strict=True):
        expected += one_by_one(ExecutionEngine(factory, world(kind)), [contract], [given])
    for threads in (1, 3):
        engine = ExecutionEngine(factory, world(kind), config=EngineConfig(threads=threads, serial_below=2, queue=12))
        _compare(engine.execute_contracts_batch(contracts, data), expected, f"batch {seed} on {threads} threads")
        assert contents(engine.state) == [], f"batch {seed} changed the state"


def _compare(found: Sequence[ExecutionResult], expected: Sequence[Any], where: str) -> None:
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert shown(one) == other, f"item {number} of {where}: {shown(one)} is not {other}"


def contents(state: StateAccess) -> list[str]:
    """All that differs from the world."""
    return sorted(map(repr, state.changes_since(0)))
