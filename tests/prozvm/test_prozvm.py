"""ProzVM for contracts: what every VM must do, strictness, input and output, gas, events and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from vmloom import Event, ExecutionContext, ExecutionState
from vmloom.alloc import dump_alloc
from vmloom.errors import CodeError, CodeTooLarge, ConfigError
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom.state import MemoryState
from vmloom.testing.conformance import VmConformance
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, function
from vmloom_prozvm.bytecode.container import pack
from vmloom_prozvm.config import JitConfig, ProzVmConfig
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.runtime.world import StateWorld
from vmloom_prozvm.values import Function, canonical

from .contracts import BLOCK, CALLER, CONTRACT, GAS, contract, load, program, run, world, written
from .programs import Shape, programs

FOREVER = (":again", ("JUMP", "again"))
EMPTY_LIST = ("BUILD_LIST", 0)


class TestProzVm(VmConformance):
    """The contract of `VirtualMachine`."""

    vm_name = "prozvm"
    unsupported: ClassVar[Mapping[str, str]] = {
        "program_storing": "programs keep values by name, in records; they have no words of storage",
    }
    invalid_codes = (
        b"",
        b"\0proz",
        b"\0proz\2" + bytes(64),
        contract(load(1))[:-1],
        b"\0asm\1\0\0\0",
        b"\x60\0" * 20,
        pack(Bytecode([], [("POP", None)])),
    )

    def program_returning(self, data: bytes) -> bytes:
        return contract(load(data), "RETURN")

    def program_reverting(self) -> bytes:
        return contract(*written("key", 1), load(b"why"), "REVERT")

    def program_looping_forever(self) -> bytes:
        return contract(*written("key", 1), *FOREVER)

    def program_echoing(self) -> bytes:
        return contract("INPUT", "RETURN")

    def program_emitting(self) -> bytes:
        return contract(load([7]), load(b"abc"), "EMIT")


class TestCompiledProzVm(TestProzVm):
    """The same of a VM that compiles every program at once."""

    settings: ClassVar[Mapping[str, Any]] = {"vm": {"prozvm": {"jit": {"threshold": 0}}}}


@pytest.fixture(params=["interpreted", "compiled"])
def vm(request: pytest.FixtureRequest) -> ProzVm:
    compiles = request.param == "compiled"
    return ProzVm(ProzVmConfig(jit=JitConfig(enabled=compiles, threshold=0)))


INTERPRETED = ProzVm(ProzVmConfig(jit=JitConfig(enabled=False)))
COMPILED = ProzVm(ProzVmConfig(jit=JitConfig(threshold=0)))
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Programs of a random generator have nothing to shrink."""
OPTIMISED = [ProzVm(ProzVmConfig(optimization_level=level, jit=JitConfig(threshold=0))) for level in (1, 2, 3)]

# Input and output


@pytest.mark.parametrize(
    ("value", "output"),
    [
        (b"raw", b"raw"),
        (None, b""),
        (0, b"\0"),
        (True, b"\xf5"),
        ("text", b"\x64text"),
        ([1, "a"], b"\x82\x01\x61a"),
        ({"b": 1, "a": 2}, b"\xa2\x61a\x02\x61b\x01"),
        (2**64, b"\xc2\x49\x01" + bytes(8)),
    ],
)
def test_output_is_bytes_or_the_canonical_encoding(vm: ProzVm, value: Any, output: bytes) -> None:
    assert run(vm, contract(load(value), "RETURN")).return_data == output
    reverted = run(vm, contract(load(value), "REVERT"))
    assert (reverted.state, reverted.return_data) == (ExecutionState.REVERTED, output)


def test_what_has_no_encoding_is_no_output(vm: ProzVm) -> None:
    bytecode = Bytecode([function("f", (), Bytecode([1], [("LOAD_CONST", 0)]))], [("LOAD_CONST", 0)])
    result = run(vm, pack(bytecode))
    assert result.state is ExecutionState.FAILED
    assert result.metadata["fault"]["kind"] == "NotStorable"


def test_encoding_of_the_output_is_paid_for(vm: ProzVm) -> None:
    code = contract(load(bytes(8)), "RETURN")
    used = run(vm, code).gas_used
    assert run(vm, code, gas=used).success
    assert not run(vm, code, gas=used - 1).success
    code = contract(load(bytes(8000)), "RETURN")
    assert run(vm, code).gas_used - len(code) >= 3 * 1000


