"""Optimised code does what the original does, at no more gas; what cannot be moved is left alone, with the reason."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, MemoryState
from vmloom_evm import Evm
from vmloom_evm.analysis.optimiser import LEVELS, RULES
from vmloom_evm.assembly import Bytecode, dup, jumpi, label, op, push, raw, sstore, stop, swap

from .programs import Programs

ADDRESS, CALLER = b"\xaa" * 20, b"\xbb" * 20


@pytest.fixture(scope="module")
def evm() -> Evm:
    return Evm()


def outcome(evm: Evm, code: bytes, data: bytes, gas: int = 3_000_000) -> tuple[Any, int]:
    """What a run shows to the world, and its gas."""
    state = MemoryState({ADDRESS: Account(code=code), CALLER: Account(balance=10)})
    context = ExecutionContext(caller=CALLER, address=ADDRESS, input=data, gas_limit=gas)
    result = evm.execute(code, context, state)
    return (result.state, result.return_data, result.events, state.storage_of(ADDRESS), result.error), result.gas_used


@pytest.mark.parametrize("level", range(len(LEVELS)))
def test_random_programs_do_the_same_for_no_more_gas(evm: Evm, level: int) -> None:
    saved = moved = 0
    for seed in range(150):
        code = Programs(Random(seed)).program()
        report = evm.optimise(code, level=level)
        assert report.saved_bytes >= 0
        saved += report.saved_bytes
        moved += bool(report.applied)
        for data in (b"", bytes(31) + b"\1", b"\xff" * 40):
            before, gas_before = outcome(evm, code, data)
            after, gas_after = outcome(evm, report.code, data)
            assert before == after, (seed, data)
            assert gas_after <= gas_before
    assert (saved > 1000 and moved > 100) == bool(level)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_alone_is_applied_and_changes_nothing_else(evm: Evm, rule: str) -> None:
    applied = 0
    for seed in range(80):
        code = Programs(Random(seed)).program()
        report = evm.optimise(code, rules=[rule])
        assert {one.rule for one in report.applied} <= {rule}
        applied += len(report.applied)
        before, gas_before = outcome(evm, code, b"\1" * 32)
        after, gas_after = outcome(evm, report.code, b"\1" * 32)
        assert before == after, seed
        assert gas_after <= gas_before
    assert applied > 3


EXAMPLES: list[tuple[str, Bytecode, Bytecode]] = [
    ("drop-unused", push(5) + op("POP") + stop, stop + Bytecode()),
    ("drop-unused", op("CALLER") + dup(1) + op("POP") + sstore(0) + stop, op("CALLER") + sstore(0) + stop),
    ("cancel-pairs", op("CALLER") + op("NOT") + op("NOT") + sstore(0) + stop, op("CALLER") + sstore(0) + stop),
    ("shorten-pushes", push(1, size=32) + sstore(1) + stop, push(1) + sstore(1) + stop),
    ("fold-constants", push(2) + push(3) + op("ADD") + sstore(0) + stop, push(5) + sstore(0) + stop),
    ("fold-constants", push(2) + push(7) + op("SUB") + sstore(0) + stop, push(5) + sstore(0) + stop),
    ("drop-neutral", op("CALLER") + push(0) + op("ADD") + sstore(0) + stop, op("CALLER") + sstore(0) + stop),
    ("jump-to-next", push("a") + op("JUMP") + label("a") + stop, label("a") + stop),
    ("drop-untargeted", label("a") + stop, stop + Bytecode()),
    ("drop-unreachable", stop + raw("6001600201"), stop + Bytecode()),
]


@pytest.mark.parametrize(("rule", "code", "expected"), EXAMPLES)
def test_what_a_rule_makes_of_its_example(evm: Evm, rule: str, code: Bytecode, expected: Bytecode) -> None:
    report = evm.optimise(bytes(code), rules=[rule])
    assert report.code == bytes(expected)
    (applied,) = report.applied
    assert applied.rule == rule
    assert applied.saved_bytes == report.saved_bytes


REFUSED: list[tuple[str, Bytecode]] = [
    ("a jump whose target is not known", op("CALLER") + op("JUMP")),
    ("CODECOPY may look at the code", push(1) + push(0) + push(0) + op("CODECOPY") + stop),
    ("CODESIZE may look at the code", op("CODESIZE") + sstore(0) + stop),
    ("PC may look at the code", op("PC") + sstore(0) + stop),
    ("EXTCODEHASH may look at the code", op("CALLER") + op("EXTCODEHASH") + sstore(0) + stop),
    ("also used otherwise", push("a") + dup(1) + sstore(0) + op("JUMP") + label("a") + stop),
    ("no jump destination", push(0) + op("JUMP") + stop),
    ("too few items", op("POP") + stop),
    ("could not be followed in time", label("a") + push(1) + push("a") + op("JUMP")),
]


@pytest.mark.parametrize(("reason", "code"), REFUSED)
def test_code_that_cannot_be_moved_is_left_alone(evm: Evm, reason: str, code: Bytecode) -> None:
    report = evm.optimise(bytes(code), level=3)
    assert report.code == bytes(code)
    assert report.applied == ()
    assert {one.rule for one in report.refused} == set(RULES)
    assert all(reason in one.reason for one in report.refused)


def test_unreachable_observers_do_not_matter(evm: Evm) -> None:
    code = bytes(push(1, size=8) + sstore(1) + stop + op("CODESIZE"))
    assert evm.optimise(code, level=3).saved_bytes == 8


def test_return_addresses_of_functions_with_several_callers_move(evm: Evm) -> None:
    function = label("f") + push(0, size=30) + op("ADD") + swap(1) + op("JUMP")
    twice = push("r1") + op("CALLER") + push("f") + op("JUMP") + label("r1") + sstore(0)
    twice += push("r2") + op("ADDRESS") + push("f") + op("JUMP") + label("r2") + sstore(1) + stop
    code = bytes(twice + function)
    report = evm.optimise(code, level=3)
    assert report.saved_bytes > 30
    before, after = outcome(evm, code, b""), outcome(evm, report.code, b"")
    assert (before[0], before[1] > after[1]) == (after[0], True)


def test_labels_grow_and_shrink_with_the_code(evm: Evm) -> None:
    filler = (push(1) + op("POP")) * 200  # 600 bytes that go, so that two-byte labels become one byte
    code = bytes(op("CALLER") + jumpi("end") + filler + label("end") + sstore(0, 1) + stop)
    report = evm.optimise(code, level=1)
    assert len(report.code) < 16
    assert outcome(evm, code, b"")[0] == outcome(evm, report.code, b"")[0]


def test_hostile_code_is_bounded_and_kept(evm: Evm) -> None:
    for code in (
        bytes(label("a")) * 24_000,
        bytes(dup(1)) * 24_000,
        bytes(push(1)) * 12_000,
        bytes(range(256)) * 90,
        bytes(op("CALLER") + op("JUMPI") + label("a")) * 8_000,
    ):
        report = evm.optimise(code, level=3)
        assert len(report.code) <= len(code)
        evm.analyse(code)


@pytest.mark.parametrize("seed", range(300))
def test_random_bytes_do_the_same(evm: Evm, seed: int) -> None:
    random = Random(seed)
    pieces = [
        b"\x5b",
        b"\x60\x00",
        b"\x60\x01",
        b"\x56",
        b"\x57",
        b"\x80",
        b"\x50",
        b"\x01",
        b"\x15",
        b"\x60\x03",
        b"\x54",
    ]
    code = b"".join(random.choices(pieces, k=random.randrange(2, 40)))
    report = evm.optimise(code, level=3)
    before, gas_before = outcome(evm, code, b"", 20_000)
    after, gas_after = outcome(evm, report.code, b"", 20_000)
    if before[0].value != "failed" or "gas" not in before[-1]:  # with less gas used, what ran out may not
        assert before == after
        assert gas_after <= gas_before


def test_unknown_rules_and_levels_are_refused(evm: Evm) -> None:
    with pytest.raises(ValueError, match="no rule 'inline'"):
        evm.optimise(b"\0", rules=["inline"])
    with pytest.raises(ValueError, match="level"):
        evm.optimise(b"\0", level=4)
