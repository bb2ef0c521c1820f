"""Contracts of ProzVM, the EVM and WebAssembly that call each other: one state, one undo log, one account of gas."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom import Account, Event, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom.calls import HOST_DEPTH_LIMIT, create_contract, host_depth
from vmloom.errors import UnknownVm
from vmloom.factory import VmFactory
from vmloom.marks import WARM_ACCOUNTS
from vmloom.settings import Settings
from vmloom_evm.assembly import call, mstore, op, pop, raw, ret_top, sstore, staticcall
from vmloom_evm.native.state import NativeState
from vmloom_prozvm.bytecode import BytecodeBuilder, Opcode, function
from vmloom_prozvm.bytecode.container import pack
from vmloom_prozvm.config import CallPrices, ProzVmConfig
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.runtime.world import StateWorld
from vmloom_prozvm.values import Value, canonical

from .contracts import BLOCK, CALLER, GAS, ORIGIN, contract, load, program, written

LOADING = ProzVmConfig().load_gas_per_byte
PROZ = bytes.fromhex("90").rjust(20, b"\0")
EVM = bytes.fromhex("e7").rjust(20, b"\0")
LAST = bytes.fromhex("1a57").rjust(20, b"\0")
NOBODY = bytes.fromhex("0b0d").rjust(20, b"\0")
REFUSED = {"status": 0, "output": b""}


class World:
    """Contracts of several VMs on one engine of the EVM and one kind of state."""

    def __init__(self, engine: str, native: bool, *, compiled: bool = False) -> None:
        jit = {"enabled": compiled, "threshold": 0}
        settings = {"vm": {"evm": {"engine": engine, "revision": "cancun"}, "prozvm": {"jit": jit}}}
        self.factory = VmFactory(Settings(settings))
        self.native = native

    def state(self, **codes: tuple[str, Any]) -> StateAccess:
        """A state with contracts at PROZ, EVM and LAST: (vm, code)."""
        accounts = {CALLER: Account(1, 10**18), ORIGIN: Account(1, 10**18)}
        for name, address in (("proz", PROZ), ("evm", EVM), ("last", LAST)):
            if name in codes:
                vm, code = codes[name]
                accounts[address] = Account(1, 1000, bytes(code), vm)
        return NativeState(accounts) if self.native else MemoryState(accounts)

    def run(self, state: StateAccess, address: bytes, *, gas: int = GAS, **fields: Any) -> ExecutionResult:
        """Call the contract at `address` in a transaction of its own."""
        account = state.get_account(address)
        assert account is not None
        context = ExecutionContext(caller=CALLER, address=address, origin=ORIGIN, gas_limit=gas, block=BLOCK, **fields)
        return self.factory.get_vm(account.vm or "evm").execute(account.code, context, state)


@pytest.fixture(params=["reference", "native", "native on its own state", "native, compiled"])
def here(request: pytest.FixtureRequest) -> World:
    name = request.param
    return World("reference" if name == "reference" else "native", "state" in name, compiled="compiled" in name)


def proz(*steps: Any) -> tuple[str, bytes]:
    return "prozvm", contract(*steps)


def calling(address: bytes, *then: Any, value: int = 0, input: bytes = b"") -> tuple[str, bytes]:
    """A contract that calls another and returns what it is told, if it does nothing else with it."""
    return proz(load(address), load(input), load(value), "CALL_CONTRACT", *(then or ("RETURN",)))


def told(status: int, output: bytes = b"") -> bytes:
    """What `calling` returns."""
    return canonical({"status": status, "output": output})


def kept(state: StateAccess, address: bytes, key: str) -> Value:
    return StateWorld(state, address, BLOCK).read(key)


def test_proz_calls_evm(here: World) -> None:
    answer = mstore(0, op("CALLER")()) + mstore(32, op("CALLVALUE")()) + sstore(5, op("CALLDATASIZE")())
    state = here.state(proz=calling(EVM, value=7, input=b"abc"), evm=("", answer + op("RETURN")(0, 64)))
    result = here.run(state, PROZ)
    assert result.return_data == told(1, PROZ.rjust(32, b"\0") + (7).to_bytes(32, "big")), result.error
    assert (state.get_storage(EVM, 5), state.get_balance(EVM), state.get_balance(PROZ)) == (3, 1007, 993)
    changed = {(change.address, change.field) for change in result.state_changes}
    assert changed == {(EVM, "storage"), (EVM, "balance"), (PROZ, "balance")}


def test_evm_calls_proz_which_calls_back(here: World) -> None:
    state = here.state(
        evm=("", sstore(1, 1) + pop(call(PROZ)) + sstore(2, op("SLOAD")(1)) + ret_top(op("SLOAD")(2))),
        proz=proz(*written("key", 2), load(LAST), load(b""), load(0), "CALL_CONTRACT", "POP"),
        last=("", sstore(3, op("CALLER")()) + sstore(4, op("ORIGIN")())),
    )
    result = here.run(state, EVM)
    assert result.success, result.error
    assert kept(state, PROZ, "key") == 2
    assert state.get_storage(LAST, 3) == int.from_bytes(PROZ, "big")
    assert state.get_storage(LAST, 4) == int.from_bytes(ORIGIN, "big")
    assert state.get_storage(EVM, 2) == 1


@pytest.mark.parametrize("end", ["revert", "division", "open transaction"])
def test_one_revert_undoes_all_below_it(here: World, end: str) -> None:
    """EVM calls ProzVM, which calls EVM and then fails: what both have written is gone, what the first wrote stays."""
    ends = {
        "revert": (load(b"why"), "REVERT"),
        "division": (load(1), load(0), "DIV"),
        "open transaction": ("TX_BEGIN",),
    }
    state = here.state(
        evm=("", sstore(1, 1) + sstore(2, call(PROZ, value=5)) + sstore(3, op("RETURNDATASIZE")())),
        proz=proz(
            *written("key", 1), load([1]), load(b""), "EMIT", load({}), "LEDGER_APPEND",
            load(LAST), load(b""), load(7), "CALL_CONTRACT", "POP", *ends[end],
        ),
        last=("", sstore(3, 4) + op("LOG0")(0, 32)),
    )  # fmt: skip
    result = here.run(state, EVM)
    assert result.success, result.error
    assert [state.get_storage(EVM, slot) for slot in (1, 2, 3)] == [1, 0, 3 if end == "revert" else 0]
    assert (kept(state, PROZ, "key"), StateWorld(state, PROZ, BLOCK).ledger_size()) == (None, 0)
    assert state.get_storage(LAST, 3) == 0
    assert [state.get_balance(address) for address in (EVM, PROZ, LAST)] == [1000, 1000, 1000]
    assert result.events == ()


def test_failing_callee_leaves_its_caller(here: World) -> None:
    for code, answer in (
        (sstore(3, 4) + mstore(0, 9) + op("REVERT")(31, 1), told(0, b"\x09")),
        (sstore(3, 4) + raw(b"\xfe"), told(0)),
    ):
        steps = (*written("key", 1), load(EVM), load(b""), load(7), "CALL_CONTRACT", "RETURN")
        state = here.state(proz=proz(*steps), evm=("", code))
        result = here.run(state, PROZ)
        assert result.return_data == answer, result.error
        assert kept(state, PROZ, "key") == 1
        assert (state.get_storage(EVM, 3), state.get_balance(EVM), state.get_balance(PROZ)) == (0, 1000, 1000)


def test_events_come_in_the_order_of_the_calls(here: World) -> None:
    state = here.state(
        proz=proz(
            load([1]), load(b"a"), "EMIT", load(EVM), load(b""), load(0), "CALL_CONTRACT", "POP",
            load([3]), load(b"c"), "EMIT",
        ),
        evm=("", op("LOG1")(0, 0, 2)),
    )  # fmt: skip
    expected = (Event(PROZ, (1,), b"a"), Event(EVM, (2,), b""), Event(PROZ, (3,), b"c"))
    assert here.run(state, PROZ).events == expected


def test_static_call_of_the_evm_reaches_proz(here: World) -> None:
    reading = proz(("STATE_READ", "key"), "RETURN")
    state = here.state(evm=("", ret_top(staticcall(PROZ))), proz=reading)
    assert int.from_bytes(here.run(state, EVM).return_data) == 1
    for steps in (written("key", 1), (load([1]), load(b""), "EMIT"), (load({}), "LEDGER_APPEND")):
        state = here.state(evm=("", ret_top(staticcall(PROZ))), proz=proz(*steps))
        assert int.from_bytes(here.run(state, EVM).return_data) == 0
    for value in (0, 1):
        state = here.state(evm=("", ret_top(staticcall(PROZ))), proz=calling(LAST, value=value), last=("", b""))
        assert int.from_bytes(here.run(state, EVM).return_data) == 1 - value
    state = here.state(evm=("", ret_top(staticcall(PROZ))), proz=calling(LAST), last=("", sstore(1, 1)))
    here.run(state, EVM)
    assert state.get_storage(LAST, 1) == 0


def test_calls_wait_for_the_end_of_transactions(here: World) -> None:
    """A callee that calls back would see what was before, and pay twice what is being paid."""
    steps = ("TX_BEGIN", load(EVM), load(b""), load(0), "CALL_CONTRACT", "POP", "TX_COMMIT")
    result = here.run(here.state(proz=proz(*steps), evm=("", sstore(1, 1))), PROZ)
    assert result.metadata["fault"].items() >= {"kind": "CallFailed", "instruction": 4}.items()
    assert "open transaction" in result.error


def test_reentrant_call_sees_what_was_committed(here: World) -> None:
    body = (
        ("STATE_READ", "paid"), ("JUMP_IF_FALSE", "first"), load(b"paid already"), "REVERT",
        ":first", *written("paid", True), load(EVM), load(b""), load(0), "CALL_CONTRACT", "RETURN",
    )  # fmt: skip
    back = sstore(1, op("ADD")(call(PROZ), 5)) + sstore(2, op("RETURNDATASIZE")())
    state = here.state(proz=proz(*body), evm=("", back))
    result = here.run(state, PROZ)
    assert result.return_data == told(1), result.error
    assert [state.get_storage(EVM, slot) for slot in (1, 2)] == [5, 12]


# Gas


def test_callee_gets_all_but_a_64th(here: World) -> None:
    state = here.state(proz=calling(EVM, load("output"), "INDEX", "RETURN"), evm=("", ret_top(op("GAS")())))
    gas, prices = 100_000, CallPrices()
    result = here.run(state, PROZ, gas=gas)
    told_gas = int.from_bytes(result.return_data) + 2  # GAS costs 2
    code = state.get_code(PROZ)
    schedule = ProzVm().config.gas_schedule
    taken = (EVM, b"", 0)
    left = gas - LOADING * len(code) - sum(schedule.fixed(Opcode.LOAD_CONST, value) for value in taken)
    left -= schedule.before(Opcode.CALL_CONTRACT, None, taken) + prices.cold_account
    assert told_gas == left - left // 64


def test_failing_callee_takes_its_gas_and_not_more(here: World) -> None:
    state = here.state(proz=calling(EVM), evm=("", raw(b"\xfe")))
    result = here.run(state, PROZ, gas=640_000)
    assert result.success
    assert 640_000 * 63 // 64 - 3000 < result.gas_used < 640_000


def test_prices_of_accounts_and_value(here: World) -> None:
    prices, used = CallPrices(), {}
    for address, value in ((LAST, 0), (LAST, 1), (NOBODY, 0), (NOBODY, 1)):
        state = here.state(proz=calling(address, "POP", value=value), last=("", b""))
        result = here.run(state, PROZ)
        assert result.success, result.error
        assert int.from_bytes(address, "big") in state.marks(WARM_ACCOUNTS)
        used[address, value] = result.gas_used
        assert state.get_balance(address) == (1000 if address == LAST else 0) + value
    assert used[LAST, 1] - used[LAST, 0] == prices.value
    assert used[NOBODY, 0] == used[LAST, 0]
    assert used[NOBODY, 1] - used[NOBODY, 0] == prices.value + prices.new_account
    again = (load(LAST), load(b""), load(0), "CALL_CONTRACT", "POP")
    state = here.state(proz=proz(*again, *again), last=("", b""))
    twice = here.run(state, PROZ).gas_used - LOADING * len(state.get_code(PROZ))
    state = here.state(proz=proz(*again), last=("", b""))
    once = here.run(state, PROZ).gas_used - LOADING * len(state.get_code(PROZ))
    assert 2 * once - twice == prices.cold_account


def test_call_that_cannot_be_paid_is_out_of_gas(here: World) -> None:
    state = here.state(proz=calling(NOBODY, value=1))
    result = here.run(state, PROZ, gas=20_000)
    assert result.metadata["fault"].items() >= {"kind": "OutOfGas", "instruction": 3}.items()
    assert result.gas_used == 20_000


def test_refunds_of_callees_are_handed_on(here: World) -> None:
    state = here.state(proz=calling(EVM, "POP"), evm=("", sstore(1, 0)))
    state.set_storage(EVM, 1, 9)
    assert here.run(state, PROZ).gas_refunded == 4800


def test_too_little_money_declines_the_call(here: World) -> None:
    state = here.state(proz=calling(EVM, value=1001), evm=("", sstore(1, 1)))
    result = here.run(state, PROZ)
    assert result.return_data == told(0), result.error
    assert result.gas_used < 20_000


@pytest.mark.parametrize(
    ("address", "input", "value", "kind"),
    [
        (b"\1" * 19, b"", 0, "TypeMismatch"),
        ("text", b"", 0, "TypeMismatch"),
        (EVM, "text", 0, "TypeMismatch"),
        (EVM, b"", "1", "TypeMismatch"),
        (EVM, b"", True, "TypeMismatch"),
        (EVM, b"", -1, "ValueTooLarge"),
        (EVM, b"", 2**256, "ValueTooLarge"),
    ],
)
def test_wrong_calls_are_errors(address: Any, input: Any, value: Any, kind: str) -> None:
    here = World("reference", False)
    state = here.state(proz=proz(load(address), load(input), load(value), "CALL_CONTRACT"))
    assert here.run(state, PROZ).metadata["fault"].items() >= {"kind": kind, "instruction": 3}.items()


# Depth


def test_calls_end_at_the_limit_of_the_host(here: World) -> None:
    """A contract that calls itself for ever: the innermost call fails, and the others go on."""
    body = (
        load(PROZ), load(b""), load(0), "CALL_CONTRACT", load("output"), "INDEX", ("STORE_NAME", "o"),
        ("LOAD_NAME", "o"), "LENGTH", load(0), "EQ", ("JUMP_IF_FALSE", "deeper"), load(b"\1"), "RETURN",
        ":deeper", ("LOAD_NAME", "o"), load(b"\1"), "ADD", "RETURN",
    )  # fmt: skip
    result = here.run(here.state(proz=proz(*body)), PROZ, gas=10**9)
    assert result.success, result.error
    assert len(result.return_data) == HOST_DEPTH_LIMIT + 1


def test_functions_may_be_deep_where_calls_are(here: World) -> None:
    """Compiled functions nest on Python's own stack; contracts that call from within them do not use it up."""
    body = program(
        ("LOAD_NAME", "n"), ("JUMP_IF_FALSE", "end"),
        ("LOAD_NAME", "n"), load(1), "SUB", ("CALL_NAME", "deeper", 1), "RETURN",
        ":end", load(PROZ), load(b""), load(0), "CALL_CONTRACT", load("status"), "INDEX", "RETURN",
    ).build()  # fmt: skip
    deeper = function("deeper", ("n",), body)
    steps = (load(deeper), ("STORE_NAME", "deeper"), load(200), ("CALL_NAME", "deeper", 1), "RETURN")
    result = here.run(here.state(proz=proz(*steps)), PROZ, gas=10**9)
    assert (result.error, result.return_data) == ("", b"\1")