def test_program_sees_its_call(vm: ProzVm) -> None:
    fields = ("INPUT", "CALLER", "ADDRESS", "VALUE", ("BLOCK", "number"), ("BLOCK", "timestamp"), ("BLOCK", "chain_id"))
    result = run(vm, contract(*fields, ("BUILD_LIST", len(fields)), "RETURN"), input=b"in", value=9)
    assert result.return_data == canonical([b"in", CALLER, CONTRACT, 9, 7, BLOCK.timestamp, 5])


def test_unknown_field_of_the_block_is_an_error(vm: ProzVm) -> None:
    result = run(vm, contract(("BLOCK", "weather")))
    assert "weather" in result.error


# Strictness


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ((load(1), ("STATE_WRITE", "key")), "StateOutsideTransaction"),
        (("TX_COMMIT",), "NoTransaction"),
        (("TX_REVERT",), "NoTransaction"),
        (("TX_BEGIN", load(1), ("STATE_WRITE", "key")), "OpenTransaction"),
        ((load(1), load(0), "DIV"), "DivisionByZero"),
        ((load(1), load("a"), "ADD"), "TypeMismatch"),
        ((("LOAD_NAME", "nothing"),), "UnknownName"),
        ((("GAS_CHARGE", GAS),), "OutOfGas"),
    ],
)
def test_errors_name_kind_and_instruction(vm: ProzVm, steps: tuple[Any, ...], kind: str) -> None:
    code = contract(*written("before", 1), *steps)
    state = world(code)
    result = run(vm, code, state)
    assert result.state is ExecutionState.FAILED
    assert result.gas_used == GAS
    assert result.metadata["fault"]["kind"] == kind
    if kind != "OpenTransaction":
        at = len(program(*written("before", 1), *steps).build()) - 1
        assert result.metadata["fault"]["instruction"] == at
        assert f"instruction {at}: " in result.error
    assert state.records_of(CONTRACT) == {}


def test_unverified_code_does_not_run(vm: ProzVm) -> None:
    state = world(b"")
    for bytecode in (
        Bytecode([], [("RETURN", None)]),  # which the workbench allows
        Bytecode([], [("ADD", None)]),
        Bytecode([], [("JUMP", 9)]),
        Bytecode([1], [("STATE_READ", 0)]),
    ):
        with pytest.raises(CodeError):
            run(vm, pack(bytecode), state)


def test_refused_code_is_refused_again_for_the_same_reason(vm: ProzVm) -> None:
    code = pack(Bytecode([], [("ADD", None)]))
    reasons = []
    for _ in range(2):
        with pytest.raises(CodeError) as caught:
            vm.validate_code(code)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]


@pytest.mark.parametrize(
    "steps",
    [
        written("key", 1),
        (load({"a": 1}), "LEDGER_APPEND"),
        (load([1]), load(b""), "EMIT"),
    ],
)
def test_static_call_changes_nothing(vm: ProzVm, steps: tuple[Any, ...]) -> None:
    code = contract(*steps)
    state = world(code)
    result = run(vm, code, state, is_static=True)
    assert result.state is ExecutionState.FAILED
    assert result.metadata["fault"]["kind"] == "ReadOnlyState"
    assert state.records_of(CONTRACT) == {}
    assert run(vm, code, state).success


# State, ledger, events


def test_state_and_ledger_are_records_of_the_account(vm: ProzVm) -> None:
    code = contract(*written("key", [1, "a"]), load({"action": "x"}), "LEDGER_APPEND")
    state = world(code)
    first, second = run(vm, code, state), run(vm, code, state)
    assert first.success, first.error
    assert second.success, second.error
    kept = StateWorld(state, CONTRACT, BLOCK)
    assert kept.read("key") == [1, "a"]
    assert [kept.ledger_entry(at) for at in range(kept.ledger_size())] == [
        {"action": "x", "timestamp": BLOCK.timestamp}
    ] * 2
    assert {change.field for change in first.state_changes} == {"record"}
    assert b"skey" in {change.key for change in first.state_changes}
    assert b"skey" not in {change.key for change in second.state_changes}


