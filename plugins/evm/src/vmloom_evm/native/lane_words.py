"""Bytes of memory by whole words, for processors that read byte by byte what does not lie at a multiple of its size.

What `load`, `store`, `copy` and `fill` do for lanes. Words of 8 bytes are read whole where any byte of them is asked
for, and written whole with the bytes around as they were: so no other thread may write to the same word meanwhile, and
memory ends with a whole word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vmloom.kernel import Ptr, address_of, copy, fill, inline, load, outline, pointer, store, u8, u32, u64, u128, u256

WHOLE = (1 << 64) - 8
"""Of an address: where the word begins that it is in."""
WHOLE_32 = (1 << 64) - 4
EVERY_BYTE = 0x0101010101010101


@inline
def item_at(place: Ptr[u8]) -> u256:
    """The number of 32 bytes at a multiple of 16, which a GPU reads in two accesses; see `ALIGNED`."""
    return pointer(u256, address_of(place))[0]


@inline
def put_item(place: Ptr[u8], value: u256) -> None:
    """Write what `item_at` reads."""
    items = pointer(u256, address_of(place))
    items[0] = value


ALIGNED: Final[Mapping[Any, str]] = {
    item_at: "  %item = load i256, ptr %place, align 16\n  ret i256 %item",
    put_item: "  store i256 %value, ptr %place, align 16\n  ret void",
}
"""What LLVM may know and the kernel language cannot say: IR in place of bodies."""


@inline
def funnel(low: u32, high: u32, bits: u32) -> u32:
    """The 32 bits that begin at bit `bits`, below 32, of `high` and `low`: one instruction of a GPU."""
    return u32(low >> bits | high << 1 << (31 - bits))


@inline
def joined(low: u64, high: u64, half: bool, bits: u32) -> u64:
    """The 8 bytes that begin in the first half or `half` of `low`, and there at bit `bits`, and end in `high`."""
    a = u32(low >> 32) if half else u32(low)
    b = u32(high) if half else u32(low >> 32)
    c = u32(high >> 32) if half else u32(high)
    return u64(funnel(a, b, bits)) | u64(funnel(b, c, bits)) << 32


@inline
def bits_in(address: u64) -> u32:
    """Where in its 4 bytes an address is, in bits."""
    return u32((address & 3) << 3)


@inline
def load_32(place: Ptr[u8]) -> u32:
    """`load(u32, place)`."""
    address = address_of(place)
    low = pointer(u32, address & WHOLE_32)[0]
    return funnel(low, pointer(u32, (address + 3) & WHOLE_32)[0], bits_in(address))


@inline
def load_64(place: Ptr[u8]) -> u64:
    """`load(u64, place)`."""
    address = address_of(place)
    if address & 7 == 0:
        return pointer(u64, address)[0]
    low = pointer(u64, address & WHOLE)[0]
    return joined(low, pointer(u64, (address + 7) & WHOLE)[0], address & 4 != 0, bits_in(address))


@inline
def load_128(place: Ptr[u8]) -> u128:
    """`load(u128, place)`."""
    return u128(load_64(place)) | u128(load_64(place + 8)) << 64


@inline
def load_256(place: Ptr[u8]) -> u256:
    """`load(u256, place)`."""
    address = address_of(place)
    if address & 15 == 0:
        return item_at(place)
    words = pointer(u64, address & WHOLE)
    b = words[1]
    c = words[2]
    d = words[3]
    half = address & 4 != 0
    bits = bits_in(address)
    end = pointer(u64, (address + 31) & WHOLE)[0]
    low = u256(joined(words[0], b, half, bits)) | u256(joined(b, c, half, bits)) << 64
    return low | u256(joined(c, d, half, bits)) << 128 | u256(joined(d, end, half, bits)) << 192


@inline
def store_64(place: Ptr[u8], value: u64) -> None:
    """`store(u64, place, value)`."""
    address = address_of(place)
    words = pointer(u64, address & WHOLE)
    if address & 7 == 0:
        words[0] = value
    else:
        bits = (address & 7) << 3
        words[0] = words[0] & ((u64(1) << bits) - 1) | u64(value << bits)
        words[1] = u64(words[1] >> bits << bits) | value >> (64 - bits)


@inline
def store_256(place: Ptr[u8], value: u256) -> None:
    """`store(u256, place, value)`."""
    address = address_of(place)
    if address & 15 == 0:
        put_item(place, value)
        return
    words = pointer(u64, address & WHOLE)
    a = u64(value)
    b = u64(value >> 64)
    c = u64(value >> 128)
    d = u64(value >> 192)
    if address & 7 == 0:
        words[0] = a
        words[1] = b
        words[2] = c
        words[3] = d
        return
    behind = 8 - (address & 7)
    half = behind & 4 != 0
    part = bits_in(behind)
    bits = (address & 7) << 3
    words[0] = words[0] & ((u64(1) << bits) - 1) | u64(a << bits)
    words[1] = joined(a, b, half, part)
    words[2] = joined(b, c, half, part)
    words[3] = joined(c, d, half, part)
    words[4] = u64(words[4] >> bits << bits) | d >> (64 - bits)


@outline
def copy_bytes(destination: Ptr[u8], source: Ptr[u8], size: u64) -> None:
    """`copy(destination, source, size)`."""
    if u64(address_of(destination) - address_of(source)) < size:  # written from the front, the source would change
        while size != 0:
            size -= 1
            destination[size] = source[size]
        return
    while size != 0 and address_of(destination) & 7 != 0:
        destination[0] = source[0]
        destination += 1
        source += 1
        size -= 1
    copy_words(pointer(u64, address_of(destination)), source, size >> 3)
    for index in range(size & WHOLE, size):
        destination[index] = source[index]


@inline
def copy_words(words: Ptr[u64], source: Ptr[u8], count: u64) -> None:
    """Copy so many words to a multiple of 8, from anywhere."""
    begin = address_of(source)
    whole = pointer(u64, begin & WHOLE)
    if begin & 7 == 0:
        for index in range(count):
            words[index] = whole[index]
    elif count != 0:
        half = begin & 4 != 0
        bits = bits_in(begin)
        low = whole[0]
        for index in range(count):
            high = whole[index + 1]
            words[index] = joined(low, high, half, bits)
            low = high


@outline
def fill_bytes(destination: Ptr[u8], byte: u8, size: u64) -> None:
    """`fill(destination, byte, size)`."""
    while size != 0 and address_of(destination) & 7 != 0:
        destination[0] = byte
        destination += 1
        size -= 1
    words = pointer(u64, address_of(destination))
    for index in range(size >> 3):
        words[index] = u64(byte) * EVERY_BYTE
    for index in range(size & WHOLE, size):
        destination[index] = byte


BY_WORDS: Final[Mapping[Any, Any]] = {
    (load, u32): load_32,
    (load, u64): load_64,
    (load, u128): load_128,
    (load, u256): load_256,
    (store, u64): store_64,
    (store, u256): store_256,
    copy: copy_bytes,
    fill: fill_bytes,
}
"""As replacements of a `Program`."""
