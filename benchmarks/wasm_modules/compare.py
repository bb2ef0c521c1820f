"""What must hold for a module, whoever made it: it is refused with a typed error, or runs the same in all ways."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from vmloom.errors import CodeError, InvalidCode, VmloomError
from vmloom_wasm.binary.module import decode
from vmloom_wasm.binary.reader import MalformedModule
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.config import ModuleLimits, ValidationConfig
from vmloom_wasm.engine import (
    Compiled,
    Engine,
    EngineSettings,
    HostFunctions,
    Instance,
    Limits,
    Linked,
    TrapKind,
    WasmTrap,
    compile_module,
)
from vmloom_wasm.engine.verdict import invalidity
from vmloom_wasm.metering import (
    COSMWASM,
    DEFAULT,
    EXHAUSTED_EXPORT,
    FUNCTION_GAS_EXPORT,
    GAS_EXPORT,
    RESERVED_PREFIX,
    STACK_EXPORT,
    START_EXPORT,
    Exhausted,
    WasmGasCosts,
    instrument,
)
from vmloom_wasm.validation import validate

from .generate import HOST, generated
from .mutate import mutated

PAGES: Final = 64
GAS: Final = 400_000
"""Units for each call."""
STACK: Final = 65_536
"""Words."""
FEE: Final = 5
"""Units that one of the host functions takes."""
_CALLS: Final = 4
"""Exported functions that are called, `main` first."""
_CONFIG: Final = ValidationConfig(
    limits=ModuleLimits(memory_pages=PAGES), allowed_imports=frozenset(f"env.{name}" for name in HOST)
)
_REST: Final = 1 << 64


class Difference(Exception):
    """Something that must not be."""


class Poor(Exception):
    """A host function costs more than is left."""


@dataclass
class Trace:
    """What can be seen of the calls of a module's functions, in order."""

    calls: list[Any] = field(default_factory=list)
    """What came of each: results, or the kind of a trap."""
    meters: list[tuple[int, int, int]] = field(default_factory=list)
    """Units left, what is exhausted, and words left, after each."""
    host: list[tuple[str, int]] = field(default_factory=list)
    """Calls of host functions."""
    memory: bytes = b""
    globals: dict[str, int] = field(default_factory=dict)
    profiled: int | None = field(default=None, compare=False)
    """Units that functions have paid, where each one's are counted."""

    @property
    def trapped(self) -> bool:
        """Whether any call did."""
        return any(isinstance(outcome, TrapKind) for outcome in self.calls)

    @property
    def used(self) -> int:
        """Units of all calls together."""
        return sum(GAS - left for left, _, _ in self.meters)

    @property
    def exhausted(self) -> bool:
        """Whether gas or stack ended it."""
        return bool(self.meters) and self.meters[-1][1] != Exhausted.NOTHING

    def seen(self) -> tuple[Any, ...]:
        """All that metering must not change."""
        return self.calls, self.host, self.memory, self.globals


def case(seed: int, number: int, corpus: tuple[bytes, ...] = ()) -> bytes:
    """The module that has this number: one of three as it was generated, or one of the corpus in place of it."""
    rng = random.Random(f"{seed}:{number}")
    module = decode(rng.choice(corpus)) if corpus and rng.random() < 0.3 else generated(rng)
    return encode(module) if rng.random() < 0.3 else mutated(rng, module)


def corpus_in(folder: Path | None) -> tuple[bytes, ...]:
    """The modules in a folder that can be read."""
    found = []
    for path in sorted(folder.rglob("*.wasm")) if folder else []:
        content = path.read_bytes()
        try:
            decode(content)
        except CodeError:
            continue
        found.append(content)
    return tuple(found)


