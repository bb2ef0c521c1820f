"""What an engine tells a program that listens: each execution, where that is configured, and batches as a whole.

Silent unless structlog is configured: a library does not write to a program's streams by itself.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..result import ExecutionState
from .batch import Part
from .columns import states_of
from .history import Ended


def listener() -> Any:
    """The log, None if nobody has set one up."""
    structlog = sys.modules.get("structlog")  # nobody can have without importing it, which takes long
    return structlog.get_logger("vmloom.engine") if structlog is not None and structlog.is_configured() else None


def log_executions(log: Any, executions: Ended) -> None:
    """One event for each: gas in gas, seconds, and why it did not succeed."""
    for place, state in enumerate(executions.states):
        log.info(
            "execution",
            vm=executions.vm,
            contract="0x" + executions.contracts[place].hex(),
            state=state.value,
            gas_used=executions.gas_used[place],
            seconds=executions.seconds[place],
            error=executions.errors[place] if executions.errors else "",
        )


def log_batch(log: Any, mode: str, states: Mapping[ExecutionState, int], seconds: float) -> None:
    """One event for a batch: how many items had ended when it was left, by how they did, and the time until then."""
    ended = {state.value: count for state, count in sorted(states.items(), key=lambda item: item[0].value)}
    log.debug("batch", mode=mode, items=sum(states.values()), **ended, seconds=seconds)


def count_states(parts: Iterable[Part]) -> Counter[ExecutionState]:
    """How many items ended how."""
    return Counter(state for part in parts for state in states_of(part.results))
