"""Parts of hash functions in a form in which a state can stay in registers, which have no addresses.

Whatever is indexed by a number that the compiler does not know lies in memory, on a GPU in local memory.
"""

from __future__ import annotations

from vmloom.kernel import Ptr, inline, u8, u64
from vmloom.kernel.keccak import word_at


@inline
def add_words(state: Ptr[u64], stride: u64, data: Ptr[u8], words: u64, last: u64) -> None:
    """`keccak.add_words`, looking at every place of a block: a loop over them would not always be unrolled."""
    add_word(state, stride, data, 0, words, last)
    add_word(state, stride, data, 1, words, last)
    add_word(state, stride, data, 2, words, last)
    add_word(state, stride, data, 3, words, last)
    add_word(state, stride, data, 4, words, last)
    add_word(state, stride, data, 5, words, last)
    add_word(state, stride, data, 6, words, last)
    add_word(state, stride, data, 7, words, last)
    add_word(state, stride, data, 8, words, last)
    add_word(state, stride, data, 9, words, last)
    add_word(state, stride, data, 10, words, last)
    add_word(state, stride, data, 11, words, last)
    add_word(state, stride, data, 12, words, last)
    add_word(state, stride, data, 13, words, last)
    add_word(state, stride, data, 14, words, last)
    add_word(state, stride, data, 15, words, last)
    add_word(state, stride, data, 16, words, last)


@inline
def add_word(state: Ptr[u64], stride: u64, data: Ptr[u8], at: u64, words: u64, last: u64) -> None:
    """Add what belongs to a place: a word of `data`, or `last` behind them, or nothing."""
    if at < words:
        state[at * stride] ^= word_at(data, at)
    elif at == words:
        state[at * stride] ^= last
