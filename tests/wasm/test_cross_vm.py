"""Contracts of both kinds that call and create each other: one state, one undo log, one account of gas."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom.factory import VmFactory
from vmloom.hashing import create2_address, create_address, keccak256
from vmloom.settings import Settings
from vmloom_evm.assembly import call, delegatecall, deployer, mstore, op, pop, raw, ret_top, sstore, staticcall
from vmloom_evm.native.state import NativeState
from vmloom_wasm.prices import DEFAULT_PRICES as PRICES

from .contracts import BLOCK, CALLER, GAS, ORIGIN, OTHER, bytes_at, contract, module, returning

WASM = bytes.fromhex("a5").rjust(20, b"\0")
EVM = bytes.fromhex("e7").rjust(20, b"\0")
LAST = bytes.fromhex("1a57").rjust(20, b"\0")
STORE = "(call $storage_store (i32.const 0) (i32.const 32))"
SLOTS = bytes_at(31, b"\1") + bytes_at(63, b"\2")
"""Slot 1 and value 2 for `STORE`."""
PLACES = bytes_at(100, EVM) + bytes_at(120, LAST) + bytes_at(140, WASM) + bytes_at(160 + 31, b"\7")
"""Addresses at 100, 120 and 140, and 7 wei at 160."""


class World:
    """Contracts of both VMs on one engine of the EVM and one kind of state."""

    def __init__(self, engine: str, native: bool, revision: str = "cancun", **wasm: Any) -> None:
        settings = {"vm": {"evm": {"engine": engine, "revision": revision}, "wasm": {"disk_cache": False, **wasm}}}
        self.factory = VmFactory(Settings(settings))
        self.native = native

    def state(self, **codes: tuple[str, bytes]) -> StateAccess:
        """A state with contracts at WASM, EVM and LAST: (vm, code)."""
        accounts = {CALLER: Account(1, 10**18), ORIGIN: Account(1, 10**18)}
        for name, address in (("wasm", WASM), ("evm", EVM), ("last", LAST)):
            if name in codes:
                vm, code = codes[name]
                accounts[address] = Account(1, 1000, bytes(code), vm)
        return NativeState(accounts) if self.native else MemoryState(accounts)

    def run(self, state: StateAccess, address: bytes, *, gas: int = GAS, input: bytes = b"") -> ExecutionResult:
        """Call the contract at `address` in a transaction of its own."""
        account = state.get_account(address)
        assert account is not None
        context = ExecutionContext(
            caller=CALLER, address=address, origin=ORIGIN, gas_limit=gas, block=BLOCK, input=input
        )
        return self.factory.get_vm(account.vm or "evm").execute(account.code, context, state)


@pytest.fixture(params=["reference", "native", "native on its own state"])
def here(request: pytest.FixtureRequest) -> World:
    return World(request.param.partition(" ")[0], "state" in request.param)


def called(address: int, *, value: int = 0, function: str = "call", gas: int = -1, size: int = 0) -> str:
    """A call of the account whose address is at `address`; its status is on the stack."""
    value_operand = f"(i32.const {value})" if function == "call" else ""
    return (
        f"(call ${function} (i64.const {gas}) (i32.const {address}) {value_operand} (i32.const 0) (i32.const {size}))"
    )


RETURN_ALL = """(call $return_data_copy (i32.const 1000) (i32.const 0) (call $return_data_size))
    (call $finish (i32.const 1000) (call $return_data_size))"""
CALLS = "call call_static call_delegate return_data_size return_data_copy finish revert storage_store storage_load"


def calling(body: str, then: str = RETURN_ALL, rest: str = "") -> tuple[str, bytes]:
    return "wasm", contract(f"{body} {then}", uses=CALLS, rest=SLOTS + PLACES + rest)


def test_wasm_calls_evm(here: World) -> None:
    state = here.state(
        wasm=calling(f"(drop {called(100, value=160)})"),
        evm=("", mstore(0, op("CALLER")()) + mstore(32, op("CALLVALUE")()) + sstore(5, 6) + op("RETURN")(0, 64)),
    )
    result = here.run(state, WASM)
    assert result.success, result.error
    assert result.return_data == WASM.rjust(32, b"\0") + (7).to_bytes(32, "big")
    assert (state.get_storage(EVM, 5), state.get_balance(EVM), state.get_balance(WASM)) == (6, 1007, 993)
    changed = {(change.address, change.field) for change in result.state_changes}
    assert changed == {(EVM, "storage"), (EVM, "balance"), (WASM, "balance")}


def test_evm_calls_wasm_which_calls_back(here: World) -> None:
    state = here.state(
        evm=("", sstore(1, 1) + pop(call(WASM)) + sstore(2, op("SLOAD")(1)) + ret_top(op("SLOAD")(2))),
        wasm=calling(f"{STORE} (drop {called(120)})"),
        last=("", sstore(3, op("CALLER")()) + sstore(4, op("ORIGIN")())),
    )
    result = here.run(state, EVM)
    assert result.success, result.error
    assert state.get_storage(WASM, 1) == 2
    assert state.get_storage(LAST, 3) == int.from_bytes(WASM, "big")
    assert state.get_storage(LAST, 4) == int.from_bytes(ORIGIN, "big")
    assert state.get_storage(EVM, 2) == 1


@pytest.mark.parametrize("end", ["revert", "unreachable", "invalid"])
def test_one_revert_undoes_all_below_it(here: World, end: str) -> None:
    """EVM calls Wasm, which calls EVM and then fails: what both have written is gone, what the first wrote stays."""
    ends = {
        "revert": "(call $revert (i32.const 0) (i32.const 64))",
        "unreachable": "(unreachable)",
        "invalid": "(drop (i32.load (i32.const -1)))",
    }
    state = here.state(
        evm=("", sstore(1, 1) + sstore(2, call(WASM, value=5)) + sstore(3, op("RETURNDATASIZE")())),
        wasm=calling(f"{STORE} (drop {called(120, value=160)})", ends[end]),
        last=("", sstore(3, 4) + op("LOG0")(0, 32)),
    )
    result = here.run(state, EVM)
    assert result.success, result.error
    assert [state.get_storage(EVM, slot) for slot in (1, 2, 3)] == [1, 0, 64 if end == "revert" else 0]
    assert (state.get_storage(WASM, 1), state.get_storage(LAST, 3)) == (0, 0)
    assert [state.get_balance(address) for address in (EVM, WASM, LAST)] == [1000, 1000, 1000]
    assert result.events == ()


def test_revert_of_the_last_leaves_the_others(here: World) -> None:
    state = here.state(
        evm=("", sstore(1, call(WASM)) + sstore(2, op("RETURNDATASIZE")())),
        wasm=calling(
            f"{STORE} (i32.store (i32.const 1000) {called(120)})", "(call $finish (i32.const 1000) (i32.const 4))"
        ),
        last=("", sstore(3, 4) + op("REVERT")(0, 32)),
    )
    assert here.run(state, EVM).success
    assert (state.get_storage(EVM, 1), state.get_storage(EVM, 2)) == (1, 4)
    assert (state.get_storage(WASM, 1), state.get_storage(LAST, 3)) == (2, 0)


def test_status_tells_revert_from_failure(here: World) -> None:
    for code, status in ((op("STOP")(), 0), (op("REVERT")(0, 0), 1), (raw("fe"), 2)):
        state = here.state(
            wasm=calling(
                f"(i32.store (i32.const 1000) {called(100)})", "(call $finish (i32.const 1000) (i32.const 4))"
            ),
            evm=("", code),
        )
        assert here.run(state, WASM).return_data == bytes([status, 0, 0, 0])


# Gas


def test_gas_is_passed_on_and_comes_back(here: World) -> None:
    """All but one 64th is passed on, and what is left comes back; the EVM sees the gas that it was given."""
    state = here.state(wasm=calling(f"(drop {called(100, gas=50_000)})"), evm=("", ret_top(op("GAS")())))
    result = here.run(state, WASM)
    assert int.from_bytes(result.return_data, "big") == 50_000 - 2
    spent = here.run(here.state(wasm=calling(f"(drop {called(100, gas=50_000)})"), evm=("", raw("fe"))), WASM)
    idle = here.run(here.state(wasm=calling(f"(drop {called(100, gas=50_000)})"), evm=("", op("STOP")())), WASM)
    assert spent.gas_used - idle.gas_used == 50_000
    all_of_it = here.run(here.state(wasm=calling(f"(drop {called(100)})"), evm=("", raw("fe"))), WASM)
    left = GAS - all_of_it.gas_used
    assert 0 < left < GAS // 60


def test_value_costs_and_gives_a_stipend(here: World) -> None:
    def used(value: int) -> int:
        state = here.state(wasm=calling(f"(drop {called(100, value=value, gas=0)})"), evm=("", ret_top(op("GAS")())))
        result = here.run(state, WASM)
        left = 0 if not value else int.from_bytes(result.return_data, "big") + 2
        assert left == (PRICES.call_stipend if value else 0)
        return result.gas_used

    gas_of_callee = 2 + 3 * 4 + 3  # GAS, MSTORE, RETURN and their operands, and a word of memory
    copies = 2 * PRICES.copy_word  # of what the callee with gas returned
    assert used(160) - used(0) == PRICES.call_value - PRICES.call_stipend + gas_of_callee + copies


def test_accounts_and_slots_are_warm_for_both(here: World) -> None:
    """What one VM has accessed is warm for the other one."""
    state = here.state(
        evm=(
            "",
            pop(op("BALANCE")(int.from_bytes(LAST, "big")))
            + pop(call(WASM))
            + op("RETURNDATACOPY")(0, 0, 8)
            + op("RETURN")(0, 8),
        ),
        wasm=(
            "wasm",
            returning(
                """(i64.store (i32.const 0) (call $gas_left)) (call $balance (i32.const 120) (i32.const 200))
            (i64.store (i32.const 0) (i64.sub (i64.load (i32.const 0)) (call $gas_left)))""",
                8,
                uses="gas_left balance",
                rest=PLACES,
            ),
        ),
        last=("", b""),
    )
    cost = int.from_bytes(here.run(state, EVM).return_data, "little")
    assert cost == PRICES.host_call + PRICES.warm_account + PRICES.host_call
    alone = int.from_bytes(here.run(state, WASM).return_data, "little")
    assert alone == cost + PRICES.cold_account - PRICES.warm_account


# Kinds of calls


def test_static_calls_stay_static_across_vms(here: World) -> None:
    state = here.state(
        evm=("", sstore(1, staticcall(WASM)) + op("RETURNDATACOPY")(0, 0, 4) + sstore(2, op("MLOAD")(0))),
        wasm=calling(f"(i32.store (i32.const 1000) {called(120)})", "(call $finish (i32.const 1000) (i32.const 4))"),
        last=("", sstore(3, 4)),
    )
    assert here.run(state, EVM, gas=10**7).success
    assert (state.get_storage(EVM, 1), state.get_storage(LAST, 3)) == (1, 0)
    assert state.get_storage(EVM, 2) >> 248 == 2  # the last contract's write failed
    writing = here.state(evm=("", sstore(1, staticcall(WASM))), wasm=calling(STORE))
    assert here.run(writing, EVM, gas=10**7).success
    assert (writing.get_storage(EVM, 1), writing.get_storage(WASM, 1)) == (0, 0)
    calling_static = here.state(
        wasm=calling(
            f"(i32.store (i32.const 1000) {called(100, function='call_static')})",
            "(call $finish (i32.const 1000) (i32.const 4))",
        ),
        evm=("", sstore(3, 4)),
    )
    assert here.run(calling_static, WASM).return_data == b"\2\0\0\0"
    assert calling_static.get_storage(EVM, 3) == 0


def test_delegate_calls_use_the_storage_of_the_caller(here: World) -> None:
    state = here.state(
        evm=("", pop(delegatecall(WASM)) + sstore(9, op("ADDRESS")())),
        wasm=calling(f"{STORE} (drop {called(120, function='call_delegate')})"),
        last=("", sstore(3, op("CALLER")()) + sstore(4, op("ADDRESS")())),
    )
    assert here.run(state, EVM).success
    number = int.from_bytes(EVM, "big")
    assert [state.get_storage(EVM, slot) for slot in (1, 3, 4, 9)] == [2, int.from_bytes(CALLER, "big"), number, number]
    assert state.get_storage(WASM, 1) == state.get_storage(LAST, 3) == 0


def test_precompiles_can_be_called(here: World) -> None:
    rest = bytes_at(300, bytes(19) + b"\2")
    state = here.state(wasm=calling(f"(drop {called(300, function='call_static', size=3)})", rest=rest))
    assert here.run(state, WASM).return_data == hashlib.sha256(bytes(3)).digest()


def test_call_of_nothing_succeeds(here: World) -> None:
    state = here.state(
        wasm=calling(f"(i32.store (i32.const 1000) {called(100)})", "(call $finish (i32.const 1000) (i32.const 4))")
    )
    result = here.run(state, WASM)
    assert (result.success, result.return_data) == (True, bytes(4))
    assert state.get_account(EVM) is None


# Transactions


def test_accounts_that_destroy_themselves_are_gone_at_the_end_of_the_transaction() -> None:
    here = World("reference", False, "shanghai")
    code = op("SELFDESTRUCT")(int.from_bytes(LAST, "big"))
    twice = f"(drop {called(100)}) (i32.store (i32.const 1000) (call $code_size (i32.const 100)))"
    wasm = contract(
        f"{twice} (call $finish (i32.const 1000) (i32.const 4))",
        uses="call code_size finish",
        rest=PLACES,
    )
    state = here.state(wasm=("wasm", wasm), evm=("", code))
    result = here.run(state, WASM)
    assert result.return_data == bytes([len(bytes(code)), 0, 0, 0])  # still there while the transaction runs
    assert state.get_account(EVM) is None
    assert state.get_balance(LAST) == 1000


def test_precompiles_and_the_fee_recipient_are_warm_from_the_start(here: World) -> None:
    rest = bytes_at(300, bytes(19) + b"\4") + bytes_at(320, BLOCK.coinbase) + bytes_at(340, b"\x77" * 20)
    costs = []
    for place in (300, 320, 340):
        body = f"(call $balance (i32.const {place}) (i32.const 1000))"
        code = contract(body, uses="balance finish", rest=rest)
        costs.append(here.run(here.state(wasm=("wasm", code)), WASM).gas_used)
    assert costs[0] == costs[1] == costs[2] - PRICES.cold_account + PRICES.warm_account


# Depth


def test_contracts_that_call_themselves_stop_at_the_limit(here: World) -> None:
    """Each run of a Wasm contract takes some of the host's stack: 64 may be nested, and the state stays whole."""
    body = """(call $storage_load (i32.const 0) (i32.const 64))
        (i32.store8 (i32.const 63) (i32.add (i32.load8_u (i32.const 95)) (i32.const 1)))"""
    state = here.state(wasm=calling(f"{body} {STORE} (drop {called(140)})", ""))
    result = here.run(state, WASM, gas=10**9)
    assert result.success, result.error
    assert state.get_storage(WASM, 1) == 65


