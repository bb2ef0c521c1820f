"""What runs in a frame but is no EVM code: precompiles and contracts of other VMs, for every engine.

Engines close the frame by the ending; none decides here what a status does to the frames above.
"""

from __future__ import annotations

from typing import NamedTuple

from vmloom import ExecutionContext, ExecutionState, StateAccess
from vmloom.calls import CALL_DEPTH as TOO_DEEP
from vmloom.calls import run_nested
from vmloom.errors import UnknownVm
from vmloom.precompile import Precompile
from vmloom.vm import VmHost

from .halts import CALL_DEPTH, FOREIGN_FAILURE, OUT_OF_GAS, PRECOMPILE_FAILURE, REVERT, SUCCESS


class Ending(NamedTuple):
    """How a guest ended: `status` is one of `halts`, `gas` what is left of its own; `refund` is of successes alone."""

    status: int
    gas: int
    output: bytes = b""
    refund: int = 0


def run_precompile(precompile: Precompile, context: ExecutionContext, state: StateAccess) -> Ending:
    """Price the input and run; a failure burns all gas. What it has changed is for the caller to undo."""
    cost = precompile.gas_cost(context.input)
    if cost > context.gas_limit:
        return Ending(OUT_OF_GAS, 0)
    result = precompile.execute(context, context.input, state)
    if not result.success:
        return Ending(PRECOMPILE_FAILURE, 0)
    return Ending(SUCCESS, context.gas_limit - cost, result.return_data)


def run_foreign(
    host: VmHost | None, vm_type: str, code: bytes, context: ExecutionContext, state: StateAccess
) -> Ending:
    """Run a contract of another VM on the same state and undo log.

    A VM that is not installed is a misconfigured node, not a failing contract: raises `UnknownVm`.
    """
    if host is None:
        raise UnknownVm(f"contract 0x{context.address.hex()} needs the VM {vm_type!r}, and this EVM was given no host")
    result = run_nested(host, vm_type, code, context, state)
    left = context.gas_limit - result.gas_used
    if result.success:
        return Ending(SUCCESS, left, result.return_data, result.gas_refunded)
    if result.state is ExecutionState.REVERTED:
        return Ending(REVERT, left, result.return_data)
    return Ending(CALL_DEPTH if result.error == TOO_DEEP else FOREIGN_FAILURE, 0)
