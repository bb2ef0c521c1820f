"""The execution engine: one object over every VM, for single calls, batches, operations on accelerators and metrics.

`ExecutionEngine` in `engine` is what applications use; the other modules are its parts. `requests` makes calls of what
applications hand in, `batch` and `optimistic` run many of them, `router` sends operations where they are cheapest,
`metrics` and `history` remember what ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import importer

if TYPE_CHECKING:
    from .config import EngineConfig
    from .contract import SmartContract
    from .engine import ExecutionEngine

__all__ = ["EngineConfig", "ExecutionEngine", "SmartContract"]

__getattr__ = importer(__name__, {"ExecutionEngine": "engine", "EngineConfig": "config", "SmartContract": "contract"})
