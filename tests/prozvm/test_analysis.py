"""Analysis and optimisation of containers: what is told is so, and optimised contracts do what they did."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from vmloom import ExecutionContext, MemoryState
from vmloom.alloc import dump_alloc
from vmloom.engine import ExecutionEngine
from vmloom.errors import CodeError, InputError
from vmloom_evm.assembly import stop
from vmloom_prozvm.analysis import RULES
from vmloom_prozvm.bytecode.container import pack, unpack
from vmloom_prozvm.bytecode.origins import ORIGINS
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.bytecode.verify import stack_depths
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.optimizer.optimizer import PASSES
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.values import Function

from .contracts import BLOCK, CALLER, CONTRACT, contract, load, program, world, written
from .programs import Shape, generate

CONTRACTS = Shape(contract=True, wrong=0.05)
CHOICES: list[dict[str, Any]] = [{"level": level} for level in (1, 2, 3)] + [{"rules": [rule]} for rule in RULES]


@pytest.fixture(scope="module")
def vm() -> ProzVm:
    return ProzVm()


def random_codes(seed: int, count: int, shape: Shape = CONTRACTS) -> list[bytes]:
    random = Random(seed)
    return [pack(generate(random, shape)) for _ in range(count)]


def outcome(vm: ProzVm, code: bytes, gas: int, input: bytes = b"\x05") -> tuple[Any, int]:
    """All that can be told of a call but which instruction failed; and the gas that it used."""
    state = MemoryState()
    for address, account in world(code).accounts():
        state.set_account(address, account._replace(code=b"", vm=""))
    state.commit()
    context = ExecutionContext(caller=CALLER, address=CONTRACT, input=input, gas_limit=gas, block=BLOCK)
    result = vm.execute(code, context, state)
    kind = result.metadata.get("fault", {}).get("kind")
    seen = result.state, kind, result.return_data, result.events, result.gas_refunded, dump_alloc(state)
    return seen, result.gas_used


@pytest.mark.parametrize("seed", range(6))
def test_optimised_contracts_do_the_same(vm: ProzVm, seed: int) -> None:
    changed = 0
    for code in random_codes(seed, 8):
        expected, used = outcome(vm, code, 2_000_000)
        for options in CHOICES:
            report = vm.optimise(code, **options)
            vm.validate_code(report.code)
            assert len(report.code) <= len(code)
            changed += report.code != code
            found, now_used = outcome(vm, report.code, 2_000_000)
            assert found == expected, options
            assert now_used <= used
            if expected[0].value != "failed":
                assert outcome(vm, report.code, used)[0] == expected  # what sufficed suffices
    assert changed


@pytest.mark.parametrize("seed", range(2))
def test_a_rule_is_one_pass(vm: ProzVm, seed: int) -> None:
    applied: dict[str, int] = {}
    for code in random_codes(100 + seed, 20):
        for rule in RULES:
            report = vm.optimise(code, rules=[rule])
            assert {one.rule for one in report.applied} <= {rule}
            applied[rule] = applied.get(rule, 0) + len(report.applied)
    assert sum(map(bool, applied.values())) >= 4


def test_the_rules_are_the_passes() -> None:
    assert set(RULES) == {key for _, key, _ in PASSES}


def test_no_rules_leave_code_as_it_is(vm: ProzVm) -> None:
    for code in random_codes(7, 20):
        assert vm.optimise(code, level=0).code == vm.optimise(code, rules=[]).code == code


def test_all_rules_are_the_highest_level(vm: ProzVm) -> None:
    for code in random_codes(8, 20):
        assert vm.optimise(code, rules=[*RULES]).code == vm.optimise(code, level=3).code


@pytest.mark.parametrize("rules", [["no-such-rule"], ["constant_folds", "no-such-rule"]])
def test_an_unknown_rule_is_refused(rules: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="there is no rule 'no-such-rule'"):
        BytecodeOptimizer(rules=rules)


def folding() -> Bytecode:
    return program(*written("key", 1), load(2), load(3), "ADD", "RETURN").build()


def test_origins_are_kept_for_other_metadata_only(vm: ProzVm) -> None:
    assert unpack(vm.optimise(pack(folding())).code).metadata == {}
    named = Bytecode(folding().constants, folding().instructions, {"note": "x" * 5, ORIGINS: []})
    optimised = BytecodeOptimizer(keeps_origins=False).optimize_bytecode(named)
    assert optimised.metadata["note"] == "xxxxx"
    assert optimised.metadata[ORIGINS]


def test_what_would_be_longer_is_refused(vm: ProzVm) -> None:
    """Each byte costs gas in every run: a constant may take more than computing it."""
    code = contract(load(1 << 62), load(5), "ADD", "RETURN")
    report = vm.optimise(code)
    assert report.code == code
    assert "bytes, the original" in report.refused[0].reason


# Analysis


@pytest.mark.parametrize("seed", range(2))
def test_blocks_are_the_instructions_in_pieces(vm: ProzVm, seed: int) -> None:
    for code in random_codes(seed, 20):
        found = vm.analyse(code)
        offsets = {instruction.offset for instruction in vm.disassemble(code)}
        starts = {block.start for block in found.blocks}
        assert starts <= offsets
        assert set(found.jump_destinations) <= starts
        covered = [offset for offset in offsets if any(one.start <= offset < one.end for one in found.blocks)]
        assert len(covered) == len(offsets)
        assert all(starts.issuperset(block.successors or ()) for block in found.blocks)
        assert found.size == len(code)
        _check_stack(unpack(code), found)


def _check_stack(bytecode: Bytecode, found: Any) -> None:
    depths = [depth for depth in stack_depths(bytecode) if depth is not None]
    functions = [one for one in bytecode.constants if isinstance(one, Function)]
    assert found.stack_low == 0
    assert found.stack_high >= max(depths)
    if not functions:
        assert found.stack_high == max(depths)


def test_a_branch_has_two_ways(vm: ProzVm) -> None:
    code = contract(
        load(1), ("JUMP_IF_FALSE", "other"), load(5), "RETURN", load(9), "RETURN", ":other", load(7), load(8), "RETURN"
    )
    found = vm.analyse(code)
    begin, yes, never, no = found.blocks
    assert begin.successors == (yes.start, no.start)
    assert (yes.successors, no.successors) == ((), ())
    assert [block.is_reachable for block in found.blocks] == [True, True, False, True]
    assert [(block.needs, block.changes) for block in (begin, yes, no)] == [(0, 0), (0, 0), (0, 1)]
    assert found.jump_destinations == (no.start,)
    assert (found.stack_low, found.stack_high) == (0, 2)
    assert found.unreachable_bytes == never.end - never.start


def test_an_empty_program_has_no_blocks(vm: ProzVm) -> None:
    found = vm.analyse(pack(Bytecode([], [])))
    assert (found.blocks, found.stack_high) == ((), 0)


@pytest.mark.parametrize("code", [b"", b"\0proz", pack(folding())[:-1]])
def test_what_is_no_container_is_refused(vm: ProzVm, code: bytes) -> None:
    for look in (vm.analyse, vm.optimise):
        with pytest.raises(CodeError):
            look(code)


# Through the engine


def test_the_engine_processes_containers_among_other_code() -> None:
    engine = ExecutionEngine()
    container = pack(folding())
    other = bytes(stop)
    damaged = container[:-1] + bytes([container[-1] ^ 1])
    processed = engine.process_bytecode_batch([container, other, damaged], 1)
    assert processed[1:] == [other, damaged]
    assert len(processed[0]) < len(container)
    assert engine.optimize_bytecode_batch([container], ["constant_folds"], vm="prozvm") != [container]
    assert engine.optimization_reports([damaged])[0].refused
    assert engine.analyse_bytecode(container).stack_high == 2
    with pytest.raises(InputError, match="did you mean 'constant_folds'"):
        engine.optimize_bytecode_batch([container], ["constant_fold"])
