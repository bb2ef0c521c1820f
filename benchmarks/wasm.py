"""What metering costs, how long a call takes, and token transfers against the EVM.

    uv run python benchmarks/wasm.py [--rounds N] [--json]

All sides of a row run in this process, in turns; the best of all turns counts. Three parts:

* metering: the same loop compiled as it is and with gas and stack counted; the ratio is metered over plain.
* calls: `WasmVm.execute` of a contract that does nothing, against wasmtime's own Python API, which makes an instance of
  the same module and calls `main`; and the first call of a module whose machine code is on the disk or nowhere.
* tokens: one ERC-20 transfer by `execute` on a state of the core, of the token of `examples/wasm-token` in each
  language and of a token on the EVM's engines.

Results are compared first: if any are not as expected, the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import wasmtime
from rich.console import Console
from rich.table import Table
from vmloom import Account, ExecutionContext, ExecutionResult, MemoryState, VirtualMachine
from vmloom.factory import VmFactory
from vmloom.hashing import keccak256
from vmloom.object_cache import ObjectCache
from vmloom.settings import Settings
from vmloom_wasm.binary.module import decode
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.cache import OBJECT_KIND, ModuleCache
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.engine import Engine, HostFunctions, Instance, Linked, compile_module
from vmloom_wasm.metering import COSMWASM, DEFAULT, GAS_EXPORT, STACK_EXPORT, WasmGasCosts, instrument
from vmloom_wasm.vm import WasmVm

FOLDER = Path(__file__).parent
TOKENS = FOLDER.parent / "examples" / "wasm-token"
WIDTH = 110
"""Characters of a table that goes to a file."""
OWNER, RECEIVER, CONTRACT = (bytes([number]) * 20 for number in (1, 2, 3))
SUPPLY = 10**24

LOOPS = {
    "spin: multiply, xor, rotate": (
        40_000_000,
        """(func (export "f") (param i32) (result i32) (local i32)
            (loop
                (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 1664525)) (local.get 0)))
                (local.set 1 (i32.rotl (local.get 1) (i32.const 7)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))""",
    ),
    "sieve: loads and stores": (
        3_000_000,
        """(memory 64) (func (export "f") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $count i32)
            (local.set $i (i32.const 2))
            (loop $next
                (if (i32.eqz (i32.load8_u (local.get $i))) (then
                    (local.set $count (i32.add (local.get $count) (i32.const 1)))
                    (local.set $j (i32.shl (local.get $i) (i32.const 1)))
                    (block $done (loop $mark
                        (br_if $done (i32.ge_u (local.get $j) (local.get $n)))
                        (i32.store8 (local.get $j) (i32.const 1))
                        (local.set $j (i32.add (local.get $j) (local.get $i)))
                        (br $mark)))))
                (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
            (memory.fill (i32.const 0) (i32.const 0) (local.get $n))
            (local.get $count))""",
    ),
    "fib: calls": (
        32,
        """(func $f (export "f") (param i32) (result i32)
            (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0)) (else
                (i32.add
                    (call $f (i32.sub (local.get 0) (i32.const 1)))
                    (call $f (i32.sub (local.get 0) (i32.const 2)))))))""",
    ),
    "calls through a table": (
        10_000_000,
        """(table 2 funcref) (elem (i32.const 0) $one $two) (type $t (func (param i32) (result i32)))
            (func $one (param i32) (result i32) (i32.add (local.get 0) (i32.const 7)))
            (func $two (param i32) (result i32) (i32.xor (local.get 0) (i32.const 99)))
            (func (export "f") (param i32) (result i32) (local i32)
                (loop (local.set 1 (call_indirect (type $t) (local.get 1) (i32.and (local.get 0) (i32.const 1))))
                    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))""",
    ),
}
NOTHING = """(module (import "env" "finish" (func (param i32 i32))) (memory (export "memory") 1)
    (func (export "main") (param i32 i32 i32) (result i32) (i32.const 1)))"""


@dataclass
class Side:
    """Something that is timed: `run` does it `times` times."""

    name: str
    run: Callable[[], Any]
    times: int = 1
    best: float = field(default=float("inf"))
    """Nanoseconds for one."""


def measure(sides: Iterable[Side], rounds: int) -> list[Side]:
    """Time them in turns, for long enough to see them."""
    measured = list(sides)
    gc.collect()
    gc.disable()
    try:
        for side in measured:
            side.run()
        for _ in range(rounds):
            for side in measured:
                start = time.perf_counter_ns()
                for _ in range(side.times):
                    side.run()
                side.best = min(side.best, (time.perf_counter_ns() - start) / side.times)
    finally:
        gc.enable()
    return measured


# Metering


def metering(engine: Engine, rounds: int) -> list[dict[str, Any]]:
    """Each loop as it is and metered."""
    rows = []
    for name, (argument, text) in LOOPS.items():
        module = decode(bytes(wasmtime.wat2wasm(f"(module {text})")))
        plain = Linked(compile_module(engine, encode(module)), HostFunctions(engine)).instantiate()
        sides = [("plain", plain), *((costs.name, _metered(engine, module, costs)) for costs in (DEFAULT, COSMWASM))]
        answers = {instance.call("f", argument) for _, instance in sides}
        assert len(answers) == 1, f"{name}: {answers}"
        timed = measure([Side(label, partial(instance.call, "f", argument)) for label, instance in sides], rounds)
        rows.append({"name": name, "ms": {side.name: side.best / 1e6 for side in timed}})
    return rows


def _metered(engine: Engine, module: Any, costs: WasmGasCosts) -> Instance:
    instance = Linked(compile_module(engine, encode(instrument(module, costs))), HostFunctions(engine)).instantiate()
    instance.variable(GAS_EXPORT).set(1 << 62)
    instance.variable(STACK_EXPORT).set(65_536)
    return instance


# Calls


def calls(engine: Engine, rounds: int) -> dict[str, float]:
    """Microseconds of a call that does nothing, warm, cold with machine code on the disk, and cold without."""
    code = bytes(wasmtime.wat2wasm(NOTHING))
    vm = WasmVm(WasmConfig(disk_cache=False))
    state, context = _state(b""), ExecutionContext(caller=OWNER, address=CONTRACT, origin=OWNER)
    assert vm.execute(code, context, state).success
    theirs = _public_api(engine, code)
    warm, public = measure(
        [Side("ours", lambda: vm.execute(code, context, state), 500), Side("theirs", theirs, 500)], rounds
    )
    token = (TOKENS / "token-c.wasm").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        from_disk, compiled = measure(
            [
                Side("disk", lambda: _first_call(token, Path(folder) / "kept"), 5),
                Side("compiled", lambda: _first_call(token, None), 2),
            ],
            rounds,
        )
    found = {"execute": warm, "wasmtime's own API": public, "first, from disk": from_disk, "first, compiled": compiled}
    return {name: side.best / 1e3 for name, side in found.items()}


def _public_api(engine: Engine, code: bytes) -> Callable[[], Any]:
    """An instance and a call of `main` as wasmtime's documentation has it, without gas, limits or a state."""
    module = wasmtime.Module(engine.handle, code)
    linker = wasmtime.Linker(engine.handle)
    kind = wasmtime.FuncType([wasmtime.ValType.i32(), wasmtime.ValType.i32()], [])
    linker.define_func("env", "finish", kind, lambda *_: None)

    def run() -> Any:
        store = wasmtime.Store(engine.handle)
        store.set_limits(memory_size=1 << 25)
        return linker.instantiate(store, module).exports(store)["main"](store, 0, 0, 0)

    assert run() == 1
    return run


