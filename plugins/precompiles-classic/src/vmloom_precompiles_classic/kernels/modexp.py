"""0x05: modular exponentiation. See `vmloom_precompiles_classic.modexp` for what it does and costs.

Modulo 2**k * q, for odd q, powers are computed modulo q and modulo 2**k, and then put together.
"""

from __future__ import annotations

from typing import Final

from vmloom.kernel import (
    U64_MAX,
    Ptr,
    address_of,
    byteswap,
    copy,
    fill,
    inline,
    load,
    local,
    outline,
    pointer,
    store,
    struct,
    trailing_zeros,
    u8,
    u64,
    u128,
    u256,
    u512,
)
from vmloom.precompile import FAILED

from .field256 import square as square_small
from .naturals import (
    add,
    clear,
    copy_words,
    inverse_of_word,
    length,
    multiply,
    multiply_low,
    reduce,
    remainder,
    shift_left,
    shift_right,
    square,
    subtract,
    subtract_product,
)

HEADER: Final = 96
"""bytes"""
HEAD: Final = 32
"""Bytes of the exponent that count for the price."""
BUILDABLE: Final = 1 << 30
"""Bytes of the largest number that is computed with."""
SIZE_LIMIT: Final = 1024
"""Bytes of the largest number since Osaka. EIP-7823."""
BEYOND: Final = 1 << 40
"""A size that stands for all larger ones: no input is that long, and it costs more than 2**64."""
MOST_BYTES: Final = 1 << 80
"""Likewise, of an exponent."""


@struct
class Sizes:
    """Bytes of the three numbers, up to `BEYOND`, and where in the input they begin."""

    base: u64
    exponent: u64
    modulus: u64
    exponent_begin: u64
    modulus_begin: u64
    long_exponent: u256
    """The exponent's size as declared."""


@outline
def read_sizes(sizes: Sizes, input: Ptr[u8], size: u64) -> None:
    """Read the header."""
    padded = local(u8, HEADER)
    copy(padded, input, min(size, HEADER))
    sizes.base = u64(min(byteswap(u256, load(u256, padded)), BEYOND))
    sizes.long_exponent = byteswap(u256, load(u256, padded + 32))
    sizes.exponent = u64(min(sizes.long_exponent, BEYOND))
    sizes.modulus = u64(min(byteswap(u256, load(u256, padded + 64)), BEYOND))
    sizes.exponent_begin = HEADER + sizes.base
    sizes.modulus_begin = sizes.exponent_begin + sizes.exponent


@inline
def present(begin: u64, count: u64, size: u64) -> u64:
    """How many of `count` bytes from `begin` are in the input; those that are not are 0."""
    return min(count, size - begin) if begin < size else u64(0)


@outline
def is_zero(bytes: Ptr[u8], count: u64) -> bool:
    """Whether all bytes are."""
    i = u64(0)
    while i < count and bytes[i] == 0:
        i = i + 1
    return i == count


# Prices


@inline
def iterations(sizes: Sizes, input: Ptr[u8], size: u64, per_byte: u8) -> u128:
    """EIP-198's "adjusted exponent length", 1 at least."""
    head = local(u8, HEAD)
    count = min(sizes.exponent, HEAD)
    there = present(sizes.exponent_begin, count, size)
    copy(head + (HEAD - count), input + (sizes.exponent_begin if there != 0 else u64(0)), there)
    bits = byteswap(u256, load(u256, head)).bit_length()
    after = max(u128(min(sizes.long_exponent, MOST_BYTES)), HEAD) - HEAD
    return max(after * per_byte + (bits - 1 if bits != 0 else 0), 1)


@inline
def price(complexity: u128, count: u128, divisor: u64) -> u64:
    """complexity * count // divisor; the divisor is small."""
    total = u256(complexity) * count
    if total >> 69 != 0:
        return u64(U64_MAX)
    # Long division by digits of 32 bits.
    high = u64(total >> 32)
    quotient = high // divisor
    if quotient >> 32 != 0:
        return u64(U64_MAX)
    return (quotient << 32) + ((high % divisor << 32) + (u64(total) & 0xFFFFFFFF)) // divisor


