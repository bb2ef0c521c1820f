"""Contracts of the EVM and of another VM that call and create each other, on every engine and kind of state.

The other VM does what a test wants, and reaches the EVM through `vmloom.calls` alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from traceback import walk_stack
from typing import Any, NamedTuple

import pytest
from vmloom import (
    Account,
    Event,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    PrecompileSet,
    StateAccess,
    VirtualMachine,
    VmFactory,
    VmVersion,
)
from vmloom.calls import HOST_DEPTH_LIMIT, call_contract, create_contract
from vmloom.hashing import create2_address, create_address
from vmloom_evm.assembly import (
    Bytecode,
    add,
    balance,
    call,
    calldatasize,
    callvalue,
    codesize,
    delegatecall,
    deployer,
    invalid,
    jumpi,
    label,
    log0,
    log1,
    mstore,
    mstore8,
    pop,
    ret_top,
    return_,
    returndatacopy,
    returndatasize,
    revert,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    stop,
)
from vmloom_evm.config import EvmConfig
from vmloom_evm.delegation import designator
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import BLOCK, CONTRACT, FUNDS, SENDER
from vmloom_evm.transaction.types import Transaction
from vmloom_evm.vm import Evm

Do = Callable[["World", ExecutionContext, StateAccess], ExecutionResult]
SUCCESS, REVERTED, FAILED = ExecutionState.SUCCESS, ExecutionState.REVERTED, ExecutionState.FAILED
CODES = {SUCCESS: 0, REVERTED: 1, FAILED: 2}

TOY = (0x707).to_bytes(20, "big")
CALLEE = (0xCA11).to_bytes(20, "big")
INNER = (0x1111).to_bytes(20, "big")
DELEGATE = (0xDE1E).to_bytes(20, "big")
WATCHED = (CONTRACT, TOY, CALLEE, INNER, DELEGATE, SENDER)
MAGIC = b"toy:"
OWN_PRICE = 1_000
"""Gas that the other VM takes for what it does itself."""
STATES: list[Callable[[Mapping[bytes, Account]], Any]] = [
    MemoryState,
    NativeState,
    lambda accounts: NativeState(source=MemoryState(accounts), guarded=True),
]
ENGINES = [("reference", MemoryState), *(("native", make) for make in STATES)]
SETS = VmFactory().precompile_sets("evm")


class Toy(VirtualMachine):
    """Runs what the test has put under the code; keeps the rules for those that do not succeed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: list[ExecutionContext] = []

    @property
    def vm_type(self) -> str:
        return "toy"

    @property
    def vm_version(self) -> VmVersion:
        return VmVersion(1, 0, 0)

    def validate_code(self, code: bytes) -> None:
        pass

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        self.runs.append(context)
        checkpoint = state.snapshot()
        result = self.world.programs[code](self.world, context, state)
        if not result.success:
            state.revert(checkpoint)
        return result


class World:
    """Both VMs, what the toy's codes do, and what came back from its calls; it is the host of both."""

    default_vm = "evm"

    def __init__(self, engine: str, programs: Mapping[bytes, Do], config: Mapping[str, Any]) -> None:
        self.programs = programs
        self.toy = Toy(self)
        self.evm = Evm(EvmConfig(engine=engine, **config), self)
        self.results: list[ExecutionResult] = []
        self.created: list[bytes] = []

    def get_vm(self, vm_type: str) -> VirtualMachine:
        return {"toy": self.toy, "evm": self.evm}[vm_type]

    def vm_of_code(self, code: bytes) -> str:
        return "toy" if code.startswith(MAGIC) else "evm"

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        return SETS


class Seen(NamedTuple):
    """What a transaction did: gas is that of execution, before refunds, and what is refunded in the end."""

    state: ExecutionState
    error: str
    gas: int
    refunded: int
    output: bytes
    events: tuple[Event, ...]
    changes: set[Any]
    accounts: dict[bytes, Account | None]
    words: dict[bytes, list[int]]
    records: dict[bytes, bytes | None]
    results: list[tuple[ExecutionState, int, bytes, str]]
    created: list[bytes]
    contexts: list[ExecutionContext]