def test_values_may_be_deep_where_calls_are(here: World) -> None:
    """What a value's nesting takes of Python's own stack is there even in the innermost call."""
    deep: Value = 1
    for _ in range(32):
        deep = [deep]
    body = (
        load(PROZ), load(b""), load(0), "CALL_CONTRACT", "POP", *written("deep", deep),
        ("STATE_READ", "deep"), load(deep), "EQ", "RETURN",
    )  # fmt: skip
    result = here.run(here.state(proz=proz(*body)), PROZ, gas=10**9)
    assert (result.error, result.return_data) == ("", b"\xf5")


def test_errors_come_out_of_the_threads_of_deep_calls(here: World) -> None:
    """Nested runs use threads of their own; what ends the innermost one is told by all above it."""
    body = (load(PROZ), load(b""), load(0), "CALL_CONTRACT", load("output"), "INDEX", "DUP", "LENGTH")
    ends = (("JUMP_IF_FALSE", "innermost"), "REVERT", ":innermost", "POP", load(b"why"), "REVERT")
    result = here.run(here.state(proz=proz(*body, *ends)), PROZ, gas=10**9)
    assert result.return_data == b"why"
    nowhere = here.state(proz=calling(EVM, input=b""), evm=("", ret_top(call(LAST))), last=("nowhere", b"code"))
    for depth in (0, 7, 8, 20):
        token = host_depth.set(depth)
        try:
            with pytest.raises(UnknownVm):
                here.run(nowhere, PROZ)
        finally:
            host_depth.reset(token)


