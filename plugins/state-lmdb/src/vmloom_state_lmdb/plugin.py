"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import StateSpec, hookimpl


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
