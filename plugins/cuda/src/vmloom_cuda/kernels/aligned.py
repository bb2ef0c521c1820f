"""Words of data that lie at multiples of their size, in place of the hash functions' own `word_at` and `put_word`.

Without alignment a GPU reads a word byte by byte.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, address_of, inline, pointer, u8, u32, u64


@inline
def word_64(data: Ptr[u8], index: u64) -> u64:
    """Word `index` of 64 bits."""
    return pointer(u64, address_of(data))[index]


@inline
def put_64(data: Ptr[u8], index: u64, word: u64) -> None:
    """Write word `index` of 64 bits."""
    words = pointer(u64, address_of(data))
    words[index] = word


@inline
def word_32(data: Ptr[u8], index: u64) -> u32:
    """Word `index` of 32 bits."""
    return pointer(u32, address_of(data))[index]


@inline
def put_32(data: Ptr[u8], index: u64, word: u32) -> None:
    """Write word `index` of 32 bits."""
    words = pointer(u32, address_of(data))
    words[index] = word
