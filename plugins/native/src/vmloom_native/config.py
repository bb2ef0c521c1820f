"""The configuration of this package."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt


class CpuConfig(BaseModel):
    """`[accelerator.cpu]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: PositiveInt | None = None
    """How many threads share a large batch. By default, as many as the process may use processors."""
