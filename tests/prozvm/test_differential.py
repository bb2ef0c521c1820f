"""The differential command of ProzVM: it runs clean, and sees, makes smaller and tells what is broken on purpose."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from vmloom_prozvm.bytecode.assembly import assemble
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode
from vmloom_prozvm.optimizer import strength_reduction
from vmloom_prozvm.optimizer.graph import Instruction

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SEED = 20_261_122


@pytest.fixture
def differential(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The parts of the command by name. The benchmarks are scripts and not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("cases", "compare", "reduce")
    yield {name: importlib.import_module(f"prozvm_programs.{name}") for name in names}
    for name in [name for name in sys.modules if name.split(".")[0] == "prozvm_programs"]:
        del sys.modules[name]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(BENCHMARKS / "differential_prozvm.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_generated_programs_do_the_same_whichever_way_they_run() -> None:
    done = command("--json", "--programs", "120", "--seed", str(SEED), "--without", "native")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["programs"], result["differences"], result["found"]) == (120, 0, [])
    assert result["sources"] > 0
    assert result["runs"] > 10 * 120
    assert result["skipped"].get("compiled", 0) < 20
    assert result["ends"]["result"] > 60


def test_one_program_runs_again() -> None:
    done = command("--only", f"{SEED}:7")
    assert (done.returncode, done.stdout) == (0, "no difference\n")


def test_a_difference_is_found_made_smaller_and_told(
    differential: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an optimizer that takes x * 2 for x * x."""
    broken: dict[Any, Any] = {(Opcode.MUL, 2): (Instruction(Opcode.DUP), Instruction(Opcode.MUL))}
    monkeypatch.setattr(strength_reduction, "_BY_CONSTANT", broken)
    program = Bytecode(["x", 5, 2, "y", []], [])
    for name, operand in (
        *(("STORE_CONST", (0, 1)), ("STORE_CONST", (3, 4)), ("LOAD_NAME", 0), ("LOAD_CONST", 2), ("MUL", None)),
        *(("STORE_NAME", 0), ("GAS_CHARGE", 3), ("LOAD_NAME", 3), ("POP", None), ("LOAD_NAME", 0), ("RETURN", None)),
    ):
        program.add_instruction(name, operand)
    setting = differential["cases"].case(SEED, 0).setting
    found = differential["reduce"].replay(differential["cases"].Case(program, setting))
    assert found is not None
    assert found.what == "level 3"
    found.number = f"{SEED}:0"
    smaller = differential["reduce"].reduced(found, patience=20)
    assert len(smaller.case.program) <= 5
    told = differential["reduce"].report(smaller)
    assert "MUL" in told
    assert f"--only {SEED}:0" in told
    assert assemble(smaller.case.program.disassemble()) == smaller.case.program


def test_cases_are_made_again_from_seed_and_number(differential: dict[str, ModuleType]) -> None:
    case = differential["cases"].case
    assert [case(SEED, number).text for number in range(20)] == [case(SEED, number).text for number in range(20)]
    assert len({case(SEED, number).text for number in range(20)}) > 15