@inline
def complexity_byzantium(size: u64) -> u128:
    """EIP-198's."""
    if size <= 64:
        return u128(size * size)
    if size <= 1024:
        return u128(size * size // 4 + 96 * size - 3072)
    return (u128(size) * size >> 4) + (480 * size - 199_680)


def gas_byzantium(input: Ptr[u8], size: u64) -> u64:
    """The price of EIP-198."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    complexity = complexity_byzantium(max(sizes.base, sizes.modulus))
    return price(complexity, iterations(sizes, input, size, 8), 20)


def gas_berlin(input: Ptr[u8], size: u64) -> u64:
    """The price of EIP-2565."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    words = max(sizes.base, sizes.modulus) + 7 >> 3
    return max(price(u128(words) * words, iterations(sizes, input, size, 8), 3), 200)


def gas_osaka(input: Ptr[u8], size: u64) -> u64:
    """The price of EIP-7883."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    longer = max(sizes.base, sizes.modulus)
    words = longer + 7 >> 3
    complexity = u128(words) * words * 2 if longer > 32 else u128(16)
    return max(price(complexity, iterations(sizes, input, size, 16), 1), 500)


# Room

WINDOW: Final = 5
"""Bits of the exponent that are multiplied by at once."""
ENTRIES: Final = 1 << (WINDOW - 1)
SMALL: Final = 4
"""Words for which there is faster code, as for 1: odd moduli in between get zeros."""
ARRAYS: Final = ENTRIES + 10
"""Arrays of the modulus's size that `Room` has."""
SPARE: Final = 4
"""Words that an array has beyond that of its number."""


@struct
class Room:
    """Arrays of words. All but the last are of `width` words, the modulus's size at least, or a multiple of that."""

    width: u64
    modulus: Ptr[u64]
    odd: Ptr[u64]
    """The modulus's odd factor."""
    divisor: Ptr[u64]
    """That, shifted."""
    first: Ptr[u64]
    """The power modulo the odd factor."""
    second: Ptr[u64]
    """The power modulo 2**k."""
    product: Ptr[u64]
    """Of twice the width."""
    result: Ptr[u64]
    """Of twice the width."""
    table: Ptr[u64]
    """Of `ENTRIES` times the width."""
    base: Ptr[u64]
    base_size: u64
    dividend: Ptr[u64]
    """Of the size of the base and the modulus together."""


@inline
def width_of(modulus: u64) -> u64:
    """The width of the arrays for a modulus of that many bytes."""
    return (modulus + 7 >> 3) + SPARE


@inline
def words_of(base: u64) -> u64:
    """How many words a base of that many bytes has."""
    return base + 7 >> 3


@outline
def lay_out(room: Room, begin: u64, sizes: Sizes) -> None:
    """Set the pointers: the first array is at the address `begin`."""
    width = width_of(sizes.modulus)
    words = pointer(u64, begin)
    room.width = width
    room.modulus = words
    room.odd = words + width
    room.divisor = words + 2 * width
    room.first = words + 3 * width
    room.second = words + 4 * width
    room.product = words + 5 * width
    room.result = words + 7 * width
    room.table = words + 9 * width
    room.base = words + (9 + ENTRIES) * width
    room.base_size = words_of(sizes.base)
    room.dividend = room.base + room.base_size


def room(input: Ptr[u8], size: u64) -> u64:
    """For the result, and for the arrays behind it. Fails if a number is too large to be computed with."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    if sizes.modulus == 0:
        return u64(0)
    if sizes.modulus > BUILDABLE:
        return FAILED
    if sizes.base > BUILDABLE and not is_zero(input + HEADER, present(HEADER, sizes.base, size)):
        return FAILED
    if sizes.exponent > BUILDABLE and not is_zero_exponent(sizes, input, size):
        return FAILED
    base = words_of(sizes.base) if sizes.base <= BUILDABLE else u64(0)
    words = ARRAYS * width_of(sizes.modulus) + 2 * base + SPARE
    return sizes.modulus + 8 * words


def room_osaka(input: Ptr[u8], size: u64) -> u64:
    """Fails if a number has more than 1024 bytes."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    if max(sizes.base, max(sizes.exponent, sizes.modulus)) > SIZE_LIMIT:
        return FAILED
    return room(input, size)


@inline
def is_zero_exponent(sizes: Sizes, input: Ptr[u8], size: u64) -> bool:
    """Whether the exponent is 0."""
    there = present(sizes.exponent_begin, sizes.exponent, size)
    return there == 0 or is_zero(input + sizes.exponent_begin, there)


# Numbers in bytes


@outline
def read_bytes(input: Ptr[u8], begin: u64, count: u64, size: u64) -> u64:
    """The big-endian number of `count` bytes from `begin`, at most 8."""
    if count == 8 and begin + 8 <= size:
        return byteswap(u64, load(u64, input + begin))
    value = u64(0)
    for i in range(count):
        value = u64(value << 8) | (input[begin + i] if begin + i < size else 0)
    return value


@outline
def read_number(out: Ptr[u64], input: Ptr[u8], begin: u64, count: u64, size: u64) -> u64:
    """Read the number of `count` bytes from `begin`, and return its size in words, without zeros at the top."""
    words = count >> 3
    rest = count & 7
    for i in range(words):
        out[i] = read_bytes(input, begin + (count - 8 * (i + 1)), u64(8), size)
    if rest != 0:
        out[words] = read_bytes(input, begin, rest, size)
        words = words + 1
    return length(out, words)


@outline
def write_number(output: Ptr[u8], count: u64, x: Ptr[u64], size: u64) -> None:
    """Write x, of `size` words, as `count` bytes, big-endian."""
    fill(output, 0, count)
    for i in range(min(size, count >> 3)):
        store(u64, output + (count - 8 * (i + 1)), byteswap(u64, x[i]))
    rest = count & 7
    if rest != 0 and size > count >> 3:
        top = x[count >> 3]
        for i in range(rest):
            output[rest - 1 - i] = u8(top >> 8 * i)


# Products


@struct
class Ring:
    """Numbers modulo an odd one, in Montgomery's form; or modulo 2**(64 * size)."""

    modulus: Ptr[u64]
    size: u64
    negated_inverse: u64
    """-1 / modulus modulo 2**64; 0 for a power of two."""
    product: Ptr[u64]
    """Room for the double size."""


@inline
def load_small(x: Ptr[u64]) -> u256:
    """Four words."""
    return u256(x[0]) | u256(x[1]) << 64 | u256(x[2]) << 128 | u256(x[3]) << 192


@inline
def store_small(out: Ptr[u64], x: u256) -> None:
    """Four words."""
    out[0] = u64(x)
    out[1] = u64(x >> 64)
    out[2] = u64(x >> 128)
    out[3] = u64(x >> 192)


@inline
def shift_out(low: u256, modulus: u256, negated_inverse: u64) -> u256:
    """`low` / 2**64 modulo `modulus`: the sum of it and the multiple of the modulus that makes the low 64 bits 0."""
    multiple = u64(u64(low) * negated_inverse)
    t = u128(multiple) * u64(modulus) + u64(low)
    t = u128(multiple) * u64(modulus >> 64) + u64(low >> 64) + u64(t >> 64)
    r0 = u64(t)
    t = u128(multiple) * u64(modulus >> 128) + u64(low >> 128) + u64(t >> 64)
    r1 = u64(t)
    t = u128(multiple) * u64(modulus >> 192) + u64(low >> 192) + u64(t >> 64)
    return u256(r0) | u256(r1) << 64 | u256(t) << 128


@inline
def reduce_small(t: u512, modulus: u256, negated_inverse: u64) -> u256:
    """`t` / 2**256 modulo `modulus`; `t` is below 2**256 times that."""
    low = u256(t)
    for _ in range(SMALL):
        low = shift_out(low, modulus, negated_inverse)
    total = u512(low) + (t >> 256)
    return u256(total - modulus) if total >= modulus else u256(total)


@inline
def multiply_words(x: u64, y: u64, modulus: u64, negated_inverse: u64) -> u64:
    """The product of one word each."""
    t = u128(x) * y
    if negated_inverse == 0:
        return u64(t)
    multiple = u64(u64(t) * negated_inverse)
    # The low words of the two products add up to 0, and so they carry, unless both are 0.
    total = u128(u64(t >> 64)) + u64(u128(multiple) * modulus >> 64) + u64(u64(t) != 0)
    return u64(total - modulus) if total >= modulus else u64(total)


@outline
def multiply_by(x: Ptr[u64], y: Ptr[u64], ring: Ring) -> None:
    """x = x * y."""
    if ring.size == 1:
        x[0] = multiply_words(x[0], y[0], ring.modulus[0], ring.negated_inverse)
    elif ring.negated_inverse == 0:
        multiply_low(ring.product, x, y, ring.size)
        copy_words(x, ring.product, ring.size)
    elif ring.size == SMALL:
        product = u512(load_small(x)) * load_small(y)
        store_small(x, reduce_small(product, load_small(ring.modulus), ring.negated_inverse))
    else:
        multiply(ring.product, x, ring.size, y, ring.size)
        reduce(x, ring.product, ring.modulus, ring.size, ring.negated_inverse)


@outline
def square_times(x: Ptr[u64], times: u64, ring: Ring) -> None:
    """x = x ** (2 ** times)."""
    if ring.size == 1:
        word = x[0]
        for _ in range(times):
            word = multiply_words(word, word, ring.modulus[0], ring.negated_inverse)
        x[0] = word
    elif ring.negated_inverse == 0:
        for _ in range(times):
            multiply_low(ring.product, x, x, ring.size)
            copy_words(x, ring.product, ring.size)
    elif ring.size == SMALL:
        small = load_small(x)
        modulus = load_small(ring.modulus)
        for _ in range(times):
            small = reduce_small(square_small(small), modulus, ring.negated_inverse)
        store_small(x, small)
    else:
        for _ in range(times):
            square(ring.product, x, ring.size)
            reduce(x, ring.product, ring.modulus, ring.size, ring.negated_inverse)


# Powers


@struct
class Exponent:
    """Bits, the highest first, beginning with one that is 1."""

    bytes: Ptr[u8]
    present: u64
    """How many of the bytes there are; the others are 0."""
    begin: u64
    """The first bit's number, from the first byte's highest."""
    end: u64


@inline
def bits_at(exponent: Exponent, begin: u64, end: u64) -> u64:
    """The bits from `begin` to before `end`, at most 8."""
    first = begin >> 3
    two = u64(exponent.bytes[first]) << 8 if first < exponent.present else u64(0)
    if first + 1 < exponent.present:
        two = two | exponent.bytes[first + 1]
    return two >> 16 - (begin & 7) - (end - begin) & (1 << (end - begin)) - 1


@inline
def window_of(bits: u64) -> u64:
    """How many bits of an exponent of that many to take at once, so that products are few."""
    if bits < 24:
        return u64(1)
    if bits < 80:
        return u64(3)
    return u64(4 if bits < 240 else WINDOW)


@outline
def power(out: Ptr[u64], table: Ptr[u64], width: u64, exponent: Exponent, ring: Ring) -> None:
    """The power of the number that `table` begins with; its odd powers follow there, `width` words each."""
    window = window_of(exponent.end - exponent.begin)
    if window > 1:
        copy_words(out, table, ring.size)
        square_times(out, 1, ring)
        for i in range(1, u64(1) << (window - 1)):
            copy_words(table + i * width, table + (i - 1) * width, ring.size)
            multiply_by(table + i * width, out, ring)
    begin = exponent.begin
    while begin < exponent.end:
        end = min(begin + window, exponent.end)
        bits = bits_at(exponent, begin, end)
        if bits == 0:
            square_times(out, end - begin, ring)
        else:
            # Zeros before and after the odd number are squarings only.
            zeros = trailing_zeros(u64, bits)
            entry = table + (bits >> zeros + 1) * width
            if begin == exponent.begin:
                copy_words(out, entry, ring.size)
            else:
                square_times(out, end - begin - zeros, ring)
                multiply_by(out, entry, ring)
            if zeros != 0:
                square_times(out, zeros, ring)
        begin = end


@outline
def power_modulo_odd(room: Room, size: u64, exponent: Exponent) -> None:
    """Set `room.first` to the power modulo `room.odd`, which has `size` words and is not 1."""
    ring = local(Ring, 1)[0]
    ring.modulus = room.odd
    ring.size = max(size, SMALL) if size > 1 else u64(1)
    ring.negated_inverse = u64(0 - inverse_of_word(room.odd[0]))
    ring.product = room.product

    # The base in Montgomery's form: times 2**(64 * size), by a division of shifted numbers.
    shift = 64 - room.odd[size - 1].bit_length()
    shift_left(room.divisor, room.odd, size, shift)
    dividend = room.dividend
    clear(dividend, ring.size + 1)
    words = room.base_size
    dividend[ring.size + words] = shift_left(dividend + ring.size, room.base, words, shift)
    remainder(dividend, ring.size + words + 1, room.divisor, size)
    clear(room.table, ring.size)
    shift_right(room.table, dividend, size, shift)

    power(room.first, room.table, room.width, exponent, ring)
    copy_words(room.product, room.first, ring.size)
    clear(room.product + ring.size, ring.size)
    reduce(room.first, room.product, room.odd, ring.size, ring.negated_inverse)


@outline
def power_modulo_power_of_two(room: Room, size: u64, exponent: Exponent) -> None:
    """Set `room.second` to the power modulo 2**(64 * size)."""
    ring = local(Ring, 1)[0]
    ring.modulus = room.modulus
    ring.size = size
    ring.negated_inverse = 0
    ring.product = room.product
    clear(room.table, size)
    copy_words(room.table, room.base, min(size, room.base_size))
    power(room.second, room.table, room.width, exponent, ring)


@outline
def put_together(room: Room, odd_size: u64, twos: u64) -> u64:
    """Set `room.result` to the number that is `first` modulo `odd`, and `second` modulo 2**twos. Returns its size.

    That is first + odd * y where y = (second - first) / odd modulo 2**twos, which is found from its lowest word on.
    """
    size = twos + 63 >> 6
    y = room.second
    for i in range(odd_size, size):
        room.first[i] = 0
    subtract(y, y, room.first, size)
    inverse = inverse_of_word(room.odd[0])
    for i in range(size):
        word = u64(y[i] * inverse)
        count = min(size - i, odd_size)
        lacking = subtract_product(y + i, room.odd, count, word)
        place = i + count
        while place < size:
            former = y[place]
            y[place] = u64(former - lacking)
            lacking = u64(former < lacking)
            place = place + 1
        y[i] = word
    if twos & 63 != 0:
        y[size - 1] = y[size - 1] & (u64(1) << (twos & 63)) - 1
    multiply(room.result, room.odd, odd_size, y, size)
    total = odd_size + size
    for i in range(odd_size, total):
        room.first[i] = 0
    add(room.result, room.result, room.first, total)
    return total


@outline
def power_modulo(room: Room, size: u64, exponent: Exponent, output: Ptr[u8], count: u64) -> None:
    """Write the power modulo `room.modulus`, of `size` words, as `count` bytes."""
    zeros = u64(0)
    while room.modulus[zeros] == 0:
        zeros = zeros + 1
    shift = trailing_zeros(u64, room.modulus[zeros])
    twos = 64 * zeros + shift
    clear(room.odd, room.width)
    shift_right(room.odd, room.modulus + zeros, size - zeros, shift)
    odd_size = length(room.odd, size - zeros)
    if odd_size == 1 and room.odd[0] == 1:
        clear(room.first, room.width)
    else:
        power_modulo_odd(room, odd_size, exponent)
    if twos == 0:
        write_number(output, count, room.first, odd_size)
    else:
        power_modulo_power_of_two(room, twos + 63 >> 6, exponent)
        total = put_together(room, odd_size, twos)
        write_number(output, count, room.result, total)


def run(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """The power, in as many bytes as the modulus has."""
    sizes = local(Sizes, 1)[0]
    read_sizes(sizes, input, size)
    if sizes.modulus == 0:
        return u64(0)
    if sizes.base > BUILDABLE:
        sizes.base = 0  # see `room`: the number is 0
    arrays = local(Room, 1)[0]
    lay_out(arrays, address_of(output) + sizes.modulus + 7 & U64_MAX - 7, sizes)
    modulus_size = read_number(arrays.modulus, input, sizes.modulus_begin, sizes.modulus, size)
    if modulus_size == 0:
        fill(output, 0, sizes.modulus)
        return sizes.modulus
    exponent = local(Exponent, 1)[0]
    if is_zero_exponent(sizes, input, size):
        fill(output, 0, sizes.modulus)
        output[sizes.modulus - 1] = u8(modulus_size > 1 or arrays.modulus[0] > 1)
        return sizes.modulus
    exponent.bytes = input + sizes.exponent_begin
    exponent.present = present(sizes.exponent_begin, sizes.exponent, size)
    exponent.end = 8 * sizes.exponent
    zero_bytes = u64(0)
    while exponent.bytes[zero_bytes] == 0:
        zero_bytes = zero_bytes + 1
    exponent.begin = 8 * zero_bytes + 8 - u64(exponent.bytes[zero_bytes]).bit_length()
    arrays.base_size = read_number(arrays.base, input, u64(HEADER), sizes.base, size)
    power_modulo(arrays, modulus_size, exponent, output, sizes.modulus)
    return sizes.modulus
