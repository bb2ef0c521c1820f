"""The workbench: its dictionary, what it lets pass that contracts may not do, gas, and compilation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from vmloom.errors import CodeError
from vmloom_prozvm.bytecode import Bytecode, BytecodeBuilder, function
from vmloom_prozvm.errors import DivisionByZero, OutOfGas, ProzError, TypeMismatch, UnknownName, ValueTooLarge
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.values import ValueLimits
from vmloom_prozvm.vm import VM

from .contracts import load, program, written


def built(*steps: Any) -> Bytecode:
    return program(*steps).build()


@pytest.fixture(params=["interpreted", "compiled"])
def ran(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a program on a workbench: at once, or once it is compiled, after some runs on other dictionaries."""

    def run(vm: VM, bytecode: Bytecode) -> Any:
        if request.param == "compiled":
            env = vm.env
            for _ in range(vm.jit_threshold):
                vm.env = {**env, "_blockchain_state": {}, "_ledger": [], "_gas_remaining": float("inf")}
                with suppress(ProzError):
                    vm.execute(bytecode)
            vm.env = env
        return vm.execute(bytecode)

    return run


def workbench(**values: Any) -> VM:
    return VM(jit_threshold=2, **values)


# Names


def test_names_are_what_the_dictionary_has(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["x"] = 40
    assert ran(vm, built(("LOAD_NAME", "x"), load(2), "ADD", ("STORE_NAME", "y"), ("LOAD_NAME", "y"))) == 42
    assert vm.env["y"] == 42
    assert vm.execute(built(("LOAD_NAME", "y"))) == 42


def test_functions_of_python_can_be_called(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["twice"] = lambda number: 2 * number
    assert ran(vm, built(load(21), ("CALL_NAME", "twice", 1))) == 42


def test_functions_stay_for_later_programs(ran: Callable[..., Any]) -> None:
    vm = workbench()
    add = function("add", ("a", "b"), built(("LOAD_NAME", "a"), ("LOAD_NAME", "b"), "ADD", "RETURN"))
    vm.execute(built(load(add), ("STORE_NAME", "add")))
    assert ran(vm, built(load(1), load(2), ("CALL_NAME", "add", 2))) == 3


@pytest.mark.parametrize("name", ["_gas_remaining", "_blockchain_state", "_ledger", "_block_timestamp"])
def test_programs_cannot_reach_what_is_reserved(ran: Callable[..., Any], name: str) -> None:
    vm = workbench()
    vm.env.update(_gas_remaining=1000, _blockchain_state={"k": 1}, _ledger=[], _block_timestamp=5)
    before = dict(vm.env)
    assert ran(vm, built(("STORE_CONST", name, 10**9), ("LOAD_NAME", name))) == 10**9
    assert vm.env == before
    with pytest.raises(UnknownName):
        ran(vm, built(("LOAD_NAME", name)))


def test_unknown_name_is_an_error(ran: Callable[..., Any]) -> None:
    with pytest.raises(UnknownName, match=r"instruction 1: .*nothing"):
        ran(workbench(), built(load(1), ("LOAD_NAME", "nothing")))


def test_what_is_no_value_is_refused(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["x"] = 1.5
    with pytest.raises(TypeMismatch):
        ran(vm, built(("LOAD_NAME", "x")))


# Leniency


@pytest.mark.parametrize(
    "steps",
    [(), ("RETURN",), ("TX_COMMIT",), ("TX_REVERT", "RETURN"), ("TX_BEGIN", load(1), ("STATE_WRITE", "k"))],
)
def test_what_contracts_may_not_do_gives_nothing(ran: Callable[..., Any], steps: tuple[Any, ...]) -> None:
    vm = workbench()
    assert ran(vm, built(*steps)) is None
    assert "k" not in vm.env.get("_blockchain_state", {})


def test_write_outside_a_transaction_is_at_once(ran: Callable[..., Any]) -> None:
    vm = workbench()
    with pytest.raises(DivisionByZero):
        ran(vm, built(load(1), ("STATE_WRITE", "k"), load(1), load(0), "DIV"))
    assert vm.env["_blockchain_state"] == {"k": 1}


def test_error_drops_what_is_pending(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["_blockchain_state"] = {"k": 1}
    with pytest.raises(DivisionByZero) as caught:
        ran(vm, built("TX_BEGIN", load(2), ("STATE_WRITE", "k"), load({}), "LEDGER_APPEND", load(1), load(0), "DIV"))
    assert caught.value.at == 7
    assert vm.env["_blockchain_state"] == {"k": 1}
    assert not vm.env.get("_ledger")
    assert vm.execute(built(("STATE_READ", "k"))) == 1


@pytest.mark.parametrize(
    "bytecode",
    [
        Bytecode([], [("ADD", None)]),
        Bytecode([], [("JUMP", 7)]),
        Bytecode([], [("LOAD_CONST", 0)]),
        Bytecode([1.5], [("LOAD_CONST", 0)]),  # type: ignore[list-item]
        Bytecode([1], [("LOAD_NAME", 0)]),
        Bytecode([], [("NOTHING", None)]),
    ],
)
def test_malformed_programs_are_refused(bytecode: Bytecode) -> None:
    with pytest.raises(CodeError):
        VM().execute(bytecode)


# State and ledger


def test_state_is_the_dictionary_that_is_there_now(ran: Callable[..., Any]) -> None:
    vm = workbench()
    code = built(
        "TX_BEGIN", ("STATE_READ", "k"), load(1), "ADD", ("STATE_WRITE", "k"), "TX_COMMIT", ("STATE_READ", "k")
    )
    vm.env["_blockchain_state"] = {"k": 1}
    assert ran(vm, code) == 2
    vm.env["_blockchain_state"] = {"k": 10}
    assert vm.execute(code) == 11


def test_nested_transactions(ran: Callable[..., Any]) -> None:
    vm = workbench()
    code = built(
        "TX_BEGIN", load(1), ("STATE_WRITE", "a"), "TX_BEGIN", load(2), ("STATE_WRITE", "b"), "TX_REVERT",
        "TX_BEGIN", load(3), ("STATE_WRITE", "c"), "TX_COMMIT", "TX_COMMIT",
    )  # fmt: skip
    ran(vm, code)
    assert vm.env["_blockchain_state"] == {"a": 1, "c": 3}


def test_ledger_is_stamped_by_the_block(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["_block_timestamp"] = 1_700_000_000
    ran(vm, built(load({"timestamp": 5, "list": [1]}), "LEDGER_APPEND", load("plain"), "LEDGER_APPEND"))
    assert vm.env["_ledger"] == [
        {"timestamp": 1_700_000_000, "list": (1,)},
        {"entry": "plain", "timestamp": 1_700_000_000},
    ]


# Gas


def test_only_gas_charge_costs_by_default(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["_gas_remaining"] = 30
    ran(vm, built(load(1), load(2), "ADD", ("GAS_CHARGE", 10), ("GAS_CHARGE", 20)))
    assert vm.env["_gas_remaining"] == 0


def test_out_of_gas_reverts_the_open_transaction(ran: Callable[..., Any]) -> None:
    vm = workbench()
    vm.env["_gas_remaining"] = 29
    code = built(*written("a", 1), ("GAS_CHARGE", 10), "TX_BEGIN", load(2), ("STATE_WRITE", "a"), ("GAS_CHARGE", 20))
    with pytest.raises(OutOfGas) as caught:
        ran(vm, code)
    assert caught.value.at == 8
    assert vm.env["_gas_remaining"] == 0
    assert vm.env["_blockchain_state"] == {"a": 1}


def test_gas_is_unlimited_unless_said(ran: Callable[..., Any]) -> None:
    vm = workbench()
    assert vm.env["_gas_remaining"] == float("inf")
    ran(vm, built(("GAS_CHARGE", 2**63 - 1)))
    assert vm.env["_gas_remaining"] == float("inf")
    del vm.env["_gas_remaining"]
    vm.execute(built(("GAS_CHARGE", 2**63 - 1)))


def test_schedule_charges_every_instruction(ran: Callable[..., Any]) -> None:
    vm = workbench(gas_schedule=GasSchedule())
    vm.env["_gas_remaining"] = 100
    ran(vm, built(load(1), load(2), "ADD", ("GAS_CHARGE", 10)))
    base = {opcode.name: price for opcode, price in GasSchedule().base.items()}
    spent = 2 * base["LOAD_CONST"] + base["ADD"] + base["GAS_CHARGE"] + 10
    assert vm.env["_gas_remaining"] == 100 - spent


def test_endless_program_ends_where_gas_is_bounded(ran: Callable[..., Any]) -> None:
    vm = workbench(gas_schedule=GasSchedule(), use_jit=False)
    vm.env["_gas_remaining"] = 10_000
    with pytest.raises(OutOfGas):
        vm.execute(built(":again", ("JUMP", "again")))


@pytest.mark.parametrize("gas", [-1, 1.5, "many", None, True])
def test_impossible_gas_is_refused(gas: Any) -> None:
    vm = VM()
    vm.env["_gas_remaining"] = gas
    with pytest.raises(ValueError, match="_gas_remaining"):
        vm.execute(built(load(1)))


def test_limits_are_kept(ran: Callable[..., Any]) -> None:
    vm = workbench(limits=Limits(values=ValueLimits(integer_bits=64)))
    with pytest.raises(ValueTooLarge):
        ran(vm, built(load(2**62), load(4), "MUL"))


# Compilation


LOOP = (
    ("STORE_CONST", "i", 0), ("STORE_CONST", "sum", 0),
    ":again", ("LOAD_NAME", "i"), load(10), "LT", ("JUMP_IF_FALSE", "end"),
    ("LOAD_NAME", "sum"), ("LOAD_NAME", "i"), "ADD", ("STORE_NAME", "sum"),
    ("LOAD_NAME", "i"), load(1), "ADD", ("STORE_NAME", "i"), ("JUMP", "again"),
    ":end", ("LOAD_NAME", "sum"), "RETURN",
)  # fmt: skip


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_hot_programs_give_the_same(level: int) -> None:
    vm = VM(jit_threshold=3, optimization_level=level)
    code = built(*LOOP)
    assert [vm.execute(code) for _ in range(6)] == [45] * 6
    assert (vm.get_jit_stats()["compilations"], vm.get_jit_stats()["jit_executions"]) == (1, 3)
    assert vm.env["sum"] == 45


def test_changed_program_is_another_one() -> None:
    vm = workbench()
    code = built(load(1), "RETURN")
    assert [vm.execute(code) for _ in range(4)] == [1] * 4
    code.constants[0] = True  # equal to 1, and another value
    assert vm.execute(code) is True
    code.constants[0] = 2
    assert [vm.execute(code) for _ in range(4)] == [2] * 4
    code.instructions.insert(1, ("DUP", None))
    code.instructions.insert(2, ("ADD", None))
    assert vm.execute(code) == 4


def test_changed_function_is_another_one() -> None:
    vm = workbench()
    body = built(load(1), "RETURN")
    code = Bytecode([function("f", (), body)], [("CALL_FUNC_CONST", (0, 0))])
    assert [vm.execute(code) for _ in range(4)] == [1] * 4
    body.constants[0] = 2
    assert vm.execute(code) == 2


def test_without_jit_nothing_is_compiled() -> None:
    vm = VM(use_jit=False, jit_threshold=1)
    code = built(load(1))
    for _ in range(5):
        vm.execute(code)
    assert vm.get_jit_stats()["compilations"] == 0
    assert vm.get_jit_stats()["jit_executions"] == 0


def test_cleared_cache_begins_again() -> None:
    vm = workbench()
    code = built(load(1))
    for _ in range(4):
        vm.execute(code)
    assert vm.get_jit_stats()["cache_size"] == 1
    vm.clear_jit_cache()
    assert vm.get_jit_stats()["cache_size"] == 0
    assert [vm.execute(code) for _ in range(4)] == [1] * 4


def test_programs_with_tasks_run_compiled_until_they_wait() -> None:
    vm = workbench()
    seven = function("seven", (), built(load(7), "RETURN"))
    code = built(load(seven), ("SPAWN", 0), "AWAIT")
    assert [vm.execute(code) for _ in range(6)] == [7] * 6
    assert vm.get_jit_stats()["jit_executions"] == 4


def test_many_programs_are_not_all_kept() -> None:
    vm = VM()
    for number in range(3000):
        assert vm.execute(built(load(number))) == number
    assert len(vm._known) <= 1024


def test_a_program_can_run_on_another_environment() -> None:
    vm = VM(jit_threshold=2)
    program = BytecodeBuilder().emit("LOAD_NAME", "x").emit("DUP").emit("STORE_NAME", "y").emit("GAS_CHARGE", 3).build()
    other: dict[str, Any] = {"x": 5, "_gas_remaining": 100}
    for _ in range(5):  # interpreted, then compiled
        assert vm.execute(program, other) == 5
    assert other == {"x": 5, "y": 5, "_gas_remaining": 85}
    assert "y" not in vm.env
