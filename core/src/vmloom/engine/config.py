"""The section `[engine]` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt


class EngineConfig(BaseModel):
    """How an `ExecutionEngine` works. Bounds are on what it keeps and on what waits, not on what contracts may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: bool = True
    """Count executions, gas and times. Off costs nothing."""
    opcode_metrics: bool = False
    """Count instructions, where a VM can: such runs are several times slower."""
    log_executions: bool = False
    """Log each execution as one event, where the program has set up structlog."""
    history: NonNegativeInt = 1000
    """Executions that `get_execution_history` remembers."""
    error_examples: NonNegativeInt = 3
    """Examples kept of each cause of failure."""
    error_causes: PositiveInt = 256
    """Causes of failure told apart; what comes later is counted as "other"."""
    threads: NonNegativeInt = 0
    """Threads that run items of a batch; 0 means one for each processor that the process may use."""
    queue: PositiveInt = 4096
    """Items of a batch that are taken from its source ahead of those that have ended, but for an accelerator."""
    serial_below: NonNegativeInt = 16
    """Batches of fewer items run on the calling thread."""
    ahead_from: NonNegativeFloat = 0.0005
    """Seconds of a processor that calls of a block have to take, lately, for threads to run them ahead of their turn.

    Shorter ones run one after the other, and so do those where threads turn out to gain nothing. With 0 all run ahead.
    """
    conflict_limit: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Share of a block's calls ahead of their turn executed again, from which on the rest runs one after the other."""
    accelerators: tuple[str, ...] | None = None
    """Accelerators to use, by name; None for every one that is installed."""
    accelerate_from: PositiveInt = 8192
    """Independent calls that a batch, handed in as sequences, has at least for accelerators to be asked for them.

    They get them where they should take less time than threads, by what was measured.
    """
