"""Contracts that call contracts: each nested run takes some of the host's own stack, and knows who waits above it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Final, TypeVar

from vmloom.calls import host_depth

from .engine.host import position
from .engine.stack import StackExhausted, check_stack

T = TypeVar("T")
THREAD_STACK: Final = 64 << 20
"""Bytes of the stack of a thread that is made when the caller's is used up: address space, which is not touched."""
RUNS_PER_THREAD: Final = 12
"""Nested runs on one thread: each takes some twenty of the thousand calls that Python allows a thread to nest."""
_active: ContextVar[tuple[bytes, ...]] = ContextVar("active_contracts", default=())
_size_lock: Final = threading.Lock()


class _Thread(threading.local):
    began_at: int = 0
    """Runs that were nested already when this thread began."""


_thread: Final = _Thread()


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
    if host_depth.get() >= _thread.began_at + RUNS_PER_THREAD:
        return _in_a_thread(function)
    try:
        check_stack(stack_bytes, position())
    except StackExhausted:
        return _in_a_thread(function)
    return function()


def _in_a_thread(function: Callable[[], T]) -> T:
    outcome: list[T] = []
    raised: list[BaseException] = []
    context = copy_context()

    def work() -> None:
        _thread.began_at = context.get(host_depth, 0)
        try:
            outcome.append(context.run(function))
        except BaseException as error:
            raised.append(error)

    with _size_lock:
        former = threading.stack_size(THREAD_STACK)
        try:
            thread = threading.Thread(target=work, name="vmloom-wasm")
            thread.start()
        finally:
            threading.stack_size(former)
    _join(thread)
    if raised:
        raise raised.pop()
    return outcome[0]


def _join(thread: threading.Thread) -> None:
    """Wait for the end, whatever interrupts: the state belongs to the thread as long as it runs."""
    interrupt: BaseException | None = None
    while thread.is_alive():
        try:
            thread.join()
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
