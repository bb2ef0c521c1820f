"""The two hashes and the copy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from vmloom.precompile import PurePrecompile

Find = Callable[[int], PurePrecompile]


@given(data=st.binary(max_size=200))
def test_outputs(precompile: Find, data: bytes) -> None:
    assert precompile(0x02).compute(data) == hashlib.sha256(data).digest()
    assert precompile(0x04).compute(data) == data


def test_ripemd160_of_known_words(precompile: Find) -> None:
    for word, digest in (
        (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
    ):
        assert precompile(0x03).compute(word).hex() == "00" * 12 + digest


def test_gas_by_the_word(precompile: Find) -> None:
    for size, words in ((0, 0), (1, 1), (32, 1), (33, 2), (1000, 32)):
        assert precompile(0x02).gas_cost(bytes(size)) == 60 + 12 * words
        assert precompile(0x03).gas_cost(bytes(size)) == 600 + 120 * words
        assert precompile(0x04).gas_cost(bytes(size)) == 15 + 3 * words
