"""Tier 2: hot programs made into Python functions."""

from .cache import CompiledFunction, Executable, HotPathInfo, JITCompiler, JITStats
from .codegen import Uncompilable
from .compiled import Compiled

__all__ = ["Compiled", "CompiledFunction", "Executable", "HotPathInfo", "JITCompiler", "JITStats", "Uncompilable"]
