"""ECRECOVER of many rows, in three passes over all of them, for processors with many threads, such as GPUs.

Two numbers are inverted for each signature. Here a thread inverts one product for many rows, and has the inverse of
each factor by three multiplications (P. Montgomery, "Speeding the Pollard and elliptic curve methods", 1987, 10.3.1).
So the passes `invert_r` and `write_signers` run with as many threads as are to be kept busy, each for every so many
rows; and `find_key` in between with one thread for each row.

A row is 128 bytes, hash, v, r and s, that begin at a multiple of 8. `work` has room for `WORK` words for each row, as
columns: what belongs to the inverses, and then x, y and z of the key.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import Ptr, byteswap, inline, local, u8, u64, u256
from vmloom.kernel.keccak import keccak256

from .field256 import inverse
from .secp256k1 import (
    NEGATED_INVERSE_OF_N,
    NEGATED_INVERSE_OF_P,
    Point,
    mul,
    mul_scalars,
    normal,
    ordinate,
    set_key,
    write_point,
)
from .secp256k1_table import N, P

WORK: Final = 4
"""Words of 256 bits for each row."""
ROW: Final = 16
"""Words of 64 bits of a row."""
V: Final = 7
"""Where v ends; it is 0 before."""
R: Final = 8
S: Final = 12
ADDRESS: Final = 20
"""Bytes, the last of a digest."""


def invert_r(row: u64, count: u64, data: Ptr[u64], rows: u64, work: Ptr[u256]) -> None:
    """Write 1 / r modulo N of every row that may have been signed, and 0 of others."""
    product = u256(1)
    at = row
    while at < rows:
        r = valid_r(data + ROW * at)
        work[at] = product
        if r != 0:
            product = mul_scalars(product, r)
        at += count
    inverse_of_product = inverse(product, N, NEGATED_INVERSE_OF_N)
    while at > row:
        at -= count
        r = valid_r(data + ROW * at)
        if r != 0:
            work[at] = mul_scalars(inverse_of_product, work[at])
            inverse_of_product = mul_scalars(inverse_of_product, r)
        else:
            work[at] = 0


def find_key(row: u64, count: u64, data: Ptr[u64], work: Ptr[u256]) -> None:
    """Write the key that signed a row, as x, y and z; z is 0 where there is none. `work` is what `invert_r` wrote."""
    z = u256(0)
    inverse_of_r = work[row]
    if inverse_of_r != 0:
        words = data + ROW * row
        r = number(words + R)
        y = ordinate(r, byteswap(u64, words[V]) == 28)
        if y != 0:
            p = local(Point, 1)[0]
            set_key(p, number(words), number(words + S), inverse_of_r, r, y)
            work[count + row] = p.x
            work[2 * count + row] = p.y
            z = p.z
    work[3 * count + row] = z


def write_signers(row: u64, count: u64, rows: u64, work: Ptr[u256], addresses: Ptr[u8], found: Ptr[u8]) -> None:
    """Write the addresses of keys, and 1 for each; 0 where there is no key. `work` is what `find_key` wrote."""
    product = u256(1)
    at = row
    while at < rows:
        z = work[3 * rows + at]
        work[at] = product
        if z != 0:
            product = mul(product, z)
        at += count
    inverse_of_product = inverse(normal(product), P, NEGATED_INVERSE_OF_P)
    while at > row:
        at -= count
        z = work[3 * rows + at]
        found[at] = 1 if z != 0 else 0
        if z != 0:
            inverse_of_z = mul(inverse_of_product, work[at])
            inverse_of_product = mul(inverse_of_product, z)
            write_address(work[rows + at], work[2 * rows + at], inverse_of_z, addresses + ADDRESS * at)
        else:
            for byte in range(ADDRESS):
                addresses[ADDRESS * at + byte] = 0


@inline
def write_address(x: u256, y: u256, inverse_of_z: u256, address: Ptr[u8]) -> None:
    """Write the address of a key."""
    public_key = local(u8, 64)
    digest = local(u8, 32)
    write_point(x, y, inverse_of_z, public_key)
    keccak256(public_key, 64, digest)
    for byte in range(ADDRESS):
        address[byte] = digest[32 - ADDRESS + byte]


@inline
def valid_r(words: Ptr[u64]) -> u256:
    """r of a row in which v is 27 or 28, and r and s are in 1..N-1; 0 of others."""
    r = number(words + R)
    s = number(words + S)
    v = byteswap(u64, words[V])
    rest = words[V - 3] | words[V - 2] | words[V - 1]
    return r if rest == 0 and (v == 27 or v == 28) and r < N and s != 0 and s < N else u256(0)


@inline
def number(words: Ptr[u64]) -> u256:
    """32 big-endian bytes."""
    high = u256(byteswap(u64, words[0])) << 192 | u256(byteswap(u64, words[1])) << 128
    return high | u256(byteswap(u64, words[2])) << 64 | byteswap(u64, words[3])
