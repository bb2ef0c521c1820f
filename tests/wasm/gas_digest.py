"""Runs modules in every way there is and prints what came of it: gas, output, events and changes of state, as JSON.

    python gas_digest.py FOLDER

Runs every .wasm file of the folder with inputs of several sizes and several gas limits: compiled with and without
optimization, from cold and from what an earlier run has left on disk. Ways that differ are an error. Two machines, or
two releases of wasmtime, agree if they print the same `runs`. Needs no more than vmloom-core and vmloom-wasm.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, MemoryState
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.vm import WasmVm

CONTRACT, CALLER = b"\xc0" * 20, b"\xca" * 20
SIZES = (0, 1, 2, 3, 4, 5, 300)
GAS = 20_000_000


def seen(result: ExecutionResult) -> list[Any]:
    """All that must be the same everywhere."""
    events = [(it.address.hex(), [hex(topic) for topic in it.topics], it.data.hex()) for it in result.events]
    changes = sorted(repr(change) for change in result.state_changes)
    return [result.state.value, result.gas_used, result.return_data.hex(), result.error, events, changes]


def runs(vm: WasmVm, code: bytes) -> list[Any]:
    """What the module does with each input, with plenty of gas, with exactly enough, and with less."""
    found = []
    for size in SIZES:
        data = bytes(number % 251 for number in range(size))

        def run(gas: int, data: bytes = data) -> list[Any]:
            state = MemoryState({CONTRACT: Account(1, 10**18, code, "wasm"), CALLER: Account(1, 10**18)})
            context = ExecutionContext(
                caller=CALLER, address=CONTRACT, origin=CALLER, input=data, gas_limit=gas, block=BlockContext(number=7)
            )
            return seen(vm.execute(code, context, state))

        full = run(GAS)
        used = full[1]
        found += [full, *(run(gas) for gas in (used, used - 1, used // 2, used // 3, 0) if 0 <= gas < GAS)]
    return found


def all_ways(codes: dict[str, bytes]) -> dict[str, list[Any]]:
    """The runs of each module. Raises `SystemExit` if optimization or the cache change any."""
    ways = {}
    for optimize in (True, False):
        for cache in ("cold", "warm"):
            vm = WasmVm(WasmConfig(optimize=optimize))
            ways[optimize, cache] = {name: runs(vm, code) for name, code in codes.items()}
            if cache == "warm" and vm.cache_metrics.disk_hits != len(codes):
                raise SystemExit(f"not from disk: {vm.cache_metrics}")
    first = ways[True, "cold"]
    for way, found in ways.items():
        for name in codes:
            for number, (one, other) in enumerate(zip(first[name], found[name], strict=True)):
                if one != other:
                    raise SystemExit(f"{name}, run {number}: {one}, but with optimize, cache = {way}: {other}")
    return first


def main() -> None:
    """The command."""
    codes = {path.stem: path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.wasm"))}
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VMLOOM_CACHE_DIR"] = cache
        found = all_ways(codes)
    digest = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    print(json.dumps({"wasmtime": version("wasmtime"), "digest": digest, "runs": found}))


if __name__ == "__main__":
    main()
