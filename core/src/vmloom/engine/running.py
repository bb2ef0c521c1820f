"""One call on one state, as an item of a batch: whatever goes wrong is a result of this call alone."""

from __future__ import annotations

from typing import Final

from ..errors import VmloomError
from ..result import ExecutionResult, ExecutionState
from ..state import StateAccess
from ..vm import VmHost
from .requests import Call

FAULT: Final = "fault"
"""Key of a result's metadata: the name of the exception because of which nothing ran, or the VM gave up."""
INDEX: Final = "index"
"""Key of a result's metadata: the place of the item in its batch."""
CANCELLED: Final = "cancelled before it ran"


def run_item(index: int, call: Call | Exception, state: StateAccess, host: VmHost) -> ExecutionResult:
    """Run item `index` of a batch on `state`, where a success leaves its changes."""
    if isinstance(call, Exception):
        return refused(index, call)
    try:
        return host.get_vm(call.vm).execute_call(call.code, call.context, state)
    except Exception as error:  # a plugin may raise anything, and the other items have to run
        return refused(index, error)


def refused(index: int, error: Exception) -> ExecutionResult:
    """The result of an item that did not run, or whose VM raised: failed, with no gas used."""
    cause = str(error) if isinstance(error, (VmloomError, ValueError)) else f"{type(error).__name__}: {error}"
    metadata = {INDEX: index, FAULT: type(error).__name__}
    return ExecutionResult(ExecutionState.FAILED, 0, error=f"item {index}: {cause}", metadata=metadata)


def cancelled(index: int) -> ExecutionResult:
    """The result of an item that was not begun."""
    return ExecutionResult(ExecutionState.PENDING, 0, error=f"item {index}: {CANCELLED}", metadata={INDEX: index})