def _first_call(code: bytes, folder: Path | None) -> None:
    """What a process does with a module that it has not seen: another cache each time."""
    vm = WasmVm(WasmConfig(disk_cache=False))
    if folder is not None:
        former = vm.cache
        vm.__dict__["cache"] = ModuleCache(
            former._engine,
            former._build,
            former._finish,
            recipe=former._recipe,
            max_bytes=1 << 28,
            disk=ObjectCache(folder, kind=OBJECT_KIND),
        )
    context = ExecutionContext(caller=OWNER, address=CONTRACT, origin=OWNER, input=_data("totalSupply()"))
    assert vm.execute(code, context, _state(b"")).success


# Tokens


def tokens(rounds: int) -> dict[str, float]:
    """Microseconds of one transfer, by who runs it."""
    sides = []
    for path in sorted(TOKENS.glob("token-*.wasm")):
        vm = WasmVm(WasmConfig(disk_cache=False))
        code = path.read_bytes()
        state = _state(code, "wasm")
        _succeeds(vm, code, state, _data("initialize(uint256)", SUPPLY))
        sides.append(_transfer(f"Wasm, {path.stem.removeprefix('token-')}", vm, code, state))
    init_code = bytes.fromhex(json.loads((FOLDER / "contracts" / "token.json").read_text())["bytecode"][2:])
    for engine in ("native", "reference"):
        vm = VmFactory(Settings({"vm": {"evm": {"engine": engine, "revision": "cancun"}}})).get_vm("evm")
        code = _succeeds(vm, init_code, _state(b""), b"").return_data
        state = _state(code)
        _succeeds(vm, code, state, _data("mint(address,uint256)", OWNER, SUPPLY))
        sides.append(_transfer(f"EVM, {engine}", vm, code, state))
    return {side.name: side.best / 1e3 for side in measure(sides, rounds)}


