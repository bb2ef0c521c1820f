"""Which programs are hot, and the compiled ones by the digest of their content.

The workbench and the contract VM ask a `JITCompiler`; it never runs a program by itself.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from typing import Any, Final, Protocol

from vmloom.object_cache import ObjectCache

from ..bytecode.container import pack
from ..bytecode.program import Bytecode
from ..gas import GasSchedule
from ..runtime.interpreter import Machine
from ..runtime.limits import Limits
from ..runtime.loaded import Loaded, load
from ..values import Value
from .codegen import Uncompilable
from .compiled import Compiled
from .stored import OBJECT_KIND, StoredTexts

_log = logging.getLogger(__name__)

_INTERPRETED: Final = 1
_COMPILED: Final = 2


class Workbench(Protocol):
    """What compiled functions ask of the VM that they are called with."""

    def machine(self, env: MutableMapping[str, Any] | None = None) -> Machine:
        """What a program runs on."""

    def settle(self, machine: Machine, env: MutableMapping[str, Any] | None = None) -> None:
        """Write the gas that is left into `env`."""


class Executable(Protocol):
    """A compiled program, in whichever way it was compiled."""

    def run(self, machine: Machine) -> Value:
        """What `machine.run` of the loaded program does."""


class NativeCompiler(Protocol):
    """Makes machine code of a program."""

    def __call__(
        self,
        loaded: Loaded,
        schedule: GasSchedule | None,
        metered: bool,
        limits: Limits,
        *,
        disk_cache: bool = False,
    ) -> Executable | None:
        """None for a program that machine code cannot run, or not any better. Raises nothing."""


class CompiledFunction(Protocol):
    """A compiled program of the workbench."""

    def __call__(self, vm: Workbench, stack: list[Value], env: MutableMapping[str, Any]) -> Value:
        """What the program returns, on `env`. `stack` stays as it is: a program begins with an empty one of its own."""


@dataclass(slots=True)
class HotPathInfo:
    """What is known of one program."""

    bytecode_hash: str
    """SHA-256 of its container, in hex"""
    execution_count: int = 0
    """executions that were tracked"""
    total_time: float = 0.0
    """seconds that they took, as far as they were told"""
    tier: int = _INTERPRETED
    """1 interpreted, 2 compiled"""
    refusal: str | None = None
    """why it cannot be compiled, None as long as nothing is known against it"""
    compiled_version: CompiledFunction | None = None
    compiled_executions: int = 0
    compiled_time: float = 0.0
    """seconds"""


@dataclass(slots=True)
class JITStats:
    """Counts since the compiler was made."""

    hot_paths_detected: int = 0
    compilations: int = 0
    compilation_time: float = 0.0
    """seconds"""
    jit_executions: int = 0
    """by the workbench"""
    cache_hits: int = 0
    cache_misses: int = 0
    tier_promotions: int = 0
    fallbacks: int = 0
    """programs that stay with the interpreter"""
    native_compilations: int = 0
    """programs made into machine code"""
    native_fallbacks: int = 0
    """programs that machine code was wanted for, and that are Python functions instead or interpreted"""
    native_executions: int = 0


class JITCompiler:
    """Counts executions and compiles what ran `hot_threshold` times; keeps the `max_cache` programs used last.

    `optimize` is called with a program before it is compiled for the workbench, and gives the one to compile; what it
    does is what `optimization_level` says. With `debug`, what is compiled is logged. With `native`, machine code is
    tried first, where the package that makes it is installed. With `disk_cache`, text is kept in the user's cache of
    objects (see `stored`). Raises `ValueError` for a bound below 1.
    """

    def __init__(
        self,
        hot_threshold: int = 100,
        *,
        optimization_level: int = 0,
        optimize: Callable[[Bytecode], Bytecode] | None = None,
        max_cache: int = 1024,
        debug: bool = False,
        native: bool = False,
        disk_cache: bool = False,
    ) -> None:
        if hot_threshold < 1 or max_cache < 1:
            raise ValueError(f"hot_threshold and max_cache: must be at least 1, got {hot_threshold} and {max_cache}")
        self.hot_threshold: Final = hot_threshold
        self.optimization_level: Final = optimization_level
        self.debug: Final = debug
        self._optimize = optimize
        self._native = native
        self._texts = StoredTexts(ObjectCache(kind=OBJECT_KIND)) if disk_cache else None
        self._max_cache = max_cache
        self._stats = JITStats()
        self._paths: OrderedDict[str, HotPathInfo] = OrderedDict()
        self._programs: OrderedDict[tuple[str, GasSchedule | None, bool, bool], Executable | None] = OrderedDict()
        self._hashes: dict[int, tuple[weakref.ref[Bytecode], Bytecode, str]] = {}

    def content_hash(self, bytecode: Bytecode) -> str:
        """SHA-256 of the program's container, in hex. Raises `CodeError` for what no container can hold."""
        known = self._hashes.get(id(bytecode))
        if known is not None and known[0]() is bytecode and known[1] == bytecode:
            return known[2]
        found = sha256(pack(bytecode)).hexdigest()
        if len(self._hashes) >= self._max_cache:
            self._hashes.clear()
        self._hashes[id(bytecode)] = weakref.ref(bytecode), deepcopy(bytecode), found
        return found

    def track_execution(self, bytecode: Bytecode, execution_time: float = 0.0) -> str:
        """Count an execution, which took so many seconds; the program's hash."""
        path = self._path(self.content_hash(bytecode))
        path.execution_count += 1
        path.total_time += execution_time
        if path.execution_count == self.hot_threshold:
            self._stats.hot_paths_detected += 1
        return path.bytecode_hash

    def should_compile(self, bytecode_hash: str) -> bool:
        """Whether the program is hot, and neither compiled nor known to be impossible to compile."""
        path = self._paths.get(bytecode_hash)
        return (
            path is not None
            and path.execution_count >= self.hot_threshold
            and path.tier == _INTERPRETED
            and path.refusal is None
        )

    def hot_path(self, bytecode_hash: str) -> HotPathInfo | None:
        """What is known of a program, None if it was not tracked."""
        return self._paths.get(bytecode_hash)

    def compile_hot_path(
        self, bytecode: Bytecode, *, schedule: GasSchedule | None = None, limits: Limits | None = None
    ) -> CompiledFunction | None:
        """A function that runs the program on a workbench; None if it stays with the interpreter, which is counted.

        `schedule` and `limits` must be those of the workbench. Raises `CodeError` for a program that is not
        well-formed.
        """
        path = self._path(self.content_hash(bytecode))
        if path.compiled_version is not None:
            self._stats.cache_hits += 1
            return path.compiled_version
        if path.refusal is not None:
            return None
        program = bytecode if self._optimize is None else self._optimize(bytecode)
        loaded = load(program, limits, strict=False)
        if self.compile_loaded(path.bytecode_hash, loaded, schedule=None, metered=False) is not None:
            path.compiled_version = self._workbench_function(path, loaded, schedule)
        return path.compiled_version

    def compile_loaded(
        self, bytecode_hash: str, loaded: Loaded, *, schedule: GasSchedule | None, metered: bool
    ) -> Executable | None:
        """A loaded program compiled, from the cache if it is there; None if it stays with the interpreter."""
        key = bytecode_hash, schedule, metered, loaded.strict
        if key in self._programs:
            self._programs.move_to_end(key)
            self._stats.cache_hits += 1
            return self._programs[key]
        self._stats.cache_misses += 1
        path = self._path(bytecode_hash)
        begun = time.perf_counter()
        compiled: Executable | None = None
        try:
            compiled = self._made(loaded, schedule, metered)
            self._stats.compilations += 1
            if path.tier == _INTERPRETED:
                path.tier = _COMPILED
                self._stats.tier_promotions += 1
        except Uncompilable as error:
            path.refusal = str(error)
            self._stats.fallbacks += 1
        self._stats.compilation_time += time.perf_counter() - begun
        if self.debug:
            _log.info("%s: %s", bytecode_hash, f"interpreted: {path.refusal}" if compiled is None else "compiled")
        self._programs[key] = compiled
        while len(self._programs) > self._max_cache:
            self._programs.popitem(last=False)
        return compiled

    def _made(self, loaded: Loaded, schedule: GasSchedule | None, metered: bool) -> Executable:
        """Machine code if that is wanted and possible, otherwise Python functions. Raises `Uncompilable`."""
        compile_native = native_compiler() if self._native else None
        if compile_native is not None:
            found = compile_native(loaded, schedule, metered, loaded.limits, disk_cache=self._texts is not None)
            if found is not None:
                self._stats.native_compilations += 1
                return _Counted(found, self._stats)
            self._stats.native_fallbacks += 1
        return Compiled(loaded, schedule=schedule, metered=metered, texts=self._texts)

    def get_stats(self) -> dict[str, Any]:
        """Counts by name, times in seconds.

        `speedup_factor` is how many times longer the workbench's compiled executions would have taken interpreted,
        going by those that were tracked; 0.0 while nothing is known.
        """
        stats = self._stats
        return {
            "hot_paths_detected": stats.hot_paths_detected,
            "compilations": stats.compilations,
            "compilation_time": stats.compilation_time,
            "jit_executions": stats.jit_executions,
            "cache_hits": stats.cache_hits,
            "cache_misses": stats.cache_misses,
            "cache_size": sum(compiled is not None for compiled in self._programs.values()),
            "tier_promotions": stats.tier_promotions,
            "fallbacks": stats.fallbacks,
            "native_compilations": stats.native_compilations,
            "native_fallbacks": stats.native_fallbacks,
            "native_executions": stats.native_executions,
            "disk_hits": 0 if self._texts is None else self._texts.hits,
            "speedup_factor": self._speedup(),
        }

    def clear_cache(self) -> None:
        """Forget all compiled code and all counts of executions; the statistics stay."""
        self._paths.clear()
        self._programs.clear()
        self._hashes.clear()

    def _path(self, bytecode_hash: str) -> HotPathInfo:
        path = self._paths.get(bytecode_hash)
        if path is None:
            path = self._paths[bytecode_hash] = HotPathInfo(bytecode_hash)
            while len(self._paths) > self._max_cache:
                self._paths.popitem(last=False)
        else:
            self._paths.move_to_end(bytecode_hash)
        return path

    def _speedup(self) -> float:
        expected = spent = 0.0
        for path in self._paths.values():
            if path.total_time and path.compiled_executions:
                expected += path.total_time / path.execution_count * path.compiled_executions
                spent += path.compiled_time
        return round(expected / spent, 2) if spent else 0.0

    def _workbench_function(self, path: HotPathInfo, loaded: Loaded, schedule: GasSchedule | None) -> CompiledFunction:
        stats = self._stats
        programs: dict[bool, Executable | None] = {}  # by whether gas is counted

        def run(vm: Workbench, stack: list[Value], env: MutableMapping[str, Any]) -> Value:  # noqa: ARG001
            begun = time.perf_counter()
            machine = vm.machine(env)
            metered = machine.gas_left is not None
            if metered not in programs:
                prices = schedule if metered else None
                programs[metered] = self.compile_loaded(path.bytecode_hash, loaded, schedule=prices, metered=metered)
            else:
                stats.cache_hits += 1
            stats.jit_executions += 1
            compiled = programs[metered]
            try:
                return machine.run(loaded) if compiled is None else compiled.run(machine)
            finally:
                vm.settle(machine, env)
                path.compiled_executions += 1
                path.compiled_time += time.perf_counter() - begun

        return run


class _Counted:
    """Machine code whose runs are counted."""

    __slots__ = ("_program", "_stats")

    def __init__(self, program: Executable, stats: JITStats) -> None:
        self._program = program
        self._stats = stats

    def run(self, machine: Machine) -> Value:
        self._stats.native_executions += 1
        return self._program.run(machine)


@cache
def native_compiler() -> NativeCompiler | None:
    """What makes machine code, None where the package for that is not installed."""
    try:
        module = import_module(f"{__package__}.native")
    except ImportError:
        return None
    found: NativeCompiler = module.compile_native
    return found
