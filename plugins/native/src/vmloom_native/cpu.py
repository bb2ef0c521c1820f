"""The processor as an accelerator: batches of one operation, by compiled kernels, on all its cores.

| operation | columns | results |
|---|---|---|
| `keccak256`, `sha256` | rows of bytes | digests, u8 (n, 32) |
| `ecrecover` | rows of hash, v, r, s, 32 bytes each | addresses, u8 (n, 20); bool (n): whether there is one |
| `u256_add`, `_mul`, `_div`, `_mod`, `_exp` | two of words | words |
| `u256_addmod`, `u256_mulmod` | three of words, the last the moduli | words |

Words are u64 (n, 4), least significant first. Rows of bytes are one column u8 (n, size); or two where sizes differ: u8
(total), and u64 (n + 1), where each row begins and the last one ends.

`sha256` and `ecrecover` are the kernels of installed precompiles; they are offered where a package has them.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability
from vmloom.errors import VmloomError
from vmloom.factory import VmFactory
from vmloom.precompile import PrecompileKernel, Revision

from .config import CpuConfig
from .llvm import processor

if TYPE_CHECKING:
    from .operations import Operation

_MEASURED: Final = 0.005
"""Seconds that a batch should take to be measured by."""


class CpuAccelerator(Accelerator):
    """This computer's processor. The first use of an operation compiles it. Safe to share by threads."""

    def __init__(self, config: CpuConfig | None = None) -> None:
        self._threads = (config or CpuConfig()).threads or _processors()
        self._lock = threading.Lock()
        self._measured: dict[str, Capability] = {}

    @property
    def name(self) -> str:
        """`cpu`."""
        return "cpu"

    def status(self) -> AcceleratorStatus:
        """The processor's name as LLVM knows it. It needs NumPy."""
        if importlib.util.find_spec("numpy") is None:
            return AcceleratorStatus(False, 'NumPy is not installed: pip install "vmloom-native[accelerator]"')
        return AcceleratorStatus(True, device=f"{processor()}, {self._threads} threads", path="llvmlite")

    def capabilities(self) -> Mapping[str, Capability]:
        """What there is, with costs that are measured when first asked for, which takes some tenths of a second.

        Rows are of 64 bytes for hashes, valid signatures for `ecrecover`, random words else.
        """
        if not self.status().available:
            return {}
        with self._lock:
            for name, operation in self._operations.items():
                if name not in self._measured:
                    self._measured[name] = self._measure(name, operation)
            return dict(self._measured)

    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        """The results, in the order of the rows.

        Raises `KeyError` for an operation that is not offered, `ValueError` for columns of another type or shape.
        """
        return self._run(self._operations[operation], columns)

    @functools.cached_property
    def _operations(self) -> Mapping[str, Operation]:
        from .operations import operations

        return operations(installed_kernels())

    def _run(self, operation: Operation, columns: Sequence[Any]) -> Sequence[Any]:
        job = operation.job(columns)
        parts = min(self._threads, job.rows // operation.grain)
        if parts < 2:
            job.part(0, job.rows)
        else:
            ends = [job.rows * number // parts for number in range(parts + 1)]
            with ThreadPoolExecutor(parts) as pool:
                list(pool.map(job.part, ends[:-1], ends[1:]))
        return job.results()

    def _measure(self, name: str, operation: Operation) -> Capability:
        """The line through the times of one row and of as many as take long enough."""

        def seconds(rows: int) -> float:
            columns, best = operation.sample(rows), float("inf")
            for _ in range(3):
                began = time.perf_counter()
                self._run(operation, columns)
                best = min(best, time.perf_counter() - began)
            return best

        one, rows = seconds(1), 64
        many = seconds(rows)
        while many < _MEASURED:
            rows *= 4
            many = seconds(rows)
        per_item = max(many - one, 0) / (rows - 1)
        return Capability(name, max(one - per_item, 0), per_item)


def installed_kernels() -> dict[str, PrecompileKernel]:
    """The kernels of installed precompiles of the first fork, by the field's names for them.

    None if a set cannot be used: the EVM says so to whoever runs contracts.
    """
    try:
        sets = VmFactory().precompile_sets("evm")
    except VmloomError:
        return {}
    found = [precompile for one in sets for precompile in one.at(Revision("frontier", ("frontier",))).values()]
    return {precompile.name: precompile.kernel for precompile in found if precompile.kernel is not None}


def _processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