def everywhere(
    program: Bytecode | bytes,
    do: Do | Mapping[bytes, Do] | None = None,
    accounts: Mapping[bytes, Account] | None = None,
    *,
    watch: Sequence[bytes] = (),
    gas: int = 10_000_000,
    value: int = 0,
    storage: Mapping[bytes, int] | None = None,
    **config: Any,
) -> Seen:
    """What comes of a transaction that calls `program`, which must be the same on every engine and state."""
    programs = do if isinstance(do, Mapping) else {b"toy": do or (lambda *_: ExecutionResult(SUCCESS, 0))}
    found = []
    for engine, make in ENGINES:
        world = World(engine, programs, config)
        state = make(
            {
                SENDER: Account(balance=FUNDS),
                CONTRACT: Account(1, 10, bytes(program)),
                TOY: Account(1, 10, b"toy", "toy"),
                **(accounts or {}),
            }
        )
        for at, word in (storage or {}).items():
            state.set_storage(at, 0, word)
        state.begin_transaction()
        tx = Transaction(to=CONTRACT, gas_limit=gas, value=value)
        result = world.evm.apply_transaction(tx, BLOCK, state, sender=SENDER)
        watched = (*WATCHED, *watch, *world.created)
        found.append(
            Seen(
                result.state,
                result.error,
                result.max_gas_used - 21_000,
                result.gas_refunded,
                result.return_data,
                result.events,
                {(it.address, it.field, it.key, it.old, it.new) for it in result.state_changes},
                {at: state.get_account(at) for at in watched},
                {at: [state.get_storage(at, slot) for slot in range(3)] for at in watched},
                {at: state.get_record(at, b"key") for at in watched},
                [(it.state, it.gas_used, it.return_data, it.error) for it in world.results],
                world.created,
                world.toy.runs,
            )
        )
    for one in found[1:]:
        assert one == found[0]
    return found[0]


def message(context: ExecutionContext, to: bytes, gas: int, **fields: Any) -> ExecutionContext:
    """A call that the code of `context` makes."""
    given = {
        "caller": context.address,
        "address": to,
        "origin": context.origin,
        "gas_limit": min(gas, context.gas_limit - OWN_PRICE),
        "depth": context.depth + 1,
        "is_static": context.is_static,
        "block": context.block,
    }
    return ExecutionContext(**{**given, **fields})


def ended(*results: ExecutionResult, output: bytes = b"") -> ExecutionResult:
    """Of the toy, which has paid for calls with these results."""
    return ExecutionResult(
        SUCCESS,
        OWN_PRICE + sum(result.gas_used for result in results),
        output,
        gas_refunded=sum(result.gas_refunded for result in results),
    )


