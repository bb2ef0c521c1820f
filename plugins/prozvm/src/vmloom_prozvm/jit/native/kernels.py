"""The kernels that generated code calls, as text that goes into the module of each program, so that LLVM inlines them.

What a program does not use, LLVM drops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from . import encodings, slots

KERNELS: Final[tuple[Callable[..., Any], ...]] = (
    slots.need,
    slots.read,
    slots.write,
    slots.begin,
    slots.commit,
    slots.revert,
    slots.append,
    encodings.power,
    encodings.put_integer,
    encodings.put_digest,
)
_WITH_OVERFLOW: Final = ("sadd", "ssub", "smul")


def symbol(kernel: Callable[..., Any]) -> str:
    """The name of a kernel in LLVM's text, which is that of `vmloom_native.program` for a function of a module."""
    return f"@{kernel.__module__}.{kernel.__name__}"


@functools.cache
def digest() -> bytes:
    """Of all that `text` depends on besides the compiler: the source of the kernels and of this module."""
    from vmloom_native.build import kernel_digest

    return kernel_digest(*KERNELS, symbol)


@functools.cache
def text() -> str:
    """The beginning of a program's module: kernels, and declarations for generated code."""
    from vmloom_native.program import Program

    program = Program()
    for kernel in KERNELS:
        program.function(kernel)
    for name in _WITH_OVERFLOW:
        program.declare(f"declare {{i64, i1}} @llvm.{name}.with.overflow.i64(i64, i64)")
    program.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    program.define('!0 = !{!"branch_weights", i32 2000, i32 1}')
    return program.ir()
