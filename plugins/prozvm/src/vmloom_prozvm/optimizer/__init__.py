"""The bytecode optimizer: eight passes in three levels. `BytecodeOptimizer` is all that one needs."""

from ..bytecode.origins import original_index
from .optimizer import BytecodeOptimizer, optimize_bytecode
from .statistics import OptimizationStats

__all__ = ["BytecodeOptimizer", "OptimizationStats", "optimize_bytecode", "original_index"]