def test_state_outlives_the_call(vm: ProzVm) -> None:
    count = contract(
        "TX_BEGIN", ("STATE_READ", "n"), load(0), "OR", ("JUMP_IF_FALSE", "first"),
        ("STATE_READ", "n"), load(1), "ADD", ("STATE_WRITE", "n"), ("JUMP", "end"),
        ":first", load(1), ("STATE_WRITE", "n"),
        ":end", "TX_COMMIT", ("STATE_READ", "n"), "RETURN",
    )  # fmt: skip
    state = world(count)
    outputs = []
    for _ in range(3):
        result = run(vm, count, state)
        assert result.success, result.error
        state.commit()
        outputs.append(result.return_data)
    assert outputs == [b"\1", b"\2", b"\3"]


def test_reverted_transaction_leaves_the_outer_one(vm: ProzVm) -> None:
    code = contract(
        "TX_BEGIN", load(1), ("STATE_WRITE", "outer"), "TX_BEGIN", load(2), ("STATE_WRITE", "inner"),
        load([1]), load(b""), "EMIT", "TX_REVERT", ("STATE_READ", "inner"), "TX_COMMIT", "RETURN",
    )  # fmt: skip
    state = world(code)
    result = run(vm, code, state)
    assert (result.success, result.return_data) == (True, b""), result.error
    assert state.records_of(CONTRACT) == {b"souter": canonical(1)}
    assert result.events == ()


def test_events(vm: ProzVm) -> None:
    code = contract(load([1, 2**256 - 1]), load(b"data"), "EMIT", EMPTY_LIST, load(b""), "EMIT")
    result = run(vm, code)
    assert result.events == (Event(CONTRACT, (1, 2**256 - 1), b"data"), Event(CONTRACT, (), b""))


@pytest.mark.parametrize(
    ("topics", "data"), [([2**256], b""), ([-1], b""), ([1] * 5, b""), (["a"], b""), ([True], b""), (1, b""), ([], "")]
)
def test_wrong_events_are_errors(vm: ProzVm, topics: Any, data: Any) -> None:
    result = run(vm, contract(load(topics), load(data), "EMIT"))
    assert result.metadata["fault"]["kind"] in ("TypeMismatch", "ValueTooLarge")
    assert result.metadata["fault"]["instruction"] == 2


# Gas


def test_every_byte_of_the_code_is_paid_for_each_time(vm: ProzVm) -> None:
    code = contract(load(1), "RETURN")
    used = [run(vm, code).gas_used for _ in range(2)]
    prices = GasSchedule().base
    loading = ProzVmConfig().load_gas_per_byte * len(code)
    assert used == [loading + 2 + 1] * 2
    assert sum(price for opcode, price in prices.items() if opcode.name in ("LOAD_CONST", "RETURN")) == 3
    assert run(vm, code, gas=loading - 1).error == "out of gas"


def test_configured_prices_are_used() -> None:
    code = contract(load(1), "RETURN")
    vm = ProzVm(ProzVmConfig(gas_schedule=GasSchedule(base={"RETURN": 100}), load_gas_per_byte=0))
    assert run(vm, code).gas_used == 102


def test_reverting_keeps_the_rest_of_the_gas(vm: ProzVm) -> None:
    result = run(vm, contract(load(b"no"), "REVERT"))
    assert (result.error, result.return_data) == ("reverted", b"no")
    assert result.gas_used < GAS // 100


def test_estimate(vm: ProzVm) -> None:
    code = contract(*written("key", 1), "INPUT", "RETURN")
    state = world(code)
    context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=GAS, block=BLOCK)
    gas = vm.estimate_gas(code, b"abc", context, state)
    assert state.records_of(CONTRACT) == {}
    assert run(vm, code, gas=gas, input=b"abc").success
    assert not run(vm, code, gas=gas - 1, input=b"abc").success


# Deployment


def with_constructor(*body: Any) -> bytes:
    builder = program(load(b"main"), "RETURN")
    builder.constant(function("construct", (), program(*body).build()))
    return pack(builder.build())


def deploy(vm: ProzVm, code: bytes, gas: int = GAS, **fields: Any) -> tuple[Any, Any]:
    state = world(b"")
    context = ExecutionContext(
        caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=gas, block=BLOCK, depth=1, **fields
    )
    return vm.deploy(code, context, state), state


