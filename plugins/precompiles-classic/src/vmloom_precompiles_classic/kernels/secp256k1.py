"""The curve secp256k1, y^2 = x^3 + 7, as far as recovering public keys from signatures needs it. SEC 2; SEC 1, 4.1.6.

An element of the field is any u256: it stands for its residue modulo P, and only `normal` gives the one below P.
All time may depend on the data, which is public.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    U128_MAX,
    U256_MAX,
    U512_MAX,
    Ptr,
    byteswap,
    inline,
    local,
    outline,
    store,
    struct,
    table,
    u8,
    u16,
    u64,
    u128,
    u256,
    u512,
    unlikely,
)

from .field256 import DIGITS, NEGATIVE, inverse, signed_digits, square
from .secp256k1_table import GX, GY, N, P, odd_multiples, times_power_of_two

C: Final = (1 << 256) - P
"""2**256 modulo P"""
HIGH_HALF: Final = U256_MAX - U128_MAX
NEGATED_INVERSE_OF_P: Final = -pow(P, -1, 1 << 64) % (1 << 64)
NEGATED_INVERSE_OF_N: Final = -pow(N, -1, 1 << 64) % (1 << 64)
N_COMPLEMENT: Final = (1 << 256) - N

# The field. Products are first shortened, to a bit more than 256 bits; sums of such are then folded once.

ZERO: Final = P << 37
"""A zero that is more than the sum of three short numbers, so that they can be subtracted from it."""


@inline
def short(t: u512) -> u512:
    """`t` modulo P, below 2**290."""
    return u512(u256(t)) + u512(u256(t >> 256)) * C


@inline
def fold(t: u512) -> u256:
    """`t`, below 2**300, modulo P."""
    t = u512(u256(t)) + u128(u64(t >> 256)) * C
    carry = u64(0 - u64(t >> 256)) & C
    # After a carry, less than 2**80 is left.
    return u256(t) & HIGH_HALF | u128(u128(t) + carry)


@inline
def fold_soon(t: u512) -> u256:
    """`fold` in less time but more instructions: for results that the next step waits for."""
    t = u512(u256(t)) + u128(u64(t >> 256)) * C
    low = u256(t)
    if unlikely(t >> 256 != 0):
        low = (low + C) & U256_MAX
    return low


@inline
def mul(x: u256, y: u256) -> u256:
    """The product x * y."""
    return fold(short(u512(x) * y))


@inline
def sqr(x: u256) -> u256:
    """The square x * x."""
    return fold(short(square(x)))


@inline
def add(x: u256, y: u256) -> u256:
    """The sum x + y."""
    return fold(u512(x) + y)


@inline
def sub(x: u256, y: u256) -> u256:
    """The difference x - y."""
    # What is above 256 bits is 0, or all ones for a borrow.
    t = (u512(x) - y) & U512_MAX
    t = (u512(u256(t)) - (u64(t >> 256) & C)) & U512_MAX
    # After a second borrow, the high half is all ones and the low half nearly so.
    return u256(t) & HIGH_HALF | u128(u128(t) - (u64(t >> 256) & C))


@inline
def half(x: u256) -> u256:
    """x / 2."""
    return u256((u512(x) + (u256(P) if x & 1 else u256(0))) >> 1)


@inline
def normal(x: u256) -> u256:
    """x, below P."""
    return (x - P) & U256_MAX if x >= P else x


@inline
def is_zero(x: u256) -> bool:
    """Whether x is 0 modulo P."""
    return x == 0 or x == P


@outline
def squared(x: u256, times: u64) -> u256:
    """x ** (2 ** times)."""
    for _ in range(times):
        x = fold_soon(short(square(x)))
    return x


@outline
def root(x: u256) -> u256:
    """x ** ((P + 1) / 4): a square root of x, if it has any.

    The exponent is 223 ones, a zero, 22 ones, 0000 11 00 in base 2; `n` ones are the exponent of `ones_n`.
    """
    ones_2 = mul(sqr(x), x)
    ones_3 = mul(sqr(ones_2), x)
    ones_6 = mul(squared(ones_3, 3), ones_3)
    ones_9 = mul(squared(ones_6, 3), ones_3)
    ones_11 = mul(squared(ones_9, 2), ones_2)
    ones_22 = mul(squared(ones_11, 11), ones_11)
    ones_44 = mul(squared(ones_22, 22), ones_22)
    ones_88 = mul(squared(ones_44, 44), ones_44)
    ones_176 = mul(squared(ones_88, 88), ones_88)
    ones_220 = mul(squared(ones_176, 44), ones_44)
    ones_223 = mul(squared(ones_220, 3), ones_3)
    power = mul(squared(ones_223, 23), ones_22)
    power = mul(squared(power, 6), ones_2)
    return squared(power, 2)


# Scalars


@outline
def mul_scalars(x: u256, y: u256) -> u256:
    """x * y modulo N, below N."""
    t = u512(x) * y
    t = u512(u256(t)) + (t >> 256) * N_COMPLEMENT  # below 2**386
    t = u512(u256(t)) + (t >> 256) * N_COMPLEMENT  # below 2**260
    t = u512(u256(t)) + (t >> 256) * N_COMPLEMENT  # below 2**256 + 2**134
    if t >= N:
        t = (t - N) & U512_MAX
    return u256(t)


# For k = k1 + k2 * lambda modulo N, where lambda times a point (x, y) is (BETA * x, y): from the short vectors
# (A1, -B1) and (A2, A1) of the lattice of all (a, b) with a + b * lambda = 0. Gallant, Lambert, Vanstone (2001).
BETA: Final = 0x7AE96A2B657C07106E64479EAC3434E99CF0497512F58995C1396C28719501EE
A1: Final = 0x3086D221A7D46BCDE86C90E49284EB15
B1: Final = 0xE4437ED6010E88286F547FA90ABFE4C3
A2: Final = 0x114CA50F7A8E2F3F657C1108D9D44CFD8
A1_RATIO: Final = ((A1 << 384) + N // 2) // N
B1_RATIO: Final = ((B1 << 384) + N // 2) // N
ROUNDING: Final = 1 << 383


@inline
def second_part(k: u256) -> u256:
    """k2, at most 128 bits and a sign, as a two's complement."""
    c1 = u256((u512(k) * A1_RATIO + ROUNDING) >> 384)
    c2 = u256((u512(k) * B1_RATIO + ROUNDING) >> 384)
    return (c1 * B1 - c2 * A1) & U256_MAX


