"""`benchmarks/state_tests.py` runs state tests with compiled contracts, notes what is done, and tells what fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "state_tests.py"
FILE = Path("execution_specs") / "Osaka" / "shanghai" / "eip3855_push0" / "push0" / "push0_contracts.json"
LOOPS = Path("execution_specs") / "Osaka" / "ported_static" / "vmIOandFlowOperations" / "loops_conditionals"


def ran(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and what was printed."""
    command = [sys.executable, str(SCRIPT), *arguments, "--fork", "osaka", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("mode", ["forced", "tiered", "eager"])
def test_cases_run_compiled_and_are_noted(fixtures_folder: Path, tmp_path: Path, mode: str) -> None:
    folder = str((fixtures_folder / "state_tests" / FILE).parent)
    options = (folder, "--only", FILE.name, "--mode", mode, "--log", str(tmp_path / "log"))
    code, found = ran(*options)
    assert (code, found["failures"], found["mode"]) == (0, [], mode)
    assert found["cases"] == found["of"] > 0
    assert (found["compiler"]["compiles"] > 0) == (mode == "forced"), "nothing runs often enough in the others"
    code, again = ran(*options)
    assert (code, again["cases"], again["compiler"]) == (0, found["cases"], {}), "nothing is left to do"


def test_machine_code_takes_over_in_the_midst_of_loops(fixtures_folder: Path) -> None:
    code, found = ran(str(fixtures_folder / "state_tests" / LOOPS), "--mode", "eager")
    assert (code, found["failures"], found["cases"]) == (0, [], found["of"])
    assert found["compiler"]["promotions"] > 0
    assert found["compiler"]["improvements"] > 0


def test_case_that_fails_is_named(fixtures_folder: Path, tmp_path: Path) -> None:
    tests = json.loads((fixtures_folder / "state_tests" / FILE).read_text("utf-8"))
    name, test = next(iter(tests.items()))
    test["post"] = {"Osaka": [{**test["post"]["Osaka"][0], "hash": "0x" + "11" * 32}]}
    (tmp_path / "wrong.json").write_text(json.dumps({name: test}), "utf-8")
    code, found = ran(str(tmp_path))
    assert code == 1
    (failure,) = found["failures"]
    assert "wrong.json" in failure
    assert "post state root mismatch" in failure


def test_sample_has_one_of_so_many_files(fixtures_folder: Path, tmp_path: Path) -> None:
    content = (fixtures_folder / "state_tests" / FILE).read_text("utf-8")
    for number in range(5):
        (tmp_path / f"{number}.json").write_text(content, "utf-8")
    code, found = ran(str(tmp_path), "--mode", "tiered", "--every", "2", "--log", str(tmp_path / "log"))
    noted = [Path(json.loads(line)["file"]).name for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert (code, noted) == (0, ["0.json", "2.json", "4.json"])
    assert found["cases"] == found["of"]
