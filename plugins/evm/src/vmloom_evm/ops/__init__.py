"""The instructions, a file for each family. Importing this package fills `table.OPS`.

Each function is the whole semantics of one instruction: dynamic gas first, then the operation. Stack checks and
static gas are rows of the table and of `forks`, generated around the functions by every engine.
"""

from __future__ import annotations

from . import arithmetic, bitwise, calls, creation, environment, flow, keccak, log, memory, storage

__all__ = ["arithmetic", "bitwise", "calls", "creation", "environment", "flow", "keccak", "log", "memory", "storage"]