def test_deployment_costs_by_the_byte(vm: ProzVm) -> None:
    code = contract(load(1), "RETURN")
    result, _ = deploy(vm, code)
    assert (result.success, result.return_data, result.gas_used) == (True, code, 200 * len(code))
    assert not deploy(vm, code, gas=200 * len(code) - 1)[0].success
    refused, _ = deploy(vm, b"\0proz no")
    assert refused.state is ExecutionState.FAILED
    assert "no constructor" in deploy(vm, code, input=b"x")[0].error


def test_constructor_finds_its_input(vm: ProzVm) -> None:
    code = with_constructor("TX_BEGIN", "INPUT", ("STATE_WRITE", "owner"), "TX_COMMIT")
    result, state = deploy(vm, code, input=b"me")
    assert (result.success, result.return_data) == (True, code), result.error
    assert StateWorld(state, CONTRACT, BLOCK).read("owner") == b"me"
    assert run(vm, code, state).return_data == b"main"
    short, _ = deploy(vm, code, gas=result.gas_used - 1, input=b"me")
    assert (short.state, short.gas_used) == (ExecutionState.FAILED, result.gas_used - 1)


def test_failing_constructor_leaves_nothing(vm: ProzVm) -> None:
    for body, ending in (
        ((*written("key", 1), load(b"why"), "REVERT"), ExecutionState.REVERTED),
        ((*written("key", 1), "TX_COMMIT"), ExecutionState.FAILED),
    ):
        result, state = deploy(vm, with_constructor(*body))
        assert result.state is ending
        assert result.return_data == (b"why" if ending is ExecutionState.REVERTED else b"")
        assert (result.gas_used == GAS) == (ending is ExecutionState.FAILED)
        assert state.records_of(CONTRACT) == {}


# Configuration


def test_settings_reach_the_machine() -> None:
    factory = VmFactory(Settings({"vm": {"prozvm": {"memory": {"integer_bits": 64}, "gas_schedule": {"per_cell": 7}}}}))
    vm = factory.get_vm("prozvm")
    assert isinstance(vm, ProzVm)
    assert vm.config.gas_schedule.per_cell == 7
    result = run(vm, contract(load(2**63), load(2), "MUL"))
    assert result.metadata["fault"]["kind"] == "ValueTooLarge"


