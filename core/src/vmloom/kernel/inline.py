"""Hints for compilers, which CPython ignores: what to inline, and what hardly ever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def inline(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a kernel function whose body compilers put into every caller: `function.__kernel_inline__` is True."""
    function.__kernel_inline__ = True  # type: ignore[attr-defined]
    return function


def outline(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a kernel function that compilers keep out of its callers: `function.__kernel_inline__` is False.

    For rare paths, whose registers and size would slow the frequent one. Without a mark the compiler decides.
    """
    function.__kernel_inline__ = False  # type: ignore[attr-defined]
    return function


@inline
def unlikely(condition: bool) -> bool:
    """`condition`, which is hardly ever true: compilers lay the code out, and use registers, for when it is not."""
    return condition


def intrinsic(features: str, body: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Offer `body` in place of a kernel function's own where the processor has all `features`, such as "sha,ssse3".

    It is what LLVM IR has between the braces of a function whose parameters have their names, as in `%size`. It does
    what the function does, and cannot halt. Features have LLVM's names. Compilers find the set of them and the body in
    `function.__kernel_intrinsics__`; they may as well translate the function.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        others = getattr(function, "__kernel_intrinsics__", ())
        function.__kernel_intrinsics__ = ((frozenset(features.split(",")), body), *others)  # type: ignore[attr-defined]
        return function

    return mark
