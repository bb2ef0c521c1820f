"""What an engine tells a program that listens: each execution, where that is configured, and batches as a whole.

Silent unless structlog is configured: a library does not write to a program's streams by itself.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..result import ExecutionResult, ExecutionState
from .batch import Run
from .requests import Call


def listener() -> Any:
    """The log, None if nobody has set one up."""
    structlog = sys.modules.get("structlog")  # nobody can have without importing it, which takes long
    return structlog.get_logger("vmloom.engine") if structlog is not None and structlog.is_configured() else None


def log_executions(log: Any, runs: Sequence[tuple[Call, ExecutionResult, float]]) -> None:
    """One event for each call that ran: gas in gas, seconds, and why it did not succeed."""
    for item, result, seconds in runs:
        log.info(
            "execution",
            vm=item.vm,
            contract="0x" + item.context.address.hex(),
            state=result.state.value,
            gas_used=result.gas_used,
            seconds=seconds,
            error="" if result.success else result.error,
        )


def log_batch(log: Any, mode: str, states: Mapping[ExecutionState, int], seconds: float) -> None:
    """One event for a batch: how many items had ended when it was left, by how they did, and the time until then."""
    ended = {state.value: count for state, count in sorted(states.items(), key=lambda item: item[0].value)}
    log.debug("batch", mode=mode, items=sum(states.values()), **ended, seconds=seconds)


def states_of(runs: Sequence[Run]) -> Counter[ExecutionState]:
    """How many runs ended how."""
    return Counter(run.result.state for run in runs)