def calls(to: bytes, *, gas: int = 100_000, code_address: bytes | None = None, **fields: Any) -> Do:
    """Writes, and calls `to`."""

    def do(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        if not context.is_static:
            state.set_record(context.address, b"key", b"written")
            state.set_storage(context.address, 1, 5)
        inner = message(context, to, gas, **fields)
        result = call_contract(world, state, inner, code_address=code_address, transfer=code_address is None)
        world.results.append(result)
        return ended(result, output=bytes([CODES[result.state]]) + result.return_data)

    return do


def creates(code: bytes, *, gas: int = 200_000, salt: int | None = None, times: int = 1, **fields: Any) -> Do:
    """Creates a contract."""

    def do(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        results = []
        for _ in range(times):
            result, address = create_contract(world, state, message(context, TOY, gas, **fields), code, salt=salt)
            results.append(result)
            world.created.append(address)
        world.results += results
        return ended(*results)

    return do


CALLS_TOY = call(TOY, gas=5_000_000)
RETURNS_ALL = returndatacopy(0, 0, returndatasize) + return_(0, returndatasize)
CALL_COST = 7 * 3 + 2_600
"""Of `CALLS_TOY`: seven operands, and a cold account."""


def evm(code: Bytecode | bytes, balance: int = 0) -> Account:
    return Account(1, balance, bytes(code))


# One transaction


def test_contract_that_reverts_undoes_what_every_vm_below_it_did() -> None:
    """EVM -> toy -> EVM, and the outer one reverts."""
    accounts = {
        INNER: evm(sstore(0, 1) + pop(call(TOY, gas=1_000_000, value=3)) + revert(0, 0), 10),
        CALLEE: evm(sstore(0, 2)),
    }
    kept = {**accounts, INNER: evm(sstore(0, 1) + pop(call(TOY, gas=1_000_000, value=3)), 10)}
    program = pop(call(INNER, gas=2_000_000)) + sstore(2, sload(2))
    do = calls(CALLEE, value=4)
    seen = everywhere(program, do, kept)
    assert (seen.words[INNER][0], seen.words[TOY][1], seen.words[CALLEE][0]) == (1, 5, 2)
    assert seen.records[TOY] == b"written"
    assert [seen.accounts[at].balance for at in (INNER, TOY, CALLEE)] == [7, 9, 4]  # type: ignore[union-attr]
    seen = everywhere(program, do, accounts)
    assert [seen.words[at] for at in (INNER, TOY, CALLEE)] == [[0, 0, 0]] * 3
    assert seen.records[TOY] is None
    assert [seen.accounts[at].balance for at in (INNER, TOY, CALLEE)] == [10, 10, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(("ending", "code"), [(revert(0, 0), 1), (invalid, 2)])
def test_failing_callee_undoes_only_its_own(ending: Bytecode, code: int) -> None:
    seen = everywhere(pop(CALLS_TOY) + RETURNS_ALL, calls(CALLEE, value=4), {CALLEE: evm(sstore(0, 2) + ending)})
    assert seen.output == bytes([code])
    assert (seen.words[TOY][1], seen.words[CALLEE][0]) == (5, 0)
    assert seen.accounts[TOY].balance == 10  # type: ignore[union-attr]


def test_what_a_frame_that_reverted_wrote_is_gone_when_the_other_vm_runs_again() -> None:
    def appends(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.set_record(TOY, b"key", (state.get_record(TOY, b"key") or b"") + b"x")
        return ExecutionResult(SUCCESS, 10, state.get_record(TOY, b"key") or b"")

    accounts = {INNER: evm(pop(CALLS_TOY) + revert(0, 0)), CALLEE: evm(pop(CALLS_TOY))}
    program = pop(CALLS_TOY) + pop(call(INNER)) + pop(call(CALLEE)) + pop(call(INNER)) + pop(CALLS_TOY) + RETURNS_ALL
    seen = everywhere(program, appends, accounts)
    assert (seen.output, seen.records[TOY]) == (b"xxx", b"xxx")
    seen = everywhere(pop(call(INNER)) + pop(call(INNER)) + pop(CALLS_TOY) + RETURNS_ALL, appends, accounts)
    assert (seen.output, seen.records[TOY]) == (b"x", b"x")


def test_result_has_what_every_vm_did_in_order() -> None:
    def emits(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.emit(Event(TOY, (1, 2), b"before"))
        result = calls(CALLEE, value=4)(world, context, state)
        state.emit(Event(TOY, (), b"after"))
        return result

    program = sstore(0, 1) + log0(0, 0) + pop(CALLS_TOY) + log0(0, 0)
    seen = everywhere(program, emits, {CALLEE: evm(sstore(0, 2) + log1(0, 32, 9))})
    assert [(it.address, it.topics, it.data) for it in seen.events] == [
        (CONTRACT, (), b""),
        (TOY, (1, 2), b"before"),
        (CALLEE, (9,), bytes(32)),
        (TOY, (), b"after"),
        (CONTRACT, (), b""),
    ]
    assert seen.changes == {
        (CONTRACT, "storage", 0, 0, 1),
        (TOY, "storage", 1, 0, 5),
        (TOY, "record", b"key", None, b"written"),
        (TOY, "balance", None, 10, 6),
        (CALLEE, "balance", None, 0, 4),
        (CALLEE, "storage", 0, 0, 2),
        (SENDER, "nonce", None, 0, 1),
    }


def test_transactions_of_a_batch_keep_their_results() -> None:
    """A callback asks the state for changes while the results of those before it wait in native memory."""
    program = pop(CALLS_TOY) + log0(0, 0) + ret_top(add(sload(0), 1))
    counts = sstore(0, add(sload(0), 1))
    found = []
    for engine, make in ENGINES:
        world = World(engine, {b"toy": calls(CALLEE)}, {})
        accounts = {CONTRACT: evm(program), TOY: Account(1, 0, b"toy", "toy"), CALLEE: evm(counts)}
        state = make({SENDER: Account(balance=FUNDS), **accounts})
        txs = [Transaction(to=CONTRACT, gas_limit=1_000_000, nonce=nonce) for nonce in range(3)]
        results = world.evm.apply_transactions(txs, BLOCK, state, senders=[SENDER] * 3)
        found.append([(it.state, it.gas_used, it.return_data, it.events, set(it.state_changes)) for it in results])
        assert state.get_storage(CALLEE, 0) == 3
    for one in found[1:]:
        assert one == found[0]
    assert [len(changes) for *_, changes in found[0]] == [4, 2, 2]


def test_contract_that_is_called_back_sees_its_own_changes() -> None:
    program = (
        jumpi("back", calldatasize)
        + sstore(0, 7)
        + pop(CALLS_TOY)
        + ret_top(sload(1))
        + label("back")
        + sstore(1, sload(0))
        + stop
    )
    seen = everywhere(program, calls(CONTRACT, input=b"back"))
    assert int.from_bytes(seen.output, "big") == 7
    assert seen.results == [(SUCCESS, 2 + 3 + 10 + 1 + 3 + 100 + 3 + 22_100, b"", "")]


def test_value_goes_through_both_vms_and_is_told() -> None:
    seen = everywhere(
        pop(call(TOY, gas=1_000_000, value=10)), calls(CALLEE, value=20), {CALLEE: evm(sstore(0, callvalue))}
    )
    assert [seen.accounts[at].balance for at in (CONTRACT, TOY, CALLEE)] == [0, 0, 20]  # type: ignore[union-attr]
    assert (seen.contexts[0].value, seen.words[CALLEE][0]) == (10, 20)


def test_value_that_is_not_there_is_not_sent() -> None:
    seen = everywhere(CALLS_TOY, calls(CALLEE, value=11), {CALLEE: evm(sstore(0, 1))})
    assert seen.results == [(FAILED, 0, b"", "insufficient balance for transfer")]
    assert seen.gas == CALL_COST + OWN_PRICE


def test_static_call_stays_one_through_both_vms() -> None:
    program = pop(staticcall(TOY, gas=1_000_000)) + RETURNS_ALL
    seen = everywhere(program, calls(CALLEE), {CALLEE: evm(sstore(0, 1))})
    assert seen.results == [(FAILED, 100_000, b"", "write protection")]
    seen = everywhere(program, calls(CALLEE), {CALLEE: evm(ret_top(sload(0)))})
    assert seen.output == bytes(33)
    assert seen.contexts[0].is_static


def test_delegate_call_tells_whose_code_runs() -> None:
    seen = everywhere(pop(delegatecall(TOY, gas=1_000_000)) + pop(CALLS_TOY), calls(CALLEE))
    assert [(it.address, it.code_address) for it in seen.contexts] == [(CONTRACT, TOY), (TOY, None)]


def test_delegate_call_of_the_other_vm_runs_evm_code_as_itself() -> None:
    seen = everywhere(CALLS_TOY, calls(TOY, code_address=CALLEE, value=6), {CALLEE: evm(sstore(0, callvalue))})
    assert (seen.words[TOY][0], seen.words[CALLEE][0], seen.accounts[CALLEE]) == (6, 0, evm(sstore(0, callvalue)))


# Gas


READS = pop(sload(0))
READ_COLD, READ_WARM = 3 + 2_100 + 2, 3 + 100 + 2


def test_gas_of_a_call_through_the_other_vm_is_the_sum() -> None:
    seen = everywhere(CALLS_TOY, calls(CALLEE), {CALLEE: evm(READS)})
    assert seen.results == [(SUCCESS, READ_COLD, b"", "")]
    assert seen.gas == CALL_COST + OWN_PRICE + READ_COLD


def test_what_one_vm_has_warmed_is_warm_for_the_other() -> None:
    accounts = {CALLEE: evm(READS)}
    direct = pop(call(CALLEE, gas=10_000))
    seen = everywhere(direct + pop(CALLS_TOY), calls(CALLEE), accounts)
    assert seen.gas == 2 * (CALL_COST + 2) + READ_COLD + OWN_PRICE + READ_WARM
    seen = everywhere(pop(CALLS_TOY) + direct, calls(CALLEE), accounts)
    assert seen.gas == 2 * (CALL_COST + 2) + READ_WARM + OWN_PRICE + READ_COLD


def test_what_a_call_that_failed_has_warmed_is_cold_again() -> None:
    seen = everywhere(pop(CALLS_TOY) + pop(call(CALLEE, gas=10_000)), calls(CALLEE), {CALLEE: evm(READS + invalid)})
    assert seen.gas == 2 * (CALL_COST + 2) + OWN_PRICE + 100_000 + 10_000
    accounts = {CALLEE: evm(READS + revert(0, 0)), INNER: evm(READS)}
    program = pop(CALLS_TOY) + pop(call(CALLEE, gas=10_000))
    seen = everywhere(program, calls(CALLEE), accounts)
    assert seen.gas == 2 * (CALL_COST + 2) + OWN_PRICE + 2 * (READ_COLD + 6)


def test_refund_that_a_callback_takes_back_is_not_paid() -> None:
    """EIP-3529: clearing the slot promises 4800 gas; restoring it takes that back and gives 2800."""
    program = jumpi("back", calldatasize) + sstore(0, 0) + pop(CALLS_TOY) + stop + label("back") + sstore(0, 3) + stop
    seen = everywhere(program, calls(CONTRACT, input=b"back"), storage={CONTRACT: 3})
    assert seen.words[CONTRACT][0] == 3
    assert seen.refunded == 2_800
    seen = everywhere(program, storage={CONTRACT: 3})
    assert seen.refunded == 4_800


# Depth


def test_nested_runs_end_before_the_stack_of_the_host_does() -> None:
    frames = []

    def recurses(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        frames.append(sum(1 for _ in walk_stack(sys._getframe())))
        return calls(CALLEE, gas=1 << 40)(world, context, state)

    seen = everywhere(CALLS_TOY, recurses, {CALLEE: evm(ret_top(call(TOY, gas=1 << 40)))})
    assert seen.state is SUCCESS
    assert len(seen.contexts) == HOST_DEPTH_LIMIT // 2
    assert [it.depth for it in seen.contexts] == list(range(1, HOST_DEPTH_LIMIT, 2))
    # A call of the toy that the limit stops takes all its gas, and the contract that made it goes on.
    outputs = [int.from_bytes(output, "big") for _, _, output, _ in seen.results]
    assert outputs == [0] + [1] * (HOST_DEPTH_LIMIT // 2 - 1)
    assert max(frames) - min(frames) < 500  # of Python's thousand


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_deepest_contract_of_another_vm_can_call_nobody(engine: str) -> None:
    world = World(engine, {b"toy": calls(CALLEE)}, {})
    state = MemoryState({TOY: Account(1, 10, b"toy", "toy"), CALLEE: evm(stop)})
    program = bytes(CALLS_TOY)
    for depth, error in ((1_022, ""), (1_023, "max call depth exceeded")):
        context = ExecutionContext(address=CONTRACT, depth=depth, gas_limit=1_000_000)
        assert world.evm.execute(program, context, state).success
        assert (world.results[-1].error, world.results[-1].gas_used) == (error, 0)
        assert world.toy.runs[-1].depth == depth + 1


# Precompiles and delegations, which only the EVM knows


def test_precompile_is_called_as_any_contract() -> None:
    seen = everywhere(pop(CALLS_TOY) + RETURNS_ALL, calls((2).to_bytes(20, "big"), input=b"abc", value=1))
    assert seen.output == b"\0" + hashlib.sha256(b"abc").digest()
    assert seen.results[0][:2] == (SUCCESS, 60 + 12)
    seen = everywhere(CALLS_TOY, calls(TOY, code_address=(2).to_bytes(20, "big"), input=b"abc"))
    assert seen.results[0][:3] == (SUCCESS, 60 + 12, hashlib.sha256(b"abc").digest())


@pytest.mark.parametrize(
    ("address", "input", "gas", "error"),
    [(2, b"abc", 71, "out of gas"), (6, (1).to_bytes(32, "big") * 2, 50_000, "precompile failed")],
)
def test_precompile_that_fails_burns_the_gas_of_the_call(address: int, input: bytes, gas: int, error: str) -> None:
    at = address.to_bytes(20, "big")
    seen = everywhere(CALLS_TOY, calls(at, input=input, gas=gas, value=1), watch=[at])
    assert seen.results == [(FAILED, gas, b"", error)]
    assert seen.accounts[at] is None
    assert seen.gas == CALL_COST + OWN_PRICE + gas


def test_fork_without_a_precompile_has_no_code_there() -> None:
    seen = everywhere(CALLS_TOY, calls((6).to_bytes(20, "big")), revision="spurious_dragon", gas=3_000_000)
    assert seen.results == [(SUCCESS, 0, b"", "")]


DELEGATING = Account(1, 0, designator(DELEGATE))
STORES = sstore(0, 8)


def twice(do: Do) -> Do:
    def both(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        do(world, context, state)
        do(world, context, state)
        return ended(*world.results[-2:])

    return both


def test_code_of_the_delegate_runs_as_the_account_and_its_access_is_paid() -> None:
    """EIP-7702"""
    seen = everywhere(CALLS_TOY, twice(calls(CALLEE)), {CALLEE: DELEGATING, DELEGATE: evm(STORES)})
    assert [result[1] for result in seen.results] == [2_600 + 6 + 22_100, 100 + 6 + 100]
    assert (seen.words[CALLEE][0], seen.words[DELEGATE][0]) == (8, 0)


@pytest.mark.parametrize(
    ("target", "code", "result"),
    [
        ((2).to_bytes(20, "big"), None, (SUCCESS, 100, b"", "")),
        (DELEGATE, designator(INNER), (FAILED, 100_000, b"", "invalid opcode")),
        (DELEGATE, b"", (SUCCESS, 2_600, b"", "")),
        (CALLEE, None, (FAILED, 100_000, b"", "invalid opcode")),
    ],
    ids=["precompile", "another delegating account", "no code", "itself"],
)
def test_delegation_is_followed_once_and_never_to_a_precompile(
    target: bytes, code: bytes | None, result: tuple[Any, ...]
) -> None:
    accounts = {CALLEE: Account(1, 0, designator(target)), INNER: evm(STORES)}
    if code is not None:
        accounts[DELEGATE] = evm(code)
    assert everywhere(CALLS_TOY, calls(CALLEE), accounts).results == [result]


def test_access_to_the_delegate_must_be_affordable() -> None:
    seen = everywhere(CALLS_TOY, calls(CALLEE, gas=2_599), {CALLEE: DELEGATING, DELEGATE: evm(stop)})
    assert seen.results == [(FAILED, 2_599, b"", "out of gas")]
    seen = everywhere(CALLS_TOY, calls(CALLEE, gas=2_600), {CALLEE: DELEGATING, DELEGATE: evm(stop)})
    assert seen.results == [(SUCCESS, 2_600, b"", "")]


def test_access_to_the_delegate_leaves_that_much_less_to_its_code() -> None:
    accounts = {CALLEE: DELEGATING, DELEGATE: evm(STORES)}
    whole = 2_600 + 6 + 22_100
    assert everywhere(CALLS_TOY, calls(CALLEE, gas=whole), accounts).results == [(SUCCESS, whole, b"", "")]
    seen = everywhere(CALLS_TOY, calls(CALLEE, gas=whole - 1), accounts)
    assert seen.results == [(FAILED, whole - 1, b"", "out of gas")]


def test_delegate_may_be_a_contract_of_the_other_vm() -> None:
    def stores(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.set_record(context.address, b"key", b"as the account")
        return ExecutionResult(SUCCESS, 50)

    accounts = {CALLEE: DELEGATING, DELEGATE: Account(1, 0, b"other", "toy")}
    seen = everywhere(CALLS_TOY, {b"toy": calls(CALLEE), b"other": stores}, accounts)
    assert seen.results == [(SUCCESS, 2_600 + 50, b"", "")]
    assert (seen.records[CALLEE], seen.records[DELEGATE]) == (b"as the account", None)
    assert [(it.address, it.code_address) for it in seen.contexts] == [(TOY, None), (CALLEE, DELEGATE)]


def test_before_prague_a_designator_is_code_like_any_other() -> None:
    accounts = {CALLEE: DELEGATING, DELEGATE: evm(STORES)}
    seen = everywhere(CALLS_TOY, calls(CALLEE), accounts, revision="cancun")
    assert seen.results == [(FAILED, 100_000, b"", "invalid opcode")]


# Creations


RUNTIME = bytes(ret_top(1))
INIT = bytes(deployer(RUNTIME))
CREATED = create_address(TOY, 1)


def run_alone(code: bytes) -> int:
    """Gas that `code` uses as the code of a plain call."""
    result = Evm(EvmConfig(engine="reference")).execute(code, ExecutionContext(), MemoryState())
    assert result.state is not FAILED
    return result.gas_used


def words_of(code: bytes) -> int:
    return (len(code) + 31) // 32


def test_evm_contract_is_created_by_its_init_code() -> None:
    seen = everywhere(CALLS_TOY, creates(INIT, value=4))
    assert seen.created == [CREATED]
    assert seen.accounts[CREATED] == Account(1, 4, RUNTIME, "evm")
    assert seen.accounts[TOY] == Account(2, 6, b"toy", "toy")
    price = 2 * words_of(INIT) + run_alone(INIT) + 200 * len(RUNTIME)
    assert seen.results == [(SUCCESS, price, b"", "")]
    assert seen.gas == CALL_COST + OWN_PRICE + price


def test_constructor_has_its_input_behind_its_code_and_not_as_call_data() -> None:
    init = bytes(sstore(0, codesize) + sstore(1, calldatasize) + sstore(2, callvalue) + return_(0, 0))
    seen = everywhere(CALLS_TOY, creates(init, input=b"input", value=3))
    assert seen.words[CREATED] == [len(init) + 5, 0, 3]
    assert seen.accounts[CREATED] == Account(1, 3)


def test_salted_address_hashes_code_and_input() -> None:
    """EIP-1014. A second creation there fails with all its gas, and the nonce goes up nevertheless."""
    seen = everywhere(CALLS_TOY, creates(INIT, salt=5, input=b"input", times=2))
    assert seen.created == [create2_address(TOY, 5, INIT + b"input")] * 2
    assert [result[0] for result in seen.results] == [SUCCESS, FAILED]
    assert seen.results[1][1:] == (200_000, b"", "contract address collision")
    assert seen.accounts[TOY].nonce == 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("init", "gas", "error"),
    [
        (invalid, 200_000, "invalid opcode"),
        (return_(0, 24_577), 4_000_000, "max code size exceeded"),
        (mstore8(0, 0xEF) + return_(0, 1), 200_000, "invalid code: must not begin with 0xef"),
        (return_(0, 1_000), 200_000, "contract creation code storage out of gas"),
        (bytes(49_153), 200_000, "max initcode size exceeded"),
        (bytes(3_200), 199, "out of gas"),
    ],
)
def test_creation_that_fails_leaves_nothing_but_the_nonce(init: Any, gas: int, error: str) -> None:
    seen = everywhere(CALLS_TOY, creates(bytes(sstore(0, 1)) + bytes(init), gas=gas, value=1))
    assert seen.results == [(FAILED, gas, b"", error)]
    assert (seen.accounts[CREATED], seen.words[CREATED]) == (None, [0, 0, 0])
    assert seen.accounts[TOY] == Account(2, 10, b"toy", "toy")


def test_last_gas_of_a_creation_pays_for_the_code() -> None:
    price = 2 * words_of(INIT) + run_alone(INIT) + 200 * len(RUNTIME)
    assert everywhere(CALLS_TOY, creates(INIT, gas=price)).results == [(SUCCESS, price, b"", "")]
    [(state, gas, _, error)] = everywhere(CALLS_TOY, creates(INIT, gas=price - 1)).results
    assert (state, gas, error) == (FAILED, price - 1, "contract creation code storage out of gas")


def test_init_code_is_free_before_shanghai() -> None:
    """EIP-3860"""
    [(state, gas, _, _)] = everywhere(CALLS_TOY, creates(INIT), revision="london").results
    assert (state, gas) == (SUCCESS, run_alone(INIT) + 200 * len(RUNTIME))


def test_constructor_that_reverts_tells_why() -> None:
    init = bytes(mstore(0, 9) + revert(0, 32))
    seen = everywhere(CALLS_TOY, creates(init, value=1))
    assert seen.results[0][:2] == (REVERTED, 2 * words_of(init) + run_alone(init))
    assert int.from_bytes(seen.results[0][2], "big") == 9
    assert (seen.accounts[CREATED], seen.accounts[TOY]) == (None, Account(2, 10, b"toy", "toy"))


def test_new_contract_is_warm() -> None:
    """EIP-2929"""
    plain = everywhere(pop(CALLS_TOY), creates(INIT)).gas
    assert everywhere(pop(CALLS_TOY) + pop(balance(CREATED)), creates(INIT)).gas == plain + 3 + 100 + 2
    other = CREATED[::-1]
    assert everywhere(pop(CALLS_TOY) + pop(balance(other)), creates(INIT)).gas == plain + 3 + 2_600 + 2


def test_contract_created_in_the_transaction_can_destroy_itself() -> None:
    """EIP-6780, whichever VM created it, and for contracts of either."""

    def creates_and_calls(world: World, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        results = [creates(bytes(deployer(selfdestruct(INNER))))(world, context, state)]
        results.append(calls(world.created[0])(world, context, state))
        return ended(*results)

    seen = everywhere(CALLS_TOY, creates_and_calls)
    assert seen.accounts[CREATED] is None
    seen = everywhere(CALLS_TOY, creates(bytes(selfdestruct(INNER)), value=2))
    assert (seen.accounts[CREATED], seen.accounts[INNER]) == (None, Account(0, 2))


def test_contract_of_the_other_vm_is_known_by_its_first_bytes() -> None:
    seen = everywhere(CALLS_TOY, creates(MAGIC + b"code"))
    assert seen.accounts[CREATED] == Account(1, 0, MAGIC + b"code", "toy")
    assert seen.results == [(SUCCESS, 200 * 8, b"", "")]


def test_what_is_created_goes_with_the_frame_that_reverts() -> None:
    accounts = {INNER: evm(pop(call(TOY, gas=1_000_000)) + revert(0, 0))}
    seen = everywhere(pop(call(INNER, gas=2_000_000)) + pop(balance(CREATED)), creates(INIT, value=3), accounts)
    assert (seen.accounts[CREATED], seen.accounts[TOY]) == (None, Account(1, 10, b"toy", "toy"))


@pytest.mark.parametrize(("engine", "make"), ENGINES)
def test_creation_by_nobodys_contract_is_a_transaction_of_its_own(engine: str, make: Any) -> None:
    world, state = World(engine, {}, {}), make({SENDER: Account(balance=5)})
    result, address = create_contract(world, state, ExecutionContext(caller=SENDER, value=2), INIT)
    assert result.success
    assert state.get_account(address) == Account(1, 2, RUNTIME, "evm")
    result, address = create_contract(world, state, ExecutionContext(caller=SENDER), bytes(selfdestruct(INNER)))
    assert result.success
    assert state.get_account(address) is None


@pytest.mark.parametrize(("engine", "make"), ENGINES)
def test_creation_inside_a_transaction_finds_what_a_native_run_has_warmed(engine: str, make: Any) -> None:
    world, state = World(engine, {}, {}), make({SENDER: Account(balance=5)})
    assert world.evm.execute(bytes(pop(balance(INNER))), ExecutionContext(address=CONTRACT), state).success
    init = bytes(pop(balance(INNER)))
    result, _ = create_contract(world, state, ExecutionContext(caller=SENDER, depth=1), init)
    assert (result.state, result.gas_used) == (SUCCESS, 2 * words_of(init) + 3 + 100 + 2)