def test_vms_that_call_each_other_stop_at_the_limit(here: World) -> None:
    state = here.state(
        evm=("", sstore(1, op("ADD")(op("SLOAD")(1), 1)) + pop(call(WASM))),
        wasm=calling(f"(drop {called(100)})", ""),
    )
    assert here.run(state, EVM, gas=10**9).success
    assert state.get_storage(EVM, 1) == 33


def test_nesting_in_a_thread_with_a_small_stack(here: World) -> None:
    state = here.state(wasm=calling(f"{STORE} (drop {called(140)})", ""))
    results: list[Any] = []
    former = threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=lambda: results.append(here.run(state, WASM, gas=10**8)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(former)
    assert results[0].success


# Reentrancy


@pytest.mark.parametrize(
    ("policy", "function", "status"),
    [
        ("allow", "call", 0), ("allow", "call_static", 0),
        ("read_only", "call", 2), ("read_only", "call_static", 0),
        ("deny", "call", 2), ("deny", "call_static", 2),
    ],
)  # fmt: skip
def test_reentrancy_is_a_choice(policy: str, function: str, status: int) -> None:
    """The contract calls an EVM contract that calls it back; the second time it only says that it was there."""
    here = World("reference", False, reentrancy=policy)
    back = {"call": call, "call_static": staticcall}[function]
    state = here.state(
        wasm=calling(
            f"(if (local.get $size) (then (return (i32.const 1)))) (drop {called(100)})",
        ),
        evm=("", ret_top(back(WASM, input=(0, 1)))),
    )
    result = here.run(state, WASM)
    assert result.success, result.error
    assert int.from_bytes(result.return_data, "big") == (status == 0)


def test_delegated_code_is_not_reentrancy() -> None:
    here = World("reference", False, reentrancy="deny")
    state = here.state(
        evm=("", sstore(1, delegatecall(WASM))), wasm=calling(f"{STORE} (drop {called(120)})"), last=("", op("STOP")())
    )
    assert here.run(state, EVM).success
    assert state.get_storage(EVM, 1) == 1


# Creation


CREATES = "create create2 finish return_data_size return_data_copy"


def creating(code: bytes, *, salt: bool = False, size: int = 0) -> tuple[str, bytes]:
    """A contract that creates another from `code` with `size` zeros as input; its output is status and address."""
    name, operand = ("create2", "(i32.const 160)") if salt else ("create", "")
    body = f"""(i32.store (i32.const 0) (call ${name} (i32.const 160) (i32.const 2000) (i32.const {len(code)})
        (i32.const 0) (i32.const {size}) {operand} (i32.const 4))) (call $finish (i32.const 0) (i32.const 24))"""
    return "wasm", contract(body, uses=CREATES, rest=PLACES + bytes_at(2000, code))


def test_wasm_creates_evm_contract(here: World) -> None:
    runtime = sstore(1, 2)
    state = here.state(wasm=creating(bytes(deployer(runtime))))
    result = here.run(state, WASM)
    address = create_address(WASM, 1)
    assert result.return_data == bytes(4) + address
    assert state.get_account(address) == Account(1, 7, bytes(runtime), state.get_vm(address))
    assert (state.get_nonce(WASM), state.get_balance(WASM)) == (2, 993)
    here.run(state, address)
    assert state.get_storage(address, 1) == 2


def test_wasm_creates_wasm_contract_at_an_address_known_before(here: World) -> None:
    inner = contract(STORE, uses="storage_store", rest=SLOTS)
    state = here.state(wasm=creating(inner, salt=True))
    result = here.run(state, WASM, gas=10**7)
    address = create2_address(WASM, 7, inner)
    assert result.return_data == bytes(4) + address
    assert (state.get_code(address), state.get_vm(address)) == (inner, "wasm")
    assert here.run(state, address).success
    assert state.get_storage(address, 1) == 2
    again = here.run(state, WASM, gas=10**7)
    assert again.return_data == bytes([2, 0, 0, 0]) + bytes(20)


CONSTRUCT = """(func (export "construct") (param $size i32) (param $input i32) (param $output i32) (result i32)
    (if (i32.ne (local.get $size) (i32.const 3)) (then (unreachable)))
    (call $storage_store (i32.const 0) (i32.const 32)) (call $value (i32.const 64))
    (call $storage_store (i32.const 32) (i32.const 64)) (i32.const %d))"""


@pytest.mark.parametrize("succeeds", [True, False])
def test_constructor_runs_once_with_input_and_value(here: World, succeeds: bool) -> None:
    inner = contract("", uses="storage_store value set_output", rest=SLOTS + CONSTRUCT % succeeds)
    state = here.state(wasm=creating(inner, size=3))
    result = here.run(state, WASM, gas=10**7)
    address = create_address(WASM, 1)
    assert result.return_data == (bytes(4) + address if succeeds else b"\1" + bytes(23))
    assert state.get_code(address) == (inner if succeeds else b"")
    assert [state.get_storage(address, slot) for slot in (1, 2)] == ([2, 7] if succeeds else [0, 0])


def test_constructor_is_paid_from_what_storing_the_code_left(here: World) -> None:
    inner = contract("", uses="storage_store value finish", rest=SLOTS + CONSTRUCT % 1)
    host, state = here.factory, here.state()
    context = ExecutionContext(
        caller=CALLER, address=OTHER, gas_limit=10**7, input=b"abc", value=7, depth=1, block=BLOCK
    )
    vm = host.get_vm("wasm")
    used = vm.deploy(inner, context, state).gas_used
    assert used > 200 * len(inner) + 2 * 22_100
    for gas, expected in ((used, True), (used - 1, False), (200 * len(inner), False), (0, False)):
        result = vm.deploy(inner, context.with_gas_limit(gas), here.state())
        assert (result.success, result.gas_used) == (expected, gas)


def test_input_without_a_constructor_is_a_mistake(here: World) -> None:
    state = here.state(wasm=creating(contract(""), size=1))
    assert here.run(state, WASM, gas=10**7).return_data == b"\2" + bytes(23)


def test_creation_of_what_is_no_contract_fails(here: World) -> None:
    broken = module("(func)")
    state = here.state(wasm=creating(broken))
    result = here.run(state, WASM, gas=10**7)
    assert result.return_data == bytes([2, 0, 0, 0]) + bytes(20)
    assert (state.get_nonce(WASM), state.get_balance(WASM)) == (2, 1000)


def test_reverting_constructor_gives_its_reason(here: World) -> None:
    state = here.state(wasm=creating(bytes(mstore(0, 42) + op("REVERT")(0, 32))))
    assert here.run(state, WASM).return_data == bytes([1, 0, 0, 0]) + bytes(20)


def test_code_of_a_vm_that_cannot_read_it_is_a_failing_call(here: World) -> None:
    """Somebody put it there without validation: whoever calls it is told, and lives."""
    state = here.state(evm=("", sstore(1, op("ADD")(call(WASM), 1))), wasm=("wasm", b"\0asm broken"))
    assert here.run(state, EVM, gas=10**7).success
    assert state.get_storage(EVM, 1) == 1


def test_hash_of_code_is_the_same_for_both(here: World) -> None:
    code = contract("")
    state = here.state(evm=("", ret_top(op("EXTCODEHASH")(int.from_bytes(WASM, "big")))), wasm=("wasm", code))
    assert here.run(state, EVM).return_data == keccak256(code)
