"""The end of the process: what wasmtime has is given back while its library and Python's can still do so.

Later, when modules lose their names one after the other, wasmtime's package raises from destructors, and Python says
so.
"""

from __future__ import annotations

import atexit
from typing import TypeVar
from weakref import WeakSet

from wasmtime._managed import Managed

H = TypeVar("H", bound=Managed)  # type: ignore[type-arg]

_alive: WeakSet[Managed] = WeakSet()  # type: ignore[type-arg]


def closed_at_exit(handle: H) -> H:
    """Close an object of wasmtime when the process ends, if it still lives then. For those that may live so long."""
    _alive.add(handle)
    return handle


@atexit.register
def _close() -> None:
    for handle in list(_alive):
        handle.close()
