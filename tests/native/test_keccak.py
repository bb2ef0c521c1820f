"""The Keccak-256 kernel, as CPython runs it and compiled, against another implementation."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from Crypto.Hash import keccak as reference
from vmloom.kernel import local, start, u8, view
from vmloom.kernel.keccak import RATE, keccak256
from vmloom_native.testing import Compiled

Hash = Callable[[bytes], bytes]
EMPTY = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def expected(data: bytes) -> bytes:
    return bytes(reference.new(data=data, digest_bits=256).digest())


def interpreted(data: bytes) -> bytes:
    digest = local(u8, 32)
    keccak256(start(data), len(data), digest)
    return bytes(view(digest, 32))


@pytest.fixture(scope="module")
def compiled() -> Hash:
    kernels = Compiled(keccak256)

    def run(data: bytes) -> bytes:
        digest = local(u8, 32)
        kernels(keccak256, start(data), len(data), digest)
        return bytes(view(digest, 32))

    return run


def test_known_digest(compiled: Hash) -> None:
    assert interpreted(b"").hex() == compiled(b"").hex() == EMPTY


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 64, 65, RATE - 1, RATE, RATE + 1, 2 * RATE - 1, 2 * RATE, 300])
def test_interpreted(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert interpreted(data) == expected(data)


def test_compiled_of_every_length_and_alignment(compiled: Hash) -> None:
    source = random.Random(1).randbytes(1000)
    for size in range(3 * RATE + 2):
        data = source[size : 2 * size]
        assert compiled(data) == expected(data), size


def test_compiled_of_long_data(compiled: Hash) -> None:
    data = random.Random(2).randbytes(1 << 20)
    assert compiled(data) == expected(data)
