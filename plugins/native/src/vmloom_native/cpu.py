"""The processor as an accelerator: batches of one operation, by compiled kernels, on all its cores.

| operation | columns | results |
|---|---|---|
| `keccak256`, `sha256`, `blake2b_256` | rows of bytes | digests, u8 (n, 32) |
| `merkle_keccak256`, `merkle_sha256` | rows of bytes as two columns; where trees begin | roots, u8 (n, 32) |
| `ecrecover` | rows of hash, v, r, s, 32 bytes each | addresses, u8 (n, 20); bool (n): whether there is one |
| `u256_add`, `_sub`, `_mul`, `_div`, `_mod`, `_exp` | two of words | words |
| `u256_addmod`, `u256_mulmod` | three of words, the last the moduli | words |

Words are u64 (n, 4), least significant first. Rows of bytes are one column u8 (n, size); or two where sizes differ: u8
(total), and u64 (n + 1), where each row begins and the last one ends. Trees begin, in leaves, as rows do in bytes.

Hash functions take as many rows at once as vectors have room for. `ecrecover` is the kernel of an installed precompile;
it is offered where a package has one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from vmloom.accelerator import Accelerator, AcceleratorStatus, Capability
from vmloom.errors import VmloomError
from vmloom.factory import VmFactory
from vmloom.precompile import PrecompileKernel, Revision

from .config import CpuConfig
from .costs import Measured, fitted
from .llvm import processor
from .presence import absence

if TYPE_CHECKING:
    from .columns import Column
    from .operations import Operation


class CpuAccelerator(Accelerator):
    """This computer's processor. The first use of an operation compiles it. Safe to share by threads."""

    def __init__(self, config: CpuConfig | None = None) -> None:
        self._threads = (config or CpuConfig()).threads or _processors()

    @property
    def name(self) -> str:
        """`cpu`."""
        return "cpu"

    def status(self) -> AcceleratorStatus:
        """The processor's name as LLVM knows it. It needs NumPy."""
        missing = absence({})
        if missing:
            return AcceleratorStatus(False, missing)
        return AcceleratorStatus(True, device=f"{processor()}, {self._threads} threads", path="llvmlite")

    def capabilities(self) -> Mapping[str, Capability]:
        """What there is. The cost of an operation is measured when it is first looked up, which compiles it.

        Rows are of 64 bytes for hashes, trees of 16 leaves of 32 bytes, signatures valid, words random.
        """
        return self._capabilities if self.status().available else {}

    @functools.cached_property
    def _capabilities(self) -> Mapping[str, Capability]:
        return Measured(self._operations, self._measure)

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
        return operation.run(columns, functools.partial(self._spread, operation.grain))

    def _spread(self, grain: int, costs: Column | int, part: Callable[[int, int], None]) -> None:
        """See `operations.Spread`."""
        rows = costs if isinstance(costs, int) else len(costs) - 1
        total = costs if isinstance(costs, int) else int(costs[-1] - costs[0])
        parts = min(self._threads, rows, total // grain)
        if parts < 2:
            part(0, rows)
            return
        inner = [total * number // parts for number in range(1, parts)]
        if not isinstance(costs, int):
            inner = [int(costs.searchsorted(costs[0] + end)) for end in inner]
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(part, (0, *inner), (*inner, rows)))

    def _measure(self, name: str, operation: Operation) -> Capability:
        def run(rows: int) -> Callable[[], object]:
            columns = operation.sample(rows)
            return lambda: self._run(operation, columns)

        return fitted(name, run, operation.item_size)


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
