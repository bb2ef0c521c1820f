"""Conformance: the whole contract of `VirtualMachine` and `Precompile` as tests that an author inherits.

    class TestCalc(VmConformance):
        vm_name = "calc"

        def program_returning(self, data: bytes) -> bytes: ...

The programs are the author's to write; the standard tests are not to be changed. One that cannot hold may be
overridden by a test marked `@pytest.mark.xfail(reason=...)`; anything else fails `test_no_standard_test_was_changed`.
An optional program that a VM has no counterpart of is named in `unsupported`, with the reason.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

from vmloom import (
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    MemoryState,
    Precompile,
    PrecompileSet,
    Revision,
    VirtualMachine,
    VmVersion,
)
from vmloom.alloc import dump_alloc
from vmloom.errors import CodeError, GasEstimationError, Unsupported, VmloomError
from vmloom.factory import VmFactory
from vmloom.settings import Settings

CONTRACT = bytes.fromhex("c0de").rjust(20, b"\0")
CALLER = bytes.fromhex("ca11e4").rjust(20, b"\0")
GAS = 1_000_000
_SEED = 20_240_229


class _Standard:
    """Makes sure that standard tests are run as they are."""

    def test_no_standard_test_was_changed(self) -> None:
        """Every test of the kit is the kit's own, or is overridden by one that says why it cannot hold."""
        changed = {}
        for base in type(self).__mro__:
            if base.__module__ != __name__:
                continue
            for name, standard in vars(base).items():
                if name.startswith("test_") and (reason := _change(type(self), name, standard)):
                    changed[name] = reason
        assert not changed, f"standard tests were changed: {changed}"


def _change(cls: type, name: str, standard: Any) -> str:
    actual = getattr(cls, name, None)
    if actual is standard:
        return ""
    if not callable(actual):
        return "deleted"
    marks = [mark for mark in getattr(actual, "pytestmark", []) if mark.name == "xfail"]
    return "" if any(mark.kwargs.get("reason") for mark in marks) else "overridden without xfail(reason=...)"


