"""The methods, by what they are about. Importing this package fills `table.METHODS`."""

from __future__ import annotations

from . import (
    blocks,
    calls,
    debug,
    development,
    fees,
    logs,
    mining,
    net,
    node,
    otterscan,
    reorgs,
    state,
    tokens,
    trace,
    transactions,
)

__all__ = [
    "blocks",
    "calls",
    "debug",
    "development",
    "fees",
    "logs",
    "mining",
    "net",
    "node",
    "otterscan",
    "reorgs",
    "state",
    "tokens",
    "trace",
    "transactions",
]
