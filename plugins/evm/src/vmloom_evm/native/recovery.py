"""Who made a signature, by the kernel of the precompile that tells contracts so, in less time than libsecp256k1."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import Any, Final

from vmloom.precompile import OUTPUT_ROOM, PrecompileKernel

from ..specification import Specification
from ..transaction.codec import UNPROTECTED_V
from ..transaction.signing import Recover, recover_address
from ..transaction.types import Signature
from .guests import kernel_library
from .memory import address_of_bytes

ADDRESS: Final = 1
"""Of the precompile. Yellow Paper, appendix E.1."""
NAME: Final = "ECRECOVER"
_INPUT: Final = Struct(">32s31xB32s32s")
_Output: Final = ctypes.c_char * OUTPUT_ROOM


def recovery(specification: Specification) -> Recover:
    """What finds signers: the kernel of the precompile, where there is that, or else the library."""
    found: Recover | None = specification.built.get(NAME)
    if found is None:
        precompile = specification.precompiles.get(ADDRESS)
        kernel = precompile.kernel if precompile is not None and precompile.name == NAME else None
        found = specification.built[NAME] = recover_address if kernel is None else _by_kernel(kernel)
    return found


def _by_kernel(kernel: PrecompileKernel) -> Recover:
    library = kernel_library(kernel, NAME)
    run: Any = library.function("run", ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p)

    def recover(signature: Signature, digest: bytes) -> bytes | None:
        """See `recover_address`."""
        r, s = signature.r.to_bytes(32, "big"), signature.s.to_bytes(32, "big")
        given = _INPUT.pack(digest, UNPROTECTED_V + signature.y_parity, r, s)
        found = _Output()
        return found.raw[12:32] if run(address_of_bytes(given), len(given), found) else None

    return recover
