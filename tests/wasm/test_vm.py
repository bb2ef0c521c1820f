"""The WebAssembly VM: what every VM must do, how contracts take input and give output, and how runs end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from vmloom import ExecutionContext, ExecutionState
from vmloom.errors import CodeError, ConfigError, ProhibitedImport
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom.testing.conformance import VmConformance
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.engine import Instance
from vmloom_wasm.run import Run
from vmloom_wasm.vm import WasmVm

from .contracts import CALLER, CONTRACT, GAS, bytes_at, contract, module, returning, run, world

FOREVER = "(loop $again (br $again))"


class TestWasm(VmConformance):
    """The contract of `VirtualMachine`."""

    vm_name = "wasm"
    settings: ClassVar[Mapping[str, Any]] = {"vm": {"wasm": {"disk_cache": False}}}
    invalid_codes = (b"", b"\0asm", b"\0asm\1\0\0\0", b"\0asm\2\0\0\0", b"\x60\0" * 20)

    def program_returning(self, data: bytes) -> bytes:
        return returning("", len(data), rest=bytes_at(0, data))

    def program_reverting(self) -> bytes:
        return contract(
            "(call $storage_store (i32.const 0) (i32.const 32)) (call $revert (i32.const 0) (i32.const 4))",
            uses="storage_store revert",
            rest=bytes_at(31, b"\1") + bytes_at(63, b"\2"),
        )

    def program_looping_forever(self) -> bytes:
        body = f"(call $storage_store (i32.const 0) (i32.const 32)) {FOREVER}"
        return contract(body, uses="storage_store", rest=bytes_at(63, b"\2"))

    def program_storing(self, slot: int, value: int) -> bytes:
        words = slot.to_bytes(32, "big") + value.to_bytes(32, "big")
        body = "(call $storage_store (i32.const 0) (i32.const 32))"
        return contract(body, uses="storage_store", rest=bytes_at(0, words))

    def program_echoing(self) -> bytes:
        body = """(call $input_copy (i32.const 0) (i32.const 0) (call $input_size))
            (call $finish (i32.const 0) (call $input_size))"""
        return contract(body, uses="input_size input_copy finish")

    def program_emitting(self) -> bytes:
        body = "(call $emit (i32.const 0) (i32.const 2) (i32.const 64) (i32.const 3))"
        return contract(body, uses="emit", rest=bytes_at(31, b"\7") + bytes_at(64, b"abc"))


@pytest.fixture
def vm() -> WasmVm:
    return made()


def made(**values: Any) -> WasmVm:
    return WasmVm(WasmConfig(**{"disk_cache": False, **values}))


# Input


ECHO_MEMORY = "(call $finish (local.get $input) (local.get $size))"


@pytest.mark.parametrize("size", [0, 1, 31, 65_536, 65_537, 200_000])
def test_input_is_put_behind_the_memory_without_an_allocator(vm: WasmVm, size: int) -> None:
    data = bytes(number % 253 for number in range(size))
    place, pages = 65_536 * bool(size), 1 + -(-size // 65_536)
    body = f"""(if (i32.ne (local.get $input) (i32.const {place})) (then (unreachable)))
        (if (i32.ne (memory.size) (i32.const {pages})) (then (unreachable)))"""
    result = run(vm, contract(body + ECHO_MEMORY, uses="finish"), input=data)
    assert (result.error, result.return_data) == ("", data)


@pytest.mark.parametrize("name", ["allocate", "alloc"])
def test_input_is_put_where_the_allocator_says(vm: WasmVm, name: str) -> None:
    rest = f'(func (export "{name}") (param i32) (result i32) (i32.add (i32.const 1000) (local.get 0)))'
    body = "(if (i32.ne (local.get $input) (i32.const 1003)) (then (unreachable)))" + ECHO_MEMORY
    assert run(vm, contract(body, uses="finish", rest=rest), input=b"abc").return_data == b"abc"


def test_allocator_is_metered_and_its_answer_checked(vm: WasmVm) -> None:
    endless = f'(func (export "allocate") (param i32) (result i32) {FOREVER} (i32.const 0))'
    assert run(vm, contract("", uses="finish", rest=endless), input=b"abc").error == "out of gas"
    wrong = '(func (export "allocate") (param i32) (result i32) (i32.const -1))'
    result = run(vm, contract("", uses="finish", rest=wrong), input=b"abc")
    assert result.state is ExecutionState.FAILED
    assert "3 bytes at 0xffffffff are not within the memory of 65536 bytes" in result.error


def test_allocator_of_another_type_is_none(vm: WasmVm) -> None:
    rest = '(func (export "allocate") (param i64) (result i32) (unreachable))'
    assert run(vm, contract(ECHO_MEMORY, uses="finish", rest=rest), input=b"abc").return_data == b"abc"


def test_module_that_asks_for_its_input_gets_none_into_its_memory(vm: WasmVm) -> None:
    body = """(if (local.get $input) (then (unreachable)))
        (if (i32.ne (memory.size) (i32.const 1)) (then (unreachable)))
        (call $input_copy (i32.const 8) (i32.const 1) (i32.const 4))"""
    code = returning(body, 6, uses="input_copy", at=7, rest=bytes_at(7, b"......"))
    assert run(vm, code, input=b"abc").return_data == b".bc\0\0."


def test_memory_that_may_not_grow_has_no_room_for_input(vm: WasmVm) -> None:
    code = contract(ECHO_MEMORY, uses="finish", memory='(memory (export "memory") 1 1)')
    result = run(vm, code, input=b"abc")
    assert result.state is ExecutionState.FAILED
    assert result.error == "there is no room for 3 bytes of input: memory may not grow by 1 pages"


def test_module_without_memory_is_told_the_size_of_its_input(vm: WasmVm) -> None:
    code = contract("(if (i32.ne (local.get $size) (i32.const 3)) (then (unreachable)))", memory="")
    assert run(vm, code, input=b"abc").success


# Output


STORED = bytes_at(200, b"output!")


def test_output_by_values(vm: WasmVm) -> None:
    rest = (
        STORED
        + """(global (export "output_ptr") (mut i32) (i32.const 200))
        (global $size (export "output_len") (mut i32) (i32.const 0))"""
    )
    assert run(vm, contract("(global.set $size (i32.const 6))", rest=rest)).return_data == b"output"


def test_output_by_addresses(vm: WasmVm) -> None:
    rest = (
        STORED
        + """(global (export "output_ptr") i32 (i32.const 300))
        (global (export "output_len") i32 (i32.const 304))"""
    )
    body = "(i32.store (i32.const 300) (i32.const 200)) (i32.store (i32.const 304) (i32.const 7))"
    assert run(vm, contract(body, rest=rest)).return_data == b"output!"


@pytest.mark.parametrize("size", [0, 5])
def test_output_by_area(vm: WasmVm, size: int) -> None:
    body = f"""(i32.store (local.get $output) (i32.const 200)) (i32.store offset=4 (local.get $output) (i32.const 3))
        (if (i32.ne (local.get $size) (i32.const {size})) (then (unreachable)))"""
    assert run(vm, contract(body, rest=STORED), input=bytes(size)).return_data == b"out"
    assert run(vm, contract("", rest=STORED)).return_data == b""


def test_set_output_goes_before_globals_and_takes_a_copy(vm: WasmVm) -> None:
    rest = (
        STORED
        + """(global (export "output_ptr") (mut i32) (i32.const 0))
        (global (export "output_len") (mut i32) (i32.const 9))"""
    )
    body = "(call $set_output (i32.const 200) (i32.const 4)) (i32.store (i32.const 200) (i32.const 0))"
    assert run(vm, contract(body, uses="set_output", rest=rest)).return_data == b"outp"


@pytest.mark.parametrize(("pointer", "size"), [(65_536, 1), (0, 65_537), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_output_beyond_the_memory_is_a_failure(vm: WasmVm, pointer: int, size: int) -> None:
    rest = f"""(global (export "output_ptr") (mut i32) (i32.const {pointer}))
        (global (export "output_len") (mut i32) (i32.const {size}))"""
    result = run(vm, contract("", rest=rest))
    assert (result.state, result.gas_used) == (ExecutionState.FAILED, GAS)
    assert "are not within the memory" in result.error


@pytest.mark.parametrize("state", ["success", "reverted"])
def test_main_says_whether_it_succeeded(vm: WasmVm, state: str) -> None:
    rest = (
        STORED
        + """(global (export "output_ptr") (mut i32) (i32.const 200))
        (global (export "output_len") (mut i32) (i32.const 2))"""
    )
    status = {"success": "", "reverted": "(return (i32.const 0))"}[state]
    result = run(vm, contract(status, rest=rest))
    assert (result.state.value, result.return_data) == (state, b"ou")
    assert result.gas_used < GAS


# Beginnings


def test_start_and_initializer_run_before_main_and_are_metered() -> None:
    vm = made(units_per_gas=1)
    rest = """(global $order (mut i32) (i32.const 0))
        (func $start (global.set $order (i32.const 1))) (start $start)
        (func (export "_initialize") (global.set $order (i32.add (global.get $order) (i32.const 10))))"""
    body = "(i32.store (i32.const 0) (global.get $order))"
    assert run(vm, returning(body, 1, rest=rest)).return_data == b"\x0b"
    plain = run(vm, returning("(i32.store (i32.const 0) (i32.const 5))", 1)).gas_used
    assert run(vm, returning(body, 1, rest=rest)).gas_used > plain
    for endless in (f'(func (export "_start") {FOREVER})', f"(func $start {FOREVER}) (start $start)"):
        assert run(vm, contract("", rest=endless)).error == "out of gas"


def test_initializer_with_parameters_is_an_export_like_others(vm: WasmVm) -> None:
    assert run(vm, contract("", rest='(func (export "_start") (param i32) (unreachable))')).success


def test_segment_that_does_not_fit_is_a_failure(vm: WasmVm) -> None:
    result = run(vm, contract("", rest=bytes_at(65_535, b"ab")))
    assert (result.state, result.gas_used) == (ExecutionState.FAILED, GAS)
    assert "out of bounds" in result.error


# Endings


TRAPS = {
    "unreachable": "(unreachable)",
    "integer division by zero": "(drop (i32.div_u (i32.const 1) (local.get $x)))",
    "integer overflow": "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
    "memory out of bounds": "(drop (i32.load (i32.const 1048576)))",
    "invalid conversion to integer": "(drop (i32.trunc_f32_s (f32.const nan)))",
}


@pytest.mark.parametrize("kind", TRAPS)
def test_trap_is_a_failure_that_names_the_functions(vm: WasmVm, kind: str) -> None:
    rest = f"(func $inner (local $x i32) {TRAPS[kind]}) (func $outer (call $inner))"
    state = world()
    result = run(vm, contract("(call $outer)", rest=rest), state=state)
    assert (result.state, result.gas_used, result.return_data) == (ExecutionState.FAILED, GAS, b"")
    assert result.error == f"{kind} in inner < outer < main"
    assert result.metadata == {"trap": {"kind": kind, "backtrace": ["inner", "outer", "main"]}}


def test_names_of_functions_cannot_write_to_a_terminal(vm: WasmVm) -> None:
    code = bytearray(contract("(call $victimvictim)", rest="(func $victimvictim (unreachable))"))
    place = code.rindex(b"victimvictim")
    code[place : place + 12] = b"\x1b[2J\x1b[1;1H\r\n"
    assert run(vm, bytes(code)).error == "unreachable in ?[2J?[1;1H?? < main"


def test_the_three_ways_to_end_too_early_are_told_apart(vm: WasmVm) -> None:
    deeper = "(call $deeper (i64.const 0) (i64.const 0))"
    deep = contract(deeper, rest=f"(func $deeper (param i64 i64) {deeper})")
    errors = {run(vm, code, gas=10**9).error for code in (contract(FOREVER), deep, contract("(unreachable)"))}
    assert errors == {"out of gas", "stack limit reached", "unreachable in main"}


def test_stack_limit_is_the_configured_one() -> None:
    body = "(local.set $x (i32.const %d)) (call $down (local.get $x))"
    rest = """(func $down (param i32)
        (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))"""
    small, large = made(max_stack_height=1_000), made(max_stack_height=100_000)
    code = contract(body % 1_000, rest=rest)
    assert run(small, code).error == "stack limit reached"
    assert run(large, code).success


def test_gas_beyond_the_counter_is_fine(vm: WasmVm) -> None:
    for gas in (2**63 - 1, 2**63, 2**80):
        result = run(vm, contract(""), gas=gas)
        assert (result.success, result.gas_used) == (True, run(vm, contract("")).gas_used)


# Settings


def test_units_of_the_table_are_not_gas() -> None:
    code = contract("(drop (i64.mul (i64.const 3) (i64.const 4)))" * 10, uses="finish")
    free = {"entry": 0}
    fine, coarse = made(units_per_gas=1, host_gas=free), made(units_per_gas=7, host_gas=free)
    units = run(fine, code).gas_used
    assert run(coarse, code).gas_used == -(-units // 7)
    assert run(coarse, code, gas=-(-units // 7)).success
    assert run(coarse, code, gas=-(-units // 7) - 1).error == "out of gas"


def test_price_of_one_instruction() -> None:
    code = contract("(drop (i64.mul (i64.const 3) (i64.const 4)))" * 10)
    plain, dear = made(units_per_gas=1), made(units_per_gas=1, instruction_gas={"i64.mul": 1004})
    assert run(dear, code).gas_used == run(plain, code).gas_used + 10_000
    with pytest.raises(ConfigError, match=r"there is no instruction 'i64.mull'"):
        made(instruction_gas={"i64.mull": 1})


def test_price_of_host_functions() -> None:
    code = contract("(call $caller (i32.const 0))", uses="caller")
    assert run(made(host_gas={"host_call": 1300}), code).gas_used == run(made(), code).gas_used + 1000


def test_imports_may_be_restricted(vm: WasmVm) -> None:
    code = contract("(call $caller (i32.const 0))", uses="caller")
    vm.validate_code(code)
    with pytest.raises(ProhibitedImport, match=r"import `env.caller` is not on the list"):
        made(allowed_imports=["env.value"]).validate_code(code)
    with pytest.raises(ProhibitedImport):
        run(made(allowed_imports=[]), code)


def test_import_with_other_types_is_refused(vm: WasmVm) -> None:
    main = '(func (export "main") (param i32 i32 i32) (result i32) (i32.const 1))'
    code = module(f'(import "env" "caller" (func (param i64))) {main}')
    with pytest.raises(ProhibitedImport, match=r"import env.caller has the signature .*i64.*, not .*i32"):
        vm.validate_code(code)


def double(run: Run, number: int) -> int:
    """A host function for the test below."""
    run.charge(7)
    return 2 * number


CUSTOM = {"math.double": {"types": "i:i", "function": f"{__name__}:double", "gas": 1_000}}
DOUBLING = module("""(import "math" "double" (func $double (param i32) (result i32)))
    (func (export "main") (param i32 i32 i32) (result i32) (i32.eq (call $double (i32.const 21)) (i32.const 42)))""")


def test_host_functions_of_ones_own() -> None:
    with pytest.raises(ProhibitedImport, match=r"`math.double` is not on the list"):
        made().validate_code(DOUBLING)
    vm = made(host_functions=CUSTOM)
    vm.validate_code(DOUBLING)
    assert run(vm, DOUBLING).success
    free = made(host_functions={"math.double": {**CUSTOM["math.double"], "gas": 0}})
    assert run(vm, DOUBLING).gas_used == run(free, DOUBLING).gas_used + 1_000
    assert run(vm, contract("(call $caller (i32.const 0))", uses="caller")).success


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({"env.caller": CUSTOM["math.double"]}, "there is a host function of this name"),
        ({"m.f": {"types": "i:i", "function": "no_such_module:f"}}, "cannot import no_such_module:f"),
        ({"m.f": {"types": "i:i", "function": "math:no_such"}}, "cannot import math:no_such"),
    ],
)
def test_host_functions_that_cannot_be(functions: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made(host_functions=functions)


def test_import_on_the_list_that_nobody_offers_is_refused() -> None:
    vm = made(allowed_imports=["math.double"])
    with pytest.raises(ProhibitedImport, match=r"import math.double: there is no such host function"):
        vm.validate_code(DOUBLING)


def test_memory_limit_is_the_configured_one() -> None:
    body = "(if (i32.ne (memory.grow (i32.const 9)) (i32.const 1)) (then (unreachable)))"
    code = contract(body, uses="finish")
    assert run(made(max_memory_pages=10), code).success
    assert run(made(max_memory_pages=9), code).error == "unreachable in main"
    with pytest.raises(CodeError, match="memory of 11 pages, the limit is 10"):
        made(max_memory_pages=10).validate_code(contract("", memory='(memory (export "memory") 11)'))


def test_section_of_the_configuration_is_checked() -> None:
    factory = VmFactory(Settings({"vm": {"wasm": {"reentrancy": "sometimes"}}}))
    with pytest.raises(ConfigError, match="reentrancy"):
        factory.get_vm("wasm")


def test_each_run_pays_for_its_instance_and_memory() -> None:
    """Or calls of contracts with much memory, or of very many, would cost next to nothing."""
    vm = made()

    def used(pages: int) -> int:
        memory = f'(memory (export "memory") {pages})'
        return run(vm, contract("", uses="finish", memory=memory)).gas_used

    unit = vm.costs.sizes[0x40].of(1) // vm.config.units_per_gas
    assert used(0) >= vm.config.host_gas.entry
    assert used(11) - used(1) == 10 * unit
    assert run(vm, contract("", uses="finish"), gas=used(1)).success
    assert run(vm, contract("", uses="finish"), gas=used(1) - 1).error == "out of gas"


# Gas and profile


def test_profile_says_where_the_gas_went() -> None:
    vm = made(units_per_gas=1)
    rest = """(func $cheap) (func $dear (local $n i32) (local.set $n (i32.const 50))
        (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"""
    code = contract("(call $cheap) (call $dear) (call $dear)", rest=rest, uses="finish")
    context = ExecutionContext(caller=CALLER, address=CONTRACT, gas_limit=GAS)
    result, profile = vm.profile(code, context, world())
    assert result == vm.execute(code, context, world())
    assert [(one.name, one.calls) for one in profile] == [("dear", 2), ("main", 1), ("cheap", 1)]
    pages = vm.cache.get(code).price_of_pages(1)
    assert sum(one.gas for one in profile) == result.gas_used - vm.config.host_gas.entry - pages
    assert profile[0].gas > 10 * profile[1].gas


def test_disassembly(vm: WasmVm) -> None:
    code = contract("(call $caller (i32.const 7)) (i64.store offset=8 (i32.const 1) (i64.const -2))", uses="caller")
    lines = list(vm.disassemble(code))
    assert [(line.name, line.operand, line.remark) for line in lines] == [
        ("i32.const", "7", "function 1: main"),
        ("call", "0", "caller"),
        ("i32.const", "1", ""),
        ("i64.const", "-2", ""),
        ("i64.store", "offset=8 align=8", ""),
        ("i32.const", "1", ""),
        ("end", "", ""),
    ]
    assert code[lines[1].offset] == 0x10
    assert [line.name for line in vm.disassemble(b"\0asm")] == ["INVALID"]


# Threads


def test_one_vm_serves_many_threads(vm: WasmVm) -> None:
    code = contract(
        """(loop $again (call $storage_load (i32.const 0) (i32.const 32))
            (br_if $again (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (i32.const 200))))""",
        uses="storage_load",
    )
    results: list[Any] = []

    def work() -> None:
        results.extend(run(vm, code).to_dict() for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert all(result == results[0] for result in results)
    assert results[0]["status"] == 1


def test_small_stack_of_a_thread_is_enough(vm: WasmVm) -> None:
    """The run gets a thread of its own with a larger one."""
    results: list[Any] = []
    former = threading.stack_size(256 << 10)
    try:
        thread = threading.Thread(target=lambda: results.append(run(vm, contract(""))))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(former)
    assert results[0].success


@pytest.mark.parametrize("ending", ["", "(unreachable)", "(call $finish (i32.const 0) (i32.const 0))", FOREVER])
def test_instances_are_freed_at_once(vm: WasmVm, ending: str) -> None:
    """Each holds memory and address space, of which a process has only so many pieces."""
    code = contract(f"(call $caller (i32.const 0)) {ending}", uses="caller finish")
    run(vm, code)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(found) is Instance for found in gc.get_objects())
        for _ in range(5):
            run(vm, code)
        assert sum(type(found) is Instance for found in gc.get_objects()) == before
    finally:
        gc.enable()


# The package


def test_public_names_are_imported_when_they_are_used() -> None:
    """Listing plugins imports the package, and must not wait for wasmtime."""
    import vmloom_wasm

    assert all(getattr(vmloom_wasm, name).__name__ == name for name in vmloom_wasm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vmloom_wasm.nothing
    program = "import sys, vmloom_wasm.plugin; print('wasmtime' in sys.modules or 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