class VmConformance(_Standard):
    """The contract of `VirtualMachine`. Subclass it as `Test...`, set `vm_name` and write the programs."""

    vm_name: ClassVar[str]
    """Name under which the plugin offers the VM."""

    settings: ClassVar[Mapping[str, Any]] = {}
    """The configuration to test under, such as `{"vm": {"evm": {"revision": "cancun"}}}`."""

    unsupported: ClassVar[Mapping[str, str]] = {}
    """Optional programs that the VM has no counterpart of, each with the reason: `{"program_storing": "..."}`."""

    invalid_codes: ClassVar[Sequence[bytes]] = ()
    """Code that `validate_code` must refuse; if it refuses none, name `invalid_codes` in `unsupported`."""

    # Programs. The first three are needed.

    def program_returning(self, data: bytes) -> bytes:
        """Code that succeeds with the output `data`."""
        raise NotImplementedError

    def program_reverting(self) -> bytes:
        """Code that reverts on purpose. If the VM has storage, it changes some before."""
        raise NotImplementedError

    def program_looping_forever(self) -> bytes:
        """Code that never ends, except by running out of gas. If the VM has storage, it changes some before."""
        raise NotImplementedError

    def program_storing(self, slot: int, value: int) -> bytes:
        """Optional: code that sets a storage word of its account and succeeds."""
        raise NotImplementedError

    def program_echoing(self) -> bytes:
        """Optional: code that succeeds with its input as output."""
        raise NotImplementedError

    def program_emitting(self) -> bytes:
        """Optional: code that emits one event and succeeds."""
        raise NotImplementedError

    # Fixtures

    @pytest.fixture
    def factory(self) -> VmFactory:
        """A factory with the class's settings. Not strict: what else is installed is not on trial here."""
        return VmFactory(Settings(self.settings))

    @pytest.fixture
    def vm(self, factory: VmFactory) -> VirtualMachine:
        """The VM under test."""
        return factory.get_vm(self.vm_name)

    @pytest.fixture
    def state(self) -> MemoryState:
        """A state in which caller and contract exist, with storage that no program should touch by accident."""
        return fresh_state()

    def program(self, name: str, *arguments: Any) -> bytes:
        """The program of that name; skips the test if it is optional and declared unsupported."""
        if name in self.unsupported:
            pytest.skip(f"{name}: {self.unsupported[name]}")
        code: bytes = getattr(self, name)(*arguments)
        return code

    def run(
        self, vm: VirtualMachine, code: bytes, state: MemoryState, gas: int = GAS, **fields: Any
    ) -> ExecutionResult:
        """Run `code` as the contract's and check what holds for every result."""
        state.begin_transaction()
        context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=gas, **fields)
        result = vm.execute(code, context, state)
        check_result(result, gas)
        return result

    # What it is

    def test_declarations_are_in_order(self) -> None:
        """`unsupported` names optional things only, each with a reason."""
        optional = {"program_storing", "program_echoing", "program_emitting", "invalid_codes"}
        assert set(self.unsupported) <= optional, "only these are optional: " + ", ".join(sorted(optional))
        assert all(reason.strip() for reason in self.unsupported.values())
        assert self.invalid_codes or "invalid_codes" in self.unsupported

    def test_type_and_version_are_stated(self, vm: VirtualMachine) -> None:
        """`vm_type` is the name under which it is offered; the version is a `VmVersion`."""
        assert vm.vm_type == self.vm_name
        assert isinstance(vm.vm_version, VmVersion)
        assert all(isinstance(feature, str) for feature in vm.vm_version.features)

    def test_factory_gives_the_same_vm_each_time(self, factory: VmFactory) -> None:
        """The cached VM is one object, a created one is another."""
        assert factory.get_vm(self.vm_name) is factory.get_vm(self.vm_name)
        assert factory.create_vm(self.vm_name) is not factory.get_vm(self.vm_name)

    # Success

    @pytest.mark.parametrize("size", [0, 1, 32, 33, 1000])
    def test_output_is_what_the_program_returns(self, vm: VirtualMachine, state: MemoryState, size: int) -> None:
        """The output arrives byte for byte."""
        data = bytes(index % 251 for index in range(size))
        result = self.run(vm, self.program("program_returning", data), state)
        assert result.state is ExecutionState.SUCCESS, result.error
        assert result.return_data == data

    def test_input_reaches_the_program(self, vm: VirtualMachine, state: MemoryState) -> None:
        """The program sees the context's input."""
        result = self.run(vm, self.program("program_echoing"), state, input=b"vmloom \x00\xff")
        assert result.success, result.error
        assert result.return_data == b"vmloom \x00\xff"

    def test_storage_is_written_and_reported(self, vm: VirtualMachine, state: MemoryState) -> None:
        """The word stands in the state and among the state changes, and nothing else has changed."""
        result = self.run(vm, self.program("program_storing", 3, 42), state)
        assert result.success, result.error
        assert state.get_storage(CONTRACT, 3) == 42
        stored = [change for change in result.state_changes if change.field == "storage"]
        assert [(change.address, change.key, change.old, change.new) for change in stored] == [(CONTRACT, 3, 0, 42)]
        assert state.storage_of(CONTRACT) == {3: 42, 2**200: 7}

    def test_events_are_reported(self, vm: VirtualMachine, state: MemoryState) -> None:
        """The event stands in the result and in the state, with the contract as its address."""
        result = self.run(vm, self.program("program_emitting"), state)
        assert result.success, result.error
        assert [event.address for event in result.events] == [CONTRACT]
        assert list(result.events) == state.events

    def test_execution_does_not_commit(self, vm: VirtualMachine, state: MemoryState) -> None:
        """What a run changed can still be taken back by a checkpoint from before."""
        before = dump_alloc(state)
        checkpoint = state.snapshot()
        assert self.run(vm, self.program("program_storing", 3, 42), state).success
        assert dump_alloc(state) != before
        state.revert(checkpoint)
        assert dump_alloc(state) == before

    def test_result_is_json_ready(self, vm: VirtualMachine, state: MemoryState) -> None:
        """`to_dict` can be written as JSON, for success, revert and failure."""
        for code in (self.program_returning(b"\xff"), self.program_reverting(), self.program_looping_forever()):
            result = self.run(vm, code, state, gas=50_000)
            assert json.loads(json.dumps(result.to_dict()))["gas_used"] == result.gas_used

    # Failure

    def test_revert_takes_everything_back_and_keeps_gas(self, vm: VirtualMachine, state: MemoryState) -> None:
        """A reverted run leaves the state as it was, reports no changes or events, and does not use all gas."""
        before = dump_alloc(state)
        result = self.run(vm, self.program_reverting(), state)
        assert result.state is ExecutionState.REVERTED, result.error
        assert result.gas_used < GAS
        assert dump_alloc(state) == before

    def test_endless_program_runs_out_of_gas(self, vm: VirtualMachine, state: MemoryState) -> None:
        """It fails with all gas used, and the state as it was."""
        before = dump_alloc(state)
        result = self.run(vm, self.program_looping_forever(), state, gas=60_000)
        assert result.state is ExecutionState.FAILED
        assert result.gas_used == 60_000
        assert result.error
        assert dump_alloc(state) == before

    def test_static_call_changes_nothing(self, vm: VirtualMachine, state: MemoryState) -> None:
        """A program that writes does not succeed in a static call; one that only reads does."""
        before = dump_alloc(state)
        assert self.run(vm, self.program_returning(b"x"), state, is_static=True).success
        result = self.run(vm, self.program("program_storing", 3, 42), state, is_static=True)
        assert not result.success
        assert dump_alloc(state) == before

    # Gas

    def test_same_run_has_the_same_result(self, vm: VirtualMachine, state: MemoryState) -> None:
        """Two runs from the same state are equal in everything, gas included."""
        for code in (self.program_returning(b"x" * 40), self.program_reverting(), self.program_looping_forever()):
            checkpoint = state.snapshot()
            first = self.run(vm, code, state, gas=50_000).to_dict()
            state.revert(checkpoint)
            assert self.run(vm, code, state, gas=50_000).to_dict() == first
            state.revert(checkpoint)

    def test_gas_is_charged_exactly(self, vm: VirtualMachine, state: MemoryState) -> None:
        """A plain run uses the same gas whatever the limit, succeeds with just that, and fails with one less."""
        code = self.program_returning(b"gas")
        used = self.run(vm, code, state).gas_used
        assert self.run(vm, code, state, gas=2 * GAS + 1).gas_used == used
        assert self.run(vm, code, state, gas=used).gas_used == used
        if used:
            short = self.run(vm, code, state, gas=used - 1)
            assert short.state is ExecutionState.FAILED
            assert short.gas_used == used - 1

    def test_every_gas_limit_is_safe(self, vm: VirtualMachine, state: MemoryState) -> None:
        """Whatever the limit, a run that does not succeed leaves the state as it was."""
        name = "program_returning" if "program_storing" in self.unsupported else "program_storing"
        code = self.program(name, *((b"x",) if name == "program_returning" else (3, 42)))
        before = dump_alloc(state)
        used = self.run(vm, code, state).gas_used
        for gas in sorted({*range(min(used, 64)), *range(0, used, max(1, used // 64))}):
            state = fresh_state()
            if not self.run(vm, code, state, gas=gas).success:
                assert dump_alloc(state) == before, f"gas limit {gas}"

    def test_estimate_is_the_least_gas_that_works(self, vm: VirtualMachine, state: MemoryState) -> None:
        """A run succeeds with the estimate and not with one less, and estimating leaves no trace."""
        before = dump_alloc(state)
        for code in self._estimable():
            context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=GAS)
            gas = vm.estimate_gas(code, b"", context, state)
            assert dump_alloc(state) == before
            assert self.run(vm, code, fresh_state(), gas=gas).success
            assert gas == 0 or not self.run(vm, code, fresh_state(), gas=gas - 1).success

    def test_estimate_of_what_fails_is_refused(self, vm: VirtualMachine, state: MemoryState) -> None:
        """A call that never succeeds has no estimate."""
        for code in (self.program_reverting(), self.program_looping_forever()):
            with pytest.raises(GasEstimationError):
                vm.estimate_gas(code, b"", ExecutionContext(caller=CALLER, address=CONTRACT, gas_limit=50_000), state)

    # Whole calls, one by one and together

    def test_a_call_moves_its_value(self, vm: VirtualMachine, state: MemoryState) -> None:
        """`execute_call` moves the value with a success and not otherwise, and its result tells of that."""
        call = self._call(value=3)
        result = vm.execute_call(self.program_returning(b"paid"), call, state)
        check_result(result, GAS)
        assert result.success, result.error
        assert (state.get_balance(CALLER), state.get_balance(CONTRACT)) == (10**18 - 3, 8)
        balances = {change.address: change.new for change in result.state_changes if change.field == "balance"}
        assert balances == {CALLER: 10**18 - 3, CONTRACT: 8}
        before = dump_alloc(state)
        for code in (self.program_reverting(), self.program_looping_forever()):
            assert not vm.execute_call(code, self._call(value=3, gas_limit=60_000), state).success
            assert dump_alloc(state) == before

    def test_a_call_of_who_has_too_little_is_no_call(self, vm: VirtualMachine, state: MemoryState) -> None:
        """It fails with no gas used, and nothing moves."""
        before = dump_alloc(state)
        result = vm.execute_call(self.program_returning(b"x"), self._call(value=10**18 + 1), state)
        assert (result.state, result.gas_used) == (ExecutionState.FAILED, 0)
        assert dump_alloc(state) == before

    def test_calls_together_are_calls_alone(self, vm: VirtualMachine, state: MemoryState) -> None:
        """`execute_each` gives for each call what it gives alone on that state: no call sees what another one did."""
        calls = self._calls()
        together = vm.execute_each(calls, state)
        assert len(together) == len(calls)
        for (code, context), found in zip(calls, together, strict=True):
            assert _outcome(found) == _outcome(_alone(vm, code, context)), code.hex()

    def test_calls_together_leave_the_state_as_it_was(self, vm: VirtualMachine, state: MemoryState) -> None:
        """All that `execute_each` changed is taken back, and what was there uncommitted can still be, too."""
        before = dump_alloc(state)
        checkpoint = state.snapshot()
        state.set_balance(CONTRACT, 6)
        pending = dump_alloc(state)
        vm.execute_each(self._calls(), state)
        assert dump_alloc(state) == pending
        state.revert(checkpoint)
        assert dump_alloc(state) == before

    def test_results_outlive_the_calls_after_them(self, vm: VirtualMachine, state: MemoryState) -> None:
        """What a result says, state changes included, does not depend on when it is read."""
        calls = self._calls()
        first = vm.execute_each(calls, state)
        vm.execute_each(calls[::-1], fresh_state())
        for (code, context), found in zip(calls, first, strict=True):
            assert _outcome(found) == _outcome(_alone(vm, code, context))

    # Analysis and optimisation, where there are any

    def test_analysis_tells_of_the_code(self, vm: VirtualMachine) -> None:
        """Where there is an analysis, it has the code's size, and its blocks lie in it and do not overlap."""
        for code in self._programs():
            try:
                found = vm.analyse(code)
            except Unsupported as error:
                pytest.skip(str(error))
            assert found.size == len(code)
            assert all(0 <= block.start < block.end <= len(code) for block in found.blocks)
            ordered = sorted(found.blocks, key=lambda block: block.start)
            assert all(one.end <= other.start for one, other in itertools.pairwise(ordered))
            starts = {block.start for block in found.blocks}
            assert all(starts.issuperset(block.successors or ()) for block in found.blocks)
            assert json.loads(json.dumps(found.to_dict()))["size"] == len(code)

    def test_analysis_of_any_bytes_is_contained(self, vm: VirtualMachine) -> None:
        """Random bytes are analysed and optimised, or a `CodeError`; never another exception."""
        source = random.Random(_SEED)
        for size in range(1, 100):
            code = source.randbytes(size)
            for look in (vm.analyse, vm.optimise):
                with contextlib.suppress(CodeError, Unsupported):
                    look(code)

    def test_optimised_code_does_the_same(self, vm: VirtualMachine) -> None:
        """By every level and rule: the same outcome, for no more gas; level 0 leaves code as it is."""
        asked: list[dict[str, Any]] = [{"level": level} for level in range(4)]
        asked += [{"rules": [rule]} for rule in vm.optimisation_rules()]
        for code in self._programs():
            for options in asked:
                try:
                    report = vm.optimise(code, **options)
                except Unsupported as error:
                    assert not vm.optimisation_rules(), "it has rules, but does not optimise"
                    pytest.skip(str(error))
                assert report.original == code
                assert options.get("level") != 0 or report.code == code
                self._check_same(vm, code, report.code)

    def test_unknown_rules_and_levels_are_refused(self, vm: VirtualMachine) -> None:
        """Where code is optimised, a rule or level that does not exist raises `ValueError`."""
        code = self.program_returning(b"x")
        try:
            vm.optimise(code)
        except Unsupported as error:
            pytest.skip(str(error))
        with pytest.raises(ValueError, match="no-such-rule"):
            vm.optimise(code, rules=["no-such-rule"])
        for level in (-1, 4):
            with pytest.raises(ValueError, match=str(level)):
                vm.optimise(code, level=level)

    # Code

    def test_programs_are_valid(self, vm: VirtualMachine) -> None:
        """The programs of this class may be deployed."""
        for code in (self.program_returning(b"x"), self.program_reverting(), self.program_looping_forever()):
            vm.validate_code(code)

    def test_invalid_code_is_refused(self, vm: VirtualMachine, state: MemoryState) -> None:
        """`validate_code` raises `CodeError`; running such code fails or raises it too, and changes nothing."""
        if "invalid_codes" in self.unsupported:
            pytest.skip(self.unsupported["invalid_codes"])
        before = dump_alloc(state)
        for code in self.invalid_codes:
            with pytest.raises(CodeError):
                vm.validate_code(code)
            self._run_hostile(vm, code, state)
            assert dump_alloc(state) == before

    def test_random_code_is_contained(self, vm: VirtualMachine) -> None:
        """Random bytes give a result or a `CodeError`, never another exception; what fails changes nothing."""
        source = random.Random(_SEED)
        before = dump_alloc(fresh_state())
        for _ in range(200):
            state = fresh_state()
            code = source.randbytes(source.choice((1, 2, 3, 8, 40, 300)))
            if not self._run_hostile(vm, code, state):
                assert dump_alloc(state) == before, code.hex()

    def test_damaged_programs_are_contained(self, vm: VirtualMachine) -> None:
        """So do programs with a byte changed, or cut off anywhere."""
        source = random.Random(_SEED)
        before = dump_alloc(fresh_state())
        for program in (self.program_returning(b"x" * 33), self.program_reverting()):
            cuts = [program[:size] for size in range(0, len(program), max(1, len(program) // 50))]
            changed = []
            for _ in range(50):
                position = source.randrange(len(program))
                changed.append(program[:position] + source.randbytes(1) + program[position + 1 :])
            for code in (*cuts, *changed):
                state = fresh_state()
                if not self._run_hostile(vm, code, state):
                    assert dump_alloc(state) == before, code.hex()

    def test_disassembly_never_fails(self, vm: VirtualMachine) -> None:
        """Where there is a disassembler, it takes any bytes, and its offsets grow and lie in the code."""
        source = random.Random(_SEED)
        for code in (self.program_returning(b"x"), *(source.randbytes(size) for size in range(1, 60))):
            try:
                offsets = [instruction.offset for instruction in vm.disassemble(code)]
            except VmloomError as error:
                pytest.skip(str(error))
            assert offsets == sorted(set(offsets))
            assert all(0 <= offset < len(code) for offset in offsets)

    # Threads

    def test_one_vm_serves_many_threads(self, vm: VirtualMachine) -> None:
        """Runs in parallel threads, each on its own state, do not disturb each other."""

        def work(number: int) -> bytes:
            data = number.to_bytes(4, "big") * 8
            return self.run(vm, self.program_returning(data), fresh_state()).return_data

        with ThreadPoolExecutor(8) as pool:
            outputs = list(pool.map(work, range(64)))
        assert outputs == [number.to_bytes(4, "big") * 8 for number in range(64)]

    # Helpers

    def _estimable(self) -> list[bytes]:
        programs = [self.program_returning(b"estimate")]
        if "program_storing" not in self.unsupported:
            programs.append(self.program_storing(3, 42))
        return programs

    def _programs(self) -> list[bytes]:
        """All programs that this class has."""
        programs = [self.program_returning(b"x" * 40), self.program_reverting(), self.program_looping_forever()]
        optional = {"program_storing": (3, 42), "program_echoing": (), "program_emitting": ()}
        for name, arguments in optional.items():
            if name not in self.unsupported:
                programs.append(getattr(self, name)(*arguments))
        return programs

    def _call(self, **fields: Any) -> ExecutionContext:
        given = {"input": b"vmloom \x00\xff", "gas_limit": GAS, **fields}
        return ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, **given)

    def _calls(self) -> list[tuple[bytes, ExecutionContext]]:
        """Calls of all programs with enough gas and too little, with and without value, each of them twice."""
        contexts = [self._call(gas_limit=gas, value=value) for gas in (50_000, 1) for value in (0, 2, 10**18 + 1)]
        return [(code, context) for code in self._programs() for context in contexts] * 2

    def _check_same(self, vm: VirtualMachine, code: bytes, optimised: bytes) -> None:
        vm.validate_code(optimised)
        state, other = fresh_state(), fresh_state()
        expected = self.run(vm, code, state, gas=50_000, input=b"same")
        found = self.run(vm, optimised, other, gas=50_000, input=b"same")
        assert found.gas_used <= expected.gas_used
        assert (found.state, found.return_data, found.events) == (expected.state, expected.return_data, expected.events)
        assert dump_alloc(other) == dump_alloc(state)

    def _run_hostile(self, vm: VirtualMachine, code: bytes, state: MemoryState) -> bool:
        """Whether it succeeded. Exceptions other than `CodeError` fail the test."""
        try:
            return self.run(vm, code, state, gas=30_000, input=b"\xff" * 5).success
        except CodeError:
            return False


def _alone(vm: VirtualMachine, code: bytes, context: ExecutionContext) -> ExecutionResult | Exception:
    try:
        return vm.execute_call(code, context, fresh_state())
    except Exception as error:
        return error


def _outcome(result: ExecutionResult | Exception) -> Any:
    """What there is to compare: changes of state have no order."""
    if isinstance(result, Exception):
        return type(result), str(result)
    shown = result.to_dict()
    return {**shown, "state_changes": sorted(map(repr, shown["state_changes"]))}


def fresh_state() -> MemoryState:
    """A state in which caller and contract exist, with storage that no program should touch by accident."""
    state = MemoryState()
    state.set_balance(CALLER, 10**18)
    state.set_balance(CONTRACT, 5)
    state.set_storage(CONTRACT, 2**200, 7)
    state.commit()
    state.begin_transaction()
    return state


def check_result(result: ExecutionResult, gas_limit: int) -> None:
    """Assert what holds for every result of a run with that gas limit."""
    assert isinstance(result, ExecutionResult)
    assert result.state.is_final
    assert 0 <= result.gas_used <= gas_limit, f"{result.gas_used} of {gas_limit} gas used"
    assert result.gas_refunded >= 0
    assert isinstance(result.return_data, bytes)
    assert result.status == int(result.success)
    if result.success:
        assert not result.error
    else:
        assert not result.events, "what failed has no events"
        assert not result.state_changes, "what failed has no state changes"
        assert result.gas_refunded == 0
    if result.state is ExecutionState.FAILED:
        assert result.error, "a failure says why"
        assert result.gas_used == gas_limit, "a failure uses all gas"
        assert not result.return_data


class PrecompileConformance(_Standard):
    """The contract of `Precompile` for each precompile of a set. Subclass it as `Test...` and set the fields."""

    set_name: ClassVar[str]
    """Name under which the plugin offers the set."""

    vm_name: ClassVar[str] = "evm"
    """The VM that it is for."""

    revision: ClassVar[Revision]
    """The fork under which it is tested; it should have every precompile of the set."""

    valid_inputs: ClassVar[Mapping[str, bytes]] = {}
    """For each precompile by name, an input on which it succeeds."""

    hostile_inputs: ClassVar[Sequence[bytes]] = (
        b"",
        b"\x00",
        b"\xff" * 31,
        b"\xff" * 32,
        b"\xff" * 96,
        b"\xff" * 213,
        bytes(1000),
    )
    """Inputs that each must survive."""

    @pytest.fixture
    def precompile_set(self) -> PrecompileSet:
        """The set under test."""
        return self.find_set()

    def find_set(self) -> PrecompileSet:
        """The set as a factory with default settings gives it."""
        factory = VmFactory()
        offers = [
            offer for offer in factory.plugins.offers("precompiles") if getattr(offer.spec, "vm", "") == self.vm_name
        ]
        names = [offer.spec.name for offer in offers]
        assert self.set_name in names, f"installed sets: {names}"
        return factory.precompile_sets(self.vm_name)[names.index(self.set_name)]

    @pytest.fixture
    def precompiles(self, precompile_set: PrecompileSet) -> Mapping[bytes, Precompile]:
        """The precompiles of the revision by address."""
        return precompile_set.at(self.revision)

    def run(self, precompile: Precompile, input: bytes, gas: int) -> ExecutionResult:
        """Execute with that gas limit and check what holds for every result."""
        context = ExecutionContext(caller=CALLER, address=CONTRACT, input=input, gas_limit=gas)
        result = precompile.execute(context, input, MemoryState())
        check_result(result, gas)
        return result

    def test_addresses_and_names_are_in_order(self, precompiles: Mapping[bytes, Precompile]) -> None:
        """Addresses have 20 bytes, and names are not empty and differ."""
        assert precompiles
        assert all(len(address) == 20 for address in precompiles)
        names = [precompile.name for precompile in precompiles.values()]
        assert all(names)
        assert len(set(names)) == len(names)

    def test_earliest_fork_is_answered(self, precompile_set: PrecompileSet) -> None:
        """A fork from before the set has precompiles, not an error."""
        first = self.revision.lineage[0]
        assert isinstance(precompile_set.at(Revision(first, (first,))), Mapping)

    def test_valid_input_succeeds_for_its_price(self, precompiles: Mapping[bytes, Precompile]) -> None:
        """Every precompile has a valid input here, and charges just what `gas_cost` says."""
        assert set(self.valid_inputs) == {precompile.name for precompile in precompiles.values()}
        for precompile in precompiles.values():
            data = self.valid_inputs[precompile.name]
            cost = precompile.gas_cost(data)
            result = self.run(precompile, data, cost + 1000)
            assert result.success, f"{precompile.name}: {result.error}"
            assert result.gas_used == cost
            assert self.run(precompile, data, cost + 1000).to_dict() == result.to_dict()

    def test_hostile_input_is_contained(self, precompiles: Mapping[bytes, Precompile]) -> None:
        """Any input has a price and, where that can be paid, a result."""
        for precompile in precompiles.values():
            for data in self.hostile_inputs:
                cost = precompile.gas_cost(data)
                assert cost >= 0
                if cost <= 10_000_000:
                    self.run(precompile, data, cost)

    def test_threads_share_precompiles(self, precompiles: Mapping[bytes, Precompile]) -> None:
        """The same answer in parallel as alone."""
        for precompile in precompiles.values():
            data = self.valid_inputs[precompile.name]
            cost = precompile.gas_cost(data)
            alone = self.run(precompile, data, cost).return_data
            with ThreadPoolExecutor(4) as pool:
                outputs = list(pool.map(lambda _: self.run(precompile, data, cost).return_data, range(8)))  # noqa: B023
            assert outputs == [alone] * 8
