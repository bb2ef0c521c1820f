"""The kit itself: a right VM passes, each kind of wrong one fails the test that is there for it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from vmloom import (
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    Precompile,
    PrecompileSet,
    PurePrecompile,
    Revision,
    StateAccess,
    VirtualMachine,
)
from vmloom.bytecode import BasicBlock, CodeAnalysis, OptimisationReport
from vmloom.errors import CodeError, StateError
from vmloom.testing.conformance import CONTRACT, PrecompileConformance, VmConformance, fresh_state

EXAMPLE = Path(__file__).parents[2] / "examples" / "third-party-vm"


@pytest.fixture(scope="module")
def calc() -> Any:
    """The example's VM module and its conformance class, from their sources."""
    sys.path.insert(0, str(EXAMPLE / "src"))
    try:
        vm = importlib.import_module("calcvm.vm")
        path = EXAMPLE / "tests" / "test_calcvm.py"
        spec = importlib.util.spec_from_file_location("calcvm_tests", path)
        assert spec is not None
        assert spec.loader is not None
        tests = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tests)
        tests.vm = vm  # type: ignore[attr-defined]
        return tests
    finally:
        sys.path.remove(str(EXAMPLE / "src"))


Execute = Callable[[bytes, ExecutionContext, StateAccess], ExecutionResult]


def broken_vm(calc: Any, defect: Callable[[Execute, bytes, ExecutionContext, StateAccess], ExecutionResult]) -> Any:
    class Broken(calc.vm.CalcVm):  # type: ignore[misc]
        def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
            return defect(super().execute, code, context, state)

    return Broken(config=calc.vm.CalcConfig(), host=None)


