"""One call on one state, as an item of a batch: whatever goes wrong is a result of this call alone."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from ..errors import PluginError, VmloomError
from ..result import ExecutionResult, ExecutionState
from ..state import StateAccess
from ..vm import VmHost
from .requests import Call, Request, call_of

Item: TypeAlias = Call | Request | Exception
"""A call, one whose code is looked for when it runs, or why there is none."""

FAULT: Final = "fault"
"""Key of a result's metadata: the name of the exception because of which nothing ran, or the VM gave up."""
INDEX: Final = "index"
"""Key of a result's metadata: the place of the item in its batch."""
CANCELLED: Final = "cancelled before it ran"


class Ran(NamedTuple):
    """The call that an item came to, its result, and what the item or its VM raised, if anything."""

    item: Item
    result: ExecutionResult
    error: Exception | None = None


def run_item(index: int, item: Item, state: StateAccess, host: VmHost) -> Ran:
    """Run item `index` of a batch on `state`, where a success leaves its changes.

    What is wrong with the item, or with its VM, is its result. Raises `StateError` if the VM committed, which cannot be
    taken back.
    """
    checkpoint = state.snapshot()
    try:
        if isinstance(item, Request):
            item = call_of(item.contract, item.context, state, host)
        if isinstance(item, Exception):
            return Ran(item, refused(index, item), item)
        result = checked(item.vm, host.get_vm(item.vm).execute_call(item.code, item.context, state))
        if isinstance(result, Exception):
            raise result
    except Exception as error:  # a plugin may raise anything, and the other items have to run
        state.revert(checkpoint)
        return Ran(item, refused(index, error), error)
    return Ran(item, result)


def checked(vm: str, result: ExecutionResult | Exception) -> ExecutionResult | Exception:
    """`result`, or an error where a VM gave something else."""
    if isinstance(result, (ExecutionResult, Exception)):
        return result
    return PluginError(f"{vm} gave a {type(result).__name__} for a result")


def refused(index: int, error: Exception) -> ExecutionResult:
    """The result of an item that did not run, or whose VM raised: failed, with no gas used."""
    try:
        text = str(error)
    except Exception:  # errors of applications and plugins are theirs to write
        text = "no message"
    cause = text if isinstance(error, (VmloomError, ValueError)) else f"{type(error).__name__}: {text}"
    metadata = {INDEX: index, FAULT: type(error).__name__}
    return ExecutionResult(ExecutionState.FAILED, 0, error=f"item {index}: {cause}", metadata=metadata)


def cancelled(index: int) -> ExecutionResult:
    """The result of an item that was not begun."""
    return ExecutionResult(ExecutionState.PENDING, 0, error=f"item {index}: {CANCELLED}", metadata={INDEX: index})
