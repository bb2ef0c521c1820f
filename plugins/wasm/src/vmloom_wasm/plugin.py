"""What this package offers to vmloom. Imports nothing heavy: specs only name their targets."""

from __future__ import annotations

from collections.abc import Iterable

from vmloom.hookspecs import CommandSpec, VmSpec, hookimpl


@hookimpl
def vmloom_virtual_machines() -> Iterable[VmSpec]:
    """The WebAssembly VM."""
    return [
        VmSpec(
            "wasm",
            "vmloom_wasm.vm:WasmVm",
            config="vmloom_wasm.config:WasmConfig",
            summary="WebAssembly contracts, metered and deterministic, on wasmtime",
            magic=b"\0asm",
            demo="vmloom_wasm.demo:TOKEN",
        )
    ]


@hookimpl
def vmloom_commands() -> Iterable[CommandSpec]:
    """`vmloom wasm ...`."""
    return [CommandSpec("wasm", "vmloom_wasm.cli:wasm", summary="WebAssembly tools: inspect, profile, sdk, spectest")]
