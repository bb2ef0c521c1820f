"""Gas estimation: the least limit with which an execution succeeds.

Success is not monotonic in the limit: code may look at its gas, and a call passes on 63/64 of it. So the
search is bracketed by what one full run used and by the cap, and its result is run once more.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import GasEstimationError
from .result import ExecutionResult, ExecutionState

Attempt = Callable[[int], ExecutionResult]
"""Runs with a gas limit and leaves no trace. `gas_used` is before refunds."""


def estimate_gas(attempt: Attempt, *, cap: int, floor: int = 0, tolerance: float = 0.0) -> int:
    """The least gas limit in `floor` .. `cap` for which `attempt` succeeds.

    With a `tolerance` above 0 the search ends early, once the bracket is narrower than that part of its upper
    end (geth's default is 0.015). Raises `GasEstimationError` if the run at `cap` does not succeed.
    """
    full = attempt(cap)
    if not full.success:
        raise _failure(full, cap)
    low = max(floor, full.gas_used) - 1  # what one run used is a lower bound: nothing runs on less
    high = cap
    # Most calls need what they use, plus the 1/64 that their deepest call must leave behind and the stipend.
    optimistic = (full.gas_used + 2_300) * 64 // 63
    if low < optimistic < high:
        if attempt(optimistic).success:
            high = optimistic
        else:
            low = optimistic
    while low + 1 < high and (high - low) > tolerance * high:
        # The answer is likely near the lower end: do not go further up than twice it.
        middle = min((low + high) // 2, max(low * 2, low + 1))
        if attempt(middle).success:
            high = middle
        else:
            low = middle
    if not attempt(high).success:
        raise GasEstimationError(f"no stable gas limit up to {cap}: success depends on the gas given")
    return high


def _failure(result: ExecutionResult, cap: int) -> GasEstimationError:
    if result.state is ExecutionState.REVERTED:
        return GasEstimationError(f"the call reverts: 0x{result.return_data.hex()}", return_data=result.return_data)
    return GasEstimationError(f"the call fails with the gas cap of {cap}: {result.error}")
