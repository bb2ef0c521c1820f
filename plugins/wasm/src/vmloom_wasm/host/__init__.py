"""What contracts can ask of the chain: the host functions of module `env`, one file for each kind.

The ABI is described in the reference (docs/reference/wasm-contracts.md). Each function takes the `Run` that it serves,
charges its gas first, and works on the state.
"""

from __future__ import annotations

from ..abi import FUNCTIONS
from . import accounts, block, calls, data, events, hashes, storage

__all__ = ["FUNCTIONS", "accounts", "block", "calls", "data", "events", "hashes", "storage"]
