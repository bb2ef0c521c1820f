"""The complete run on a GPU: are results right, does the sanitizer agree, and how fast is it.

    uv run python benchmarks/cuda.py [--emulated] [--out FOLDER] [--scale S] [--rounds N] [--part NAME ...]
                                     [--seconds N] [--commit TEXT] [--json]

Parts, in this order:

* kernels: each module of kernels is loaded; what the driver says that a thread of it needs.
* correctness: every operation on rows of many kinds, compared with the accelerator `cpu`, to the last bit.
* sanitizer: the same under NVIDIA's `compute-sanitizer`, where that is installed: memcheck and racecheck.
* rates: rows in a second: of the kernel alone; with copies from ordinary and from pinned arrays; of the accelerator
  `cpu` on all cores; and from Python's objects to Python's objects, through an engine.
* chained: hashes, and a Merkle tree over them, that stay on the device in between.
* evm: batches of ERC-20 transfers, with exact gas, against the native engine: of the kernel, with copies, from arrays
  to arrays, and from Python's objects; then what this processor does for one in arrays, with the device left out.

A result file, named after the day, the device and the commit, goes to FOLDER; a later run of other parts on that day
adds them to it. It is written after each part, and what fails is told in it, while the others go on: so nothing is lost
where a command may only run for so long. `--seconds` begins nothing new after so many of them. `--emulated` runs all
of it, in small, in the emulator: to try the script out. Its figures say nothing about a GPU, and say so: each has its
path. The exit code is 1 if anything is not right or was left out, and 2 if there is no GPU.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from vmloom.engine import ExecutionEngine
from vmloom.engine.config import EngineConfig
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.kernels import digests, modules
from vmloom_cuda.ptx import AssemblerError, PtxModule
from vmloom_native.cpu import CpuAccelerator, installed_kernels
from vmloom_native.operations import SIGNATURE

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("kernels", "correctness", "sanitizer", "rates", "chained", "evm")
VERSIONS = ("vmloom-cuda", "llvmlite", "numpy", "cupy-cuda13x", "cupy-cuda12x")
OPERATIONS = {
    # rows at scale 1 on a GPU, and in the emulator
    "keccak256": (1 << 24, 8),
    "sha256": (1 << 24, 8),
    "blake2b_256": (1 << 24, 8),
    "merkle_keccak256": (1 << 19, 1),
    "merkle_sha256": (1 << 19, 1),
    "u256_mul": (1 << 24, 8),
    "u256_div": (1 << 24, 8),
    "u256_mulmod": (1 << 24, 8),
    "u256_exp": (1 << 22, 4),
    "ecrecover": (1 << 20, 1),
}
CHAINED = (1 << 24, 5)
PYTHON = {"keccak256": (1 << 18, 16), "ecrecover": (1 << 15, 16)}
"""Items of batches of Python's objects."""
TARGETS = {"keccak256": (2.3e9, 0.4e9), "ecrecover": (4e6, None), "evm": (20e6, 8e6)}
"""Rows in a second on one H100 that were set as targets: of the kernel, and from arrays to arrays."""
WIDTH = 180
"""Characters of a table that goes to a file."""
SIZES = (0, 1, 8, 31, 55, 56, 63, 64, 65, 119, 127, 128, 129, 135, 136, 137, 271, 272, 300)


@dataclass
class Report:
    """What comes out. `wrong` is what is not right, in words."""

    path: str
    environment: dict[str, Any]
    parts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """For lack of time."""

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        told = {"parts": self.parts, "wrong": self.wrong, "left_out": self.left_out}
        return {"path": self.path, **self.environment, **told}


