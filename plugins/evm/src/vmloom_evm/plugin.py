"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import CommandSpec, VmSpec, hookimpl


@hookimpl
def vmloom_virtual_machines() -> Iterable[VmSpec]:
    """The EVM."""
    return [
        VmSpec(
            "evm",
            "vmloom_evm.vm:Evm",
            config="vmloom_evm.config:EvmConfig",
            summary="Ethereum Virtual Machine, Frontier to Osaka",
        )
    ]


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom evm ...` and `vmloom demo`."""
    return [
        CommandSpec("demo", "vmloom_evm.demo:demo", summary="Run a token contract and show all that happens"),
        CommandSpec("evm", "vmloom_evm.cli:evm", summary="Ethereum tools: statetest, run, t8n"),
    ]