def loses_gas(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    return replace(result, gas_used=result.gas_used + 1)


def takes_odd_gas(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    return replace(result, gas_used=min(context.gas_limit, result.gas_used + context.gas_limit % 2))


def keeps_changes(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    if not result.success:
        state.set_storage(CONTRACT, 1, 1)
    return result


def ignores_static(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return run(code, replace(context, is_static=False), state)


def commits(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    state.commit()
    return result


def cuts_output(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    return replace(result, return_data=result.return_data[:32])


def ignores_input(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return run(code, context.with_input(b""), state)


def hides_changes(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return replace(run(code, context, state), state_changes=())


def hides_events(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return replace(run(code, context, state), events=())


def calls_revert_a_failure(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    if result.state is not ExecutionState.REVERTED:
        return result
    return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error="revert")


def raises_for_bad_code(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    try:
        return run(code, context, state)
    except CodeError:
        raise IndexError from None


def cannot_be_json(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    return replace(run(code, context, state), metadata={"code": code})


def counts_runs(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result = run(code, context, state)
    RUNS.append(1)
    return replace(result, metadata={"runs": len(RUNS)})


RUNS: list[int] = []
SHARED: dict[str, Any] = {}


def shares_its_code(run: Execute, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    SHARED["code"] = code
    if threading.current_thread() is not threading.main_thread():
        threading.Event().wait(0.002)
    return run(SHARED["code"], context, state)


@pytest.mark.parametrize(
    ("defect", "test", "arguments"),
    [
        (cuts_output, "test_output_is_what_the_program_returns", (33,)),
        (ignores_input, "test_input_reaches_the_program", ()),
        (hides_changes, "test_storage_is_written_and_reported", ()),
        (hides_events, "test_events_are_reported", ()),
        (commits, "test_execution_does_not_commit", ()),
        (cannot_be_json, "test_result_is_json_ready", ()),
        (keeps_changes, "test_revert_takes_everything_back_and_keeps_gas", ()),
        (calls_revert_a_failure, "test_revert_takes_everything_back_and_keeps_gas", ()),
        (keeps_changes, "test_endless_program_runs_out_of_gas", ()),
        (loses_gas, "test_endless_program_runs_out_of_gas", ()),
        (ignores_static, "test_static_call_changes_nothing", ()),
        (counts_runs, "test_same_run_has_the_same_result", ()),
        (loses_gas, "test_gas_is_charged_exactly", ()),
        (takes_odd_gas, "test_gas_is_charged_exactly", ()),
        (keeps_changes, "test_every_gas_limit_is_safe", ()),
        (raises_for_bad_code, "test_invalid_code_is_refused", ()),
        (raises_for_bad_code, "test_random_code_is_contained", ()),
        (raises_for_bad_code, "test_damaged_programs_are_contained", ()),
        (shares_its_code, "test_one_vm_serves_many_threads", ()),
    ],
)
def test_each_defect_is_caught(calc: Any, defect: Any, test: str, arguments: tuple[Any, ...]) -> None:
    kit = calc.TestConformance()
    takes_state = "state" in inspect.signature(getattr(kit, test)).parameters

    def check(vm: Any) -> None:
        getattr(kit, test)(vm, *((fresh_state(),) if takes_state else ()), *arguments)

    check(calc.vm.CalcVm(config=calc.vm.CalcConfig(), host=None))  # a right one passes
    with pytest.raises((AssertionError, IndexError, StateError, TypeError)):
        check(broken_vm(calc, defect))


def without_taking_back(vm: Any, calls: Any, state: StateAccess) -> Any:
    return [vm.execute_call(code, context, state) for code, context in calls]


def all_but_the_last(vm: Any, calls: Any, state: StateAccess) -> Any:
    return VirtualMachine.execute_each(vm, calls, state)[:-1]


def in_another_order(vm: Any, calls: Any, state: StateAccess) -> Any:
    return VirtualMachine.execute_each(vm, calls[::-1], state)


def back_to_the_beginning(vm: Any, calls: Any, state: StateAccess) -> Any:
    results = VirtualMachine.execute_each(vm, calls, state)
    state.revert(0)
    return results


def with_shared_metadata(vm: Any, calls: Any, state: StateAccess) -> Any:
    results = VirtualMachine.execute_each(vm, calls, state)
    for result in results:
        SHARED["last"] = calls[0][1].gas_limit, len(RUNS)
        result.metadata["shared"] = SHARED  # type: ignore[union-attr]
    RUNS.append(1)
    return results


@pytest.mark.parametrize(
    ("together", "test"),
    [
        (without_taking_back, "test_calls_together_are_calls_alone"),
        (all_but_the_last, "test_calls_together_are_calls_alone"),
        (in_another_order, "test_calls_together_are_calls_alone"),
        (without_taking_back, "test_calls_together_leave_the_state_as_it_was"),
        (back_to_the_beginning, "test_calls_together_leave_the_state_as_it_was"),
        (with_shared_metadata, "test_results_outlive_the_calls_after_them"),
    ],
)
def test_calls_that_are_not_apart_are_caught(calc: Any, together: Any, test: str) -> None:
    class Broken(calc.vm.CalcVm):  # type: ignore[misc]
        def execute_each(self, calls: Any, state: StateAccess) -> Any:
            return together(self, calls, state)

    getattr(calc.TestConformance(), test)(calc.vm.CalcVm(config=calc.vm.CalcConfig(), host=None), fresh_state())
    with pytest.raises(AssertionError):
        getattr(calc.TestConformance(), test)(Broken(config=calc.vm.CalcConfig(), host=None), fresh_state())


def keeps_the_value(vm: Any, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    result: ExecutionResult = vm.execute(code, context, state)
    return result


def leaves_the_value(vm: Any, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
    if state.get_balance(context.caller) < context.value:
        return ExecutionResult(ExecutionState.FAILED, 0, error="too little")
    state.set_balance(context.caller, state.get_balance(context.caller) - context.value)
    state.set_balance(context.address, state.get_balance(context.address) + context.value)
    return keeps_the_value(vm, code, context, state)


@pytest.mark.parametrize("call", [keeps_the_value, leaves_the_value])
def test_a_value_that_does_not_follow_the_call_is_caught(calc: Any, call: Any) -> None:
    class Broken(calc.vm.CalcVm):  # type: ignore[misc]
        def execute_call(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
            return cast("ExecutionResult", call(self, code, context, state))

    with pytest.raises(AssertionError):
        calc.TestConformance().test_a_call_moves_its_value(
            Broken(config=calc.vm.CalcConfig(), host=None), fresh_state()
        )


def optimising(calc: Any, change: Callable[[bytes, int], bytes]) -> Any:
    """A calculator that optimises by `change`, and analyses code as one block."""

    class Optimising(calc.vm.CalcVm):  # type: ignore[misc]
        def optimisation_rules(self) -> Mapping[str, str]:
            return {"only": "The only rule."}

        def optimise(self, code: bytes, *, rules: Sequence[str] | None = None, level: int = 1) -> OptimisationReport:
            if not 0 <= level < 4 or not set(rules or ()) <= {"only"}:
                raise ValueError(f"no-such-rule or {level}")
            return OptimisationReport(code, change(code, level))

        def analyse(self, code: bytes) -> CodeAnalysis:
            end = len(change(code, 1))
            return CodeAnalysis(end, (BasicBlock(0, end, 0, 0, (0,)),))

    return Optimising(config=calc.vm.CalcConfig(), host=None)


def test_a_right_optimiser_passes(calc: Any) -> None:
    kit, vm = calc.TestConformance(), optimising(calc, lambda code, _: code)
    kit.test_optimised_code_does_the_same(vm)
    kit.test_unknown_rules_and_levels_are_refused(vm)
    kit.test_analysis_tells_of_the_code(vm)
    kit.test_analysis_of_any_bytes_is_contained(vm)


@pytest.mark.parametrize(
    ("change", "test"),
    [
        (lambda code, _: code[:-1], "test_optimised_code_does_the_same"),
        (lambda code, level: code if level else code[:1], "test_optimised_code_does_the_same"),
        (lambda code, level: code if level != 3 else b"\x01\x00\x08" + code, "test_optimised_code_does_the_same"),
        (lambda code, _: code[:-1], "test_analysis_tells_of_the_code"),
        (lambda code, _: bytes([code[20]]), "test_analysis_of_any_bytes_is_contained"),
    ],
)
def test_a_wrong_optimiser_is_caught(calc: Any, change: Callable[[bytes, int], bytes], test: str) -> None:
    with pytest.raises((AssertionError, IndexError, CodeError)):
        getattr(calc.TestConformance(), test)(optimising(calc, change))


def test_estimate_that_is_too_high_or_too_low_is_caught(calc: Any) -> None:
    for difference in (-1, 1):

        class Off(calc.vm.CalcVm):  # type: ignore[misc]
            def estimate_gas(self, *arguments: Any, difference: int = difference) -> int:
                gas: int = super().estimate_gas(*arguments)
                return gas + difference

        with pytest.raises(AssertionError):
            calc.TestConformance().test_estimate_is_the_least_gas_that_works(
                Off(config=calc.vm.CalcConfig(), host=None), fresh_state()
            )


def test_deleted_and_overridden_tests_are_reported(calc: Any) -> None:
    calc.TestConformance().test_no_standard_test_was_changed()

    class Deleted(calc.TestConformance):  # type: ignore[misc]
        test_random_code_is_contained = None

    class Overridden(calc.TestConformance):  # type: ignore[misc]
        def test_gas_is_charged_exactly(self) -> None: ...

    class Careless(calc.TestConformance):  # type: ignore[misc]
        @pytest.mark.xfail
        def test_gas_is_charged_exactly(self) -> None: ...

    class Reasoned(calc.TestConformance):  # type: ignore[misc]
        @pytest.mark.xfail(reason="gas is charged for whole pages")
        def test_gas_is_charged_exactly(self) -> None: ...

    with pytest.raises(AssertionError, match="'test_random_code_is_contained': 'deleted'"):
        Deleted().test_no_standard_test_was_changed()
    for cls in (Overridden, Careless):
        with pytest.raises(AssertionError, match="'test_gas_is_charged_exactly': 'overridden without xfail"):
            cls().test_no_standard_test_was_changed()
    Reasoned().test_no_standard_test_was_changed()


def test_declarations_are_checked() -> None:
    class Needed(VmConformance):
        unsupported: ClassVar = {"program_returning": "no time", "invalid_codes": "anything runs"}

    class Silent(VmConformance):
        unsupported: ClassVar = {"program_storing": " ", "invalid_codes": "anything runs"}

    class Forgotten(VmConformance): ...

    for cls in (Needed, Silent, Forgotten):
        with pytest.raises(AssertionError):
            cls().test_declarations_are_in_order()


def test_what_is_unsupported_is_skipped_with_the_reason() -> None:
    class Without(VmConformance):
        unsupported: ClassVar = {"program_storing": "it has no storage"}

    with pytest.raises(pytest.skip.Exception, match="program_storing: it has no storage"):
        Without().program("program_storing", 1, 2)


# Precompiles


class Double(PurePrecompile):
    name = "DOUBLE"

    def gas_cost(self, input: bytes) -> int:
        return len(input)

    def compute(self, input: bytes) -> bytes:
        return input * 2


class Doubles(PrecompileSet):
    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        return {b"\x01".rjust(20, b"\0"): Double()} if revision.includes("late") else {}


class Right(PrecompileConformance):
    set_name = "doubles"
    revision = Revision("late", ("early", "late"))
    valid_inputs: ClassVar = {"DOUBLE": b"ab"}


TESTS = [name for name in dir(Right) if name.startswith("test_")]


@pytest.mark.parametrize("name", TESTS)
def test_a_right_precompile_passes(name: str) -> None:
    kit, doubles = Right(), Doubles()
    arguments = {
        "test_no_standard_test_was_changed": (),
        "test_earliest_fork_is_answered": (doubles,),
    }.get(name, (doubles.at(Right.revision),))
    getattr(kit, name)(*arguments)


class WrongPrice(Double):
    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        return replace(super().execute(context, input, state), gas_used=1)


class Crashes(Double):
    def compute(self, input: bytes) -> bytes:
        return input * 2 if input == b"ab" else input[1000:1001] or bytes([input[999]])


class NeverFails(Double):
    def execute(self, context: ExecutionContext, input: bytes, state: StateAccess) -> ExecutionResult:
        return ExecutionResult(ExecutionState.FAILED, 0, error="bad input")


@pytest.mark.parametrize(
    ("made", "test"),
    [
        (WrongPrice, "test_valid_input_succeeds_for_its_price"),
        (NeverFails, "test_valid_input_succeeds_for_its_price"),
        (Crashes, "test_hostile_input_is_contained"),
    ],
)
def test_a_wrong_precompile_fails(made: type[Double], test: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        getattr(Right(), test)({b"\x01".rjust(20, b"\0"): made()})


def test_the_set_is_found_through_the_factory(environment: Any) -> None:
    environment.add(
        "doubles",
        "doubles = doubles_plugin",
        doubles_plugin="@hookimpl\ndef vmloom_precompiles():\n    yield PrecompileSpec('doubles', 'doubles_set:Set')\n"
        "    yield PrecompileSpec('aaa', 'doubles_set:Set')\n",
        doubles_set="import vmloom\nclass Set(vmloom.PrecompileSet):\n    def at(self, revision): return {}\n",
    )
    assert type(Right().find_set()).__name__ == "Set"