@inline
def first_part(k: u256) -> u256:
    """k1, at most 128 bits and a sign, as a two's complement."""
    c1 = u256((u512(k) * A1_RATIO + ROUNDING) >> 384)
    c2 = u256((u512(k) * B1_RATIO + ROUNDING) >> 384)
    return (k - c1 * A1 - c2 * A2) & U256_MAX


@outline
def part_digits(digits: Ptr[u16], part: u256) -> u64:
    """The signed digits of a two's complement of at most 128 bits and a sign, for the table of a point."""
    negative = part >> 255 != 0
    size = (0 - part) & U256_MAX if negative else part
    return signed_digits(digits, u128(size), POINT_WINDOW, negative)


# Points


@struct
class Point:
    """The point (x / z^2, y / z^3), or the point at infinity if z is 0; exactly 0, not P."""

    x: u256
    y: u256
    z: u256


@outline
def double(p: Point) -> None:
    """Add `p` to itself. There is no point of order 2."""
    x = p.x
    y = p.y
    s = fold_soon(short(square(y)))
    xs = short(u512(x) * s)
    slope = half(fold_soon((short(square(x)) * 3) & U512_MAX))
    slope_2 = short(square(slope))
    p.z = mul(y, p.z)
    p.x = fold_soon((slope_2 + 2 * (ZERO - xs)) & U512_MAX)
    below = fold_soon((3 * (ZERO - xs) + slope_2) & U512_MAX)  # the new x minus x * s
    p.y = fold_soon((ZERO - short(u512(below) * slope) - short(square(s))) & U512_MAX)


