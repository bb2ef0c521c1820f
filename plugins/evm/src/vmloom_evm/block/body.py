"""What a block commits to of its transactions: their receipts, the bloom filter of their logs, and the roots of both.

Of results of native code it is made in one native call; of any others, in Python. Both give the same.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final, NamedTuple, cast

from vmloom.kernel.memory import size_of
from vmloom.object_keys import source_digest

from ..commitment import ordered_root
from ..native.memory import address_of_bytes
from ..native.reading import outcome_of
from ..transaction.outcome import TransactionResult
from ..transaction.types import Transaction
from . import kernels
from .receipts import encode_receipt


class SignedTransaction(NamedTuple):
    """A transaction of which it is known already who sent it (20 bytes) and how it is encoded.

    Who gives it vouches for the sender: the signature is not looked at.
    """

    tx: Transaction
    sender: bytes
    encoded: bytes
    hash: bytes


class Body(NamedTuple):
    """Receipts as the receipts root is taken over them; gas in gas; the bloom filter has 256 bytes, roots have 32."""

    receipts: tuple[bytes, ...]
    gas_used: int
    bloom: bytes
    transactions_root: bytes
    receipts_root: bytes


def body(
    signed: Sequence[SignedTransaction], results: Sequence[TransactionResult], state_roots: Sequence[bytes] = ()
) -> Body:
    """The body of transactions with these results; `state_roots` are those after each of them, before Byzantium."""
    if results and not state_roots:
        outcomes = list(map(outcome_of, results))
        if None not in outcomes:
            return _body_in_native_code(signed, cast("list[tuple[bytes, int]]", outcomes))
    return body_in_python(signed, results, state_roots)


def body_in_python(
    signed: Sequence[SignedTransaction], results: Sequence[TransactionResult], state_roots: Sequence[bytes] = ()
) -> Body:
    """`body` of results of whatever engine."""
    gas, bloom = 0, 0
    receipts = []
    for number, (one, result) in enumerate(zip(signed, results, strict=True)):
        gas += result.gas_used
        root = state_roots[number] if state_roots else b""
        encoded, bits = encode_receipt(one.tx.type, root, result.success, gas, result.events)
        receipts.append(encoded)
        bloom |= bits
    transactions_root = ordered_root([one.encoded for one in signed])
    return Body(tuple(receipts), gas, bloom.to_bytes(256, "big"), transactions_root, ordered_root(receipts))


# In one native call

_ENTRY: Final = Struct("@6Q")
_BODY: Final = Struct("@4Q256s32s32s")
assert _ENTRY.size == size_of(kernels.Entry)
assert _BODY.size == size_of(kernels.Body)
_PLACE: Final = Struct("@32xQQ")
"""Where the receipt of an entry is."""
_NOTHING: Final = (0, bytes(256), bytes(32), bytes(32))
_RECEIPT_SIZE: Final = 320
"""Bytes of a receipt without its logs, at most."""
_SCRATCH: Final = 1 << 10
"""Bytes of a node without its value, at most."""


def _body_in_native_code(signed: Sequence[SignedTransaction], outcomes: Sequence[tuple[bytes, int]]) -> Body:
    """The body of transactions whose outcomes are at these offsets of bytes of native code."""
    blobs = {id(blob): blob for blob, _ in outcomes}
    longest = max([len(one.encoded) for one in signed])
    # A log takes fewer bytes in a receipt than in an outcome.
    most = sum(map(len, blobs.values())) + _RECEIPT_SIZE * len(signed)
    output = bytearray(2 * most + longest + _SCRATCH)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(output))
    packed = [
        _ENTRY.pack(one.tx.type, address_of_bytes(encoded), len(encoded), address_of_bytes(blob) + at, 0, 0)
        for one, encoded, (blob, at) in zip(signed, [one.encoded for one in signed], outcomes, strict=True)
    ]
    entries = bytearray(b"".join(packed))
    rows = ctypes.addressof(ctypes.c_char.from_buffer(entries))
    made = bytearray(_BODY.pack(rows, len(signed), begin, *_NOTHING))
    _commit()(ctypes.addressof(ctypes.c_char.from_buffer(made)))
    *_, gas, bloom, transactions_root, receipts_root = _BODY.unpack(made)
    receipts = [bytes(output[at - begin : at - begin + size]) for at, size in _PLACE.iter_unpack(entries)]
    return Body(tuple(receipts), gas, bloom, transactions_root, receipts_root)


@cache
def _commit() -> Callable[[int], int]:
    """`kernels.commit` as native code, which takes the address of a `Body`."""

    def make() -> str:
        from vmloom_native.program import Program

        program = Program()
        program.export(kernels.commit.__name__, kernels.commit)
        return program.ir()

    from vmloom_native.build import compiled

    library = compiled((source_digest(*_SOURCES), "commit"), make, subject="what blocks commit to")
    function: Any = library.function(kernels.commit.__name__, ctypes.c_uint64, ctypes.c_void_p)
    function.library = library  # the code lives as long as what calls it
    return cast("Callable[[int], int]", function)


_SOURCES: Final = tuple(f"vmloom_evm.{name}" for name in ("block.kernels", "trie.kernels", "native.layout", "halts"))