def test_evm_and_proz_alternate_to_the_limit(here: World) -> None:
    state = here.state(
        proz=calling(EVM),
        evm=("", sstore(1, op("ADD")(op("SLOAD")(1), 1)) + pop(call(PROZ)) + ret_top(op("SLOAD")(1))),
    )
    result = here.run(state, PROZ, gas=10**9)
    assert result.success, result.error
    assert 20 <= state.get_storage(EVM, 1) <= HOST_DEPTH_LIMIT


# Creation and other VMs


def test_contract_is_created_by_its_magic(here: World) -> None:
    builder = program(("STATE_READ", "owner"), "RETURN")
    body = BytecodeBuilder().emit("TX_BEGIN").emit("INPUT").emit("STATE_WRITE", "owner").emit("TX_COMMIT").build()
    builder.constant(function("construct", (), body))
    code = pack(builder.build())
    state = here.state()
    state.begin_transaction()
    context = ExecutionContext(caller=CALLER, origin=CALLER, gas_limit=GAS, input=b"me", depth=1, block=BLOCK)
    result, address = create_contract(here.factory, state, context, code)
    assert result.success, result.error
    assert (state.get_vm(address), state.get_code(address)) == ("prozvm", code)
    assert here.run(state, address).return_data == b"me"


def test_broken_code_of_a_callee_is_a_failing_call(here: World) -> None:
    state = here.state(proz=calling(LAST), last=("prozvm", b"\0proz broken"))
    assert here.run(state, PROZ).return_data == told(0)


def test_vm_that_is_not_installed_is_nobodys_contract(here: World) -> None:
    state = here.state(proz=calling(LAST), last=("nowhere", b"code"))
    with pytest.raises(UnknownVm):
        here.run(state, PROZ)


def test_proz_calls_wasm() -> None:
    wasmtime = pytest.importorskip("wasmtime")
    text = """(module (import "env" "finish" (func $finish (param i32 i32)))
        (memory (export "memory") 1) (data (i32.const 0) "wasm")
        (func (export "main") (param i32 i32 i32) (result i32)
            (call $finish (i32.const 0) (i32.const 4)) (i32.const 1)))"""
    here = World("reference", False)
    state = here.state(proz=calling(LAST), last=("wasm", wasmtime.wat2wasm(text)))
    assert here.run(state, PROZ).return_data == told(1, b"wasm")
