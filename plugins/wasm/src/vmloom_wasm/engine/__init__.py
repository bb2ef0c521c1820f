"""WebAssembly modules compiled and run by wasmtime, deterministically and with little cost per call.

The rest of the package goes through here: nothing else imports wasmtime. Knows nothing of gas, contracts or states.
"""

from __future__ import annotations

from vmloom_wasm.engine.compiled import Compiled, MachineCodeRejected, compile_module, deserialize, serialize
from vmloom_wasm.engine.config import Engine, EngineSettings
from vmloom_wasm.engine.host import HostFunctions
from vmloom_wasm.engine.instance import Global, Instance, Limits, Linked, Memory
from vmloom_wasm.engine.signature import Signature, SignatureMismatch, signature, signed
from vmloom_wasm.engine.stack import StackExhausted
from vmloom_wasm.engine.traps import TrapFrame, TrapKind, WasmTrap

__all__ = [
    "Compiled",
    "Engine",
    "EngineSettings",
    "Global",
    "HostFunctions",
    "Instance",
    "Limits",
    "Linked",
    "MachineCodeRejected",
    "Memory",
    "Signature",
    "SignatureMismatch",
    "StackExhausted",
    "TrapFrame",
    "TrapKind",
    "WasmTrap",
    "compile_module",
    "deserialize",
    "serialize",
    "signature",
    "signed",
]