@outline
def add_affine(p: Point, x: u256, y: u256, z: u256) -> u256:
    """Add (x, y) to `p`, and return by what that multiplied p.z: so far `p` is (p.x / z^2, p.y / z^3).

    z is p.z, unless the coordinates of `p` and of (x, y) are scaled differently.
    """
    zz = sqr(z)
    h = fold((short(u512(x) * zz) + ZERO - p.x) & U512_MAX)
    i = fold((ZERO + p.y - short(u512(mul(y, z)) * zz)) & U512_MAX)
    if is_zero(h):
        return add_same_x(p, is_zero(i))
    minus_hh = fold((ZERO - short(square(h))) & U512_MAX)
    hhh = short(u512(minus_hh) * h)
    t = short(u512(p.x) * minus_hh)
    sum_of_x = (short(square(i)) + hhh + t) & U512_MAX
    p.x = fold((sum_of_x + t) & U512_MAX)
    above = fold((sum_of_x + t + t) & U512_MAX)
    p.y = fold((short(u512(above) * i) + short(u512(fold(hhh)) * p.y)) & U512_MAX)
    p.z = mul(p.z, h)
    return h


@outline
def add_same_x(p: Point, same_y: bool) -> u256:
    """Add to `p` a point of the same x: itself, or else its opposite. Returns what `add_affine` does."""
    if same_y:
        ratio = p.y
        double(p)
        return ratio
    p.z = 0
    return u256(0)


# Tables of odd multiples of points

POINT_WINDOW: Final = 5
POINT_ENTRIES: Final = 1 << (POINT_WINDOW - 2)
BASE_WINDOW: Final = 10
BASE_ENTRIES: Final = 1 << (BASE_WINDOW - 2)
BASE_BITS: Final = 128
BASE: Final = table(
    u256,
    (*odd_multiples(GX, GY, BASE_ENTRIES), *odd_multiples(*times_power_of_two(GX, GY, BASE_BITS), BASE_ENTRIES)),
)
"""x and y of the odd multiples of the base point G, and then those of 2**128 * G."""


@outline
def fill_table(entries: Ptr[u256], x: u256, y: u256) -> u256:
    """Write (X, Y, BETA * X) of the odd multiples of (x, y), which are (X / z^2, Y / z^3), and return z.

    They are on one and the same curve isomorphic to ours, where they are affine; so is twice the point, from the start.
    """
    p = local(Point, 2)[0]
    p.x = x
    p.y = y
    p.z = 1
    double(p)
    twice_x = p.x
    twice_y = p.y
    scale = p.z
    zz = sqr(scale)
    p.x = mul(x, zz)
    p.y = mul(y, mul(zz, scale))
    p.z = 1
    entries[0] = p.x
    entries[1] = p.y
    for i in range(1, POINT_ENTRIES):
        entries[3 * i + 2] = add_affine(p, twice_x, twice_y, p.z)  # until BETA * X is there
        entries[3 * i] = p.x
        entries[3 * i + 1] = p.y

    z = u256(1)
    for j in range(POINT_ENTRIES):
        i = POINT_ENTRIES - 1 - j
        ratio = entries[3 * i + 2]
        zz = sqr(z)
        entries[3 * i] = mul(entries[3 * i], zz)
        entries[3 * i + 1] = mul(entries[3 * i + 1], mul(zz, z))
        entries[3 * i + 2] = mul(entries[3 * i], BETA)
        if i > 0:
            z = mul(z, ratio)
    return mul(p.z, scale)


@outline
def add_multiple(p: Point, digit: u64, x: u256, y: u256) -> None:
    """Add (x, y), or its opposite for a negative digit, to `p`."""
    if digit & NEGATIVE:
        y = sub(0, y)
    if p.z == 0:
        p.x = x
        p.y = y
        p.z = 1
    else:
        add_affine(p, x, y, p.z)