def check(code: bytes, seed: str = "") -> str:
    """Say what became of a module: `malformed`, `invalid`, `refused`, `unlinked`, `exhausted`, `trapped` or `ran`.

    Raises `Difference`. `seed` chooses the gas table and the arguments.
    """
    rng = random.Random(seed)
    verdict = invalidity(_engine(True), code)
    try:
        module = validate(code, _CONFIG)
    except CodeError as error:
        if isinstance(error, InvalidCode) and verdict is None:
            raise Difference(f"refused, but valid to wasmtime: {error}") from error
        kinds = ((MalformedModule, "malformed"), (InvalidCode, "invalid"), (CodeError, "refused"))
        return next(label for kind, label in kinds if isinstance(error, kind))
    if verdict is not None:
        raise Difference(f"accepted, but not valid to wasmtime: {verdict.message}")
    if decode(encode(module)) != module:
        raise Difference("not the same when written and read again")
    costs = rng.choice((DEFAULT, DEFAULT, COSMWASM))
    try:
        metered = encode(instrument(module, costs))
        ways = [compile_module(_engine(optimize), metered) for optimize in (True, False)]
        if rng.random() < 0.25:
            ways.append(compile_module(_engine(False), encode(instrument(module, costs, profile=True))))
        plain = compile_module(_engine(True), code)
    except CodeError as error:
        raise Difference(f"accepted, but not made: {error}") from error
    return _compare(ways, plain, costs, seed)


def _compare(ways: list[Compiled], plain: Compiled, costs: WasmGasCosts, seed: str) -> str:
    names = [name for name, kind in plain.functions.items() if "?" not in kind.parameters + kind.results]
    names = ["main", *sorted(set(names) - {"main"})][:_CALLS]
    try:
        first = _run(ways[0], names, seed)
    except VmloomError:
        for other in (*ways[1:], plain):
            try:
                _run(other, names, seed)
            except VmloomError:
                continue
            raise Difference("linked in one way, and not in another") from None
        return "unlinked"
    for way in ways[1:]:
        second = _run(way, names, seed)
        if first != second:
            what = "optimized" if second.profiled is None else "profiled"
            raise Difference(f"{what} code does something else: {_first(first, second)}")
        fees = sum(FEE for name, _ in first.host if name == "ask")
        if second.profiled is not None and not first.trapped and first.used != second.profiled + fees:
            raise Difference(f"{first.used} units were used, functions have paid {second.profiled}, the host {fees}")
    if first.exhausted:
        return "exhausted"
    bare = _run(plain, names, seed)
    if first.seen() != bare.seen():
        raise Difference(f"metering changes what is done ({costs.name}): {_first(first, bare)}")
    if not isinstance(first.calls[0], TrapKind):  # then the counter may say more than was left
        _exact(ways[0], first, names, seed)
    return "trapped" if first.trapped else "ran"


def _exact(compiled: Compiled, trace: Trace, names: list[str], seed: str) -> None:
    """The first call with exactly the gas it used, and with one unit less."""
    used = GAS - trace.meters[0][0]
    if not used:
        return
    again = _run(compiled, names, seed, first=used)
    if again.calls[0] != trace.calls[0] or again.meters[0][:2] != (0, Exhausted.NOTHING):
        raise Difference(f"with exactly the gas it used: {again.calls[0]}, {again.meters[0]}")
    less = _run(compiled, names, seed, first=used - 1)
    if less.meters[0][1] != Exhausted.GAS:
        raise Difference(f"with one unit less than it used: {less.calls[0]}, {less.meters[0]}")


def _run(compiled: Compiled, names: list[str], seed: str, first: int = GAS) -> Trace:
    """Instantiate, run the start function, then call `names` in order, until gas or stack are exhausted.

    `first` is the gas of what runs first; metering is there or not as `compiled` has it.
    """
    trace, rng = Trace(), random.Random(seed)
    linked = Linked(compiled, _host(compiled.engine))
    metered = GAS_EXPORT in compiled.globals
    try:
        instance = linked.instantiate(Limits(memory_pages=PAGES), trace)
    except WasmTrap as trap:
        trace.calls.append(_kind(trap))
        trace.meters.append((first, Exhausted.NOTHING, STACK))
        return trace
    steps: list[tuple[str, tuple[int, ...]]] = [(START_EXPORT, ())] if START_EXPORT in compiled.functions else []
    for name in names:
        letters = compiled.functions[name].parameters
        steps += [(name, tuple(_argument(rng, letter) for letter in letters))]
    for name, arguments in steps:
        _step(trace, instance, name, arguments, first if metered and not trace.meters else GAS if metered else None)
        if trace.exhausted or (name == START_EXPORT and isinstance(trace.calls[-1], TrapKind)):
            break
        if name == START_EXPORT:
            trace.calls.pop()  # as if it had been run with the instance
    if name == START_EXPORT and isinstance(trace.calls[-1], TrapKind):
        return trace  # without metering there is no instance to look at
    if "memory" in compiled.memories:
        trace.memory = bytes(instance.memory.view)
    for name, (letter, _) in compiled.globals.items():
        if name.startswith(FUNCTION_GAS_EXPORT):
            trace.profiled = (trace.profiled or 0) + instance.variable(name).get()
        elif letter != "?" and not name.startswith(RESERVED_PREFIX):
            trace.globals[name] = instance.variable(name).get()
    return trace