@dataclass(frozen=True)
class Run:
    """What all parts need: the accelerator, the options, and the report that they add to."""

    accelerator: CudaAccelerator
    cpu: CpuAccelerator
    options: argparse.Namespace
    report: Report
    ends: float | None = None
    """By the monotonic clock; nothing is begun after it."""

    def rows(self, gpu: int, emulated: int) -> int:
        """How many, of those on a GPU at scale 1 and of those in the emulator."""
        return emulated if self.options.emulated else max(1, int(gpu * self.options.scale))

    def wrong(self, what: str) -> None:
        """Report what is not right."""
        self.report.wrong.append(what)
        print(f"WRONG: {what}", file=sys.stderr)

    def tried(self, part: str, what: str, work: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """The rows of a piece of a part: one that says why, if it fails or there is no time left to begin it."""
        if self.ends is not None and time.monotonic() > self.ends:
            self.report.left_out.append(f"{part}: {what}")
            print(f"LEFT OUT, for lack of time: {part}: {what}", file=sys.stderr)
            return [{"case": what, "failed": "left out for lack of time"}]
        try:
            return work()
        except Exception as error:
            traceback.print_exc()
            self.wrong(f"{part}: {what}: {type(error).__name__}: {error}")
            return [{"case": what, "failed": f"{type(error).__name__}: {error}"}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for."""
    options = parsed(arguments)
    accelerator = CudaAccelerator(CudaConfig(emulated=options.emulated))
    status = accelerator.status()
    if not status.available:
        print(f"there is no GPU: {status.reason}. To try the script out: --emulated", file=sys.stderr)
        return 2
    ends = None if options.seconds is None else time.monotonic() + options.seconds
    report = Report(status.path, environment(accelerator, options.commit))
    run = Run(accelerator, CpuAccelerator(), options, report, ends)
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"{status.device}, path {status.path}, commit {report.environment['commit']}")
    for name in PARTS:
        if name in options.part:
            began = time.perf_counter()
            report.parts[name] = found = run.tried(name, "all of it", functools.partial(WORK[name], run))
            show(console, name, report.path, found)
            print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
        told = accelerator.performance()
        if told["fallbacks"]:
            run.wrong(f"{name}: the processor did what the device was asked for: {told['last_fallback']}")
        if options.out:
            file = written(report, options.out)
    if options.out:
        print(f"written to {file}", file=sys.stderr)
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
    return 1 if report.wrong or report.left_out else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description="Run the accelerator cuda on a GPU: correctness, sanitizer, rates.")
    parser.add_argument("--emulated", action="store_true", help="in the emulator, in small")
    parser.add_argument("--out", type=Path, help="folder for the result file")
    parser.add_argument("--scale", type=float, default=1.0, help="times as many rows (a GPU with little memory: 0.1)")
    parser.add_argument("--rounds", type=int, default=0, help="runs of which the best counts (5; emulated: 1)")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--seconds", type=float, help="begin nothing new after so many")
    parser.add_argument("--commit", default="", help="what is measured, where no Git can tell")
    parser.add_argument("--json", action="store_true", help="print the result file")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.emulated else 5)
    options.part = options.part or list(PARTS)
    return options


def environment(accelerator: CudaAccelerator, commit: str) -> dict[str, Any]:
    """When, where and what. `commit` is what Git would say, where there is no Git or the folder is not its own."""

    def git(*arguments: str) -> str:
        if shutil.which("git") is None:
            return ""
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit or git("rev-parse", "--short=12", "HEAD") or "unknown",
        "changed": bool(git("status", "--porcelain", "--untracked-files=no")),
        "devices": accelerator.performance()["devices"],
        "host": {"system": platform.platform(), "cpu": CpuAccelerator().status().device, "cores": os.cpu_count()},
        "python": platform.python_version(),
        "versions": found,
    }


# The parts


def kernels(run: Run) -> list[dict[str, Any]]:
    """Load each module, and say what a thread of its kernels needs: 4-byte registers, and bytes of local memory.

    `blocks` of `block` threads are on a multiprocessor at once; LLVM has `emitted` for so many seconds, and the driver
    has `loaded`.
    """
    found = []
    for name, module in all_modules().items():
        found += run.tried("kernels", name, functools.partial(kernels_of, run, name, module))
    return found


def kernels_of(run: Run, name: str, module: PtxModule) -> list[dict[str, Any]]:
    """`kernels` of a module."""
    device, block = run.accelerator._found.devices[0], run.accelerator.config.block
    began = time.perf_counter()
    ptx = module.ptx
    emitted = time.perf_counter()
    loaded = device.load(ptx)
    seconds = time.perf_counter() - emitted
    assembled = resources(module)
    found = []
    for kernel in module.kernels:
        one = loaded.function(kernel).occupancy(block)
        found.append(
            {
                "module": name,
                "kernel": kernel,
                "registers": one.registers,
                "local": one.local_bytes,
                "block": block,
                "blocks": one.blocks,
                **assembled.get(kernel, {}),
                "ptx": len(ptx),
                "emitted": emitted - began,
                "loaded": seconds,
                "digest": module.digest[:12],
            }
        )
    return found


def all_modules() -> dict[str, PtxModule]:
    """Every module of operations by name."""
    found = {"words": modules.words()}
    for name in modules.HASHES:
        found[f"{name} of bytes"] = modules.digests_of_bytes(name)
        found[f"{name} of words"] = modules.digests_of_words(name)
        for size in digests.KNOWN_SIZES:
            found[f"{name} of {size} bytes"] = modules.digests_of_known_size(name, size)
    kernel = installed_kernels().get("ECRECOVER")
    if kernel is not None:
        found["ecrecover"] = modules.recoveries(kernel.run)
        passes = modules.recoveries_in_passes(kernel.run)
        if passes is not None:
            found["ecrecover in passes"] = passes
    return found


def resources(module: PtxModule) -> dict[str, dict[str, int]]:
    """What `ptxas` says of the kernels for sm_90, where there is one: registers, and bytes of stack and spills."""
    try:
        found = module.resources()
    except AssemblerError:
        return {}
    return {
        name: {"sm_90": one.registers, "stack": one.stack, "spills": one.spill_stores + one.spill_loads}
        for name, one in found.items()
    }


def correctness(run: Run) -> list[dict[str, Any]]:
    """Every operation on rows of one size, of any size, on edges, and on many rows, as the processor has them."""
    found = []
    for name in sorted(run.accelerator._operations):
        found += run.tried("correctness", name, functools.partial(correctness_of, run, name))
    return found


def correctness_of(run: Run, name: str) -> list[dict[str, Any]]:
    """`correctness` of an operation."""
    random, sample = np.random.default_rng(2026), run.accelerator._operations[name].on_host.sample
    batches = [sample(count) for count in (0, 1, run.rows(*CHECKED.get(name, CHECKED[""])))]
    batches += [columns for kind, make in CASES.items() if name.startswith(kind) for columns in make(random, name)]
    rows = wrong = 0
    for columns in batches:
        results = run.accelerator.run(name, columns)
        expected = run.cpu.run(name, columns)
        rows += len(expected[0])
        wrong += differing(results, expected)
    if wrong:
        run.wrong(f"{name}: {wrong} of {rows} rows are not those of the processor")
    return [{"operation": name, "batches": len(batches), "rows": rows, "wrong": wrong}]


CHECKED = {
    "": (1 << 20, 130),
    "ecrecover": (1 << 16, 2),
    "merkle_keccak256": (1 << 14, 3),
    "merkle_sha256": (1 << 14, 3),
}
"""Rows of the largest batch that is compared."""


def differing(results: Sequence[Any], expected: Sequence[Any]) -> int:
    """Rows that differ in any column; all if the columns are not even alike."""
    if any(one.shape != other.shape or one.dtype != other.dtype for one, other in zip(results, expected, strict=True)):
        return max(1, len(expected[0]))
    rows = len(expected[0])
    same = np.ones(rows, bool)
    for one, other in zip(results, expected, strict=True):
        same &= np.all((one == other).reshape(rows, one.size // max(1, rows)), axis=1)
    return int(rows - same.sum())


def ragged(random: Any, sizes: Sequence[int]) -> list[Any]:
    """Rows of random bytes, of these sizes."""
    offsets = np.zeros(len(sizes) + 1, np.uint64)
    np.cumsum(np.array(sizes, np.uint64), out=offsets[1:])
    return [random.integers(0, 256, int(offsets[-1]), dtype=np.uint8), offsets]


def hash_cases(random: Any, _name: str) -> list[list[Any]]:
    """Sizes around the ends of blocks, of rows of any size and of one."""
    fixed = [[random.integers(0, 256, (3, size), dtype=np.uint8)] for size in SIZES]
    return [ragged(random, SIZES), *fixed]


def tree_cases(random: Any, _name: str) -> list[list[Any]]:
    """Trees of 0 to 17 leaves, whose sizes vary."""
    counts = np.arange(18)
    begins = np.zeros(19, np.uint64)
    np.cumsum(counts.astype(np.uint64), out=begins[1:])
    return [[*ragged(random, random.integers(0, 80, int(begins[-1]))), begins]]


def word_cases(random: Any, name: str) -> list[list[Any]]:
    """Every two of some edges, and numbers of all lengths."""
    edges = [0, 1, 2, (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 128, 1 << 255, (1 << 256) - 2, (1 << 256) - 1]
    pairs = [(x, y, z) for x in edges for y in edges for z in (0, 1, edges[5], edges[-1])]
    lengths = random.integers(0, 257, (200, 3))
    drawn = [tuple(int.from_bytes(random.bytes(32), "big") >> 256 - int(bits) for bits in row) for row in lengths]
    operands = 3 if name.endswith(("addmod", "mulmod")) else 2
    return [[words([row[at] for row in (*pairs, *drawn)]) for at in range(operands)]]


def words(numbers: Sequence[int]) -> Any:
    """A column of words."""
    return np.frombuffer(b"".join(one.to_bytes(32, "little") for one in numbers), "<u8").reshape(-1, 4)


def signature_cases(random: Any, _name: str) -> list[list[Any]]:
    """Signatures with a bit turned around, most of which nobody made, and rows that are too short or too long."""
    sample = np.frombuffer(SIGNATURE, np.uint8)
    turned = np.tile(sample, (4, 1))
    for row, place in enumerate((3, 63, 70, 127)):
        turned[row, place] ^= 1
    return [[turned], ragged(random, [0, 64, 128, 130])]


CASES: dict[str, Callable[[Any, str], list[list[Any]]]] = {
    "keccak256": hash_cases,
    "sha256": hash_cases,
    "blake2b_256": hash_cases,
    "merkle_": tree_cases,
    "u256_": word_cases,
    "ecrecover": signature_cases,
}


def sanitizer(run: Run) -> list[dict[str, Any]]:
    """The part correctness once more, in small, under the tools of `compute-sanitizer`."""
    program = shutil.which("compute-sanitizer")
    if run.options.emulated or program is None:
        why = "the emulator checks every access itself" if run.options.emulated else "it is not installed"
        return [{"tool": "compute-sanitizer", "ran": False, "reason": why}]
    found = []
    for tool in ("memcheck", "racecheck"):
        found += run.tried("sanitizer", tool, functools.partial(sanitized, run, program, tool))
    return found


SANITIZER_SECONDS = 300
"""That a tool may take."""
REFUSALS = ("Device not supported", "Insufficient privileges")
"""What `compute-sanitizer` says where it cannot look at the device, whatever it runs."""


def sanitized(run: Run, program: str, tool: str) -> list[dict[str, Any]]:
    """What a tool of `compute-sanitizer` says."""
    script = [sys.executable, str(Path(__file__).resolve()), "--part", "correctness", "--scale", "0.001"]
    done = subprocess.run(
        [program, "--tool", tool, "--error-exitcode", "9", *script],
        capture_output=True,
        text=True,
        check=False,
        timeout=SANITIZER_SECONDS,
    )
    said = done.stdout + done.stderr
    refused = next((one for one in REFUSALS if one in said), None)
    if refused is not None:
        return [{"tool": tool, "ran": False, "reason": refused}]
    summary = re.findall(r"(ERROR SUMMARY: .*|RACECHECK SUMMARY: .*)", said)[-1:] or ["none"]
    if done.returncode != 0:
        run.wrong(f"{tool}: exit code {done.returncode}, {summary[0]}: {said[-2000:]}")
    return [{"tool": tool, "ran": True, "exit_code": done.returncode, "summary": summary[0]}]


def rates(run: Run) -> list[dict[str, Any]]:
    """Rows in a second, by operation; see the top."""
    found = []
    pinning = CudaAccelerator(CudaConfig(emulated=run.options.emulated, pinned_results=True))
    for name in OPERATIONS:
        if name in run.accelerator._operations:
            found += run.tried("rates", name, functools.partial(rates_of, run, pinning, name))
    return found


def rates_of(run: Run, pinning: CudaAccelerator, name: str) -> list[dict[str, Any]]:
    """`rates` of an operation. `pinning` leaves results in pinned memory."""
    count = run.rows(*OPERATIONS[name])
    columns = run.accelerator._operations[name].on_host.sample(count)
    pinned = [in_pinned(pinning, column) for column in columns]
    kernel, plain = best(run.accelerator, name, columns, run.options.rounds)
    _, fast = best(pinning, name, pinned, run.options.rounds)
    host = seconds_of(lambda: run.cpu.run(name, columns), run.options.rounds)
    target = (None, None) if run.options.emulated else TARGETS.get(name, (None, None))
    return [
        {
            "operation": name,
            "path": run.report.path,
            "rows": count,
            "row_bytes": sum(column.nbytes for column in columns) // count,
            "kernel": count / kernel,
            "with_copies": count / plain,
            "with_copies_pinned": count / fast,
            "cpu": count / host,
            "over_cpu": host / plain,
            "from_python": from_python(run, name),
            "target_kernel": target[0],
            "target_with_copies": target[1],
        }
    ]


def seconds_of(work: Callable[[], object], rounds: int) -> float:
    """The least seconds of several rounds, after one that does not count."""
    work()
    least = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - began)
    return least


def in_pinned(accelerator: CudaAccelerator, column: Any) -> Any:
    """A copy in pinned memory."""
    made = accelerator.pinned(*column.shape, dtype=column.dtype.str)
    made[...] = column
    return made


def best(accelerator: CudaAccelerator, name: str, columns: Sequence[Any], rounds: int) -> tuple[float, float]:
    """The least seconds of the kernels, and of all of it. The first run, which loads, does not count."""
    kernel = float("inf")

    def work() -> None:
        nonlocal kernel
        accelerator.metrics.clear()
        accelerator.run(name, columns)
        told = accelerator.performance()
        (one,) = told["operations"]
        if told["fallbacks"]:
            raise RuntimeError(told["last_fallback"])
        kernel = min(kernel, one["kernel_seconds"])

    whole = seconds_of(work, rounds)
    return kernel, whole


def from_python(run: Run, name: str) -> dict[str, Any] | None:
    """Rows in a second of `execute_operations_batch`, from Python's objects, and the path that the router chose."""
    if name not in PYTHON or (name == "ecrecover" and run.options.emulated):
        return None
    count = run.rows(*PYTHON[name])
    item: dict[str, Any] = {"operation": "keccak256", "data": bytes(64)}
    if name == "ecrecover":
        v, r, s = (int.from_bytes(SIGNATURE[at : at + 32], "big") for at in (32, 64, 96))
        item = {"operation": "ecrecover", "hash": SIGNATURE[:32], "v": v, "r": r, "s": s}
    settings = Settings({"accelerator": {"cuda": {"emulated": run.options.emulated}}})
    engine = ExecutionEngine(VmFactory(settings), config=EngineConfig(accelerators=("cpu", "cuda")))
    items = [item] * count
    seconds = seconds_of(lambda: engine.execute_operations_batch(items), run.options.rounds)
    path = engine.execute_operations_batch(items[:count])[0]["path"]
    return {"rate": count / seconds, "path": path}


def chained(run: Run) -> list[dict[str, Any]]:
    """Hashes, and a tree over them, with and without a way back to the host in between."""
    count = run.rows(*CHAINED)
    (data,) = run.accelerator._operations["keccak256"].on_host.sample(count)
    offsets = np.arange(count + 1, dtype=np.uint64) * np.uint64(32)
    tree = np.array([0, count], np.uint64)

    def on_device() -> Any:
        (column,) = run.accelerator.to_device(data)
        (digests,) = run.accelerator.run("keccak256", [column])
        (root,) = run.accelerator.run("merkle_keccak256", [digests.reshape(32 * count), offsets, tree])
        return root.to_host()

    def there_and_back(accelerator: Any) -> Any:
        (digests,) = accelerator.run("keccak256", [data])
        return accelerator.run("merkle_keccak256", [digests.reshape(-1), offsets, tree])[0]

    ways: dict[str, Callable[[], Any]] = {
        "stays on the device": on_device,
        "comes back in between": lambda: there_and_back(run.accelerator),
        "cpu": lambda: there_and_back(run.cpu),
    }
    found, roots = [], {}
    for name, way in ways.items():
        roots[name] = way().tobytes()
        path = "host" if name == "cpu" else run.report.path
        found.append({"way": name, "path": path, "rows": count, "rate": count / seconds_of(way, run.options.rounds)})
    if len(set(roots.values())) != 1:
        run.wrong(f"roots of chained operations differ: {roots}")
    return found


def evm(run: Run) -> list[dict[str, Any]]:
    """Batches of executions, where the package has them and `vmloom-evm` is installed."""
    try:
        from vmloom_cuda.evm import measuring
    except ImportError as error:
        return [{"ran": False, "reason": str(error)}]
    builds = list(measuring.builds_of(b"")) if run.report.path == "gpu" else [""]  # each is compiled for minutes there
    device, count = run.accelerator._found.devices[0], run.rows(1 << 18, 32)
    target = (None, None) if run.options.emulated else TARGETS["evm"]
    found = []
    for build in builds:
        work = functools.partial(measuring.transfers, device, count, run.options.rounds, build=build)
        for row in run.tried("evm", measuring.case_of(build), lambda work=work: [work()]):
            if row.get("wrong"):
                run.wrong(f"EVM: {row['wrong']} of {row['executions']} executions are not those of the native engine")
            found.append({**row, "target_kernel": target[0], "target_from_arrays": target[1]})
    rounds = max(3, run.options.rounds)
    return found + run.tried("evm", "host work", lambda: [measuring.host_work(run.rows(100_000, 200), rounds)])


WORK: dict[str, Callable[[Run], list[dict[str, Any]]]] = {
    "kernels": kernels,
    "correctness": correctness,
    "sanitizer": sanitizer,
    "rates": rates,
    "chained": chained,
    "evm": evm,
}


# What is shown and kept


def show(console: Console, name: str, path: str, rows: list[dict[str, Any]]) -> None:
    """A table of a part."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title=f"{name} ({path})", box=None)
    for row in rows:
        table.add_row(*(shown(row.get(key)) for key in columns))
    console.print(table)


def shown(value: Any) -> str:
    """A figure for people."""
    if isinstance(value, float):
        for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= unit:
                return f"{value / unit:.2f}{name}"
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(one)}" for key, one in value.items())
    return "" if value is None else str(value)


def written(report: Report, folder: Path) -> Path:
    """The result file."""
    folder.mkdir(parents=True, exist_ok=True)
    names = "-".join(dict.fromkeys(str(device["name"]) for device in report.environment["devices"]))
    device = re.sub(r"[^A-Za-z0-9]+", "-", names).strip("-").lower()
    day = report.environment["date"][:10]
    path = folder / f"cuda-{day}-{report.path}-{device}-{report.environment['commit']}.json"
    told = report.to_dict()
    if path.exists():  # of other parts, or of what was not right before
        found = json.loads(path.read_text())
        told["parts"] = {**found["parts"], **told["parts"]}
        for name in ("wrong", "left_out"):
            told[name] = list(dict.fromkeys([*found[name], *told[name]]))
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
