"""0x06 to 0x08: addition and multiplication in G1 of BN254, and its pairing check.

Encodings, all of big-endian coordinates of 32 bytes that must be below P: a point of G1 is x | y; a point of G2 is
x1 | x0 | y1 | y0, where x = x0 + x1 u; all zeros are the point at infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

from gmpy2 import mpz  # type: ignore[import-untyped]
from vmloom.precompile import PrecompileFailure, PrecompileKernel, PurePrecompile

from .curve import G1Point, G2Point, g1_add, g1_mul, g1_on_curve, g2_on_curve
from .field import P
from .pairing import NotInSubgroupError, pairing_product_is_one

G1_SIZE = 64
"""bytes"""
G2_SIZE = 128
PAIR_SIZE = G1_SIZE + G2_SIZE
SCALAR_SIZE = 32


@dataclass(frozen=True, slots=True)
class Bn254Prices:
    """Gas of the three operations."""

    add: int
    mul: int
    pairing: int
    """for the check itself"""
    pair: int
    """for each pair in it"""


BYZANTIUM_PRICES = Bn254Prices(add=500, mul=40_000, pairing=100_000, pair=80_000)
"""EIP-196 and EIP-197"""
ISTANBUL_PRICES = Bn254Prices(add=150, mul=6_000, pairing=45_000, pair=34_000)
"""EIP-1108"""


class Bn254Precompile(PurePrecompile):
    """What the three have in common: their prices."""

    def __init__(self, prices: Bn254Prices) -> None:
        self.prices = prices


class Bn254Add(Bn254Precompile):
    """ECADD at 0x06 since Byzantium. EIP-196.

    Input, zero-padded to 128 bytes: point of G1 (64) | point of G1 (64). Output: their sum (64).
    Gas: 500, since Istanbul 150. Fails if a coordinate is not below P or a point is not on the curve.
    """

    name = "BN254_ADD"

    def gas_cost(self, input: bytes) -> int:
        """The fork's price, whatever the input."""
        return self.prices.add

    def compute(self, input: bytes) -> bytes:
        """The sum. Raises `PrecompileFailure` for what is not a point."""
        padded = input[: 2 * G1_SIZE].ljust(2 * G1_SIZE, b"\0")
        p = decode_g1(padded[:G1_SIZE])
        q = decode_g1(padded[G1_SIZE:])
        return encode_g1(g1_add(p, q))

    @property
    def kernel(self) -> PrecompileKernel | None:
        """The same in the kernel language, if it knows the prices."""
        from ..kernels.bn254.precompiles import ADD

        return ADD.get(self.prices.add)


class Bn254Mul(Bn254Precompile):
    """ECMUL at 0x07 since Byzantium. EIP-196.

    Input, zero-padded to 96 bytes: point of G1 (64) | scalar (32), any number. Output: their product (64).
    Gas: 40000, since Istanbul 6000. Fails if a coordinate is not below P or the point is not on the curve.
    """

    name = "BN254_MUL"

    def gas_cost(self, input: bytes) -> int:
        """The fork's price, whatever the input."""
        return self.prices.mul

    def compute(self, input: bytes) -> bytes:
        """The product. Raises `PrecompileFailure` for what is not a point."""
        padded = input[: G1_SIZE + SCALAR_SIZE].ljust(G1_SIZE + SCALAR_SIZE, b"\0")
        p = decode_g1(padded[:G1_SIZE])
        return encode_g1(g1_mul(p, int.from_bytes(padded[G1_SIZE:], "big")))

    @property
    def kernel(self) -> PrecompileKernel | None:
        """The same in the kernel language, if it knows the prices."""
        from ..kernels.bn254.precompiles import MUL

        return MUL.get(self.prices.mul)


class Bn254Pairing(Bn254Precompile):
    """ECPAIRING at 0x08 since Byzantium. EIP-197.

    Input, k pairs of 192 bytes: point of G1 (64) | point of G2 (128). Output: 1 in 32 bytes if the product of
    their pairings is 1, as it is for no pairs, else 0. Gas: 100000 + 80000 k, since Istanbul 45000 + 34000 k.
    Fails if the size is not a multiple of 192, a coordinate is not below P, or a point is not in its group.
    """

    name = "BN254_PAIRING"

    def gas_cost(self, input: bytes) -> int:
        """The fork's price for the check and for each whole pair."""
        return self.prices.pairing + self.prices.pair * (len(input) // PAIR_SIZE)

    def compute(self, input: bytes) -> bytes:
        """1 or 0. Raises `PrecompileFailure` for a wrong size or for what is not a point of the groups."""
        if len(input) % PAIR_SIZE:
            raise PrecompileFailure(f"the input has {len(input)} bytes, not a multiple of {PAIR_SIZE}")
        chunks = [input[i : i + PAIR_SIZE] for i in range(0, len(input), PAIR_SIZE)]
        pairs = [(decode_g1(chunk[:G1_SIZE]), decode_g2(chunk[G1_SIZE:])) for chunk in chunks]
        try:
            return int(pairing_product_is_one(pairs)).to_bytes(32, "big")
        except NotInSubgroupError:
            raise PrecompileFailure("a point of the twist is not in G2") from None

    @property
    def kernel(self) -> PrecompileKernel | None:
        """The same in the kernel language, if it knows the prices."""
        from ..kernels.bn254.precompiles import PAIRING

        return PAIRING.get((self.prices.pairing, self.prices.pair))


def decode_coordinates(data: bytes) -> list[int]:
    """The coordinates in `data`, 32 bytes each. Raises `PrecompileFailure` if one is not below P."""
    coordinates = [mpz(int.from_bytes(data[i : i + 32], "big")) for i in range(0, len(data), 32)]
    if any(coordinate >= P for coordinate in coordinates):
        raise PrecompileFailure("a coordinate is not below the field's prime")
    return coordinates


def decode_g1(data: bytes) -> G1Point:
    """The point of G1 in 64 bytes. Raises `PrecompileFailure`."""
    x, y = decode_coordinates(data)
    if x == y == 0:
        return None
    if not g1_on_curve(x, y):
        raise PrecompileFailure("a point is not on the curve")
    return x, y


def decode_g2(data: bytes) -> G2Point:
    """The point of the twist in 128 bytes, not yet known to be in G2. Raises `PrecompileFailure`."""
    x1, x0, y1, y0 = decode_coordinates(data)
    if x0 == x1 == y0 == y1 == 0:
        return None
    if not g2_on_curve((x0, x1), (y0, y1)):
        raise PrecompileFailure("a point is not on the twist")
    return (x0, x1), (y0, y1)


def encode_g1(point: G1Point) -> bytes:
    """`point` in 64 bytes."""
    x, y = point or (0, 0)
    return int(x).to_bytes(32, "big") + int(y).to_bytes(32, "big")
