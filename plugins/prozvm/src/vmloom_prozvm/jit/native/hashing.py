"""SHA-256 in machine code, compiled once for this computer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vmloom_native.library import Library

_NAME: Final = "prozvm_sha256"


@functools.cache
def library() -> Library:
    """The library with the C function `(data, size, digest)`. Raises what compiling raises."""
    from vmloom.kernel.sha256 import sha256
    from vmloom_native.build import compiled, kernel_digest
    from vmloom_native.llvm import present_features
    from vmloom_native.program import Program

    def text() -> str:
        program = Program(cpu_features=present_features())
        program.export(_NAME, sha256)
        return program.ir()

    return compiled((_NAME, kernel_digest(sha256)), text, subject="SHA-256 for ProzVM")


def address() -> int:
    """Where the function is."""
    return library().address(_NAME)
