"""What execution needs that no run changes: a fork, the configuration's changes to it, its op table and precompiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmloom.precompile import Precompile, PrecompileSet, Revision

from . import ops
from .forks import Fork
from .rules import Rules
from .table import OPS, OpRow

assert ops  # importing the instructions fills OPS


@dataclass(frozen=True, eq=False)
class Specification:
    """A fork made ready to run. `precompiles` maps addresses as integers, `rows` holds the instructions by code."""

    fork: Fork
    rows: Mapping[int, OpRow]
    precompiles: Mapping[int, Precompile]
    disabled_opcodes: frozenset[int]
    built: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """What engines have made of it, by their names: they keep it here, so that it goes when this goes."""

    @property
    def rules(self) -> Rules:
        """The fork's rules."""
        return self.fork.rules

    @property
    def revision(self) -> Revision:
        """The fork's name and lineage."""
        return self.fork.revision


def specify(
    fork: Fork,
    precompile_sets: Sequence[PrecompileSet] = (),
    *,
    precompiles: Mapping[int, Precompile] | None = None,
    custom_ops: Sequence[OpRow] = (),
    disabled_opcodes: frozenset[int] = frozenset(),
) -> Specification:
    """Make `fork` ready to run, with the precompiles of the sets and single ones that go before them.

    `custom_ops` are rows beside the built-in ones, priced by `fork.gas`. Raises `ValueError` for one whose name
    an instruction has, or whose code is that of one which the fork has.
    """
    rows = {row.code: row for row in OPS.values() if row.name in fork.gas}
    for row in custom_ops:
        if row.name in OPS:
            raise ValueError(f"opcode {row.code:#04x} {row.name}: there is an instruction of that name")
        if row.code in rows:
            raise ValueError(f"opcode {row.code:#04x} {row.name}: {fork.name} has {rows[row.code].name} there")
        rows[row.code] = row
    found: dict[int, Precompile] = {}
    for precompile_set in precompile_sets:
        found.update({int.from_bytes(at, "big"): one for at, one in precompile_set.at(fork.revision).items()})
    found.update(precompiles or {})
    return Specification(fork, rows, found, disabled_opcodes)
