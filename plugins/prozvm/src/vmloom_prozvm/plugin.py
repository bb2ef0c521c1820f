"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import CommandSpec, VmSpec, hookimpl


@hookimpl
def vmloom_virtual_machines() -> Iterable[VmSpec]:
    """ProzVM."""
    return [
        VmSpec(
            "prozvm",
            "vmloom_prozvm.prozvm:ProzVm",
            config="vmloom_prozvm.config:ProzVmConfig",
            summary="a stack machine for ledgers: transactions, state by name, tiered compilation",
            magic=b"\0proz",
            demo="vmloom_prozvm.demo:TOKEN",
        )
    ]


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom proz ...`."""
    return [
        CommandSpec(
            "proz", "vmloom_prozvm.cli:proz", summary="Contract language: compile, disasm, fmt, profile, repl, run"
        )
    ]
