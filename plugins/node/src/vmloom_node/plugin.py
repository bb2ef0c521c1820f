"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import CommandSpec, hookimpl


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom node`."""
    return [
        CommandSpec(
            "node",
            "vmloom_node.cli:node",
            config="vmloom_node.config:NodeConfig",
            summary="Run a development or replay node: JSON-RPC, WebSocket, explorer",
        )
    ]
