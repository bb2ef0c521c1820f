"""BLAKE2F, by the hash function that it is the core of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.precompile import PrecompileFailure, PurePrecompile
from vmloom_precompiles_classic import blake2f

Find = Callable[[int], PurePrecompile]
Compress = Callable[[int, Sequence[int], Sequence[int], Sequence[int], bool], bytes]


def blake2b(data: bytes, compress: Compress) -> bytes:
    """BLAKE2b-512 without key, by RFC 7693."""
    state = [blake2f.IV[0] ^ 0x01010040, *blake2f.IV[1:]]
    blocks = [data[start : start + 128] for start in range(0, len(data), 128)] or [b""]
    for number, block in enumerate(blocks):
        final = number == len(blocks) - 1
        hashed = len(data) if final else 128 * (number + 1)
        message = blake2f.little_words(block.ljust(128, b"\0"))
        state = blake2f.little_words(compress(12, state, message, [hashed, 0], final))
    return b"".join(word.to_bytes(8, "little") for word in state)


@given(data=st.binary(max_size=400))
def test_plain_python_makes_blake2b(data: bytes) -> None:
    assert blake2b(data, blake2f.compress) == hashlib.blake2b(data).digest()


@given(data=st.binary(max_size=400))
def test_precompile_makes_blake2b(precompile: Find, data: bytes) -> None:
    def compress(
        rounds: int, state: Sequence[int], message: Sequence[int], offset: Sequence[int], final: bool
    ) -> bytes:
        words = [word.to_bytes(8, "little") for word in (*state, *message, *offset)]
        return precompile(0x09).compute(rounds.to_bytes(4, "big") + b"".join(words) + bytes([final]))

    assert blake2b(data, compress) == hashlib.blake2b(data).digest()


@given(rounds=st.integers(0, 30), body=st.binary(min_size=208, max_size=208), final=st.booleans())
def test_plain_python_does_without_the_library(precompile: Find, rounds: int, body: bytes, final: bool) -> None:
    data = rounds.to_bytes(4, "big") + body + bytes([final])
    output = precompile(0x09).compute(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blake2f, "compress_natively", None)
        assert precompile(0x09).compute(data) == output


def test_gas_is_the_number_of_rounds(precompile: Find) -> None:
    assert precompile(0x09).gas_cost(b"\xff" * 4 + bytes(209)) == 2**32 - 1
    for size in (0, 4, 212, 214):
        assert precompile(0x09).gas_cost(b"\xff" * size) == 0
        with pytest.raises(PrecompileFailure, match=f"the input has {size} bytes, not 213"):
            precompile(0x09).compute(b"\xff" * size)


def test_final_flag_is_0_or_1(precompile: Find) -> None:
    with pytest.raises(PrecompileFailure, match="final block flag is 2"):
        precompile(0x09).compute(bytes(212) + b"\x02")
