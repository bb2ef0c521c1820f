"""ECRECOVER in passes, as CPython runs them, against coincurve: rows that are signed, and every kind that is not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from coincurve import PrivateKey
from vmloom.kernel import pointer, u8, u64, u256
from vmloom.precompile import PurePrecompile
from vmloom_precompiles_classic.kernels.recover_in_passes import WORK, find_key, invert_r, write_signers
from vmloom_precompiles_classic.kernels.secp256k1_table import GX, N, P


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def signed(number: int) -> bytes:
    secret, digest = (hashlib.sha256(b"%d %d" % (number, which)).digest() for which in range(2))
    signature = PrivateKey(secret).sign_recoverable(digest, hasher=None)
    return digest + word(27 + signature[64]) + signature[:64]


def without_key(nonce: int, v: int) -> bytes:
    """A row whose key would be the point at infinity: s * R = hash * G, for R = nonce * G."""
    x, y = PrivateKey.from_int(nonce).public_key.point()
    hash_ = 0x1234
    s = hash_ * pow(nonce if (y & 1) == v - 27 else -nonce, -1, N) % N
    return word(hash_) + word(v) + word(x) + word(s)


def off_curve() -> int:
    """An x for which there is no y."""
    return next(x for x in range(2, 99) if pow(x**3 + 7, (P - 1) // 2, P) != 1)


GOOD = signed(0)
ROWS = {
    "signed": GOOD,
    "high s": GOOD[:32] + word(55 - GOOD[63]) + GOOD[64:96] + word(N - int.from_bytes(GOOD[96:], "big")),
    "the other point": GOOD[:32] + word(55 - GOOD[63]) + GOOD[64:],
    "hash of 0": word(0) + GOOD[32:],
    "hash of N": word(N) + GOOD[32:],
    "hash of all ones": word((1 << 256) - 1) + GOOD[32:],
    "v of 0": GOOD[:32] + word(0) + GOOD[64:],
    "v of 29": GOOD[:32] + word(29) + GOOD[64:],
    "v beyond 64 bits": GOOD[:32] + word(1 << 64 | GOOD[63]) + GOOD[64:],
    "v beyond 192 bits": GOOD[:32] + word(1 << 255 | GOOD[63]) + GOOD[64:],
    "r of 0": GOOD[:64] + word(0) + GOOD[96:],
    "r of N": GOOD[:64] + word(N) + GOOD[96:],
    "r of all ones": GOOD[:64] + word((1 << 256) - 1) + GOOD[96:],
    "r below N": GOOD[:64] + word(N - 1) + GOOD[96:],
    "r of no point": GOOD[:64] + word(off_curve()) + GOOD[96:],
    "r of 1": GOOD[:64] + word(1) + GOOD[96:],
    "s of 0": GOOD[:96] + word(0),
    "s of N": GOOD[:96] + word(N),
    "s of N - 1": GOOD[:96] + word(N - 1),
    "s of all ones": GOOD[:96] + word((1 << 256) - 1),
    "key at infinity": without_key(7, 27),
    "key at infinity, odd": without_key(9, 28),
    "point G": word(5) + word(27) + word(GX) + word(5),
    "nothing": bytes(128),
}


def recovered(rows: list[bytes], threads: int) -> list[bytes]:
    """What the passes make of rows, in the form of the precompile's output."""
    count = len(rows)
    data = np.frombuffer(b"".join(rows), np.uint64).copy()
    work = np.full((WORK * count, 4), 0xA5A5, np.uint64)
    addresses, found = np.full((count, 20), 7, np.uint8), np.full(count, 7, np.uint8)

    def at(kind: Any, column: Any) -> Any:
        return pointer(kind, column.ctypes.data)

    for thread in range(threads):
        invert_r(thread, threads, at(u64, data), count, at(u256, work))
    for row in range(count):
        find_key(row, count, at(u64, data), at(u256, work))
    for thread in range(threads):
        write_signers(thread, threads, count, at(u256, work), at(u8, addresses), at(u8, found))
    assert set(found.tolist()) <= {0, 1}
    assert not addresses[found == 0].any()
    return [bytes(12) + one.tobytes() if is_there else b"" for one, is_there in zip(addresses, found, strict=True)]


@pytest.mark.parametrize("threads", [1, 5, len(ROWS)])
def test_every_kind_of_row(precompile: Callable[[int], PurePrecompile], threads: int) -> None:
    names = list(ROWS)
    Random(threads).shuffle(names)
    found = dict(zip(names, recovered([ROWS[name] for name in names], threads), strict=True))
    assert found == {name: precompile(0x01).compute(ROWS[name]) for name in names}
    assert found["signed"]
    assert found["signed"] == found["high s"] != found["the other point"]
    nobody = {name for name, address in found.items() if not address}
    assert nobody >= {
        "key at infinity",
        "key at infinity, odd",
        "point G",
        "r of no point",
        "r of N",
        "s of 0",
        "nothing",
    }
    assert {"hash of 0", "hash of N", "s of N - 1", "r of 1"}.isdisjoint(nobody)


def test_rows_of_which_none_is_signed() -> None:
    assert recovered([bytes(128), ROWS["r of N"], ROWS["key at infinity"]], 1) == [b"", b"", b""]