def _step(trace: Trace, instance: Instance, name: str, arguments: tuple[int, ...], gas: int | None) -> None:
    """Call one function; with metering if `gas` is given."""
    if gas is not None:
        instance.variable(GAS_EXPORT).set(gas)
        instance.variable(STACK_EXPORT).set(STACK)
        instance.variable(EXHAUSTED_EXPORT).set(0)
    try:
        trace.calls.append(instance.call(name, *arguments))
    except WasmTrap as trap:
        trace.calls.append(_kind(trap))
    except Poor:
        trace.calls.append(TrapKind.OTHER)
    if gas is not None:
        meters = (GAS_EXPORT, EXHAUSTED_EXPORT, STACK_EXPORT)
        left, exhausted, words = (instance.variable(meter).get() for meter in meters)
        trace.meters.append((left, exhausted, words))
        if not 0 <= left <= gas or words > STACK:
            raise Difference(f"{name} has {left} of {gas} units and {words} of {STACK} words left")
        if not isinstance(trace.calls[-1], TrapKind) and (exhausted or words != STACK):
            raise Difference(f"{name} returned, with {words} of {STACK} words left and {Exhausted(exhausted).name}")


def _kind(trap: WasmTrap) -> TrapKind:
    if trap.kind is TrapKind.STACK_OVERFLOW:
        raise Difference("the machine's stack ended before the words of the instrumentation")
    if trap.kind is TrapKind.OTHER:
        raise Difference(f"a trap that nobody knows: {trap.message}")
    return trap.kind


def _argument(rng: random.Random, letter: str) -> int:
    bits = 32 if letter in "if" else 64
    return rng.choice(
        (0, 1, 2, 9, 255, 65535, (1 << bits - 1) - 1, 1 << bits - 1, (1 << bits) - 1, rng.getrandbits(bits))
    )


def _first(one: Trace, other: Trace) -> str:
    """Where two traces first differ."""
    for name in ("calls", "meters", "host", "globals"):
        left, right = getattr(one, name), getattr(other, name)
        if left != right and (name != "meters" or right):
            return f"{name}: {_short(left)} / {_short(right)}"
    pairs = enumerate(zip(one.memory, other.memory, strict=False))
    at = next((at for at, (left, right) in pairs if left != right), min(len(one.memory), len(other.memory)))
    return f"memory of {len(one.memory)} / {len(other.memory)} bytes, at {at:#x}"


def _short(value: Iterable[Any] | Any) -> str:
    text = repr(value)
    return text if len(text) < 400 else text[:200] + " ... " + text[-200:]


@cache
def _engine(optimize: bool) -> Engine:
    return Engine(EngineSettings(optimize=optimize, parallel=False))


@cache
def _host(engine: Engine) -> HostFunctions:
    """Functions that write down that they were called, in the trace of the instance."""
    functions = HostFunctions(engine)

    def note(running: Instance, value: int) -> None:
        running.host.host.append(("note", value))

    def ask(running: Instance, value: int) -> int:
        if GAS_EXPORT in running.compiled.globals:
            gas = running.variable(GAS_EXPORT)
            if gas.get() < FEE:
                running.variable(EXHAUSTED_EXPORT).set(Exhausted.GAS)
                raise Poor
            gas.set(gas.get() - FEE)
        running.host.host.append(("ask", value))
        return (value * 0x9E3779B97F4A7C15 + len(running.host.host)) % _REST

    functions.define("env", "note", HOST["note"], note)
    functions.define("env", "ask", HOST["ask"], ask)
    return functions
