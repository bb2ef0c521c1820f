"""How a kernel function ends a frame early."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


class Halt(Exception):
    """Stop the current frame for `reason`, a small integer that the VM defines.

    Compiled engines turn `raise Halt(reason)` into a jump to the frame's exit, so `reason` is an integer
    and the exception carries nothing else.
    """

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def attempt(function: Callable[P, None], *arguments: P.args, **nothing: P.kwargs) -> int:
    """Call a kernel function: 0, or the reason for which it halted."""
    try:
        function(*arguments, **nothing)
    except Halt as halt:
        return halt.reason
    return 0
