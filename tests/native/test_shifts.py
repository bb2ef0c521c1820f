"""Shifts of wide integers by counts that are not known: compiled as in CPython."""

from __future__ import annotations

import random

import pytest
from vmloom.kernel import u64, u160, u256, u512
from vmloom_native.testing import Compiled

EDGES = {it + by for it in (0, 64, 128, 160, 192, 256, 320, 448, 512) for by in (-1, 0, 1)} - {-1}
COUNTS = [*sorted(EDGES), 2**32, 2**64 - 1]


def left_160(x: u160, count: u64) -> u160:
    return u160(x << count) if count < 160 else u160(0)


def right_160(x: u160, count: u64) -> u160:
    return x >> count


def left_256(x: u256, count: u64) -> u256:
    return u256(x << count) if count < 256 else u256(0)


def right_256(x: u256, count: u64) -> u256:
    return x >> count


def right_256_by_little(x: u256, count: u64) -> u256:
    return x >> (count & 63)


def left_512(x: u512, count: u64) -> u512:
    return u512(x << count) if count < 512 else u512(0)


def right_512(x: u512, count: u64) -> u512:
    return x >> count


FUNCTIONS = {left_160: 160, right_160: 160, left_256: 256, right_256: 256, right_256_by_little: 256}
FUNCTIONS |= {left_512: 512, right_512: 512}


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return Compiled(*FUNCTIONS)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_count_is_as_in_cpython(compiled: Compiled, function: object) -> None:
    width = FUNCTIONS[function]
    rng = random.Random(width)
    for value in ((1 << width) - 1, 1, 1 << (width - 1), rng.getrandbits(width)):
        for count in (*COUNTS, *rng.sample(range(width), 20)):
            assert compiled(function, value, count) == function(value, count), (hex(value), count)
