"""What an optimizer did, in the keys that its users know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final


@dataclass(slots=True)
class OptimizationStats:
    """Counts of one call of the optimizer; sizes are in instructions, of a program with those of its functions."""

    original_size: int = 0
    optimized_size: int = 0
    constant_folds: int = 0
    """operations and branches on constants"""
    copies_eliminated: int = 0
    """loads of names"""
    common_subexpressions: int = 0
    """calculations"""
    dead_code_removed: int = 0
    """instructions"""
    peephole_opts: int = 0
    """sequences"""
    instructions_combined: int = 0
    """STORE_CONST made"""
    jumps_threaded: int = 0
    """jumps"""
    strength_reductions: int = 0
    """operations"""
    passes_run: int = 0
    """rounds over all passes, the last one included in which nothing changed; the most that any body needed"""

    @property
    def size_reduction_pct(self) -> float:
        """How much smaller the code is, in per cent of what it was."""
        if not self.original_size:
            return 0.0
        return 100.0 * (self.original_size - self.optimized_size) / self.original_size

    @property
    def total_optimizations(self) -> int:
        """What all passes did, added up."""
        return sum(getattr(self, key) for key in PASS_KEYS)

    def as_dict(self) -> dict[str, int | float]:
        """All counts, with the sum and the reduction in per cent."""
        counts: dict[str, int | float] = {field.name: getattr(self, field.name) for field in fields(self)}
        return counts | {
            "size_reduction_pct": self.size_reduction_pct,
            "total_optimizations": self.total_optimizations,
        }


PASS_KEYS: Final = tuple(
    field.name
    for field in fields(OptimizationStats)
    if field.name not in ("original_size", "optimized_size", "passes_run")
)
"""One key for each of the eight passes."""
