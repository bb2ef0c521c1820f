"""Contracts that call contracts: each nested run takes some of the host's own stack, and knows who waits above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from vmloom.nesting import in_a_thread, nested_here

from .engine.host import position
from .engine.stack import StackExhausted, check_stack

T = TypeVar("T")
THREAD_STACK: Final = 64 << 20
"""Bytes of the stack of a thread that is made when the caller's is used up: address space, which is not touched."""
RUNS_PER_THREAD: Final = 12
"""Nested runs on one thread: each takes some twenty of the thousand calls that Python allows a thread to nest."""
_active: ContextVar[tuple[bytes, ...]] = ContextVar("active_contracts", default=())


@contextmanager
def active_contracts(address: bytes) -> Iterator[bool]:
    """Count `address` among the contracts that run or wait. Yields whether it was among them before."""
    above = _active.get()
    token = _active.set((*above, address))
    try:
        yield address in above
    finally:
        _active.reset(token)


def on_a_stack(stack_bytes: int, function: Callable[[], T]) -> T:
    """What `function` returns or raises, run where compiled code has `stack_bytes` of stack: here, or in a thread."""
    if nested_here() < RUNS_PER_THREAD:
        try:
            check_stack(stack_bytes, position())
        except StackExhausted:
            pass
        else:
            return function()
    return in_a_thread(function, stack_bytes=THREAD_STACK)
