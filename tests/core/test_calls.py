"""Calls and creations between contracts, whatever VM they are for: here VMs that do what a test wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from vmloom import (
    Account,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    PrecompileSet,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.calls import (
    CALL_DEPTH_LIMIT,
    HOST_DEPTH_LIMIT,
    call_contract,
    create_contract,
    host_depth,
    run_nested,
)
from vmloom.errors import CodeTooLarge, UnknownVm
from vmloom.hashing import create2_address, create_address
from vmloom.marks import CREATED, WARM_ACCOUNTS
from vmloom.vm import DEPLOY_GAS_PER_BYTE

Do = Callable[[ExecutionContext, StateAccess], ExecutionResult]
SUCCESS, REVERTED, FAILED = ExecutionState.SUCCESS, ExecutionState.REVERTED, ExecutionState.FAILED
CALLER = (0xCA).to_bytes(20, "big")
CALLEE = (0xCE).to_bytes(20, "big")
OTHER = (0x0E).to_bytes(20, "big")
MAGIC = b"toy:"
U64_MAX = (1 << 64) - 1


def gives(result: ExecutionResult) -> Do:
    def do(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        return result

    return do


class Toy(VirtualMachine):
    """Runs what the test has put under the code."""

    def __init__(self, vm_type: str, programs: dict[bytes, Do]) -> None:
        self.name = vm_type
        self.programs = programs
        self.runs: list[ExecutionContext] = []

    @property
    def vm_type(self) -> str:
        return self.name

    @property
    def vm_version(self) -> VmVersion:
        return VmVersion(1, 0, 0)

    def validate_code(self, code: bytes) -> None:
        if len(code) > 40:
            raise CodeTooLarge("too large for a toy")

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        self.runs.append(context)
        return self.programs[code](context, state)


class Constructing(Toy):
    """One whose code is what a constructor makes of it and its input."""

    def deploy(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        self.runs.append(context)
        state.set_storage(context.address, 0, 7)
        return self.programs[code](context, state)


class Default(Toy):
    """One to which an address says more than its code."""

    def execute_account(self, code_address: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        if code_address == OTHER:
            return ExecutionResult(SUCCESS, 1, b"special")
        return super().execute_account(code_address, context, state)


class Host:
    """A default VM, `toy`, and one with constructors."""

    default_vm = "default"

    def __init__(self) -> None:
        self.programs: dict[bytes, Do] = {b"": gives(ExecutionResult(SUCCESS, 0))}
        self.toy = Toy("toy", self.programs)
        self.vms: dict[str, Toy] = {
            "default": Default("default", self.programs),
            "toy": self.toy,
            "made": Constructing("made", self.programs),
        }

    def get_vm(self, vm_type: str) -> VirtualMachine:
        if vm_type not in self.vms:
            raise UnknownVm(vm_type)
        return self.vms[vm_type]

    def vm_of_code(self, code: bytes) -> str:
        return "toy" if code.startswith(MAGIC) else "made" if code.startswith(b"made:") else "default"

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        return []


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def state() -> MemoryState:
    return MemoryState({CALLER: Account(nonce=5, balance=100), CALLEE: Account(nonce=1, code=b"code", vm="toy")})


def message(**fields: Any) -> ExecutionContext:
    return ExecutionContext(**{"caller": CALLER, "address": CALLEE, "gas_limit": 10_000, "depth": 1, **fields})


def contents(state: MemoryState) -> Any:
    """All that a failing call must leave alone."""
    found = [(at, account, state.storage_of(at), state.records_of(at)) for at, account in state.accounts()]
    return found, list(state.events), {kind: set(state.marks(kind)) for kind in (WARM_ACCOUNTS, CREATED)}


def writes(result: ExecutionResult) -> Do:
    def do(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        state.set_storage(context.address, 1, 2)
        state.set_record(context.address, b"key", b"value")
        return result

    return do


# Calls


def test_call_runs_the_code_on_its_vm_and_keeps_what_it_does(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = writes(ExecutionResult(SUCCESS, 77, b"output", gas_refunded=-5))
    result = call_contract(host, state, message(input=b"in"))
    assert (result.state, result.gas_used, result.return_data, result.gas_refunded) == (SUCCESS, 77, b"output", -5)
    assert (state.get_storage(CALLEE, 1), state.get_record(CALLEE, b"key")) == (2, b"value")
    assert host.toy.runs == [message(input=b"in")]


def test_value_is_there_before_the_code_runs(host: Host, state: MemoryState) -> None:
    seen = []

    def looks(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        seen.append((state.get_balance(CALLER), state.get_balance(CALLEE), context.value))
        return ExecutionResult(SUCCESS, 0)

    host.programs[b"code"] = looks
    assert call_contract(host, state, message(value=100)).success
    assert seen == [(0, 100, 100)]


def test_contract_may_send_to_itself(host: Host, state: MemoryState) -> None:
    call_contract(host, state, message(address=CALLER, value=60))
    assert state.get_balance(CALLER) == 100


def test_sending_nothing_brings_no_account_about(host: Host, state: MemoryState) -> None:
    """EIP-161"""
    assert call_contract(host, state, message(address=OTHER[::-1])).success
    assert not state.account_exists(OTHER[::-1])


def test_sum_of_balances_wraps_as_in_the_evm(host: Host, state: MemoryState) -> None:
    state.set_balance(OTHER[::-1], 2**256 - 1)
    call_contract(host, state, message(address=OTHER[::-1], value=3))
    assert state.get_balance(OTHER[::-1]) == 2


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"value": 101}, "insufficient balance for transfer"), ({"depth": 1025}, "max call depth exceeded")],
)
def test_call_that_cannot_begin_gives_its_gas_back(
    host: Host, state: MemoryState, fields: dict[str, int], error: str
) -> None:
    before = contents(state)
    result = call_contract(host, state, message(**fields))
    assert (result.state, result.gas_used, result.error) == (FAILED, 0, error)
    assert (host.toy.runs, contents(state)) == ([], before)


def test_deepest_call_runs(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = writes(ExecutionResult(SUCCESS, 1))
    assert call_contract(host, state, message(depth=CALL_DEPTH_LIMIT, value=100)).success
    assert CALL_DEPTH_LIMIT == 1024


def test_revert_keeps_gas_and_output_and_undoes_the_rest(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = writes(ExecutionResult(REVERTED, 300, b"sorry", gas_refunded=9))
    before = contents(state)
    result = call_contract(host, state, message(value=10))
    assert (result.state, result.gas_used, result.return_data, result.gas_refunded) == (REVERTED, 300, b"sorry", 0)
    assert contents(state) == before


def test_failure_takes_all_gas_and_undoes_everything(host: Host, state: MemoryState) -> None:
    """Even that of a VM which does not keep to the rules."""
    host.programs[b"code"] = writes(ExecutionResult(FAILED, 3, b"output", gas_refunded=9, error="no"))
    before = contents(state)
    result = call_contract(host, state, message(value=10))
    assert (result.state, result.gas_used, result.return_data, result.gas_refunded) == (FAILED, 10_000, b"", 0)
    assert result.error == "no"
    assert contents(state) == before


def test_code_that_its_vm_cannot_run_fails_the_call_and_not_the_caller(host: Host, state: MemoryState) -> None:
    def refuses(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        raise CodeTooLarge("no code at all")

    host.programs[b"code"] = refuses
    before = contents(state)
    for result in (call_contract(host, state, message(value=3)), run_nested(host, "toy", b"code", message(), state)):
        assert (result.state, result.gas_used, result.error) == (FAILED, 10_000, "no code at all")
    assert (contents(state), host_depth.get()) == (before, 0)


def test_delegate_call_runs_another_code_and_moves_nothing(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = writes(ExecutionResult(SUCCESS, 1))
    call = message(address=CALLER, value=1_000)
    assert call_contract(host, state, call, code_address=CALLEE, transfer=False).success
    [seen] = host.toy.runs
    assert (seen.code_address, seen.address, seen.value, seen.caller) == (CALLEE, CALLER, 1_000, CALLER)
    assert (state.get_storage(CALLER, 1), state.get_storage(CALLEE, 1), state.get_balance(CALLER)) == (2, 0, 100)


def test_code_address_is_told_only_if_it_is_another(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = writes(ExecutionResult(SUCCESS, 1))
    call_contract(host, state, message(code_address=OTHER), code_address=CALLEE)
    call_contract(host, state, message(code_address=OTHER))
    assert [run.code_address for run in host.toy.runs] == [None, None]


def test_static_call_stays_one_and_sends_nothing(host: Host, state: MemoryState) -> None:
    host.programs[b"code"] = gives(ExecutionResult(SUCCESS, 1))
    call_contract(host, state, message(is_static=True))
    call_contract(host, state, message(is_static=True, value=7), transfer=False)
    assert [run.is_static for run in host.toy.runs] == [True, True]
    with pytest.raises(ValueError, match="static call cannot send value"):
        call_contract(host, state, message(is_static=True, value=7))


def test_account_without_a_vm_is_the_default_ones(host: Host, state: MemoryState) -> None:
    assert call_contract(host, state, message(address=OTHER)).return_data == b"special"
    state.set_code(OTHER, b"", "toy")  # no code is no VM's
    assert call_contract(host, state, message(address=OTHER)).return_data == b"special"
    assert call_contract(host, state, message(), code_address=OTHER).return_data == b"special"


def test_without_the_default_vm_accounts_without_code_take_value(host: Host, state: MemoryState) -> None:
    del host.vms["default"]
    result = call_contract(host, state, message(address=OTHER, value=3))
    assert (result.state, result.gas_used, state.get_balance(OTHER)) == (SUCCESS, 0, 3)


def test_code_of_a_vm_that_is_not_installed_is_no_failing_contract(host: Host, state: MemoryState) -> None:
    state.set_code(CALLEE, b"code", "missing")
    with pytest.raises(UnknownVm):
        call_contract(host, state, message())
    with pytest.raises(UnknownVm):
        run_nested(host, "missing", b"code", message(), state)


# Depth on the host's stack


def test_nested_runs_are_limited_and_the_one_too_many_fails(host: Host, state: MemoryState) -> None:
    depths = []

    def recurses(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        depths.append(host_depth.get())
        inner = call_contract(host, state, message(depth=context.depth + 1, gas_limit=context.gas_limit - 10))
        if inner.success:
            return ExecutionResult(SUCCESS, inner.gas_used + 10)
        assert (inner.state, inner.gas_used, inner.error) == (FAILED, context.gas_limit - 10, "max call depth exceeded")
        return ExecutionResult(SUCCESS, inner.gas_used + 10, b"deepest")

    host.programs[b"code"] = recurses
    result = call_contract(host, state, message())
    assert (result.state, result.gas_used) == (SUCCESS, 10_000)
    assert depths == list(range(1, HOST_DEPTH_LIMIT + 1))
    assert host_depth.get() == 0


def test_run_nested_counts_as_calls_do(host: Host, state: MemoryState) -> None:
    token = host_depth.set(HOST_DEPTH_LIMIT - 1)
    try:
        host.programs[b"code"] = lambda context, state: run_nested(host, "toy", b"", context, state)
        result = run_nested(host, "toy", b"code", message(), state)
        assert (result.state, result.gas_used, result.error) == (FAILED, 10_000, "max call depth exceeded")
        assert run_nested(host, "toy", b"", message(), state).success
    finally:
        host_depth.reset(token)


def test_depth_is_counted_down_where_a_vm_raises(host: Host, state: MemoryState) -> None:
    with pytest.raises(KeyError):
        call_contract(host, state, message())
    assert host_depth.get() == 0


# Creations


CODE = MAGIC + b"code"
PRICE = DEPLOY_GAS_PER_BYTE * len(CODE)


def test_created_contract_stands_at_the_address_of_the_nonce(host: Host, state: MemoryState) -> None:
    result, address = create_contract(host, state, message(value=30), CODE)
    assert (result.state, result.gas_used, result.return_data) == (SUCCESS, PRICE, b"")
    assert address == create_address(CALLER, 5)
    assert state.get_account(address) == Account(nonce=1, balance=30, code=CODE, vm="toy")
    assert state.get_account(CALLER) == Account(nonce=6, balance=70)
    assert set(state.marks(WARM_ACCOUNTS)) == {int.from_bytes(address, "big")}
    assert set(state.marks(CREATED)) == {address}


def test_salted_address_follows_from_code_and_input(host: Host, state: MemoryState) -> None:
    """EIP-1014"""
    _, address = create_contract(host, state, message(input=b"in"), CODE, salt=9)
    assert address == create2_address(CALLER, 9, CODE + b"in")
    assert (state.get_code(address), state.get_nonce(CALLER)) == (CODE, 6)


@pytest.mark.parametrize(
    ("fields", "nonce", "error"),
    [
        ({"value": 101}, 5, "insufficient balance for transfer"),
        ({"depth": 1025}, 5, "max call depth exceeded"),
        ({}, U64_MAX, "nonce uint64 overflow"),
    ],
)
def test_creation_that_cannot_begin_gives_its_gas_back(
    host: Host, state: MemoryState, fields: dict[str, int], nonce: int, error: str
) -> None:
    state.set_nonce(CALLER, nonce)
    before = contents(state)
    result, _ = create_contract(host, state, message(**fields), CODE)
    assert (result.state, result.gas_used, result.error) == (FAILED, 0, error)
    assert contents(state) == before


@pytest.mark.parametrize("there", [Account(nonce=1, balance=4), Account(code=b"x", balance=4)])
def test_collision_takes_all_gas_and_leaves_nonce_and_warmth(host: Host, state: MemoryState, there: Account) -> None:
    """EIP-684, EIP-2929"""
    address = create_address(CALLER, 5)
    state.set_account(address, there)
    result, found = create_contract(host, state, message(value=9), CODE)
    assert (result.state, result.gas_used, result.error) == (FAILED, 10_000, "contract address collision")
    assert (found, state.get_account(address), state.get_account(CALLER)) == (address, there, Account(6, 100))
    assert int.from_bytes(address, "big") in state.marks(WARM_ACCOUNTS)
    assert address not in state.marks(CREATED)


def test_wei_that_wait_for_a_contract_are_no_collision(host: Host, state: MemoryState) -> None:
    address = create_address(CALLER, 5)
    state.set_balance(address, 4)
    state.set_storage(address, 1, 1)
    assert create_contract(host, state, message(value=9), CODE)[0].success
    assert (state.get_balance(address), state.get_storage(address, 1)) == (13, 0)


@pytest.mark.parametrize(
    ("code", "gas", "error"),
    [
        (MAGIC + bytes(37), 10_000, "too large for a toy"),
        (CODE, PRICE - 1, "code storage out of gas"),
    ],
)
def test_failed_creation_leaves_nonce_and_warmth_alone(
    host: Host, state: MemoryState, code: bytes, gas: int, error: str
) -> None:
    result, address = create_contract(host, state, message(value=9, gas_limit=gas), code)
    assert (result.state, result.gas_used, result.error) == (FAILED, gas, error)
    assert (state.get_account(address), state.get_account(CALLER)) == (None, Account(6, 100))
    assert set(state.marks(WARM_ACCOUNTS)) == {int.from_bytes(address, "big")}
    assert not state.marks(CREATED)


def test_last_gas_pays_for_the_code(host: Host, state: MemoryState) -> None:
    result, _ = create_contract(host, state, message(gas_limit=PRICE), CODE)
    assert (result.state, result.gas_used) == (SUCCESS, PRICE)


def test_constructor_runs_as_the_new_account_and_its_result_is_stored(host: Host, state: MemoryState) -> None:
    def echoes(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        return ExecutionResult(SUCCESS, 5, b"stored " + context.input)

    host.programs[b"made:"] = echoes
    call = message(address=OTHER, code_address=OTHER, value=2, input=b"in")
    result, address = create_contract(host, state, call, b"made:")
    assert (result.gas_used, result.return_data) == (5, b"")
    assert state.get_account(address) == Account(1, 2, b"stored in", "made")
    assert state.get_storage(address, 0) == 7
    [seen] = host.vms["made"].runs
    assert (seen.address, seen.caller, seen.code_address, seen.depth) == (address, CALLER, None, 1)


def test_constructor_that_reverts_tells_why(host: Host, state: MemoryState) -> None:
    host.programs[b"made:"] = gives(ExecutionResult(REVERTED, 5, b"why"))
    result, address = create_contract(host, state, message(value=2), b"made:")
    assert (result.state, result.gas_used, result.return_data) == (REVERTED, 5, b"why")
    assert (state.get_account(address), state.get_storage(address, 0)) == (None, 0)
    assert state.get_account(CALLER) == Account(6, 100)


def test_contract_without_code_belongs_to_no_vm(host: Host, state: MemoryState) -> None:
    host.programs[b"made:"] = gives(ExecutionResult(SUCCESS, 5))
    _, address = create_contract(host, state, message(), b"made:")
    assert state.get_account(address) == Account(nonce=1)


def test_constructor_may_create_and_nonces_count(host: Host, state: MemoryState) -> None:
    created = []

    def creates(context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        inner = message(caller=context.address, depth=context.depth + 1, gas_limit=5_000)
        created.append(create_contract(host, state, inner, CODE)[1])
        return ExecutionResult(SUCCESS, 5, b"stored")

    host.programs[b"made:"] = creates
    _, address = create_contract(host, state, message(), b"made:")
    assert created == [create_address(address, 1)]
    assert state.get_nonce(address) == 2


def test_creation_on_the_last_nested_run_fails_with_all_gas(host: Host, state: MemoryState) -> None:
    token = host_depth.set(HOST_DEPTH_LIMIT)
    try:
        result, address = create_contract(host, state, message(), CODE)
    finally:
        host_depth.reset(token)
    assert (result.state, result.gas_used, result.error) == (FAILED, 10_000, "max call depth exceeded")
    assert not state.account_exists(address)


def test_static_creation_is_a_mistake_of_the_vm(host: Host, state: MemoryState) -> None:
    with pytest.raises(ValueError, match="static call cannot create"):
        create_contract(host, state, message(is_static=True), CODE)


# The context


def test_code_address_is_an_address_and_stays() -> None:
    context = message(code_address=OTHER)
    assert context.with_gas_limit(1).with_input(b"").code_address == OTHER
    with pytest.raises(ValueError, match="code_address: an address has 20 bytes"):
        message(code_address=b"")
