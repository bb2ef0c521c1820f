"""The multiplication for threads in step: its digits, and its sums against plain multiples of points."""

from __future__ import annotations

from random import Random

import pytest
from coincurve import PublicKey
from vmloom.kernel import local
from vmloom_precompiles_classic.kernels.field256 import NEGATIVE
from vmloom_precompiles_classic.kernels.secp256k1 import Point
from vmloom_precompiles_classic.kernels.secp256k1_in_step import (
    BASE_STEP,
    LAST_BASE_PLACE,
    PLACES,
    POINT_STEP,
    combine_in_step,
    odd_digit,
)
from vmloom_precompiles_classic.kernels.secp256k1_table import GX, GY, N, P

EDGES = [0, 1, 2, 3, 15, 16, 17, 31, 32, 511, 512, 1 << 127, (1 << 128) - 2, (1 << 128) - 1]


@pytest.mark.parametrize(("step", "last"), [(POINT_STEP, PLACES), (BASE_STEP, LAST_BASE_PLACE)])
def test_digits_are_odd_and_add_up(step: int, last: int) -> None:
    assert last % step == 0
    assert last + step > 128, "no bits are beyond the last digit"
    random = Random(step)
    for scalar in [*EDGES, *(random.getrandbits(128) for _ in range(200))]:
        total = 0
        for place in range(0, last + 1, step):
            digit = odd_digit(scalar, place, step, place == last)
            magnitude = digit & (NEGATIVE - 1)
            assert magnitude & 1
            assert magnitude < 1 << step, "the tables have no more"
            total += (-magnitude if digit & NEGATIVE else magnitude) << place
        assert total == scalar | 1


def test_the_last_digit_of_the_point_is_one() -> None:
    assert {odd_digit(scalar, PLACES, POINT_STEP, True) for scalar in EDGES} == {1}


def multiple(scalar: int, x: int, y: int) -> PublicKey | None:
    point = PublicKey.from_point(x, y)
    return point.multiply((scalar % N).to_bytes(32, "big")) if scalar % N else None


def expected(k: int, m: int, x: int, y: int) -> tuple[int, int] | None:
    """k * G + m * (x, y) by coincurve; None for the point at infinity."""
    found = [one for one in (multiple(k, GX, GY), multiple(m, x, y)) if one is not None]
    if not found:
        return None
    try:
        return found[0].point() if len(found) == 1 else PublicKey.combine_keys(found).point()
    except ValueError:
        return None


def summed(k: int, m: int, x: int, y: int) -> tuple[int, int] | None:
    p = local(Point, 1)[0]
    combine_in_step(p, k, m, x, y)
    if p.z % P == 0:
        assert p.z == 0
        return None
    inverse = pow(p.z, -1, P)
    return p.x * inverse**2 % P, p.y * inverse**3 % P


@pytest.mark.parametrize(
    ("k", "m"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 2),
        (N - 1, N - 1),
        (N - 2, 1),
        (1 << 128, 1 << 127),
        ((1 << 128) - 1, (1 << 128) + 1),
    ],
)
def test_sums_of_scalars_on_the_edge(k: int, m: int) -> None:
    x, y = PublicKey.from_secret((7).to_bytes(32, "big")).point()
    assert summed(k, m, x, y) == expected(k, m, x, y)


@pytest.mark.parametrize("seed", range(6))
def test_sums_of_any_scalars(seed: int) -> None:
    random = Random(seed)
    x, y = PublicKey.from_secret(random.randrange(1, N).to_bytes(32, "big")).point()
    k, m = random.randrange(N), random.randrange(N)
    assert summed(k, m, x, y) == expected(k, m, x, y)


@pytest.mark.parametrize(("k", "m"), [(5, N - 5), (5, 5), (1, N - 1), (2, 4), (N - 3, 3)])
def test_sums_that_meet_the_same_point(k: int, m: int) -> None:
    assert summed(k, m, GX, GY) == expected(k, m, GX, GY)
