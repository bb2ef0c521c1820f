"""Tier 2: hot programs made into Python functions."""

from .cache import CompiledFunction, HotPathInfo, JITCompiler, JITStats
from .codegen import Uncompilable
from .compiled import Compiled

__all__ = ["Compiled", "CompiledFunction", "HotPathInfo", "JITCompiler", "JITStats", "Uncompilable"]