@outline
def add_base_multiple(p: Point, digit: u64, first: u64, scale: u256) -> None:
    """Add a multiple of G, or of 2**128 * G, to `p`, which is (p.x / z^2, p.y / z^3) for z = p.z * scale.

    The multiples begin at `first` in `BASE`.
    """
    place = first + (digit & (NEGATIVE - 2))  # twice half of the digit, which is odd
    x = BASE[place]
    y = BASE[place + 1]
    if digit & NEGATIVE:
        y = sub(0, y)
    if p.z == 0:
        zz = sqr(scale)
        p.x = mul(x, zz)
        p.y = mul(y, mul(zz, scale))
        p.z = 1
    else:
        add_affine(p, x, y, mul(p.z, scale))


@outline
def combine(p: Point, k: u256, m: u256, x: u256, y: u256) -> None:
    """Set `p` to k * G + m * (x, y), where (x, y) is a point; k and m are below N.

    Both scalars are halved, and the four sums of multiples of powers of two are added up together (Strauss, Shamir).
    """
    entries = local(u256, 3 * POINT_ENTRIES)
    scale = fill_table(entries, x, y)
    low = local(u16, 4 * DIGITS)
    high = low + DIGITS
    first = high + DIGITS
    second = first + DIGITS
    length = signed_digits(low, u128(k), BASE_WINDOW, False)
    length = max(length, signed_digits(high, u128(k >> BASE_BITS), BASE_WINDOW, False))
    length = max(length, part_digits(first, first_part(m)))
    length = max(length, part_digits(second, second_part(m)))
    p.x = 0
    p.y = 0
    p.z = 0
    while length > 0:
        length = length - 1
        double(p)
        if low[length] != 0:
            add_base_multiple(p, low[length], 0, scale)
        if high[length] != 0:
            add_base_multiple(p, high[length], 2 * BASE_ENTRIES, scale)
        digit = u64(first[length])
        if digit != 0:
            place = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[place], entries[place + 1])
        digit = u64(second[length])
        if digit != 0:
            place = 3 * ((digit & (NEGATIVE - 1)) >> 1)
            add_multiple(p, digit, entries[place + 2], entries[place + 1])
    p.z = mul(p.z, scale)


# Signatures


@outline
def ordinate(x: u256, odd: bool) -> u256:
    """The y below P, odd or even, of the point with this x; 0, which no point has, where there is none."""
    square_of_y = add(mul(sqr(x), x), 7)
    y = root(square_of_y)
    if not is_zero(sub(sqr(y), square_of_y)):
        return u256(0)
    y = normal(y)
    return (P - y) & U256_MAX if (y & 1 != 0) != odd else y


@outline
def set_key(p: Point, message_hash: u256, s: u256, inverse_of_r: u256, x: u256, y: u256) -> None:
    """Set `p` to the key that signed, (s * point - hash * G) / r, for the point (x, y) whose x is r modulo N."""
    hash_scalar = mul_scalars(message_hash, inverse_of_r)
    minus_hash = (N - hash_scalar) & U256_MAX if hash_scalar != 0 else u256(0)
    combine(p, minus_hash, mul_scalars(s, inverse_of_r), x, y)


@inline
def write_point(x: u256, y: u256, inverse_of_z: u256, public_key: Ptr[u8]) -> None:
    """Write the point (x / z^2, y / z^3): its coordinates in 64 big-endian bytes."""
    zz = sqr(inverse_of_z)
    store(u256, public_key, byteswap(u256, normal(mul(x, zz))))
    store(u256, public_key + 32, byteswap(u256, normal(mul(y, mul(zz, inverse_of_z)))))


@outline
def recover(message_hash: u256, odd: bool, r: u256, s: u256, public_key: Ptr[u8]) -> bool:
    """Write the key that signed, x and y in 64 big-endian bytes; False if there is none. r and s are in 1..N-1.

    `odd` tells which of the two points with x = r the signer used. An x of r + N, below P, is not considered.
    """
    y = ordinate(r, odd)
    if y == 0:
        return False
    p = local(Point, 1)[0]
    set_key(p, message_hash, s, inverse(r, N, NEGATED_INVERSE_OF_N), r, y)
    if p.z == 0:
        return False
    write_point(p.x, p.y, inverse(normal(p.z), P, NEGATED_INVERSE_OF_P), public_key)
    return True
