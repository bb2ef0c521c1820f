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
    chosen = parts("kernels", "correctness", "sanitizer", "rates")
    without = {"PTXAS": str(tmp_path / "none")}  # which would take as long as all else
    done = script("--emulated", "--out", str(tmp_path / "results"), "--json", *chosen, **without)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (file,) = (tmp_path / "results").iterdir()
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


def test_what_fails_is_told_and_the_rest_goes_on(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    real = benchmark.CudaAccelerator.run

    def run(self: Any, operation: str, columns: Any) -> Any:
        if operation == "sha256":
            raise RuntimeError("the device is on fire")
        return real(self, operation, columns)

    monkeypatch.setattr(benchmark.CudaAccelerator, "run", run)
    monkeypatch.setattr(benchmark, "CASES", {})
    monkeypatch.setattr(benchmark, "CHECKED", {"": (1, 2), "ecrecover": (1, 0)})
    assert benchmark.main(["--emulated", "--out", str(tmp_path), "--commit", "abc", *parts("correctness")]) == 1
    said = capsys.readouterr().err
    assert "WRONG: correctness: sha256: RuntimeError: the device is on fire" in said
    assert "Traceback" in said
    assert "in run" in said, "the place"
    file = tmp_path / next(tmp_path.iterdir()).name
    assert file.name.endswith("-abc.json")
    report = json.loads(file.read_text())
    rows = report["parts"]["correctness"]
    assert [row for row in rows if "failed" in row] == [
        {"case": "sha256", "failed": "RuntimeError: the device is on fire"}
    ]
    assert {row["operation"] for row in rows if "failed" not in row} >= {"keccak256", "u256_add"}


def test_parts_of_a_day_come_together_in_a_file(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        benchmark, "WORK", {"rates": lambda _: [{"rate": 1.0}], "evm": lambda run: run.wrong("it is") or [{"x": 2}]}
    )
    monkeypatch.setattr(benchmark.shutil, "which", lambda _: None)
    given = ["--emulated", "--out", str(tmp_path)]
    assert benchmark.main([*given, *parts("evm")]) == 1
    assert benchmark.main([*given, *parts("rates")]) == 0
    (file,) = tmp_path.iterdir()
    assert file.name.endswith("-unknown.json"), "there is no Git that could tell"
    report = json.loads(file.read_text())
    assert report["parts"] == {"evm": [{"x": 2}], "rates": [{"rate": 1.0}]}
    assert (report["wrong"], report["left_out"]) == (["it is"], [])


def test_nothing_is_begun_once_the_time_is_over(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "WORK", {"kernels": lambda _: 1 / 0})
    assert benchmark.main(["--emulated", "--seconds", "-1", "--out", str(tmp_path), *parts("kernels")]) == 1
    assert "LEFT OUT, for lack of time: kernels: all of it" in capsys.readouterr().err
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["left_out"] == ["kernels: all of it"]


@pytest.mark.parametrize(
    ("code", "said", "row", "wrong"),
    [
        (0, "ERROR SUMMARY: 0 errors", {"ran": True, "exit_code": 0, "summary": "ERROR SUMMARY: 0 errors"}, 0),
        (9, "ERROR SUMMARY: 3 errors", {"ran": True, "exit_code": 9, "summary": "ERROR SUMMARY: 3 errors"}, 1),
        (1, "Device not supported.", {"ran": False, "reason": "Device not supported"}, 0),
        (1, "no such thing", {"ran": True, "exit_code": 1, "summary": "none"}, 1),
    ],
)
def test_what_the_sanitizer_says(
    benchmark: Any, tmp_path: Path, code: int, said: str, row: dict[str, Any], wrong: int
) -> None:
    program = tmp_path / "compute-sanitizer"
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
    program.chmod(0o755)
    report = benchmark.Report("gpu", {})
    run = benchmark.Run(None, None, None, report)
    assert benchmark.sanitized(run, str(program), "memcheck") == [{"tool": "memcheck", **row}]
    assert len(report.wrong) == wrong


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
