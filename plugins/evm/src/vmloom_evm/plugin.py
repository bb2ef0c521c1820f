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
            demo="vmloom_evm.demo.token:TOKEN",
        )
    ]


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom evm ...`."""
    return [CommandSpec("evm", "vmloom_evm.cli:evm", summary="Ethereum tools: demo, statetest, run, t8n")]
