"""The run on a GPU, tried out in the emulator: every part of it, and that it finds what is not right."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "cuda.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cuda")


def test_all_of_it_in_the_emulator(tmp_path: Path) -> None:
    done = script(
        "--emulated", "--out", str(tmp_path), "--json", *parts("kernels", "correctness", "sanitizer", "rates")
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == report
    assert file.name.startswith(f"cuda-{report['date'][:10]}-emulated-emulated-device-0-")
    assert (report["path"], report["wrong"]) == ("emulated", [])
    found = report["parts"]
    assert {one["operation"] for one in found["correctness"]} >= {one["operation"] for one in found["rates"]}
    assert all(one["wrong"] == 0 < one["rows"] for one in found["correctness"])
    assert all(
        one["path"] == "emulated" and one["kernel"] > 0 and one["target_kernel"] is None for one in found["rates"]
    )
    assert len({one["digest"] for one in found["kernels"]}) == len({one["module"] for one in found["kernels"]})
    assert not found["sanitizer"][0]["ran"]


def parts(*names: str) -> list[str]:
    return [argument for name in names for argument in ("--part", name)]


def test_chained_operations_and_the_evm_in_the_emulator(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--emulated", *parts("chained", "evm")]) == 0
    shown = capsys.readouterr().out
    assert "stays on the device" in shown
    assert "chained (emulated)" in shown


def test_without_a_gpu_it_says_why(benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from vmloom_cuda import presence

    monkeypatch.setattr(presence, "driver_version", lambda: 0)
    assert benchmark.main([]) == 2
    assert "there is no GPU: no NVIDIA driver is installed" in capsys.readouterr().err


def test_what_is_not_right_is_found(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoilt(run: Callable[..., Any]) -> Callable[..., Any]:
        def run_spoilt(self: Any, operation: str, columns: Any) -> Any:
            results = run(self, operation, columns)
            if operation == "sha256" and len(results[0]) == 130:
                results[0][7, 3] ^= 1
            return results

        return run_spoilt

    monkeypatch.setattr(benchmark.CudaAccelerator, "run", spoilt(benchmark.CudaAccelerator.run))
    monkeypatch.setattr(benchmark, "CASES", {})
    monkeypatch.setattr(benchmark, "CHECKED", {"": (1, 2), "sha256": (1, 130), "ecrecover": (1, 0)})
    assert benchmark.main(["--emulated", *parts("correctness")]) == 1
    assert "WRONG: sha256: 1 of 131 rows are not those of the processor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("results", "expected", "rows"),
    [
        ([[1, 2, 3]], [[1, 2, 3]], 0),
        ([[1, 9, 3]], [[1, 2, 3]], 1),
        ([[1, 2, 3], [0, 0, 0]], [[1, 2, 9], [5, 0, 0]], 2),
        ([[1, 2]], [[1, 2, 3]], 3),
        ([[]], [[]], 0),
    ],
)
def test_rows_that_differ_are_counted(
    benchmark: Any, results: list[list[int]], expected: list[list[int]], rows: int
) -> None:
    columns = [[np.array(column, np.uint8).reshape(-1, 1) for column in side] for side in (results, expected)]
    assert benchmark.differing(*columns) == rows
