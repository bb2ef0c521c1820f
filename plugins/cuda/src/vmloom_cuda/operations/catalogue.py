"""All operations by name: how their columns become a batch, and how they are measured.

Imports NumPy and the kernel compiler, so it is only imported to run something.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vmloom.precompile import PrecompileKernel
from vmloom_native import operations as host
from vmloom_native.columns import WORD

from ..kernels import modules
from ..kernels.arithmetic import ROWS
from ..kernels.digests import DIGEST
from ..kernels.recovery import ADDRESS, INPUT
from . import checking
from .batch import Batch, Output
from .rows import RowsOfAnySize, RowsOfOneSize
from .signatures import Signatures, as_signatures
from .trees import Trees

DIGESTS = (Output("uint8", (DIGEST,)),)
WORDS = (Output("uint64", WORD),)
SIGNERS = (Output("uint8", (ADDRESS,)), Output("bool"))


class Operation(ABC):
    """An operation of the device, and the one of the accelerator `cpu` with the same columns."""

    def __init__(self, name: str, on_host: host.Operation) -> None:
        self.name, self.on_host = name, on_host

    @abstractmethod
    def batch(self, columns: Sequence[Any]) -> Batch:
        """The rows. Raises `ValueError` for other columns than it takes, with the words of the accelerator `cpu`."""


class Arithmetic(Operation):
    """On words of 256 bits."""

    def batch(self, columns: Sequence[Any]) -> Batch:
        """See `Operation`."""
        assert isinstance(self.on_host, host.Arithmetic)
        operands = checking.words(self.name, columns, self.on_host.operands)
        return RowsOfOneSize(modules.words(), self.name, operands, WORDS)


class Digests(Operation):
    """The hash of each row."""

    def batch(self, columns: Sequence[Any]) -> Batch:
        """See `Operation`."""
        if len(columns) != 1:
            data, offsets = checking.byte_rows(columns)
            return RowsOfAnySize(modules.digests_of_bytes(self.name), "digest", data, offsets, DIGESTS)
        rows = checking.rows_of_one_size(columns[0])
        size = rows.shape[1]
        return RowsOfOneSize(modules.digests_of_rows(self.name, size), "digest_of_size", [rows], DIGESTS, [size])


class MerkleRoots(Operation):
    """The roots of trees over rows of bytes."""

    def __init__(self, name: str, on_host: host.Operation, function: str) -> None:
        super().__init__(name, on_host)
        self._function = function

    def batch(self, columns: Sequence[Any]) -> Batch:
        """See `Operation`."""
        return Trees(modules.digests_of_words(self._function), *checking.trees(columns))


class Recoveries(Operation):
    """Who has signed."""

    def __init__(self, name: str, on_host: host.Operation, kernel: Callable[..., Any]) -> None:
        super().__init__(name, on_host)
        self._kernel = kernel

    def batch(self, columns: Sequence[Any]) -> Batch:
        """See `Operation`."""
        passes = modules.recoveries_in_passes(self._kernel)
        if len(columns) != 1:
            data, offsets = checking.byte_rows(columns)
            rows = as_signatures(data, offsets)
            if rows is None or passes is None:
                return RowsOfAnySize(modules.recoveries(self._kernel), "recover", data, offsets, SIGNERS)
        else:
            rows = checking.rows_of_one_size(columns[0])
        if passes is not None and rows.shape[1] == INPUT:
            return Signatures(passes, rows, SIGNERS)
        return RowsOfOneSize(modules.recoveries(self._kernel), "recover_of_size", [rows], SIGNERS, [rows.shape[1]])


def operations(kernels: dict[str, PrecompileKernel]) -> Mapping[str, Operation]:
    """All of them; `ecrecover` where `kernels`, by the field's names for precompiles, has its kernel."""
    known = host.operations(kernels)
    found: dict[str, Operation] = {name: Arithmetic(name, known[name]) for name in ROWS}
    for name in modules.HASHES:
        found[name] = Digests(name, known[name])
        if f"merkle_{name}" in known:
            found[f"merkle_{name}"] = MerkleRoots(f"merkle_{name}", known[f"merkle_{name}"], name)
    if "ecrecover" in known:
        found["ecrecover"] = Recoveries("ecrecover", known["ecrecover"], kernels["ECRECOVER"].run)
    return found
