"""Points of BLS12-381 as EIP-2537 writes them, to and from arkworks' objects.

A field element is 64 bytes: 16 zeros, then a number below the prime, big-endian. An element of Fp2 is its real part,
then the other. A point is x, then y; all zeros are the point at infinity.
"""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point, G2Point
from vmloom.precompile import PrecompileFailure

ELEMENT_SIZE = 64
"""bytes of a field element"""
BARE_SIZE = 48
"""bytes of one without its padding, as arkworks has it"""
PADDING = bytes(ELEMENT_SIZE - BARE_SIZE)
G1_SIZE = 2 * ELEMENT_SIZE
G2_SIZE = 4 * ELEMENT_SIZE


def bare_elements(data: bytes) -> bytes:
    """The field elements in `data` without their padding. Raises `PrecompileFailure` if that is not zero."""
    bare = []
    for start in range(0, len(data), ELEMENT_SIZE):
        if data[start : start + len(PADDING)] != PADDING:
            raise PrecompileFailure("a field element does not begin with 16 zeros")
        bare.append(data[start + len(PADDING) : start + ELEMENT_SIZE])
    return b"".join(bare)


def padded_elements(bare: bytes) -> bytes:
    """The opposite of `bare_elements`."""
    return b"".join(PADDING + bare[start : start + BARE_SIZE] for start in range(0, len(bare), BARE_SIZE))


def decode_g1(data: bytes) -> G1Point:
    """The curve's point in 128 bytes, which may be outside the subgroup. Raises `PrecompileFailure`."""
    try:
        return G1Point.from_xy_bytes_unchecked_be(bare_elements(data))
    except ValueError:
        raise PrecompileFailure("not a point of the curve over Fp") from None


def decode_g2(data: bytes) -> G2Point:
    """The curve's point in 256 bytes, which may be outside the subgroup. Raises `PrecompileFailure`."""
    try:
        return G2Point.from_xy_bytes_unchecked_be(bare_elements(data))
    except ValueError:
        raise PrecompileFailure("not a point of the curve over Fp2") from None


def decode_g1_member(data: bytes) -> G1Point:
    """The point of the subgroup in 128 bytes. Raises `PrecompileFailure`."""
    point = decode_g1(data)
    if not point.is_in_subgroup():
        raise PrecompileFailure("a point is not in the subgroup of G1")
    return point


def decode_g2_member(data: bytes) -> G2Point:
    """The point of the subgroup in 256 bytes. Raises `PrecompileFailure`."""
    point = decode_g2(data)
    if not point.is_in_subgroup():
        raise PrecompileFailure("a point is not in the subgroup of G2")
    return point


def encode(point: G1Point | G2Point) -> bytes:
    """`point` in 128 or 256 bytes."""
    return padded_elements(point.to_xy_bytes_be())


def slices(input: bytes, size: int) -> list[bytes]:
    """`input` in slices of `size` bytes. Raises `PrecompileFailure` if there is none or the last is shorter."""
    if not input or len(input) % size:
        raise PrecompileFailure(f"the input has {len(input)} bytes, not a multiple of {size}, 1 and up")
    return [input[start : start + size] for start in range(0, len(input), size)]


def exactly(input: bytes, size: int) -> bytes:
    """`input` itself. Raises `PrecompileFailure` unless it has `size` bytes."""
    if len(input) != size:
        raise PrecompileFailure(f"the input has {len(input)} bytes, not {size}")
    return input
