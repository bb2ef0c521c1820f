"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import CommandSpec, StateSpec, hookimpl


@hookimpl
def vmloom_states() -> Iterable[StateSpec]:
    """Durable state."""
    return [
        StateSpec(
            "lmdb",
            "vmloom_state_lmdb.state:LmdbState",
            config="vmloom_state_lmdb.config:LmdbConfig",
            summary="durable state in one memory-mapped file, with its history",
        )
    ]


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom state ...`."""
    return [
        CommandSpec(
            "state", "vmloom_state_lmdb.cli:state", summary="Durable state: info, export, import, backup, prune"
        )
    ]
