"""vmloom: one loom, many virtual machines.

This package is the framework: what a virtual machine, a precompile and an accelerator are, the state they
share, and the loader that finds the plugins that implement them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .accelerator import Accelerator, AcceleratorStatus, Capability
from .context import BlockContext, ExecutionContext
from .frame import CallFrame, StackError
from .hookspecs import API_VERSION, hookimpl
from .journal import Journal
from .precompile import Precompile, PrecompileFailure, PrecompileSet, PurePrecompile, Revision
from .result import Event, ExecutionResult, ExecutionState, StateChange
from .state import Account, MemoryState, StateAccess
from .vm import Instruction, VirtualMachine, VmType, VmVersion

if TYPE_CHECKING:
    from .factory import VmFactory, default_factory
    from .settings import Settings, load_settings

__all__ = [
    "API_VERSION",
    "Accelerator",
    "AcceleratorStatus",
    "Account",
    "BlockContext",
    "CallFrame",
    "Capability",
    "Event",
    "ExecutionContext",
    "ExecutionResult",
    "ExecutionState",
    "Instruction",
    "Journal",
    "MemoryState",
    "Precompile",
    "PrecompileFailure",
    "PrecompileSet",
    "PurePrecompile",
    "Revision",
    "Settings",
    "StackError",
    "StateAccess",
    "StateChange",
    "VirtualMachine",
    "VmFactory",
    "VmType",
    "VmVersion",
    "default_factory",
    "hookimpl",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    # What finds plugins is not needed by those who only implement one, nor where pytest starts.
    import importlib

    modules = {
        "VmFactory": "factory",
        "default_factory": "factory",
        "Settings": "settings",
        "load_settings": "settings",
    }
    if name in modules:
        return getattr(importlib.import_module(f".{modules[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