@pytest.mark.parametrize(
    "values",
    [
        {"stack_limit": 0},
        {"optimization_level": 4},
        {"memory": {"integer_bits": 10**6}},
        {"gas_schedule": {"base": {"JUMP": 0}}},
        {"gas_schedule": {"base": {"FLY": 1}}},
        {"speed": "fast"},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        VmFactory(Settings({"vm": {"prozvm": values}})).get_vm("prozvm")


def test_limits_of_code() -> None:
    vm = ProzVm(ProzVmConfig.model_validate({"code": {"size": 100, "instructions": 3}, "stack_limit": 16}))
    with pytest.raises(CodeTooLarge):
        vm.validate_code(contract(load(bytes(100)), "RETURN"))
    with pytest.raises(CodeError, match="4 instructions"):
        vm.validate_code(contract(load(1), "POP", load(1), "RETURN"))


def test_optimisation_changes_no_result_and_costs_no_more() -> None:
    code = contract(load(2), load(3), "ADD", load(4), "MUL", *written("key", 1), "RETURN")
    plain, optimised = (run(ProzVm(ProzVmConfig(optimization_level=level)), code) for level in (0, 2))
    assert plain.return_data == optimised.return_data == b"\x14"
    assert optimised.gas_used <= plain.gas_used


def test_programs_are_forgotten_when_there_are_too_many() -> None:
    vm = ProzVm(ProzVmConfig(cache_size=1000))
    for number in range(50):
        assert run(vm, contract(load(number), "RETURN")).return_data == canonical(number)
    unkept = ProzVm(ProzVmConfig(cache_size=0))
    assert run(unkept, contract(load(b"x"), "RETURN")).return_data == b"x"


def test_hot_programs_are_compiled_and_give_the_same() -> None:
    vm = ProzVm(ProzVmConfig(jit=JitConfig(threshold=2)))
    code = contract(*written("key", 1), "INPUT", "RETURN")
    results = [run(vm, code, input=b"abc").to_dict() for _ in range(5)]
    assert results[1:] == results[:-1]
    assert vm.get_jit_stats()["compilations"] == 1
    off = ProzVm(ProzVmConfig(jit=JitConfig(enabled=False, threshold=0)))
    assert run(off, code, input=b"abc").to_dict() == results[0]
    assert off.get_jit_stats()["compilations"] == 0


@given(
    program=programs(Shape(contract=True)), gas=st.one_of(st.just(GAS), st.integers(0, 30_000)), static=st.booleans()
)
@settings(max_examples=150, phases=_PHASES)
def test_compiled_contracts_do_the_same_for_the_same_gas(program: Bytecode, gas: int, static: bool) -> None:
    code = pack(program)
    outcomes = []
    for vm in (INTERPRETED, COMPILED):
        state = world(code)
        result = run(vm, code, state, gas=gas, is_static=static, input=b"input", value=3)
        outcomes.append((result.to_dict(), dump_alloc(state)))
    assert outcomes[0] == outcomes[1]


@given(program=programs(Shape(contract=True)))
@settings(max_examples=100, phases=_PHASES)
def test_optimised_contracts_do_the_same_for_no_more_gas(program: Bytecode) -> None:
    """That is, with enough gas: what runs out of it may get further."""
    code = pack(program)
    outcomes, used = [], []
    for vm in (INTERPRETED, *OPTIMISED):
        state = world(code)
        result = run(vm, code, state, gas=10**8, input=b"input", value=3)
        fault = result.metadata["fault"]["kind"] if result.metadata else ""
        outcomes.append((result.state, result.return_data, result.events, fault, dump_alloc(state)))
        used.append(result.gas_used)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert all(gas <= used[0] for gas in used)


# Disassembly


def test_disassembly_has_offsets_names_and_constants(vm: ProzVm) -> None:
    body = program(load(300), "RETURN").build()
    builder = program(("STORE_CONST", "x", "y"), ("CALL_FUNC_CONST", function("f", (), body), 0), ("GAS_CHARGE", 2**40))
    code = pack(builder.build())
    lines = list(vm.disassemble(code))
    assert [(line.name, line.operand, line.remark) for line in lines] == [
        ("LOAD_CONST", "0", "function 'f'; 300"),
        ("RETURN", "", ""),
        ("STORE_CONST", "0 1", "program; 'x' = 'y'"),
        ("CALL_FUNC_CONST", "2 0", "function 'f'"),
        ("GAS_CHARGE", str(2**40), ""),
    ]
    assert [code[line.offset] for line in lines] == [1, 0x18, 4, 0x18, 0x18]
    assert [code[line.offset + 1] for line in lines[3:]] == [61, 118]


def test_what_is_no_container_is_one_line() -> None:
    for code in (b"", b"\0", b"\0proz\1"):
        (line,) = ProzVm().disassemble(code)
        assert line.name == "INVALID"
        assert line.remark


def test_a_failed_call_names_the_function_and_the_calls_around() -> None:
    name = "inner" * 100
    inner = Function(name, (), BytecodeBuilder().emit("LOAD_CONST", None).emit("NEG").build())
    code = pack(BytecodeBuilder().emit("CALL_FUNC_CONST", inner, 0).build())
    result = ProzVm().execute(code, ExecutionContext(gas_limit=100_000), MemoryState())
    fault = result.metadata["fault"]
    assert fault == {
        "kind": "TypeMismatch",
        "instruction": 1,
        "function": name[:100],
        "trace": [[name[:100], 1], ["", 0]],
    }
    assert f"function `{name[:100]}`, instruction 1" in result.error


def test_a_limit_of_code_above_the_default_takes_effect() -> None:
    builder = BytecodeBuilder()
    for number in range(5000):
        builder.constant(number)
    code = pack(builder.emit("LOAD_CONST", 4999).build())
    config = ProzVmConfig.model_validate({"code": {"constants": 5000}})
    result = ProzVm(config).execute(code, ExecutionContext(gas_limit=100_000), MemoryState())
    assert (result.success, result.return_data) == (True, canonical(4999))
