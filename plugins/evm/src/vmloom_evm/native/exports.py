"""A kernel function that works on one struct, as native code that takes the struct's address."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, cast

from vmloom.object_keys import source_digest
from vmloom_native.build import compiled


def exported(function: Callable[..., Any], sources: tuple[str, ...], *, subject: str) -> Callable[[int], int]:
    """`function`, compiled; `sources` are the modules that its code comes from, `subject` says what it is for."""

    def make() -> str:
        from vmloom_native.program import Program

        program = Program()
        program.export(function.__name__, function)
        return program.ir()

    library = compiled((source_digest(*sources), function.__name__), make, subject=subject)
    return cast("Callable[[int], int]", library.function(function.__name__, ctypes.c_uint64, ctypes.c_void_p))
