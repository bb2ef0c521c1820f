"""vmloom: one loom, many virtual machines.

This package is the framework: what a virtual machine, a precompile and an accelerator are, the state they
share, and the loader that finds the plugins that implement them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .accelerator import Accelerator, AcceleratorStatus, Capability
from .context import BlockContext, ExecutionContext
from .frame import CallFrame, StackError
from .hookspecs import API_VERSION, hookimpl
from .journal import Journal
from .lazy import importer
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


# What finds plugins is not needed by those who only implement one, nor where pytest starts.
__getattr__ = importer(
    __name__,
    {
        "VmFactory": "factory",
        "default_factory": "factory",
        "Settings": "settings",
        "load_settings": "settings",
    },
)
