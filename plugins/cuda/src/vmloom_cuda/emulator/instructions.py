"""All instructions that do not change where control goes, as lines of Python.

Integers are patterns from 0, of their register's width. What an instruction may have between its dots is listed;
anything else is an error, never ignored.
"""

from __future__ import annotations

from typing import Final

from .accesses import ACCESSES
from .errors import PtxError
from .forms import Handler
from .integers import INTEGERS
from .scope import Scope
from .syntax import Register, Statement


def _nothing(_scope: Scope, _it: Statement) -> list[str]:
    """Fences, and hints to caches: without effect on a thread that runs alone."""
    return ["pass"]


def _together(_scope: Scope, it: Statement) -> list[str]:
    """What threads do together. Raises `PtxError`."""
    reason = "threads run one after the other, so they cannot wait for one another"
    raise PtxError(it.line, f"{it.text!r} is not emulated: {reason}")


INSTRUCTIONS: Final[dict[str, Handler]] = {
    **INTEGERS,
    **ACCESSES,
    **dict.fromkeys(("fence", "membar", "prefetch", "prefetchu", "nanosleep"), _nothing),
    **dict.fromkeys(("bar", "barrier", "shfl", "vote", "match", "redux", "activemask", "elect"), _together),
}


def translated(scope: Scope, it: Statement) -> list[str]:
    """Lines for an instruction that does not change where control goes. Raises `PtxError`."""
    handler = INSTRUCTIONS.get(it.parts[0])
    if handler is None:
        raise PtxError(it.line, f"the instruction {it.text!r} is not emulated")
    return handler(scope, it)


def guard_of(scope: Scope, it: Statement) -> str:
    """The condition under which an instruction runs."""
    assert isinstance(it.guard, Register)
    return scope.value(it.guard, 1, it)