def _transfer(name: str, vm: VirtualMachine, code: bytes, state: MemoryState) -> Side:
    context = _context(_data("transfer(address,uint256)", RECEIVER, 1))
    first = vm.execute(code, context, state)
    assert first.success, f"{name}: {first.error}"
    assert len(first.events) == 1
    assert int.from_bytes(first.return_data, "big") == 1
    state.commit()
    return Side(name, lambda: vm.execute(code, context, state), 200)


def _succeeds(vm: VirtualMachine, code: bytes, state: MemoryState, data: bytes) -> ExecutionResult:
    result = vm.execute(code, _context(data), state)
    assert result.success, result.error
    return result


def _state(code: bytes, vm: str = "") -> MemoryState:
    return MemoryState({OWNER: Account(1, 10**18), CONTRACT: Account(1, 0, code, vm)})


def _context(data: bytes) -> ExecutionContext:
    return ExecutionContext(caller=OWNER, address=CONTRACT, origin=OWNER, input=data)


def _data(signature: str, *words: bytes | int) -> bytes:
    arguments = (word.rjust(32, b"\0") if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words)
    return keccak256(signature.encode())[:4] + b"".join(arguments)


# The report


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (7)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    engine = Engine()
    try:
        found = {"metering": metering(engine, options.rounds), "calls": calls(engine, options.rounds)}
        found["tokens"] = tokens(options.rounds)
    except AssertionError as error:
        print(f"error: not the expected result: {error}", file=sys.stderr)
        return 1
    about = {"python": platform.python_version(), "wasmtime": version("wasmtime"), "machine": platform.machine()}
    if options.json:
        print(json.dumps({**about, **found}, indent=2))
    else:
        _print(about, found)
    return 0


def _print(about: dict[str, str], found: dict[str, Any]) -> None:
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(", ".join(f"{name} {value}" for name, value in about.items()))
    table = Table("metering", "plain", "default", "", "cosmwasm", "", title_justify="left")
    for row in found["metering"]:
        times = row["ms"]
        cells = [f"{times['plain']:.1f} ms"]
        for name in ("default", "cosmwasm"):
            cells += [f"{times[name]:.1f} ms", f"{times[name] / times['plain'] - 1:+.0%}"]
        table.add_row(row["name"], *cells)
    console.print(table)
    table = Table("call", "us", "of vmloom's")
    for name, value in found["calls"].items():
        table.add_row(name, f"{value:.1f}", f"{value / found['calls']['execute']:.2f}x")
    console.print(table)
    table = Table("token transfer", "us", "transfers/s", "time of EVM, native")
    for name, value in found["tokens"].items():
        table.add_row(name, f"{value:.1f}", f"{1e6 / value:,.0f}", f"{value / found['tokens']['EVM, native']:.2f}x")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
