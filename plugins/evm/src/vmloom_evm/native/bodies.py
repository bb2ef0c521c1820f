"""What a block commits to of its transactions, in one call of native code: see `block.body`."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Final, TypeAlias, cast

from vmloom.kernel.memory import size_of

from ..transaction.outcome import TransactionResult
from . import commitments
from .exports import exported
from .memory import address_of_bytes
from .reading import outcome_of

Made: TypeAlias = tuple[tuple[bytes, ...], int, bytes, bytes, bytes]
_ENTRY: Final = Struct("@6Q")
_BODY: Final = Struct("@5Q256s32s32s")
assert _ENTRY.size == size_of(commitments.Entry)
assert _BODY.size == size_of(commitments.Body)
_PLACE: Final = Struct("@32xQQ")
"""Where the receipt of an entry is."""
_NOTHING: Final = (0, bytes(256), bytes(32), bytes(32))
_FIRST_ROOM: Final = 1 << 12
"""Bytes that are enough for most blocks of one transaction."""


def native_body(kinds: Sequence[int], encoded: Sequence[bytes], results: Sequence[TransactionResult]) -> Made | None:
    """The fields of `Body` for transactions of these types and encodings; None unless all results are native code's."""
    outcomes = list(map(outcome_of, results))
    if None in outcomes:
        return None
    raws = [raw if type(raw) is bytes else bytes(raw) for raw in encoded]  # whose addresses are where their bytes are
    places = cast("list[tuple[bytes, int]]", outcomes)
    packed = [
        _ENTRY.pack(kind, address_of_bytes(raw), len(raw), address_of_bytes(blob) + at, 0, 0)
        for kind, raw, (blob, at) in zip(kinds, raws, places, strict=True)
    ]
    entries = bytearray(b"".join(packed))
    rows = ctypes.addressof(ctypes.c_char.from_buffer(entries))
    needed = _FIRST_ROOM
    while needed:
        output = bytearray(needed)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(output))
        made = bytearray(_BODY.pack(rows, len(packed), begin, needed, *_NOTHING))
        needed = _commit()(ctypes.addressof(ctypes.c_char.from_buffer(made)))
    *_, gas, bloom, transactions_root, receipts_root = _BODY.unpack(made)
    receipts = [bytes(output[at - begin : at - begin + size]) for at, size in _PLACE.iter_unpack(entries)]
    return tuple(receipts), gas, bloom, transactions_root, receipts_root


@cache
def _commit() -> Callable[[int], int]:
    return exported(commitments.commit, SOURCES, subject="what blocks commit to")


SOURCES: Final = tuple(
    f"vmloom_evm.{name}" for name in ("native.commitments", "native.layout", "trie.kernels", "halts")
)
