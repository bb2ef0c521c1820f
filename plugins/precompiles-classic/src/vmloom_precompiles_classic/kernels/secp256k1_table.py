"""secp256k1's parameters (SEC 2), and multiples of its base point that kernels look up; computed when imported."""

from __future__ import annotations

from typing import Final

from gmpy2 import invert  # type: ignore[import-untyped]

P: Final = 2**256 - 2**32 - 977
"""The field's prime."""
N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The number of points, a prime."""
GX: Final = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
GY: Final = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8


def chord(x1: int, y1: int, x2: int, y2: int) -> tuple[int, int]:
    """The sum of two points, neither equal nor opposite."""
    return third_point((y2 - y1) * int(invert(x2 - x1, P)), x1, y1, x2)


def tangent(x: int, y: int) -> tuple[int, int]:
    """Twice a point."""
    return third_point(3 * x * x * int(invert(2 * y, P)), x, y, x)


def third_point(slope: int, x1: int, y1: int, x2: int) -> tuple[int, int]:
    """The opposite of the third point on a line through two."""
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def times_power_of_two(x: int, y: int, exponent: int) -> tuple[int, int]:
    """2 ** exponent times a point."""
    for _ in range(exponent):
        x, y = tangent(x, y)
    return x, y


def odd_multiples(x: int, y: int, count: int) -> list[int]:
    """x and y of 1, 3, 5, ... times a point."""
    twice = tangent(x, y)
    coordinates = [x, y]
    for _ in range(count - 1):
        x, y = chord(x, y, *twice)
        coordinates += (x, y)
    return coordinates
