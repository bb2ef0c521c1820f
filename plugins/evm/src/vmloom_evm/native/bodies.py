"""What a block commits to of its transactions, in one call of native code: see `block.body`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final, TypeAlias, cast

from vmloom.kernel.memory import size_of
from vmloom.object_keys import source_digest
from vmloom_native.build import compiled

from ..transaction.outcome import TransactionResult
from . import commitments
from .memory import address_of_bytes
from .reading import outcome_of

Made: TypeAlias = tuple[tuple[bytes, ...], int, bytes, bytes, bytes]
_ENTRY: Final = Struct("@6Q")
_BODY: Final = Struct("@4Q256s32s32s")
assert _ENTRY.size == size_of(commitments.Entry)
assert _BODY.size == size_of(commitments.Body)
_PLACE: Final = Struct("@32xQQ")
"""Where the receipt of an entry is."""
_NOTHING: Final = (0, bytes(256), bytes(32), bytes(32))
_RECEIPT_SIZE: Final = 320
"""Bytes of a receipt without its logs, at most."""
_SCRATCH: Final = 1 << 10
"""Bytes of a node without its value, at most."""


def native_body(kinds: Sequence[int], encoded: Sequence[bytes], results: Sequence[TransactionResult]) -> Made | None:
    """The fields of `Body` for transactions of these types and encodings; None unless all results are native code's."""
    outcomes = list(map(outcome_of, results))
    if None in outcomes:
        return None
    raws = [raw if type(raw) is bytes else bytes(raw) for raw in encoded]  # whose addresses are where their bytes are
    places = cast("list[tuple[bytes, int]]", outcomes)
    # A log takes fewer bytes in a receipt than in an outcome.
    most = sum(map(len, {id(blob): blob for blob, _ in places}.values())) + _RECEIPT_SIZE * len(results)
    output = bytearray(2 * most + max(map(len, raws)) + _SCRATCH)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(output))
    packed = [
        _ENTRY.pack(kind, address_of_bytes(raw), len(raw), address_of_bytes(blob) + at, 0, 0)
        for kind, raw, (blob, at) in zip(kinds, raws, places, strict=True)
    ]
    entries = bytearray(b"".join(packed))
    rows = ctypes.addressof(ctypes.c_char.from_buffer(entries))
    made = bytearray(_BODY.pack(rows, len(packed), begin, *_NOTHING))
    _commit()(ctypes.addressof(ctypes.c_char.from_buffer(made)))
    *_, gas, bloom, transactions_root, receipts_root = _BODY.unpack(made)
    receipts = [bytes(output[at - begin : at - begin + size]) for at, size in _PLACE.iter_unpack(entries)]
    return tuple(receipts), gas, bloom, transactions_root, receipts_root


@cache
def _commit() -> Callable[[int], int]:
    """`commitments.commit` as native code, which takes the address of a `Body`."""

    def make() -> str:
        from vmloom_native.program import Program

        program = Program()
        program.export(commitments.commit.__name__, commitments.commit)
        return program.ir()

    library = compiled((source_digest(*SOURCES), "commit"), make, subject="what blocks commit to")
    function: Any = library.function(commitments.commit.__name__, ctypes.c_uint64, ctypes.c_void_p)
    function.library = library  # the code lives as long as what calls it
    return cast("Callable[[int], int]", function)


SOURCES: Final = tuple(
    f"vmloom_evm.{name}" for name in ("native.commitments", "native.layout", "trie.kernels", "halts")
)
