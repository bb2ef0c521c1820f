"""The room that the output of a precompile's kernel has where the kernel does not say."""

from __future__ import annotations

from ..precompile import OUTPUT_ROOM
from . import Ptr, u8, u64


def usual_room(input: Ptr[u8], size: u64) -> u64:  # noqa: ARG001 (kernels with a `room` of their own look at it)
    """Bytes for `size` bytes of input."""
    return max(size, OUTPUT_ROOM)
