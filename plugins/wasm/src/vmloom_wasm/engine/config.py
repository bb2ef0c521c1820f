"""How wasmtime is set up so that a module does the same on every machine.

Only what cannot change a result is a setting. The features are fixed: wasmtime ends the whole process, not with an
exception, when it is given features that contradict each other, so nothing from outside may choose them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Final

import wasmtime
from vmloom.errors import ConfigError
from wasmtime import _ffi as ffi

from vmloom_wasm.engine.ending import closed_at_exit
from vmloom_wasm.engine.signals import remember_handlers

DISABLED: Final = (
    # What builds on another feature is switched off before it.
    "wasm_component_model_async_stackful",
    "wasm_component_model_more_async_builtins",
    "wasm_component_model_async",
    "wasm_component_model_map",
    "wasm_component_model_implements",
    "wasm_component_model",
    "wasm_stack_switching",
    "wasm_exceptions",
    "wasm_gc",
    "wasm_function_references",
    "wasm_relaxed_simd",
    "wasm_simd",
    "wasm_threads",
    "shared_memory",
    "wasm_memory64",
    "wasm_multi_memory",
    "wasm_tail_call",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    # Fuel and epochs count differently from one release to the next; gas is counted by instrumentation.
    "consume_fuel",
    "epoch_interruption",
    "debug_info",
    "memory_may_move",
)
"""Switches of wasmtime that are off. What is left: the MVP, mutable globals, sign extension, saturating conversions,
multi-value, bulk memory and reference types. The last two cannot be switched off, since parts of wasmtime's default
need them: a scan of the code refuses their instructions where they are not wanted."""

_RESERVATION: Final = 1 << 32
"""Bytes of address space (not of memory) for each linear memory: all that 32 bits can address, so it never moves."""
_STACK_RANGE: Final = range(64 << 10, (6 << 20) + 1)
"""A thread has 8 MiB on most systems, and what Python and the host functions need comes on top."""


@dataclass(frozen=True)
class EngineSettings:
    """What may differ between machines without any effect on results, and one exception. Raises `ConfigError`.

    Attributes:
        optimize: Compile for speed of the code; without it, for speed of compilation.
        parallel: Compile the functions of a module on all cores.
        canonical_nans: Give every NaN the same bits, as machines do not agree on them. Without it results may differ
            between machines: for those who need no agreement.
        stack_bytes: Most that compiled code may use of the thread's stack, 64 KiB to 6 MiB. How much a frame needs
            differs between machines, so the limit that programs meet is the one of the instrumentation. This one
            must be above it, and only keeps the process alive. Each instance that another one's host function runs
            may use as much again: a thread that nests them needs a stack to match.
    """

    optimize: bool = True
    parallel: bool = True
    stack_bytes: int = 2 << 20
    canonical_nans: bool = True

    def __post_init__(self) -> None:
        if self.stack_bytes not in _STACK_RANGE:
            raise ConfigError(
                f"stack_bytes: {self.stack_bytes} is not within {_STACK_RANGE.start} to {_STACK_RANGE.stop - 1}"
            )


class Engine:
    """A compiler with its settings, for any number of threads; what it compiled runs on no other."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self.handle: Final = closed_at_exit(wasmtime.Engine(_config(self.settings)))
        remember_handlers()

    @cached_property
    def fingerprint(self) -> bytes:
        """32 bytes that differ for all that makes compiled code differ, other than the module and the processor."""
        settings = self.settings
        choices = (f"optimize={settings.optimize}", f"canonical_nans={settings.canonical_nans}")
        words = (version("wasmtime"), *DISABLED, *choices, f"reserve={_RESERVATION}")
        return hashlib.sha256("\n".join(words).encode()).digest()


def _config(settings: EngineSettings) -> wasmtime.Config:
    config = wasmtime.Config()
    pointer = config.ptr()
    for name in DISABLED:
        switch = getattr(ffi, f"wasmtime_config_{name}_set", None)
        if switch is not None:  # older releases do not have all features
            switch(pointer, False)
    for name in ("wasm_reference_types", "wasm_bulk_memory", "wasm_multi_value"):
        getattr(ffi, f"wasmtime_config_{name}_set")(pointer, True)
    config.cranelift_nan_canonicalization = settings.canonical_nans
    config.strategy = "cranelift"
    config.cranelift_opt_level = "speed" if settings.optimize else "none"
    config.parallel_compilation = settings.parallel
    # Nothing here runs on stacks of wasmtime's own, but it wants them to be larger, or ends the process.
    ffi.wasmtime_config_async_stack_size_set(pointer, 2 * _STACK_RANGE.stop)
    ffi.wasmtime_config_max_wasm_stack_set(pointer, settings.stack_bytes)
    ffi.wasmtime_config_memory_reservation_set(pointer, _RESERVATION)
    return config
