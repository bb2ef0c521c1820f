"""vmloom: one loom, many virtual machines.

This package is the framework: what a virtual machine, a precompile and an accelerator are, the state they
share, and the loader that finds the plugins that implement them.
"""

from __future__ import annotations

from .accelerator import Accelerator, AcceleratorStatus, Capability
from .context import BlockContext, ExecutionContext
from .frame import CallFrame, StackError
from .hookspecs import API_VERSION, hookimpl
from .journal import Journal
from .precompile import Precompile, PrecompileFailure, PrecompileSet, PurePrecompile, Revision
from .result import Event, ExecutionResult, ExecutionState, StateChange
from .state import Account, MemoryState, StateAccess
from .vm import Instruction, VirtualMachine, VmType, VmVersion

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
    "StackError",
    "StateAccess",
    "StateChange",
    "VirtualMachine",
    "VmType",
    "VmVersion",
    "hookimpl",
]
