"""How a kernel function ends a frame early."""

from __future__ import annotations


class Halt(Exception):
    """Stop the current frame for `reason`, a small integer that the VM defines.

    Compiled engines turn `raise Halt(reason)` into a jump to the frame's exit, so `reason` is an integer
    and the exception carries nothing else.
    """

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason
