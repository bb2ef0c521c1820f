"""The EVM as a library: configuration, simulations, estimates, access lists, tracing, and calls of other VMs."""

from __future__ import annotations

import dis
import io
import json
import sys
import types
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from vmloom import (
    Account,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    Precompile,
    PrecompileSet,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.errors import CodeTooLarge, ConfigError, GasEstimationError, InvalidCode, ProhibitedOpcode
from vmloom.kernel import U64_MAX, U256_MAX, u64, u256
from vmloom_evm import AccountOverride, Evm, EvmConfig
from vmloom_evm.assembly import (
    Bytecode,
    add,
    balance,
    call,
    create,
    delegatecall,
    exp,
    gas,
    invalid,
    jump,
    jumpi,
    label,
    lt,
    mload,
    mstore,
    mul,
    number,
    pop,
    push,
    raw,
    repeat,
    ret_bytes,
    ret_top,
    return_,
    revert,
    sload,
    sstore,
    staticcall,
    stop,
    timestamp,
)
from vmloom_evm.forks import FORKS
from vmloom_evm.gas import use_gas
from vmloom_evm.machine import Machine
from vmloom_evm.reference.loop import LOOP, TRACED_LOOP
from vmloom_evm.testing import BLOCK, COINBASE, CONTRACT, SENDER, EvmUnderTest
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.transaction.apply import Checks
from vmloom_evm.transaction.types import AccessListEntry, Transaction, TransactionRefused, TransactionType

EOA = (0xE0A).to_bytes(20, "big")

# Configuration


def triple(x: u256) -> u256:
    return (3 * x) & U256_MAX


def forty_two(m: Machine) -> u256:
    use_gas(m, 1_000)
    return 42


def add_four(a: u256, b: u256, c: u256, d: u256) -> u256:
    return (a + b + c + d) & U256_MAX


def burn(m: Machine, amount: u256) -> None:
    use_gas(m, u64(min(amount, U64_MAX)))


class Greeting(Precompile):
    name = "GREETING"

    def gas_cost(self, input: bytes) -> int:
        return 7 + len(input)

    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        if input == b"storage":
            state.set_storage(context.address, 0, 5)
        return ExecutionResult(ExecutionState.SUCCESS, self.gas_cost(input), b"hello " + input)


@pytest.fixture(autouse=True)
def extension(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module that configurations can name."""
    module = types.ModuleType("an_extension")
    for one in (triple, forty_two, add_four, burn, Greeting):
        setattr(module, one.__name__, one)
    monkeypatch.setitem(sys.modules, "an_extension", module)
    return module


def custom(name: str, function: str, code: int = 0x0C, gas: int = 11) -> dict[str, Any]:
    return {"custom_opcodes": {name: {"code": code, "function": f"an_extension:{function}", "gas": gas}}}


@pytest.mark.parametrize(
    ("function", "operands", "result", "dynamic"),
    [("triple", (14,), 42, 0), ("forty_two", (), 42, 1_000), ("add_four", (1, 2, 3, 4), 10, 0)],
)
def test_custom_opcode_runs_and_costs_what_is_configured(
    evm: EvmUnderTest, function: str, operands: tuple[int, ...], result: int, dynamic: int
) -> None:
    evm = evm.configured(**custom("MINE", function))
    program = raw(b"".join(bytes(push(one)) for one in reversed(operands))) + raw("0c")
    assert evm.value_of(program) == result
    assert evm.gas_of(program) == 3 * len(operands) + 11 + dynamic


def test_custom_opcode_without_a_result(evm: EvmUnderTest) -> None:
    evm = evm.configured(**custom("BURN", "burn", gas=0))
    assert evm.gas_of(push(500) + raw("0c")) == 503
    assert evm.run(raw("0c")).error == "stack underflow"
    assert evm.run(push(500) + raw("0c"), gas=502).error == "out of gas"


def test_custom_opcode_has_its_name_in_disassembly_and_metrics(evm: EvmUnderTest) -> None:
    evm = evm.configured(instruction_metrics=True, **custom("TRIPLE", "triple"))
    program = bytes(push(5) + raw("0c"))
    assert [one.name for one in evm.vm.disassemble(program)] == ["PUSH1", "TRIPLE"]
    assert evm.run(program).result.metadata["instruction_metrics"]["TRIPLE"]["gas"] == 11


def test_custom_opcode_does_not_exist_elsewhere(evm: EvmUnderTest) -> None:
    evm.configured(**custom("TRIPLE", "triple")).run(stop)
    assert evm.run(push(5) + raw("0c")).error == "invalid opcode"


@pytest.mark.parametrize(("name", "code"), [("MINE", 0x01), ("ADD", 0x0C)], ids=["code", "name"])
def test_custom_opcode_must_not_replace_an_instruction(evm: EvmUnderTest, name: str, code: int) -> None:
    with pytest.raises(ConfigError, match=r"custom_opcodes: opcode .* (has ADD there|instruction of that name)"):
        evm.configured(**custom(name, "triple", code=code)).run(stop)


def test_custom_opcode_that_cannot_be_imported_is_named(evm: EvmUnderTest) -> None:
    with pytest.raises(ConfigError, match=r"custom_opcodes\.MINE.*an_extension:nothing"):
        evm.configured(**custom("MINE", "nothing")).run(stop)


def test_price_of_an_instruction_can_be_configured(evm: EvmUnderTest) -> None:
    assert evm.configured(gas={"ADD": 100}).gas_of(add(1, 2)) == 106
    assert evm.gas_of(add(1, 2)) == 9


def test_rules_can_be_configured(evm: EvmUnderTest) -> None:
    assert evm.configured(rules={"exp_byte": 7}).gas_of(exp(2, 255)) == 6 + 10 + 7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"revision": "shangai"}, "did you mean 'shanghai'"),
        ({"network": "mainet"}, "unknown network 'mainet'; known: mainnet"),
        ({"disabled_opcodes": ["SLAOD"]}, "did you mean 'SLOAD'"),
        ({"gas": {"ADDD": 1}}, "gas: unknown opcode 'ADDD' .did you mean 'ADD'"),
        ({"rules": {"exp_bite": 1}}, "did you mean 'exp_byte'"),
        ({"rules": {"exp_byte": "many"}}, "'exp_byte' is of type int"),
        ({"revison": "osaka"}, "revison"),
        ({"stack_limit": 0}, "stack_limit"),
        ({"max_memory_size": -1}, "max_memory_size"),
        ({"precompiles": {"nine": "a:b"}}, "precompiles"),
        ({"engine": "abacus"}, "engine"),
        ({"custom_opcodes": {"MINE": {"code": 256, "function": "a:b"}}}, "code"),
    ],
)
def test_mistaken_configuration_is_refused_with_the_key(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EvmConfig(**config)  # type: ignore[arg-type]


def test_disabled_opcode_halts_as_if_it_did_not_exist(evm: EvmUnderTest) -> None:
    evm = evm.configured(disabled_opcodes=["TIMESTAMP"])
    outcome = evm.run(timestamp, gas=1_000)
    assert (outcome.error, outcome.gas_used) == ("invalid opcode", 1_000)
    assert evm.run(number).success


def test_disabled_opcode_is_refused_with_its_offset_but_not_inside_push_data(evm: EvmUnderTest) -> None:
    vm = evm.configured(disabled_opcodes=["TIMESTAMP"]).vm
    with pytest.raises(ProhibitedOpcode, match="TIMESTAMP is disabled") as caught:
        vm.validate_code(bytes(push(0x42) + timestamp))
    assert caught.value.offset == 2
    vm.validate_code(bytes(push(0x42)))


def test_memory_limit_halts_the_frame_that_exceeds_it(evm: EvmUnderTest) -> None:
    evm = evm.configured(max_memory_size=1_024)
    assert evm.run(mstore(992, 1)).success
    outcome = evm.run(mstore(993, 1), gas=100_000)
    assert (outcome.error, outcome.gas_used) == ("memory limit exceeded", 100_000)
    callee = evm.deploy(mstore(2_000, 1))
    assert evm.value_of(call(callee, gas=10_000)) == 0


def test_memory_can_be_free_within_its_limit(evm: EvmUnderTest) -> None:
    evm = evm.configured(max_memory_size=1 << 20, charge_memory_expansion=False)
    assert evm.gas_of(pop(mload((1 << 20) - 32))) == 3 + 3 + 2
    assert evm.run(mload(1 << 20)).error == "memory limit exceeded"


def test_stack_limit_can_be_configured(evm: EvmUnderTest) -> None:
    evm = evm.configured(stack_limit=3)
    assert evm.run(push(1) * 3).success
    assert evm.run(push(1) * 4).error == "stack limit reached"


def test_precompile_can_be_added_and_replaced(evm: EvmUnderTest) -> None:
    evm = evm.configured(precompiles={"0x4": "an_extension:Greeting", "0x77": "an_extension:Greeting"})
    for at in (4, 0x77):
        program = mstore(0, int.from_bytes(b"you", "big") << 232) + pop(call(at, input=(0, 3), output=(0, 32)))
        assert evm.run(program + return_(0, 9)).output == b"hello you"
    assert evm.gas_of(call(0x77, gas=1_000)) == 21 + 100 + 7  # warm, as every precompile


def test_precompile_may_write_and_its_writes_are_undone_with_its_caller(evm: EvmUnderTest) -> None:
    evm = evm.configured(precompiles={"0x77": "an_extension:Greeting"})
    write = mstore(0, int.from_bytes(b"storage", "big") << 200) + pop(call(0x77, input=(0, 7)))
    at = (0x77).to_bytes(20, "big")
    evm.run(write + revert(0, 0))
    assert evm.storage(at, 0) == 0
    evm.run(write)
    assert evm.storage(at, 0) == 5


def test_what_is_configured_as_a_precompile_must_be_one(evm: EvmUnderTest) -> None:
    with pytest.raises(ConfigError, match=r"an_extension:triple is no vmloom\.Precompile"):
        evm.configured(precompiles={"0x77": "an_extension:triple"}).run(stop)


def test_precompiles_can_be_limited_to_some_addresses(evm: EvmUnderTest) -> None:
    evm = evm.configured(precompile_addresses=["0x4"])
    assert evm.gas_of(call(4, gas=1_000)) == 21 + 100 + 15
    assert evm.gas_of(call(2, gas=1_000)) == 21 + 2_600


def test_instruction_metrics_count_gas_and_time_by_instruction(evm: EvmUnderTest) -> None:
    evm = evm.configured(instruction_metrics=True)
    metrics = evm.run(repeat(10, pop(sload(1)))).result.metadata["instruction_metrics"]
    assert metrics["SLOAD"]["count"] == 10
    assert metrics["SLOAD"]["gas"] == 2_100 + 9 * 100
    assert metrics["JUMPI"] == {"count": 10, "gas": 100, "nanoseconds": metrics["JUMPI"]["nanoseconds"]}
    assert metrics["SLOAD"]["nanoseconds"] > 0
    assert next(iter(metrics)) == "SLOAD"


def test_instruction_metrics_count_callees_and_leave_out_gas_that_is_passed_on(evm: EvmUnderTest) -> None:
    evm = evm.configured(instruction_metrics=True)
    callee = evm.deploy(add(1, 2) + invalid)
    metrics = evm.run(call(callee, gas=10_000)).result.metadata["instruction_metrics"]
    assert metrics["CALL"]["gas"] == 2_600
    assert metrics["ADD"] == {"count": 1, "gas": 3, "nanoseconds": metrics["ADD"]["nanoseconds"]}
    assert metrics["INVALID_FE"]["count"] == 1


def test_no_metrics_unless_asked_for(evm: EvmUnderTest) -> None:
    assert evm.run(stop).result.metadata == {}


# Execution


def test_version_names_the_forks(evm: EvmUnderTest) -> None:
    assert evm.vm.vm_type == "evm"
    assert evm.vm.vm_version.features == tuple(FORKS)


def test_result_can_be_written_as_json(evm: EvmUnderTest) -> None:
    outcome = evm.run(sstore(1, 2) + ret_bytes(b"\xab"))
    written = json.loads(json.dumps(outcome.result.to_dict()))
    assert written["state"] == "success"
    assert written["return_data"] == "0xab"
    assert written["state_changes"] == [
        {"address": "0x" + CONTRACT.hex(), "field": "storage", "key": "0x1", "old": "0x0", "new": "0x2"}
    ]


def test_failed_execution_changes_nothing(evm: EvmUnderTest) -> None:
    before = evm.contents()
    evm.deploy(at=CONTRACT)
    before = evm.contents()
    outcome = evm.run(sstore(0, 1) + pop(create(0, 0, 0)) + invalid)
    assert outcome.result.state_changes == ()
    before[CONTRACT] = (before[CONTRACT][0]._replace(code=evm.code(CONTRACT)), {})
    assert evm.contents() == before


def test_execution_inside_a_transaction_shares_what_is_warm(evm: EvmUnderTest) -> None:
    """As another VM does when it calls an EVM contract: depth is not 0."""
    assert evm.run(balance(0xDEAD), depth=0).gas_used == 3 + 2_600
    assert evm.run(balance(0xDEAD), depth=1).gas_used == 3 + 100
    assert evm.run(balance(0xDEAD), depth=0).gas_used == 3 + 2_600


def test_one_vm_serves_many_threads(evm: EvmUnderTest) -> None:
    program = bytes(push(1) + repeat(200, Bytecode()) + ret_top())

    def run(n: int) -> int:
        context = ExecutionContext(address=CONTRACT, gas_limit=10**6, input=bytes(n))
        return evm.vm.execute(program, context, MemoryState()).gas_used

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(run, range(40)))) == 1


def test_code_that_may_not_be_deployed_is_refused(evm: EvmUnderTest) -> None:
    evm.vm.validate_code(bytes(24_576))
    with pytest.raises(CodeTooLarge, match="24577 bytes, the limit is 24576"):
        evm.vm.validate_code(bytes(24_577))
    evm.configured(max_code_size=0).vm.validate_code(bytes(100_000))
    with pytest.raises(CodeTooLarge):
        evm.configured(max_code_size=10).vm.validate_code(bytes(11))
    evm.at("homestead").vm.validate_code(bytes(100_000))


def test_code_that_begins_with_ef_is_refused_since_london(evm: EvmUnderTest) -> None:
    evm.at("berlin").vm.validate_code(b"\xef\x00")
    evm.at("london").vm.validate_code(b"\x00\xef")
    with pytest.raises(InvalidCode, match="offset 0x0: code may not begin with 0xef") as refused:
        evm.at("london").vm.validate_code(b"\xef\x00")
    assert refused.value.offset == 0


def test_disassembly_never_fails_and_covers_every_byte(evm: EvmUnderTest) -> None:
    code = bytes(range(256))
    instructions = list(evm.vm.disassemble(code))
    assert instructions[0].offset == 0
    ends = [one.offset for one in instructions[1:]] + [len(code)]
    sizes = {one.name: end - one.offset for one, end in zip(instructions, ends, strict=True)}
    assert sizes["ADD"] == 1
    assert [(one.name, one.operand, one.remark) for one in evm.vm.disassemble(bytes.fromhex("5b0c61ff"))] == [
        ("JUMPDEST", "", "jump destination"),
        ("INVALID", "0x0c", ""),
        ("PUSH2", "0xff", "1 bytes beyond the end of the code, read as zeros"),
    ]


# Simulations


def test_call_leaves_the_state_as_it_was(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 1) + ret_top(7))
    before = evm.contents()
    result = evm.vm.call(evm.transaction(contract), BLOCK, evm.state, sender=SENDER)
    assert int.from_bytes(result.return_data, "big") == 7
    assert evm.contents() == before


def test_call_leaves_nothing_of_its_transaction(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import log0, tload, tstore

    contract = evm.deploy(log0(0, 0) + tstore(0, 1) + pop(balance(EOA)))
    result = evm.vm.call(evm.transaction(contract), BLOCK, evm.state, sender=SENDER)
    assert len(result.events) == 1
    assert evm.state.events == []
    for account in (EOA, contract, SENDER):
        assert evm.run(balance(account), depth=1).gas_used == 3 + 2_600
    assert evm.run(ret_top(tload(0)), at=contract, depth=1).output_int == 0


def test_price_below_the_base_fee_takes_nothing_from_the_coinbase(evm: EvmUnderTest) -> None:
    contract = evm.deploy(ret_top(balance(COINBASE)))
    evm.deploy(at=COINBASE, balance=10**18)
    tx = evm.transaction(contract, max_fee_per_gas=5)
    checks = Checks(base_fee=False)
    block = replace(BLOCK, base_fee=1_000)
    evm.vm.apply_transaction(tx, block, evm.state, sender=SENDER, checks=checks)
    assert evm.balance(COINBASE) == 10**18


def test_call_checks_neither_nonce_nor_balance_nor_base_fee(evm: EvmUnderTest) -> None:
    contract = evm.deploy(ret_top(balance(CONTRACT)))
    block = replace(BLOCK, base_fee=10**9)
    tx = Transaction(to=contract, value=10**30, gas_limit=100_000, nonce=77)
    assert evm.vm.call(tx, block, evm.state, sender=EOA).success
    assert evm.vm.call(replace(tx, max_fee_per_gas=5), block, evm.state, sender=EOA).success


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        (Checks(nonce=True, balance=False, base_fee=False), "NONCE_MISMATCH_TOO_HIGH"),
        (Checks(nonce=False, balance=True, base_fee=False), "INSUFFICIENT_ACCOUNT_FUNDS"),
        (Checks(nonce=False, balance=False, base_fee=True), "INSUFFICIENT_MAX_FEE_PER_GAS"),
    ],
)
def test_each_check_can_be_asked_for(evm: EvmUnderTest, checks: Checks, reason: str) -> None:
    tx = Transaction(to=EOA, value=10**30, gas_limit=100_000, nonce=77)
    with pytest.raises(TransactionRefused, match=reason):
        evm.vm.call(tx, replace(BLOCK, base_fee=7), evm.state, sender=EOA, checks=checks)


def test_base_fee_is_zero_in_a_call_that_offers_no_price(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import basefee

    contract = evm.deploy(ret_top(basefee))
    block = replace(BLOCK, base_fee=7)
    free = evm.vm.call(evm.transaction(contract), block, evm.state, sender=SENDER)
    priced = evm.vm.call(evm.transaction(contract, max_fee_per_gas=9), block, evm.state, sender=SENDER)
    assert [int.from_bytes(one.return_data, "big") for one in (free, priced)] == [0, 7]


@pytest.mark.parametrize(
    ("override", "program", "result"),
    [
        (AccountOverride(balance=55), balance(EOA), 55),
        (AccountOverride(code=bytes(ret_top(9))), pop(call(EOA, output=(0, 32))) + mload(0), 9),
        (AccountOverride(nonce=1), balance(EOA), 3),
    ],
)
def test_overrides_hold_for_the_call_only(
    evm: EvmUnderTest, override: AccountOverride, program: Bytecode, result: int
) -> None:
    contract = evm.deploy(program + ret_top())
    evm.deploy(at=EOA, balance=3, nonce=0)
    before = evm.contents()
    outcome = evm.vm.call(evm.transaction(contract), BLOCK, evm.state, sender=SENDER, overrides={EOA: override})
    assert int.from_bytes(outcome.return_data, "big") == result
    assert evm.contents() == before


def test_overrides_replace_all_storage_or_some(evm: EvmUnderTest) -> None:
    contract = evm.deploy(mstore(0, sload(0)) + mstore(32, sload(1)) + return_(0, 64), storage={0: 1, 1: 2})

    def call_with(**fields: dict[int, int]) -> list[int]:
        overrides = {contract: AccountOverride(**fields)}  # type: ignore[arg-type]
        tx = evm.transaction(contract)
        output = evm.vm.call(tx, BLOCK, evm.state, sender=SENDER, overrides=overrides).return_data
        return [int.from_bytes(output[:32], "big"), int.from_bytes(output[32:], "big")]

    assert call_with(storage={0: 7}) == [7, 0]
    assert call_with(storage_diff={0: 7}) == [7, 2]
    assert (evm.storage(contract, 0), evm.storage(contract, 1)) == (1, 2)
    with pytest.raises(ValueError, match="both storage and storage_diff"):
        call_with(storage={0: 1}, storage_diff={0: 1})


def test_overridden_storage_is_the_original_of_the_call(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 0))
    overrides = {contract: AccountOverride(storage_diff={0: 1})}
    result = evm.vm.call(evm.transaction(contract), BLOCK, evm.state, sender=SENDER, overrides=overrides)
    assert result.gas_refunded == 4_800


# Estimates


def succeeds(evm: EvmUnderTest, tx: Transaction) -> bool:
    try:
        return evm.vm.call(tx, BLOCK, evm.state, sender=SENDER).success
    except TransactionRefused:
        return False


def estimate(evm: EvmUnderTest, to: bytes | None, **fields: Any) -> int:
    """The estimate, having made sure that it is enough, that one gas less is not, and that nothing has changed."""
    tx = evm.transaction(to, **{"gas_limit": 10_000_000, **fields})
    before = evm.contents()
    found = evm.vm.estimate_transaction_gas(tx, BLOCK, evm.state, sender=SENDER)
    assert evm.contents() == before
    assert succeeds(evm, replace(tx, gas_limit=found))
    assert not succeeds(evm, replace(tx, gas_limit=found - 1))
    return found


def test_estimate_of_a_transfer_is_21000(evm: EvmUnderTest) -> None:
    assert estimate(evm, EOA, value=1) == 21_000


def test_estimate_looks_no_higher_than_a_transaction_may_ask(evm: EvmUnderTest) -> None:
    """EIP-7825: a higher limit is no reason to refuse, only no use."""
    assert estimate(evm, EOA, gas_limit=90_000_000) == 21_000


def test_estimate_is_more_than_what_is_used_after_refunds(evm: EvmUnderTest) -> None:
    contract = evm.deploy(sstore(0, 0), storage={0: 1})
    assert estimate(evm, contract) == 26_006


def test_estimate_has_the_64th_that_a_caller_must_keep(evm: EvmUnderTest) -> None:
    needy = evm.deploy(jumpi("enough", lt(100_000, gas)) + invalid + label("enough"))
    contract = evm.deploy(jumpi("done", call(needy)) + revert(0, 0) + label("done"))
    assert estimate(evm, contract) > 21_000 + 100_000 + 100_000 // 64


def test_estimate_of_nested_calls_is_the_least_limit(evm: EvmUnderTest) -> None:
    last = evm.deploy(sstore(0, 1))
    for _ in range(5):
        last = evm.deploy(jumpi("done", call(last)) + revert(0, 0) + label("done"))
    estimate(evm, last)


def test_estimate_of_code_that_asks_for_gas_it_does_not_use(evm: EvmUnderTest) -> None:
    contract = evm.deploy(jumpi("enough", lt(2_000_000, gas)) + revert(0, 0) + label("enough"))
    assert estimate(evm, contract) > 2_000_000 + 21_000


def test_estimate_counts_the_stipend(evm: EvmUnderTest) -> None:
    contract = evm.deploy(jumpi("done", call(EOA, value=1)) + revert(0, 0) + label("done"), balance=5)
    evm.deploy(at=EOA)
    assert estimate(evm, contract) >= 21_000 + 2_600 + 9_000


def test_estimate_of_a_creation_and_of_data(evm: EvmUnderTest) -> None:
    assert estimate(evm, None, data=b"") == 53_000
    assert estimate(evm, EOA, data=b"\1" * 100) == 21_000 + 400 * 10


def test_estimate_of_a_revert_has_its_data(evm: EvmUnderTest) -> None:
    contract = evm.deploy(mstore(0, 0xBAD) + revert(0, 32))
    with pytest.raises(GasEstimationError, match=r"reverts: 0x0{61}bad") as caught:
        estimate(evm, contract)
    assert caught.value.return_data == (0xBAD).to_bytes(32, "big")


def test_estimate_of_what_cannot_succeed_names_the_cap(evm: EvmUnderTest) -> None:
    contract = evm.deploy(label("on") + jump("on"))
    with pytest.raises(GasEstimationError, match="gas cap of 200000: out of gas"):
        estimate(evm, contract, gas_limit=200_000)


def test_estimate_stays_below_what_the_sender_can_pay(evm: EvmUnderTest) -> None:
    contract = evm.deploy(jumpi("enough", lt(2_000_000, gas)) + revert(0, 0) + label("enough"))
    evm.state.set_balance(SENDER, 1_000_000)
    with pytest.raises(GasEstimationError):
        estimate(evm, contract, max_fee_per_gas=1, max_priority_fee_per_gas=1)


def test_estimate_with_tolerance_is_enough_and_at_most_that_much_too_high(evm: EvmUnderTest) -> None:
    evm = evm.configured(estimate_tolerance=0.1)
    contract = evm.deploy(jumpi("enough", lt(300_000, gas)) + revert(0, 0) + label("enough"))
    tx = evm.transaction(contract, gas_limit=10_000_000)
    found = evm.vm.estimate_transaction_gas(tx, BLOCK, evm.state, sender=SENDER)
    assert evm.vm.call(replace(tx, gas_limit=found), BLOCK, evm.state, sender=SENDER).success
    assert 321_000 < found < 321_100 * 1.12


def test_estimate_of_a_bare_call_is_the_least_limit(evm: EvmUnderTest) -> None:
    program = bytes(pop(mload(1_000)) + sstore(0, 1))
    context = ExecutionContext(address=CONTRACT, gas_limit=10**6)
    found = evm.vm.estimate_gas(program, b"", context)
    assert found == evm.gas_of(program)


# Access lists


def test_access_list_has_accounts_and_slots_that_the_transaction_meets(evm: EvmUnderTest) -> None:
    other = evm.deploy(pop(sload(7)))
    contract = evm.deploy(pop(call(other)) + pop(balance(EOA)) + sstore(3, 1) + pop(delegatecall(other)))
    found, result = evm.vm.create_access_list(evm.transaction(contract), BLOCK, evm.state, sender=SENDER)
    assert set(found) == {
        AccessListEntry(EOA),
        AccessListEntry(other, (7,)),
        AccessListEntry(contract, (3, 7)),
    }
    assert result.success


def test_access_list_leaves_out_what_is_warm_anyway(evm: EvmUnderTest) -> None:
    contract = evm.deploy(pop(balance(SENDER)) + pop(call(4)) + pop(staticcall(CONTRACT)) + pop(balance(CONTRACT)))
    found, _ = evm.vm.create_access_list(evm.transaction(contract), BLOCK, evm.state, sender=SENDER)
    assert found == (AccessListEntry(CONTRACT),)


def test_access_list_is_looked_for_until_it_changes_no_more(evm: EvmUnderTest) -> None:
    """With the list the slot is warm, which this contract notices; then it reads another one."""
    probe = gas + pop(sload(1)) + gas  # before, after
    from vmloom_evm.assembly import sub, swap

    contract = evm.deploy(probe + swap(1) + sub + jumpi("cold", lt(1_000)) + pop(sload(2)) + label("cold"))
    found, result = evm.vm.create_access_list(evm.transaction(contract), BLOCK, evm.state, sender=SENDER)
    assert found == (AccessListEntry(contract, (1, 2)),)
    assert result.gas_used > 21_000 + 2_400 + 2 * 1_900


def test_access_list_keeps_the_type_of_the_transaction(evm: EvmUnderTest) -> None:
    contract = evm.deploy(pop(sload(7)))
    tx = evm.transaction(contract, type=TransactionType.FEE_MARKET, max_fee_per_gas=1)
    found, _ = evm.vm.create_access_list(tx, BLOCK, evm.state, sender=SENDER)
    assert found == (AccessListEntry(contract, (7,)),)


# Tracing


def test_loop_without_tracing_knows_nothing_of_hooks() -> None:
    def names(function: types.FunctionType) -> set[str]:
        code = function.__code__
        used = {str(one.argval) for one in dis.get_instructions(code) if isinstance(one.argval, str)}
        return used & {"hook", "hooks", "before", "after", "fault", "TRACED"}

    assert names(TRACED_LOOP) == {"hook", "hooks", "before", "after", "fault"}  # type: ignore[arg-type]
    assert names(LOOP) <= {"hooks"}  # type: ignore[arg-type]


def test_loop_is_chosen_by_what_tracers_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_evm.reference import execution

    evm = EvmUnderTest("reference")
    chosen: list[str] = []

    def noting(name: str, loop: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            chosen.append(name)
            loop(*arguments)

        return run

    for name in ("LOOP", "TRACED_LOOP"):
        monkeypatch.setattr(execution, name, noting(name, getattr(execution, name)))

    class Frames(Tracer):
        pass

    class Adds(Tracer):
        opcodes = frozenset([0x01])

    evm.run(stop)
    evm.run(stop, tracers=[Frames()])
    evm.run(stop, tracers=[Adds()])
    assert chosen == ["LOOP", "LOOP", "TRACED_LOOP"]


def test_tracer_sees_only_the_instructions_that_it_asks_for(evm: EvmUnderTest) -> None:
    class Adds(Tracer):
        opcodes = frozenset([0x01, 0xFE])

        def __init__(self) -> None:
            self.seen: list[tuple[str, int]] = []

        def before(self, frame: object, opcode: int) -> None:
            self.seen.append(("before", opcode))

        def after(self, frame: object, opcode: int) -> None:
            self.seen.append(("after", opcode))

        def fault(self, frame: object, opcode: int, status: int) -> None:
            self.seen.append(("fault", opcode))

    tracer = Adds()
    evm.run(pop(add(1, mul(2, 3))) + add + invalid, tracers=[tracer])
    assert tracer.seen == [("before", 1), ("after", 1), ("before", 1), ("fault", 1)]


def test_several_tracers_see_the_same(evm: EvmUnderTest) -> None:
    class Count(Tracer):
        opcodes = None

        def __init__(self) -> None:
            self.count = self.frames = 0

        def before(self, frame: object, opcode: int) -> None:
            self.count += 1

        def enter(self, frame: object) -> None:
            self.frames += 1

    tracers = [Count(), Count()]
    callee = evm.deploy(add(1, 2))
    evm.run(call(callee), tracers=tracers)
    assert [(one.count, one.frames) for one in tracers] == [(8 + 1 + 3 + 1, 2)] * 2


def test_trace_ends_with_output_and_gas(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    context = ExecutionContext(address=CONTRACT, gas_limit=10**6)
    result = evm.vm.trace(bytes(ret_top(7)), context, MemoryState(), sink)
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert lines[0]["opName"] == "PUSH1"
    assert lines[-1] == {"output": (7).to_bytes(32, "big").hex(), "gasUsed": hex(result.gas_used)}


# Other VMs


class Ledger(VirtualMachine):
    """A VM of another kind: its code says what to do. It calls back into the EVM through its host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.contexts: list[ExecutionContext] = []

    @property
    def vm_type(self) -> str:
        return "ledger"

    @property
    def vm_version(self) -> VmVersion:
        return VmVersion(1, 0, 0)

    def validate_code(self, code: bytes) -> None:
        pass

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        self.contexts.append(context)
        checkpoint = state.snapshot()
        state.set_record(context.address, b"calls", bytes([len(self.contexts)]))
        if code == b"write":
            return ExecutionResult(ExecutionState.SUCCESS, 500, b"written", gas_refunded=100)
        if code == b"fail":
            state.revert(checkpoint)
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error="no")
        if code == b"revert":
            state.revert(checkpoint)
            return ExecutionResult(ExecutionState.REVERTED, 300, b"sorry")
        # Anything else is the address of an EVM contract to call.
        inner = replace(context, caller=context.address, address=code, depth=context.depth + 1)
        result = self.host.get_vm("evm").execute(state.get_code(code), inner, state)
        return replace(result, gas_used=result.gas_used + 1_000)


class Host:
    """Both VMs and nothing else."""

    def __init__(self) -> None:
        self.ledger = Ledger(self)
        self.evm: Evm | None = None

    def get_vm(self, vm_type: str) -> VirtualMachine:
        if vm_type == "ledger":
            return self.ledger
        assert self.evm is not None
        return self.evm

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        return []


@pytest.fixture
def two_vms(evm: EvmUnderTest) -> tuple[EvmUnderTest, Host]:
    host = Host()
    world = evm.configured(host=host)
    host.evm = world.vm
    return world, host


TwoVms = tuple[EvmUnderTest, Host]


def test_contract_of_another_vm_is_called_as_any_other(two_vms: TwoVms) -> None:
    evm, host = two_vms
    other = evm.deploy(b"write", vm="ledger")
    program = mstore(0, 0xAB) + pop(call(other, gas=50_000, value=3, input=(31, 1), output=(0, 7))) + return_(0, 7)
    outcome = evm.run(program, balance=5)
    assert outcome.output == b"written"
    assert outcome.gas_refunded == 100
    assert evm.state.get_record(other, b"calls") == b"\1"
    [context] = host.ledger.contexts
    assert (context.caller, context.address, context.value, context.input) == (CONTRACT, other, 3, b"\xab")
    assert (context.gas_limit, context.depth, context.is_static) == (52_300, 1, False)
    assert evm.balance(other) == 3


def test_gas_of_another_vm_is_paid_by_the_caller(two_vms: TwoVms) -> None:
    evm, _ = two_vms
    assert evm.gas_of(call(evm.deploy(b"write", vm="ledger"), gas=50_000)) == 21 + 2_600 + 500
    assert evm.gas_of(call(evm.deploy(b"revert", vm="ledger"), gas=50_000)) == 21 + 2_600 + 300
    assert evm.gas_of(call(evm.deploy(b"fail", vm="ledger"), gas=50_000)) == 21 + 2_600 + 50_000


def test_static_call_of_another_vm_tells_it_so(two_vms: TwoVms) -> None:
    evm, host = two_vms
    evm.run(staticcall(evm.deploy(b"write", vm="ledger"), gas=50_000))
    assert host.ledger.contexts[0].is_static


@pytest.mark.parametrize(("code", "output"), [(b"revert", b"sorry"), (b"fail", b"")])
def test_failure_of_another_vm_is_one_of_the_call(two_vms: TwoVms, code: bytes, output: bytes) -> None:
    evm, _ = two_vms
    other = evm.deploy(code, vm="ledger")
    from vmloom_evm.assembly import returndatacopy, returndatasize

    program = mstore(64, call(other, gas=50_000, value=1)) + returndatacopy(0, 0, returndatasize) + return_(0, 96)
    outcome = evm.run(program, balance=1)
    assert outcome.output == output.ljust(64, b"\0") + bytes(32)
    assert (evm.balance(other), evm.state.get_record(other, b"calls")) == (0, None)


def test_revert_undoes_what_both_vms_did(two_vms: TwoVms) -> None:
    evm, _ = two_vms
    counter = evm.deploy(sstore(0, 1))
    other = evm.deploy(counter, vm="ledger")
    outer = evm.deploy(sstore(0, 1) + pop(call(other, gas=200_000)) + revert(0, 0))
    evm.run(call(outer))
    assert (evm.storage(counter, 0), evm.storage(outer, 0)) == (0, 0)
    assert evm.state.get_record(other, b"calls") is None
    evm.run(pop(call(other, gas=200_000)))
    assert evm.storage(counter, 0) == 1
    assert evm.state.get_record(other, b"calls") == b"\2"


def test_vms_that_call_each_other_for_ever_end_and_the_deepest_call_fails(two_vms: TwoVms) -> None:
    evm, host = two_vms
    bridge = (0xB41D).to_bytes(20, "big")
    contract = evm.deploy(call(bridge) + add(push(1) + mload(0)) + ret_top())
    evm.deploy(contract, at=bridge, vm="ledger")
    before = sys.getrecursionlimit()
    outcome = evm.run(call(bridge, output=(0, 32)) + pop + return_(0, 32), gas=2**40)
    assert outcome.success
    assert len(host.ledger.contexts) == 64
    assert sys.getrecursionlimit() == before


def test_contract_of_another_vm_can_be_the_receiver_of_a_transaction(two_vms: TwoVms) -> None:
    evm, _ = two_vms
    other = evm.deploy(b"write", vm="ledger")
    result = evm.transact(other)
    assert (result.return_data, result.max_gas_used, result.gas_refunded) == (b"written", 21_500, 100)


def test_code_without_a_vm_of_its_own_is_the_evms(evm: EvmUnderTest) -> None:
    evm.state.set_account(EOA, Account(code=bytes(ret_top(1)), vm="evm"))
    assert evm.value_of(pop(call(EOA, output=(0, 32))) + mload(0)) == 1
